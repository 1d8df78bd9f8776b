"""The heart: what is wanted against what is there gives Steps, each with its reason. Pure; no engine, no network.

In come services, fingerprints, the wanted tags and what the registry (or the engine) has; out comes a `Plan`. A dry
run is this value told aloud; `--json` is this value written down.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from buildtasks.errors import ConfigError, Refused
from buildtasks.fingerprint import Fingerprint
from buildtasks.image import Found, Known
from buildtasks.reference import Reference
from buildtasks.revision import Revision
from buildtasks.settings import Service
from buildtasks.tags import Wanted, content_tag
from buildtasks.version import Version

FORCED = "forced"


class Action(str, Enum):
    """What happens to a service: it is built, its image is found and only gets tags, or there is nothing to do."""

    BUILD = "build"
    REUSE = "reuse"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Move:
    """A moving tag and the digest it has now (None: it does not exist)."""

    reference: Reference
    was: str | None


@dataclass(frozen=True, slots=True)
class Step:
    """One service's part of a plan.

    `digest` is known unless the image is still to be built, or an engine does not keep it; `source` is where the image
    is, or will be once it is built.
    """

    service: Service
    action: Action
    reason: str
    fingerprint: str
    digest: str | None
    permanent: tuple[Reference, ...]
    moving: tuple[Move, ...]
    source: Reference

    @property
    def content(self) -> Reference:
        """Return the reference that names the image by its inputs."""
        return self.service.repository.tag(content_tag(self.fingerprint))


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done: one step per service, in order of their names; `notes` say why tags move or stay."""

    version: Version | None
    revision: Revision
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()

    def to_build(self) -> tuple[Step, ...]:
        """Return the steps that build an image."""
        return tuple(step for step in self.steps if step.action is Action.BUILD)


def with_needs(services: Sequence[Service], chosen: Iterable[Service]) -> tuple[Service, ...]:
    """Return the chosen services and all that they are built from, in the project's order."""
    table, wanted = {service.name: service for service in services}, {service.name for service in chosen}
    todo = list(wanted)
    while todo:
        new = set(table[todo.pop()].needs) - wanted
        wanted |= new
        todo += new
    return tuple(service for service in services if service.name in wanted)


def make(
    services: Sequence[Service],
    wanted: Wanted,
    *,
    version: Version | None,
    revision: Revision,
    fingerprints: Mapping[str, Fingerprint],
    known: Mapping[str, Known],
    force: bool = False,
) -> Plan:
    """Decide for each service whether to build, to reuse or to do nothing, and with which tags.

    Raises:
        ConfigError: two services give the same reference.
        Refused: a permanent tag exists with other content.
    """
    check_references(services)
    steps = tuple(
        _step(service, wanted, fingerprints[service.name], known[service.name], force) for service in services
    )
    _check_permanent(steps, known)
    return Plan(version, revision, steps, (wanted.note,) if wanted.note else ())


def check_references(services: Iterable[Service]) -> None:
    """Check that no two services share a repository, since their tags would overwrite each other.

    Raises:
        ConfigError: two of them do.
    """
    seen: dict[str, str] = {}
    for service in services:
        other = seen.setdefault(str(service.repository), service.name)
        if other != service.name:
            raise ConfigError(f"services {other} and {service.name} both publish to {service.repository}")


def _step(service: Service, wanted: Wanted, inputs: Fingerprint, known: Known, force: bool) -> Step:
    found = None if force else _source(inputs.value, wanted, known)
    permanent, moving = _tags(service, wanted, known)
    if found is None:
        return _built(service, inputs, FORCED if force else _why_build(inputs, known), permanent, moving)
    missing = [tag for tag in (*wanted.permanent, *wanted.moving) if _digest(known, tag) != found.digest]
    action = Action.REUSE if missing else Action.SKIP
    reason = f"unchanged; sets {', '.join(missing)}" if missing else "unchanged, and every tag is there"
    source = _at(service, inputs, found)
    return Step(service, action, reason, inputs.value, found.digest, permanent, moving, source)


