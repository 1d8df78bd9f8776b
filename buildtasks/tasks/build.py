"""Build images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from invoke.context import Context

from buildtasks.tasks._task import helps, namespace, task

if TYPE_CHECKING:
    from buildtasks.plan import Plan
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


@task(iterable=["service"], help=helps("service", "version", "force", "json"))
def plan(
    c: Context, *, service: Iterable[str] | None = None, version: str = "", force: bool = False, json: bool = False
) -> Plan:
    """Show what a release would do, and why; nothing is done."""
    from buildtasks.tasks import _flow, _request

    asked = _request.request(c, service=service, version=version, release=True)
    return _flow.Output(json).plan(_request.release_plan(asked, latest="", force=force))


ns = namespace(images, plan)
