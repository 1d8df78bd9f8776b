"""Look into the registry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from invoke.context import Context

from buildtasks.tasks._task import HELP, helps, namespace, task

if TYPE_CHECKING:
    from buildtasks.registry.catalog import Tagged


@task(
    iterable=["service"],
    help=helps("json", service=HELP["only"], all_="Also list content tags (src-...), which are hidden otherwise."),
)
def tags(
    c: Context, *, service: Iterable[str] | None = None, all_: bool = False, json: bool = False
) -> tuple[Tagged, ...]:
    """List the tags of the services, newest first."""
    from buildtasks import report as reports
    from buildtasks import settings
    from buildtasks.registry.catalog import catalog
    from buildtasks.tags import is_content_tag
    from buildtasks.tasks._request import pool

    chosen = settings.selected(settings.load(c), service or ())
    repositories = {one.name: one.repository for one in chosen}
    found = catalog(pool(c), repositories, hidden=lambda tag: not all_ and is_content_tag(tag))
    print(reports.document([_json(one) for one in found]) if json else _table(found))
    return found


def _json(one: Tagged) -> dict[str, Any]:
    return {
        "service": one.service,
        "repository": str(one.reference.repository),
        "tag": one.reference.tag,
        "digest": one.image.digest,
        "created": one.image.created,
        "size": one.image.size,
        "platforms": list(one.image.platforms),
        "media_type": one.image.media_type,
    }


def _table(found: Iterable[Tagged]) -> str:
    from buildtasks import report as reports

    rows = [
        (
            one.service,
            str(one.reference.tag),
            (one.image.created or "-")[:19],
            reports.size(one.image.size),
            ", ".join(one.image.platforms),
            str(one.image.digest),
        )
        for one in found
    ]
    return reports.table(("service", "tag", "created", "size", "platforms", "digest"), rows)


ns = namespace(tags)
