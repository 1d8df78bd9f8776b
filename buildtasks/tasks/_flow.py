"""The flow that build, push and release share: build, test, publish, report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from invoke.context import Context

from buildtasks import bake as bakefile
from buildtasks import buildx, pipeline, progress, record, shell, verify
from buildtasks import publish as publishing
from buildtasks import report as reports
from buildtasks.errors import Failed, RegistryError
from buildtasks.pipeline import Failure
from buildtasks.plan import Plan, Step
from buildtasks.report import Report
from buildtasks.settings import fields
from buildtasks.tasks._request import Request, tell


def options(asked: Request, *, jobs: str, pull: bool = False, no_cache: bool = False) -> pipeline.Options:
    """Return how to build: flags win over the configuration."""
    wanted = fields.count(jobs, "--jobs") if jobs else asked.project.jobs
    return pipeline.Options(jobs=wanted, pull=pull, no_cache=no_cache, bases=asked.pins)


def build_only(
    c: Context, asked: Request, decided: Plan, how: pipeline.Options, output: Output, *, test: bool = False
) -> Report | Plan:
    """Bring the images of a plan into the engine, test them when asked, and report; in a dry run tell the plan."""
    if shell.dry(c):
        return output.plan(decided)
    results = _build(c, asked, decided, how)
    failed = (*_failures(results), *pipeline.pull(c, decided, jobs=how.jobs))
    if test and not failed:
        failed = verify.tested(c, decided.steps, jobs=how.jobs)
    return output.report(reports.made(decided, results, failed=failed))


def bake(asked: Request, decided: Plan) -> Plan:
    """Print a plan as a bake file, and tell the permissions that bake will want."""
    root = asked.project.root
    print(reports.document(bakefile.document(decided, root)))
    allowed = bakefile.permissions(asked.services, root)
    if allowed:
        tell(f"contexts outside the project: docker buildx bake -f FILE {' '.join(allowed)}")
    return decided


def publish(c: Context, asked: Request, decided: Plan, how: pipeline.Options, output: Output) -> Report | Plan:
    """Build, test and push the images of a plan and report; in a dry run tell the plan."""
    return output.plan(decided) if shell.dry(c) else output.report(_published(c, asked, decided, how))


def _build(c: Context, asked: Request, decided: Plan, how: pipeline.Options) -> tuple[pipeline.Result, ...]:
    """Build what the plan says, telling progress on standard error; the records of inputs stay on this machine."""
    if not decided.to_build():
        return ()
    buildx.check(c)
    with progress.shown() as view:
        results = pipeline.build(c, decided, asked.project, how, view)
    for result in results:
        if not result.error:
            _keep_record(asked, result.step)
    return results


def _keep_record(asked: Request, step: Step) -> None:
    found = asked.record(step.service)
    if found:
        record.keep(asked.project.state, found)


def _published(c: Context, asked: Request, decided: Plan, how: pipeline.Options) -> Report:
    """Set permanent and last moving tags when every image is built, tested and pushed; else change no tag at all."""
    results = _build(c, asked, decided, how)
    failed = _failures(results) or verify.tested(c, decided.to_build(), jobs=how.jobs)
    if failed:
        return reports.made(decided, results, failed=failed)
    pushed = publishing.content(c, decided.to_build(), asked.registries)
    _publish_records(asked, decided)
    digests = {step.service.name: step.digest or pushed[step.service.name] for step in decided.steps}
    changes = [
        change
        for moving in (False, True)
        for change in publishing.apply(publishing.changes(decided, digests, moving=moving), asked.registries)
    ]
    return reports.made(decided, results, digests=digests, changes=changes)


def _publish_records(asked: Request, decided: Plan) -> None:
    """Store the records of built images beside them; without one `explain` knows less, so a refusal is only told."""
    for step in decided.to_build():
        found = record.kept(asked.project.state, step.fingerprint)
        try:
            if found:
                record.publish(asked.registries, step.content, found)
        except RegistryError as error:
            tell(f"{step.service.name}: the record of its inputs is not published: {str(error).splitlines()[0]}")


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
