"""What was done, as a value: table, JSON, report file.

The JSON is a contract (docs/json.md): keys may be added, never renamed. Digests are `sha256:...`, times RFC 3339 UTC,
sizes bytes, durations seconds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buildtasks.errors import ConfigError
from buildtasks.pipeline import Failure, Result
from buildtasks.plan import Action, Plan, Step
from buildtasks.publish import Change
from buildtasks.revision import Revision
from buildtasks.version import Version

SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Image:
    """One service's image after a run; `moved` are the tags that this run changed."""

    service: str
    repository: str
    action: Action
    digest: str | None
    platforms: tuple[str, ...]
    tags: tuple[str, ...]
    moved: tuple[Change, ...]
    seconds: float

    @property
    def reference(self) -> str:
        """Return what to pull: the repository with the digest, or with the first tag."""
        pinned = f"@{self.digest}" if self.digest else ""
        return self.repository + (pinned or (f":{self.tags[0]}" if self.tags else ""))


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did. `notes` are reasons for people."""

    version: Version | None
    revision: Revision
    images: tuple[Image, ...]
    failed: tuple[Failure, ...] = ()
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the report as the documented JSON document."""
        return {
            "version": str(self.version) if self.version else None,
            "revision": revision_json(self.revision),
            "images": [_image_json(image) for image in self.images],
            "failed": [{"service": f.service, "step": f.step, "error": f.error} for f in self.failed],
        }


def made(
    plan: Plan,
    results: Iterable[Result],
    *,
    failed: Sequence[Failure] = (),
    digests: Mapping[str, str] | None = None,
    changes: Iterable[Change] = (),
) -> Report:
    """Return the report of a run: `digests` by service, `changes` the tags that were set.

    Without `digests` nothing was published; the digests are then those of the engine, where it keeps them.
    """
    built, changed = {result.step.service.name: result for result in results}, list(changes)
    images = tuple(_image(step, built.get(step.service.name), digests, changed) for step in plan.steps)
    return Report(plan.version, plan.revision, images, tuple(failed), () if failed else plan.notes)


def _image(step: Step, built: Result | None, digests: Mapping[str, str] | None, changes: Iterable[Change]) -> Image:
    name = step.service.name
    published = [*step.permanent, *(move.reference for move in step.moving)] if digests else []
    return Image(
        service=name,
        repository=str(step.service.repository),
        action=step.action,
        digest=digests[name] if digests else (built.digest if built else step.digest),
        platforms=step.service.platforms,
        tags=tuple(str(reference.tag) for reference in published),
        moved=tuple(change for change in changes if change.service == name),
        seconds=built.seconds if built else 0.0,
    )


def revision_json(revision: Revision) -> dict[str, Any]:
    """Return a revision as the documented JSON object."""
    return {
        "commit": revision.commit or None,
        "branch": revision.branch or None,
        "tag": revision.tag,
        "dirty": revision.dirty,
    }


def _image_json(image: Image) -> dict[str, Any]:
    return {
        "service": image.service,
        "repository": image.repository,
        "action": image.action.value,
        "digest": image.digest,
        "platforms": list(image.platforms),
        "tags": list(image.tags),
        "moved": [{"tag": m.reference.tag, "from": m.was, "to": m.to} for m in image.moved],
        "seconds": round(image.seconds, 3),
    }


def plan_json(plan: Plan) -> dict[str, Any]:
    """Return a plan as the documented JSON document."""
    return {
        "version": str(plan.version) if plan.version else None,
        "revision": revision_json(plan.revision),
        "steps": [_step_json(step) for step in plan.steps],
    }


def _step_json(step: Step) -> dict[str, Any]:
    return {
        "service": step.service.name,
        "repository": str(step.service.repository),
        "action": step.action.value,
        "reason": step.reason,
        "fingerprint": step.fingerprint,
        "digest": step.digest,
        "permanent": [str(reference) for reference in step.permanent],
        "moving": [str(move.reference) for move in step.moving],
    }


def plan_table(plan: Plan) -> str:
    """Return a plan as a table, with the reasons why tags move or stay below it."""
    rows = [
        (step.service.name, step.action.value, step.reason, ", ".join(_wanted_tags(step)) or "-") for step in plan.steps
    ]
    return "\n".join([table(("service", "action", "reason", "tags"), rows), *plan.notes])


def _wanted_tags(step: Step) -> list[str]:
    permanent = [str(reference.tag) for reference in step.permanent]
    moving = [
        f"{move.reference.tag} ({short(move.was) if move.was else 'new'} -> {short(step.digest)})"
        for move in step.moving
    ]
    return permanent + moving


def report_table(report: Report) -> str:
    """Return a report as a table: service, what was done, tags, digest, seconds."""
    rows = [
        (i.service, i.action.value, ", ".join(i.tags) or "-", i.digest or "-", f"{i.seconds:.1f}")
        for i in report.images
    ]
    return "\n".join([table(("service", "action", "tags", "digest", "seconds"), rows), *report.notes])


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return rows as aligned columns under a head line."""
    lines = [tuple(head), *(tuple(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def short(digest: str | None) -> str:
    """Return the first twelve digits of a digest, or `to be built`."""
    return digest.removeprefix("sha256:")[:12] if digest else "to be built"


def size(count: float) -> str:
    """Return bytes in the largest unit that keeps a number of at least one, in powers of 1000 as docker tells them."""
    for unit in ("B", "kB", "MB", "GB"):
        # 999.95 and more would be told as 1000.0.
        if count < (999.5 if unit == "B" else 999.95):
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def document(value: Mapping[str, Any] | Sequence[Any]) -> str:
    """Return one JSON document as text; what is not UTF-8 in a file name becomes an escape such as `\\udcff`."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return SURROGATE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def check_writable(path: Path) -> None:
    """Make sure, before anything is done, that a report can be written there; nothing is left behind.

    Raises:
        ConfigError: it cannot.
    """
    try:
        new = not path.exists()
        with path.open("a", encoding="utf-8"):
            pass
        if new:
            path.unlink()
    except OSError as error:
        raise ConfigError(f"--report {path}: {error.strerror}") from error


def write(report: Report, path: Path) -> None:
    """Write a report as JSON."""
    path.write_text(document(report.as_json()) + "\n", encoding="utf-8")
