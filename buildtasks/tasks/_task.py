"""What all tasks share: the decorator, the help texts (one text per word) and the making of a namespace.

Task modules import the library inside their tasks: `inv --list` and shell completion load every task module, and must
not load the library, the HTTP client and the docker SDK with it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from invoke.collection import Collection
from invoke.tasks import Task
from invoke.tasks import task as invoke_task

from buildtasks.defaults import DEFAULTS

# Short flags are off: they would shadow invoke's own -e, -h, -p and -R after a task name.
task = partial(invoke_task, auto_shortflags=False)

HELP = {
    "service": "Only this service, and what it is built from; may be repeated (default: all).",
    "only": "Only this service; may be repeated (default: all).",
    "version": "Version to publish, SemVer (default: the VERSION file for a release, none otherwise).",
    "platform": "Build for this platform, os/arch[/variant]; may be repeated (default: as configured).",
    "force": "Build even what has not changed.",
    "no_cache": "Build without the layer cache.",
    "pull": "Look for newer base images.",
    "jobs": "Builds at once (default: as configured, else one per processor).",
    "json": "Print one JSON document on standard output and nothing else.",
    "report": "Also write the JSON report to this file.",
    "latest": "Move latest, whatever the rule says.",
    "no_latest": "Leave latest where it is.",
}


def helps(*names: str, **own: str) -> dict[str, str]:
    """Return the help texts of the named parameters, and those that only this task has."""
    return {**{name: HELP[name] for name in names}, **own}


def namespace(default: Task[Any], *others: Task[Any]) -> Collection:
    """Return a collection with the plugin's defaults.

    The default task belongs to the collection: were it the decorator's, a bare `inv` could run it.
    """
    ns = Collection(*others)
    ns.add_task(default, default=True)
    ns.configure({"buildtasks": dict(DEFAULTS)})
    return ns
