"""Look after local images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from invoke.context import Context

from buildtasks.tasks._task import HELP, helps, namespace, task

if TYPE_CHECKING:
    from buildtasks.engine import LocalImage


@task(iterable=["service"], help=helps("json", service=HELP["only"]))
def images(c: Context, *, service: Iterable[str] | None = None, json: bool = False) -> tuple[LocalImage, ...]:
    """List local images of the services, newest first."""
    from buildtasks import engine, settings
    from buildtasks import report as reports

    chosen = settings.selected(settings.load(c), service or ())
    with engine.connected(c) as client:
        found = engine.images(client, chosen)
    print(reports.document([engine.as_json(one) for one in found]) if json else _table(found))
    return found


def _table(found: Iterable[LocalImage]) -> str:
    from buildtasks import report as reports

    rows = [
        (
            one.service,
            ", ".join(sorted({reference.rpartition(":")[2] for reference in one.references})) or "-",
            f"{one.created:%Y-%m-%d %H:%M}",
            reports.size(one.size),
            ", ".join(one.used_by) or "-",
            (one.fingerprint or "-")[:12],
        )
        for one in found
    ]
    return reports.table(("service", "tags", "created", "size", "used by", "inputs"), rows)


ns = namespace(images)
