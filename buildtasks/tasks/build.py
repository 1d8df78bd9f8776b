"""Build images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from invoke.context import Context

from buildtasks.tasks._task import helps, namespace, task

if TYPE_CHECKING:
    from buildtasks.context import Entry
    from buildtasks.plan import Plan
    from buildtasks.record import Difference
    from buildtasks.report import Report

BUILD = ("service", "version", "platform", "force", "no_cache", "pull", "jobs", "json", "report")


@task(iterable=["service", "platform"], help=helps(*BUILD))
def images(
    c: Context,
    *,
    service: Iterable[str] | None = None,
    version: str = "",
    platform: Iterable[str] | None = None,
    force: bool = False,
    no_cache: bool = False,
    pull: bool = False,
    jobs: str = "",
    json: bool = False,
    report: str = "",
) -> Report | Plan:
    """Build the images that changed and load them into the engine."""
    from buildtasks.tasks import _flow, _request

    output = _flow.Output(json, report)
    asked = _request.request(c, service=service, version=version, platform=platform)
    how = _flow.options(asked, jobs=jobs, pull=pull, no_cache=no_cache)
    return _flow.build_only(c, asked, _request.local_plan(c, asked, force=force), how, output)


@task(
    iterable=["service"],
    help=helps("service", "version", "force", "json", bake="Print a bake file that builds the same images."),
)
def plan(
    c: Context,
    *,
    service: Iterable[str] | None = None,
    version: str = "",
    force: bool = False,
    json: bool = False,
    bake: bool = False,
) -> Plan:
    """Show what a release would do, and why; nothing is done."""
    from buildtasks.tasks import _flow, _request

    asked = _request.request(c, service=service, version=version, release=True)
    decided = _request.release_plan(c, asked, latest="", force=force)
    return _flow.bake(asked, decided) if bake else _flow.Output(json).plan(decided)


@task(help=helps("version", "json", service="The service to explain."))
def explain(c: Context, *, service: str = "", version: str = "", json: bool = False) -> tuple[Difference, ...]:
    """Show which inputs changed since the image that is published, or built, now."""
    from buildtasks.tasks import _inspect

    return _inspect.explain(c, service, version, as_json=json)


@task(help=helps("json", service="The service whose context to list."))
def context(c: Context, *, service: str = "", json: bool = False) -> tuple[Entry, ...]:
    """List what is sent to the builder, largest first, and what could stay out."""
    from buildtasks.tasks import _inspect

    return _inspect.context(c, service, as_json=json)


@task(iterable=["service"], help=helps("service", "version", "jobs", "json", "report"))
def test(
    c: Context,
    *,
    service: Iterable[str] | None = None,
    version: str = "",
    jobs: str = "",
    json: bool = False,
    report: str = "",
) -> Report | Plan:
    """Run each service's test inside its image, which is built when it is not there."""
    from buildtasks.tasks import _flow, _request

    output = _flow.Output(json, report)
    asked = _request.request(c, service=service, version=version)
    how = _flow.options(asked, jobs=jobs)
    return _flow.build_only(c, asked, _request.local_plan(c, asked, force=False), how, output, test=True)


ns = namespace(images, plan, explain, context, test)
