"""The heart: what is wanted against what is there gives Steps, each with its reason. Pure; no engine, no network.

In come services, fingerprints, the wanted tags and what the registry (or the engine) has; out comes a `Plan`. A dry
run is this value told aloud; `--json` is this value written down.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from buildtasks.errors import ConfigError, Refused
from buildtasks.fingerprint import Fingerprint
from buildtasks.image import Found, Known
from buildtasks.reference import Reference
from buildtasks.revision import Revision
from buildtasks.settings import Service
from buildtasks.version import Version, as_tag, newest

CONTENT = "src-"
FORCED = "forced"


class Action(str, Enum):
    """What happens to a service: it is built, its image is found and only gets tags, or there is nothing to do."""

    BUILD = "build"
    REUSE = "reuse"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The tags that a run sets: permanent ones are never overwritten, moving ones are set last; a note says why."""

    permanent: tuple[str, ...] = ()
    moving: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Move:
    """A moving tag and the digest it has now (None: it does not exist)."""

    reference: Reference
    was: str | None


@dataclass(frozen=True, slots=True)
class Step:
    """One service's part of a plan. `digest` is known unless the image is still to be built."""

    service: Service
    action: Action
    reason: str
    fingerprint: str
    digest: str | None
    permanent: tuple[Reference, ...]
    moving: tuple[Move, ...]

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


def content_tag(fingerprint: str) -> str:
    """Return the tag that names an image by its inputs: `src-` and twelve hex digits."""
    return f"{CONTENT}{fingerprint[:12]}"


def is_content_tag(tag: str) -> bool:
    """Tell whether a tag is one of our content tags, which listings hide."""
    digits = tag.removeprefix(CONTENT)
    return tag.startswith(CONTENT) and len(digits) == 12 and set(digits) <= set("0123456789abcdef")


def with_needs(services: Sequence[Service], chosen: Iterable[Service]) -> tuple[Service, ...]:
    """Return the chosen services and all that they are built from, in the project's order."""
    table, wanted = {service.name: service for service in services}, {service.name for service in chosen}
    todo = list(wanted)
    while todo:
        new = set(table[todo.pop()].needs) - wanted
        wanted |= new
        todo += new
    return tuple(service for service in services if service.name in wanted)


def release_tags(version: Version, *, latest: str, known: Iterable[Known]) -> Wanted:
    """Return the tags of a release: the version for ever, and `latest` when the rule lets it move.

    `latest` is `newest` (only forward, never to a pre-release), `always` or `never`.
    """
    moves, why = latest_moves(version, latest, [name for one in known for name in one.names])
    return Wanted((as_tag(version),), ("latest",) if moves else (), why)


def latest_moves(version: Version, rule: str, names: Iterable[str]) -> tuple[bool, str]:
    """Decide whether `latest` moves to `version` among the tags that exist, and say why."""
    if rule != "newest":
        return rule == "always", f"latest {'moves' if rule == 'always' else 'stays'}: {rule}"
    if version.prerelease:
        return False, f"latest stays: {version} is a pre-release"
    top = newest(names)
    if top and top > version:
        return False, f"latest stays: {version} is lower than {top}"
    return True, f"latest moves: {version} is the newest version"


def revision_tags(revision: Revision, moving: tuple[str, ...]) -> Wanted:
    """Return the tags of a push without a version: `sha-` of the commit, unless the checkout differs from it."""
    if not revision.commit or revision.dirty:
        why = "uncommitted changes" if revision.commit else "no commit"
        return Wanted((), moving, f"no sha- tag: {why}")
    return Wanted((f"sha-{revision.short}",), moving)


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
    fingerprint = inputs.value
    found = None if force else _source(fingerprint, wanted, known)
    permanent = tuple(service.repository.tag(tag) for tag in wanted.permanent)
    moving = tuple(
        Move(service.repository.tag(tag), known.images[tag].digest if tag in known.images else None)
        for tag in wanted.moving
    )
    if found is None:
        reason = FORCED if force else _why_build(inputs, known)
        return Step(service, Action.BUILD, reason, fingerprint, None, permanent, moving)
    missing = [tag for tag in (*wanted.permanent, *wanted.moving) if _digest(known, tag) != found.digest]
    action = Action.REUSE if missing else Action.SKIP
    reason = f"unchanged; sets {', '.join(missing)}" if missing else "unchanged, and every tag is there"
    return Step(service, action, reason, fingerprint, found.digest, permanent, moving)


def _source(fingerprint: str, wanted: Wanted, known: Known) -> Found | None:
    """Return the image with these very inputs: under its content tag, or under a tag that is wanted anyway."""
    tags = (content_tag(fingerprint), *wanted.permanent, *wanted.moving)
    images = (known.images[tag] for tag in tags if tag in known.images)
    return next((image for image in images if image.fingerprint == fingerprint), None)


def _why_build(inputs: Fingerprint, known: Known) -> str:
    if inputs.unknown:
        return f"not known: {', '.join(inputs.unknown)}"
    return "inputs changed" if known.names else "not in the registry yet"


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
