"""The flow that build, push and release share: read the project, plan, build, test, publish, report."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import platformdirs
from invoke.context import Context

from buildtasks import bases, buildx, engine, fingerprint, pipeline, progress, revision, settings, shell, verify
from buildtasks import publish as publishing
from buildtasks import report as reports
from buildtasks.errors import Failed
from buildtasks.fingerprint import Fingerprint
from buildtasks.image import Known
from buildtasks.plan import Plan, Wanted, content_tag, make, release_tags, revision_tags, with_needs
from buildtasks.registry import Registries
from buildtasks.registry.published import published
from buildtasks.report import Failure, Report
from buildtasks.revision import Revision
from buildtasks.settings import Project, Service, fields
from buildtasks.version import Version, as_tag
from buildtasks.version import read as read_version


@dataclass(frozen=True, slots=True)
class Request:
    """What a run works on: the project, the chosen services with their arguments filled in, and their fingerprints."""

    project: Project
    services: tuple[Service, ...]
    version: Version | None
    revision: Revision
    fingerprints: Mapping[str, Fingerprint]
    registries: Registries


def request(
    c: Context, *, service: Iterable[str] = (), version: str = "", platform: Iterable[str] = (), release: bool = False
) -> Request:
    """Read the project and hash the inputs of the chosen services.

    A release takes its version from the VERSION file when no text is given.
    """
    project = settings.load(c)
    wanted, now, registries = _version(project, version, release), revision.read(c, project.root), pool(c)
    chosen = with_needs(project.services, settings.selected(project, service))
    services = tuple(fingerprint.settled(one, wanted, now) for one in _placed(c, chosen, tuple(platform)))
    found = _fingerprints(c, project, services, registries)
    return Request(project, services, wanted, now, found, registries)


def _version(project: Project, text: str, release: bool) -> Version | None:
    if text:
        return Version.parse(text)
    return read_version(project.version_file) if release else None


def _placed(c: Context, services: Sequence[Service], platforms: tuple[str, ...]) -> Iterator[Service]:
    """Give each service its platforms: those asked for, its own, else that of the engine."""
    unset = not platforms and any(not one.platforms for one in services)
    default = (buildx.platform(c),) if unset else ()
    return (replace(one, platforms=platforms or one.platforms or default) for one in services)


def _fingerprints(
    c: Context, project: Project, services: Sequence[Service], registries: Registries
) -> dict[str, Fingerprint]:
    images = [image for one in services for image in fingerprint.base_images(one).images]
    found = bases.pinned(images) if project.bases == "pinned" else bases.digests(c, registries, images)
    for base in found:
        if base.note:
            tell(base.note)
    store = Path(platformdirs.user_cache_dir("buildtasks")) / "hashes"
    return fingerprint.of(services, {base.image: base.digest for base in found}, store)


def pool(c: Context) -> Registries:
    """Return the registries of this run; credential helpers are asked through invoke."""
    return Registries(read=partial(shell.read, c))


def tell(text: str) -> None:
    """Tell people something, on standard error."""
    print(text, file=sys.stderr, flush=True)


def options(asked: Request, *, jobs: str, pull: bool, no_cache: bool) -> pipeline.Options:
    """Return how to build: flags win over the configuration."""
    wanted = fields.count(jobs, "--jobs") if jobs else asked.project.jobs
    return pipeline.Options(jobs=wanted, pull=pull, no_cache=no_cache)


def local_plan(c: Context, asked: Request, *, force: bool) -> Plan:
    """Plan against what the local engine has."""
    with engine.connected(c) as client:
        found = engine.known(engine.images(client, asked.services))
    known = {one.name: found.get(one.name, Known()) for one in asked.services}
    return plan(asked, Wanted(), known, force=force)


def known_in_registry(asked: Request, wanted: Wanted) -> dict[str, Known]:
    """Ask the registry what it has of each service under its content tag and the wanted tags."""
    tags = (*wanted.permanent, *wanted.moving)
    return published(
        asked.registries,
        {
            one.name: (one.repository, (content_tag(asked.fingerprints[one.name].value), *tags))
            for one in asked.services
        },
    )


def plan(asked: Request, wanted: Wanted, known: Mapping[str, Known], *, force: bool) -> Plan:
    """Decide what happens to each service."""
    return make(
        asked.services,
        wanted,
        version=asked.version,
        revision=asked.revision,
        fingerprints=asked.fingerprints,
        known=known,
        force=force,
    )


def build(c: Context, asked: Request, decided: Plan, how: pipeline.Options) -> tuple[pipeline.Result, ...]:
    """Build what the plan says, telling progress on standard error."""
    if not decided.to_build():
        return ()
    buildx.check(c)
    with progress.shown() as view:
        return pipeline.build(c, decided, asked.project, how, view)


def release_plan(asked: Request, *, latest: str, force: bool) -> Plan:
    """Plan a release: the version of every service, and `latest` by the given rule, else by the project's."""
    assert asked.version is not None
    known = known_in_registry(asked, Wanted((as_tag(asked.version),), ("latest",)))
    wanted = release_tags(asked.version, latest=latest or asked.project.latest, known=known.values())
    return plan(asked, wanted, known, force=force)


