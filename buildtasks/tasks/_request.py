"""What a run works on: the project, the chosen services, their fingerprints; and the plans that follow from them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import platformdirs
from invoke.context import Context

from buildtasks import bases, buildx, dockerfile, engine, fingerprint, inputs, record, revision, settings, shell
from buildtasks.bases import Base
from buildtasks.errors import Refused, RegistryError
from buildtasks.fingerprint import Fingerprint
from buildtasks.image import Known
from buildtasks.inputs import Scope
from buildtasks.plan import FORCED, Plan, Step, make, make_local, with_needs, with_reasons
from buildtasks.record import Record
from buildtasks.registry import Registries
from buildtasks.registry.published import published
from buildtasks.revision import Revision
from buildtasks.settings import Project, Service
from buildtasks.tags import Wanted, content_tag, release_tags, revision_tags
from buildtasks.version import Version, as_tag
from buildtasks.version import read as read_version

AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Request:
    """What a run works on: the project, the chosen services with their arguments filled in, and their fingerprints.

    `scope` is what inputs are read with, `pins` maps base images to the digests that their registries gave.
    """

    project: Project
    services: tuple[Service, ...]
    version: Version | None
    revision: Revision
    fingerprints: Mapping[str, Fingerprint]
    registries: Registries
    scope: Scope
    pins: Mapping[str, str]

    def content(self, service: Service) -> str:
        """Return the content tag of a service."""
        return content_tag(self.fingerprints[service.name].value)

    def record(self, service: Service) -> Record | None:
        """Return all inputs of a service as they are now, None when they are not those of its fingerprint."""
        needs = {name: self.fingerprints[name].value for name in service.needs}
        return record.taken(service, replace(self.scope, needs=needs), self.fingerprints[service.name].value)


def request(
    c: Context,
    *,
    service: Iterable[str] | None,
    version: str = "",
    platform: Iterable[str] | None = None,
    release: bool = False,
) -> Request:
    """Read the project and hash the inputs of the chosen services.

    A release takes its version from the VERSION file when no text is given.
    """
    project = settings.load(c)
    wanted, now, registries = _version(project, version, release), revision.read(c, project.root), pool(c)
    chosen = with_needs(project.services, settings.selected(project, service or ()))
    placed = _placed(c, chosen, tuple(platform or ()))
    services = tuple(inputs.settled(one, wanted, now) for one in placed)
    scope = Scope({}, {}, store(), project.fingerprint)
    with ThreadPoolExecutor(1) as other:
        # Registries are asked while contexts are hashed: one waits for the network, the other for the disk.
        asking = other.submit(_bases, c, project, services, registries)
        contexts = fingerprint.hashed(services, scope)
        found = asking.result()
    scope = replace(scope, bases={one.image: one.digest for one in found})
    prints = fingerprint.of(services, replace(scope, contexts=contexts))
    # What only the engine knows, BuildKit takes from there, and not by its digest.
    pins = {one.image: one.digest for one in found if not one.note}
    return Request(project, services, wanted, now, prints, registries, scope, pins)


def refuse_stale(asked: Request, *, allowed: bool) -> None:
    """Refuse a release whose images may be stale, since only package files decide what is built.

    Raises:
        Refused: the project says so, and no flag allows it.
    """
    if asked.project.fingerprint == "dependencies" and not allowed:
        raise Refused("fingerprint: dependencies can leave changed files out of an image: release with --allow-stale")


def _version(project: Project, text: str, release: bool) -> Version | None:
    if text:
        return Version.parse(text)
    return read_version(project.version_file) if release else None


def _placed(c: Context, services: Sequence[Service], platforms: tuple[str, ...]) -> Iterator[Service]:
    """Give each service its platforms: those asked for, its own, else that of the engine."""
    unset = not platforms and any(not one.platforms for one in services)
    default = (buildx.platform(c),) if unset else ()
    return (replace(one, platforms=platforms or one.platforms or default) for one in services)


def _bases(c: Context, project: Project, services: Sequence[Service], registries: Registries) -> tuple[Base, ...]:
    images = [image for one in services for image in inputs.base_images(one).images]
    found = bases.pinned(images) if project.bases == "pinned" else bases.digests(c, registries, images)
    for base in found:
        if base.note:
            tell(base.note)
    return found


def store() -> Path:
    """Return the folder that remembers hashes of files between runs."""
    return _cache() / "hashes"


def _cache() -> Path:
    return platformdirs.user_cache_path("buildtasks")


def pool(c: Context) -> Registries:
    """Return the registries of this run; credential helpers are asked through invoke."""
    return Registries(read=partial(shell.read, c), contents=_cache() / "contents")


def tell(text: str) -> None:
    """Tell people something, on standard error."""
    print(text, file=sys.stderr, flush=True)


def local_plan(c: Context, asked: Request, *, force: bool) -> Plan:
    """Plan what brings every image into the local engine."""
    with engine.connected(c) as client:
        found = engine.known(engine.images(client, asked.services))
    local = {one.name: found.get(one.name, Known()) for one in asked.services}
    lacking = [one for one in asked.services if asked.content(one) not in local[one.name].images]
    plan = make_local(
        asked.services,
        version=asked.version,
        revision=asked.revision,
        fingerprints=asked.fingerprints,
        local=local,
        remote={} if force else _remote(asked, lacking),
        force=force,
    )
    _check_platforms(c, asked, plan)
    return explained(asked, plan, {name: _latest(known) for name, known in local.items()})


def _remote(asked: Request, services: Iterable[Service]) -> Mapping[str, Known]:
    """Ask the registry for what the engine lacks; a local build goes on without an answer."""
    try:
        return published(asked.registries, {one.name: (one.repository, [asked.content(one)]) for one in services})
    except RegistryError as error:
        tell(f"{str(error).splitlines()[0]}; building what the engine does not have")
        return {}


def release_plan(c: Context, asked: Request, *, latest: str, force: bool) -> Plan:
    """Plan a release: the version of every service, and `latest` by the given rule, else by the project's."""
    assert asked.version is not None
    known = known_in_registry(asked, (as_tag(asked.version), "latest"))
    wanted = release_tags(asked.version, latest=latest or asked.project.latest, known=known.values())
    return _published_plan(c, asked, wanted, known, force=force)


