"""Put images into the registry: content of all, permanent tags of all, moving tags of all, and read everything back.

Content goes by `docker push`, which every image store and driver knows. A tag is set by writing the very bytes of the
manifest under its name (https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests): the
digest stays, so signatures and attestations stay valid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from invoke.context import Context

from buildtasks import shell
from buildtasks.errors import Refused, RegistryError
from buildtasks.plan import Action, Plan, Step
from buildtasks.reference import Reference, Repository
from buildtasks.registry import Registries

A = TypeVar("A")
B = TypeVar("B")
AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Change:
    """One tag of a registry and the digests it goes from (None: it is new) and to."""

    service: str
    reference: Reference
    was: str | None
    to: str
    moving: bool


def content(c: Context, steps: Sequence[Step], registries: Registries) -> dict[str, str]:
    """Push the built images under their content tags; return the manifest digest of each service.

    Raises:
        CommandFailed: a push failed.
    """
    return dict(_each(lambda step: (step.service.name, _push(c, step, registries)), steps))


def _push(c: Context, step: Step, registries: Registries) -> str:
    shell.run(c, ["docker", "push", "--quiet", str(step.content)], log=shell.NOWHERE)
    return expect(registries, step.content)


def expect(registries: Registries, reference: Reference) -> str:
    """Return the digest of an image that must be there.

    Raises:
        RegistryError: it is not.
    """
    found = registries.of(reference.repository).head(reference)
    if found is None:
        raise RegistryError(f"{reference}: pushed, but the registry does not have it")
    return found.digest


def changes(plan: Plan, digests: Mapping[str, str], *, moving: bool) -> tuple[Change, ...]:
    """Return the tags of one kind that are not yet where the plan wants them; pure."""
    return tuple(
        Change(step.service.name, reference, was, digests[step.service.name], moving)
        for step in plan.steps
        if step.action is not Action.SKIP
        for reference, was in (_moving(step) if moving else _permanent(step))
        if was != digests[step.service.name]
    )


def _permanent(step: Step) -> Iterable[tuple[Reference, str | None]]:
    return ((reference, None) for reference in step.permanent)


def _moving(step: Step) -> Iterable[tuple[Reference, str | None]]:
    return ((move.reference, move.was) for move in step.moving)


def apply(wanted: Sequence[Change], registries: Registries) -> tuple[Change, ...]:
    """Set the tags, read each one back and return those that changed.

    One after the other in a repository: distribution 2.8 answers 500 for a manifest while another tag is given to it.

    Raises:
        Refused: a permanent tag holds another digest by now.
        RegistryError: the registry refused, or serves another digest than was written.
    """
    rooms: dict[Repository, list[Change]] = {}
    for change in wanted:
        rooms.setdefault(change.reference.repository, []).append(change)
    found = _each(lambda changes: [_set(change, registries) for change in changes], rooms.values())
    return tuple(change for changes in found for change in changes if change is not None)


def _set(change: Change, registries: Registries) -> Change | None:
    registry = registries.of(change.reference.repository)
    now = registry.head(change.reference)
    if now is not None and now.digest == change.to:
        return None
    if now is not None and not change.moving:
        raise Refused(f"{change.reference} exists with other content ({now.digest}): a version never changes")
    source = change.reference.repository.at(change.to)
    registry.put(change.reference, registries.contents.manifest(registry, source))
    if expect(registries, change.reference) != change.to:
        raise RegistryError(f"{change.reference}: written as {change.to}, but the registry serves another digest")
    return change


def _each(work: Callable[[A], B], items: Iterable[A]) -> list[B]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(work, items))