def push_plan(asked: Request, *, latest: bool, force: bool) -> Plan:
    """Plan a push: the version when there is one, else the commit; `latest` only when asked for."""
    moving = ("latest",) if latest else ()
    wanted = Wanted((as_tag(asked.version),), moving) if asked.version else revision_tags(asked.revision, moving)
    return plan(asked, wanted, known_in_registry(asked, wanted), force=force)


def build_only(c: Context, asked: Request, decided: Plan, how: pipeline.Options, output: Output) -> Report | Plan:
    """Build the images of a plan and report; in a dry run tell the plan."""
    if shell.dry(c):
        return output.plan(decided)
    results = build(c, asked, decided, how)
    return output.report(reports.made(decided, results, failed=_failures(results)))


def publish(c: Context, asked: Request, decided: Plan, how: pipeline.Options, output: Output) -> Report | Plan:
    """Build, test and push the images of a plan and report; in a dry run tell the plan."""
    return output.plan(decided) if shell.dry(c) else output.report(_published(c, asked, decided, how))


def _published(c: Context, asked: Request, decided: Plan, how: pipeline.Options) -> Report:
    """Set permanent and last moving tags when every image is built, tested and pushed; else change no tag at all."""
    results = build(c, asked, decided, how)
    failed = _failures(results) or verify.tested(c, decided.to_build(), jobs=how.jobs)
    if failed:
        return reports.made(decided, results, failed=failed)
    pushed = publishing.content(c, decided.to_build(), asked.registries)
    digests = {step.service.name: step.digest or pushed[step.service.name] for step in decided.steps}
    changes = [
        change
        for moving in (False, True)
        for change in publishing.apply(publishing.changes(decided, digests, moving=moving), asked.registries)
    ]
    return reports.made(decided, results, digests=digests, changes=changes)


def _failures(results: Iterable[pipeline.Result]) -> tuple[Failure, ...]:
    return tuple(Failure(one.step.service.name, "build", one.error) for one in results if one.error)


@dataclass(frozen=True, slots=True)
class Output:
    """How a task tells its result: a table or one JSON document on standard output, and a report file."""

    json: bool = False
    file: str = ""

    def __post_init__(self) -> None:
        if self.file:
            reports.check_writable(Path(self.file))

    def plan(self, decided: Plan) -> Plan:
        """Print a plan."""
        print(reports.document(reports.plan_json(decided)) if self.json else reports.plan_table(decided))
        return decided

    def report(self, report: Report) -> Report:
        """Print a report and write its file.

        Raises:
            Failed: the report holds failures.
        """
        print(reports.document(report.as_json()) if self.json else reports.report_table(report))
        if self.file:
            reports.write(report, Path(self.file))
        if report.failed:
            told = "\n".join(f"{one.service}: {one.step}: {one.error}" for one in report.failed)
            raise Failed(f"{told}\n{len(report.failed)} of {len(report.images)} services failed")
        return report
