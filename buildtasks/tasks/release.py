"""Release a version."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from invoke.context import Context

from buildtasks.errors import ConfigError
from buildtasks.tasks._task import helps, namespace, task
from buildtasks.tasks.build import BUILD

if TYPE_CHECKING:
    from buildtasks.plan import Plan
    from buildtasks.report import Report


@task(
    iterable=["service", "platform"],
    help=helps(
        *BUILD,
        "latest",
        "no_latest",
        allow_stale="Release although only package files decided what to build (fingerprint: dependencies).",
    ),
)
def images(
    c: Context,
    *,
    service: Iterable[str] | None = None,
    version: str = "",
    platform: Iterable[str] | None = None,
    latest: bool = False,
    no_latest: bool = False,
    force: bool = False,
    no_cache: bool = False,
    pull: bool = False,
    jobs: str = "",
    allow_stale: bool = False,
    json: bool = False,
    report: str = "",
) -> Report | Plan:
    """Build, test, push and tag every service as one version, or none."""
    from buildtasks.tasks import _flow, _request

    output, rule = _flow.Output(json, report), _rule(latest, no_latest)
    asked = _request.request(c, service=service, version=version, platform=platform, release=True)
    _request.refuse_stale(asked, allowed=allow_stale)
    how = _flow.options(asked, jobs=jobs, pull=pull, no_cache=no_cache)
    return _flow.publish(c, asked, _request.release_plan(c, asked, latest=rule, force=force), how, output)


def _rule(latest: bool, no_latest: bool) -> str:
    if latest and no_latest:
        raise ConfigError("--latest and --no-latest: take one of them")
    return "always" if latest else "never" if no_latest else ""


ns = namespace(images)
