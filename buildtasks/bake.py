"""A plan as a bake file: the same images, built by `docker buildx bake -f FILE` from the project's root.

JSON form of https://docs.docker.com/build/bake/reference/. Paths are relative to the project's root, so that the file
is the same on every machine; `${` and `%{` are escaped, since bake would take them for variables.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from buildtasks import labels
from buildtasks.errors import ConfigError
from buildtasks.inputs import IMAGE
from buildtasks.plan import Plan, Step
from buildtasks.settings import Service
from buildtasks.settings.services import is_remote

NO_ATTESTATIONS = ("type=provenance,disabled=true", "type=sbom,disabled=true")


def document(plan: Plan, root: Path) -> dict[str, Any]:
    """Return the bake file of a plan: one target per service, and a default group with all of them.

    Raises:
        ConfigError: two services give the same target name.
    """
    names = _names(step.service.name for step in plan.steps)
    targets = {names[step.service.name]: _target(step, plan, names, root) for step in plan.steps}
    return {"group": {"default": {"targets": sorted(targets)}}, "target": targets}


def _names(services: Iterable[str]) -> dict[str, str]:
    """Return target names: bake takes letters, digits, `_` and `-` only."""
    names = {service: re.sub(r"[^a-zA-Z0-9_-]", "-", service) for service in services}
    for name in names.values():
        same = [service for service, other in names.items() if other == name]
        if len(same) > 1:
            raise ConfigError(f"services {' and '.join(same)} both become the bake target {name}")
    return names


def _target(step: Step, plan: Plan, names: Mapping[str, str], root: Path) -> dict[str, Any]:
    service = step.service
    needs = {need: f"target:{names[need]}" for need in service.needs}
    named = {name: _place(context, root) for name, context in service.contexts.items()}
    target = {
        "context": _place(service.context, root),
        "dockerfile": service.dockerfile if service.remote else os.path.relpath(service.dockerfile, service.context),
        "contexts": {**named, **needs},
        "args": dict(service.args),
        "labels": labels.of(service, plan.revision, step.fingerprint),
        "tags": [str(reference) for reference in (step.content, *step.permanent)],
        "target": service.target,
        "network": service.network,
        "platforms": list(service.platforms),
        "secret": list(service.secrets),
        "ssh": list(service.ssh),
        "attest": list(NO_ATTESTATIONS),
    }
    return {key: _escaped(value) for key, value in target.items() if value}


def _place(context: str, root: Path) -> str:
    return context if is_remote(context) or "://" in context else os.path.relpath(context, root)


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("${", "$${").replace("%{", "%%{")
    if isinstance(value, dict):
        return {_escaped(key): _escaped(item) for key, item in value.items()}
    return [_escaped(item) for item in value]


def permissions(services: Iterable[Service], root: Path) -> tuple[str, ...]:
    """Return the `--allow` options that bake wants for contexts outside the project.

    See https://docs.docker.com/reference/cli/docker/buildx/bake/#allow.
    """
    contexts = {context for one in services for context in (one.context, *one.contexts.values())}
    local = (Path(context) for context in contexts if not is_remote(context) and not context.startswith(IMAGE))
    return tuple(f"--allow=fs.read={path}" for path in sorted(local) if not path.is_relative_to(root))
