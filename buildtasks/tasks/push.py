"""Publish images under their permanent tags."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from invoke.context import Context

from buildtasks.tasks._task import helps, namespace, task
from buildtasks.tasks.build import BUILD

if TYPE_CHECKING:
    from buildtasks.plan import Plan
    from buildtasks.report import Report


@task(iterable=["service", "platform"], help=helps(*BUILD, latest="Also move latest."))
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
    latest: bool = False,
    json: bool = False,
    report: str = "",
) -> Report | Plan:
    """Build what changed and push it under its version, else its commit."""
    from buildtasks.tasks import _flow, _request

    output = _flow.Output(json, report)
    asked = _request.request(c, service=service, version=version, platform=platform)
    how = _flow.options(asked, jobs=jobs, pull=pull, no_cache=no_cache)
    return _flow.publish(c, asked, _request.push_plan(c, asked, latest=latest, force=force), how, output)


ns = namespace(images)