def push_plan(c: Context, asked: Request, *, latest: bool, force: bool) -> Plan:
    """Plan a push: the version when there is one, else the commit; `latest` only when asked for."""
    moving = ("latest",) if latest else ()
    wanted = Wanted((as_tag(asked.version),), moving) if asked.version else revision_tags(asked.revision, moving)
    return _published_plan(c, asked, wanted, known_in_registry(asked, (*wanted.permanent, "latest")), force=force)


def known_in_registry(asked: Request, tags: Iterable[str]) -> dict[str, Known]:
    """Ask the registry what it has of each service under its content tag and the given tags."""
    names = tuple(tags)
    return published(
        asked.registries, {one.name: (one.repository, (asked.content(one), *names)) for one in asked.services}
    )


def _published_plan(c: Context, asked: Request, wanted: Wanted, known: Mapping[str, Known], *, force: bool) -> Plan:
    plan = make(
        asked.services,
        wanted,
        version=asked.version,
        revision=asked.revision,
        fingerprints=asked.fingerprints,
        known=known,
        force=force,
    )
    _check_platforms(c, asked, plan)
    return explained(asked, plan, {name: _latest(one) for name, one in known.items()})


def _check_platforms(c: Context, asked: Request, plan: Plan) -> None:
    """Refuse platforms that the builder cannot run, where the Dockerfile has something to run on them."""
    wanted = {one for step in plan.to_build() if runs_on_target(step.service) for one in step.service.platforms}
    if wanted and wanted != {buildx.platform(c)}:
        buildx.check_platforms(c, asked.project.builder, wanted)


def runs_on_target(service: Service) -> bool:
    """Tell whether a build runs programs of the platform that it builds for."""
    return not service.remote and dockerfile.runs_on_target(inputs.dockerfile_text(service))


def _latest(known: Known) -> str | None:
    """Return the fingerprint of the image that `latest` names, else of any other that is there."""
    images = [known.images["latest"]] if "latest" in known.images else list(known.images.values())
    return next((image.fingerprint for image in images if image.fingerprint), None)


def explained(asked: Request, plan: Plan, before: Mapping[str, str | None]) -> Plan:
    """Say of each build which inputs changed; `before` holds the fingerprint of the image that is there now."""

    def reason(step: Step) -> str | None:
        was = before[step.service.name]
        old = recorded(asked, step.service, was) if was and step.reason != FORCED else None
        now = asked.record(step.service) if old else None
        return record.told(record.compare(old.inputs, now.inputs)) if old and now else None

    steps = plan.to_build()
    with ThreadPoolExecutor(AT_ONCE) as workers:
        words = dict(zip((step.service.name for step in steps), workers.map(reason, steps), strict=True))
    return with_reasons(plan, {name: text for name, text in words.items() if text})


def recorded(asked: Request, service: Service, of: str) -> Record | None:
    """Return the record of a fingerprint: that of this machine, else the registry's; None when there is none."""
    found = record.kept(asked.project.state, of)
    if found:
        return found
    try:
        found = record.published(asked.registries, service.repository.tag(content_tag(of)))
    except RegistryError as error:
        tell(f"{service.name}: the record of its inputs cannot be read: {str(error).splitlines()[0]}")
    return found if found and found.fingerprint == of else None
