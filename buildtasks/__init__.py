"""Build, release and clean up the container images of a whole repository, as tasks for invoke.

In a `tasks.py`: `from buildtasks import ns`. Namespaces can be composed alone (`from buildtasks.tasks import build`),
and the library below them can be used without any task. Names are loaded when they are asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from buildtasks.errors import (
        BuildtasksError,
        CommandFailed,
        ConfigError,
        EngineError,
        Failed,
        Refused,
        RegistryError,
    )
    from buildtasks.plan import Plan
    from buildtasks.reference import Reference, Repository
    from buildtasks.report import Image, Report
    from buildtasks.settings import Project, Service, load
    from buildtasks.tasks import ns
    from buildtasks.version import Version

_HOMES = {
    "BuildtasksError": "errors",
    "CommandFailed": "errors",
    "ConfigError": "errors",
    "EngineError": "errors",
    "Failed": "errors",
    "Image": "report",
    "Plan": "plan",
    "Project": "settings",
    "Reference": "reference",
    "Refused": "errors",
    "RegistryError": "errors",
    "Report": "report",
    "Repository": "reference",
    "Service": "settings",
    "Version": "version",
    "load": "settings",
    "ns": "tasks",
}

__all__ = [
    "BuildtasksError",
    "CommandFailed",
    "ConfigError",
    "EngineError",
    "Failed",
    "Image",
    "Plan",
    "Project",
    "Reference",
    "Refused",
    "RegistryError",
    "Report",
    "Repository",
    "Service",
    "Version",
    "load",
    "ns",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