def _built(
    service: Service,
    inputs: Fingerprint,
    reason: str,
    permanent: tuple[Reference, ...] = (),
    moving: tuple[Move, ...] = (),
) -> Step:
    content = service.repository.tag(content_tag(inputs.value))
    return Step(service, Action.BUILD, reason, inputs.value, None, permanent, moving, content)


def _tags(service: Service, wanted: Wanted, known: Known) -> tuple[tuple[Reference, ...], tuple[Move, ...]]:
    permanent = (service.repository.tag(tag) for tag in wanted.permanent)
    moving = (Move(service.repository.tag(tag), _digest(known, tag)) for tag in wanted.moving)
    return tuple(permanent), tuple(moving)


def _at(service: Service, inputs: Fingerprint, found: Found) -> Reference:
    repository = service.repository
    return repository.at(found.digest) if found.digest else repository.tag(content_tag(inputs.value))


def make_local(
    services: Sequence[Service],
    *,
    version: Version | None,
    revision: Revision,
    fingerprints: Mapping[str, Fingerprint],
    local: Mapping[str, Known],
    remote: Mapping[str, Known],
    force: bool = False,
) -> Plan:
    """Decide what brings each image into the local engine: it is there, it is pulled, or it is built.

    `remote` holds what a registry has of services that the engine does not have.

    Raises:
        ConfigError: two services give the same reference.
    """
    check_references(services)
    steps = []
    for service in services:
        inputs, name = fingerprints[service.name], service.name
        here, there = local.get(name, Known()), remote.get(name, Known())
        steps.append(_local_step(service, inputs, here, there, force))
    return Plan(version, revision, tuple(steps))


def _local_step(service: Service, inputs: Fingerprint, here: Known, there: Known, force: bool) -> Step:
    tag = content_tag(inputs.value)
    found, published = (None if force else _source(inputs.value, Wanted(), known) for known in (here, there))
    if found:
        content = service.repository.tag(tag)
        return Step(service, Action.SKIP, "in the engine", inputs.value, found.digest, (), (), content)
    if published:
        at = _at(service, inputs, published)
        return Step(service, Action.REUSE, "in the registry", inputs.value, published.digest, (), (), at)
    return _built(service, inputs, FORCED if force else _why_build(inputs, here, "not in the engine yet"))


def with_reasons(plan: Plan, reasons: Mapping[str, str]) -> Plan:
    """Return the plan with better reasons for some services."""
    return replace(
        plan, steps=tuple(replace(step, reason=reasons.get(step.service.name, step.reason)) for step in plan.steps)
    )


def _source(fingerprint: str, wanted: Wanted, known: Known) -> Found | None:
    """Return the image with these very inputs: under its content tag, or under a tag that is wanted anyway."""
    tags = (content_tag(fingerprint), *wanted.permanent, *wanted.moving)
    images = (known.images[tag] for tag in tags if tag in known.images)
    return next((image for image in images if image.fingerprint == fingerprint), None)


def _why_build(inputs: Fingerprint, known: Known, absent: str = "not in the registry yet") -> str:
    if inputs.unknown:
        return f"not known: {', '.join(inputs.unknown)}"
    return "inputs changed" if known.names else absent


def _digest(known: Known, tag: str) -> str | None:
    return known.images[tag].digest if tag in known.images else None


def _guarded_content(step: Step) -> tuple[Reference, ...]:
    """Return the content tag when a build would replace what it holds without having been forced to."""
    return (step.content,) if step.action is Action.BUILD and step.reason != FORCED else ()


def _check_permanent(steps: Iterable[Step], known: Mapping[str, Known]) -> None:
    taken = [
        f"{reference} exists with other content ({_digest(known[step.service.name], str(reference.tag))})"
        for step in steps
        for reference in (*_guarded_content(step), *step.permanent)
        if _digest(known[step.service.name], str(reference.tag)) not in (None, step.digest)
    ]
    if taken:
        raise Refused("\n".join([*taken, "a version never changes: take a new version"]))
