"""The configuration: the `buildtasks` section of invoke.yaml, checked, as one `Project` value.

In comes invoke's Context, which has already merged files, environment (`INVOKE_BUILDTASKS_*`) and `configure` calls
(https://docs.pyinvoke.org/en/stable/concepts/configuration.html); out comes a `Project` with its `Service`s. Every
error names the file and the key path.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import platformdirs
from invoke.config import merge_dicts
from invoke.context import Context

from buildtasks.defaults import DEFAULTS
from buildtasks.errors import ConfigError
from buildtasks.settings import fields
from buildtasks.settings.fields import Field
from buildtasks.settings.services import FIELDS as SERVICE_FIELDS
from buildtasks.settings.services import Place, Service, discover

__all__ = ["DEFAULTS", "Project", "Service", "load", "schema", "selected"]

_TEXT = {"type": "string"}
_LIST = {"type": ["string", "array"], "items": {"type": "string"}}
_PAIRS = {"type": "object", "additionalProperties": {"type": "string"}}
_COUNT = {"type": ["integer", "string"], "minimum": 1}

FIELDS: Mapping[str, Field] = {
    "repository": Field(fields.text, "template of every repository, with {service} in it", _TEXT),
    "services": Field(lambda value, where: value, "folder of Dockerfiles, compose or bake file, or a mapping"),
    "platforms": Field(fields.texts, "platforms of every service, os/arch[/variant]", _LIST),
    "labels": Field(fields.pairs, "labels of every image", _PAIRS),
    "latest": Field(
        fields.choice("newest", "always", "never"),
        "when `latest` moves",
        {"enum": ["newest", "always", "never"]},
    ),
    "bases": Field(
        fields.choice("registry", "pinned"),
        "how base images count: by the digest their registry has now, or by name alone",
        {"enum": ["registry", "pinned"]},
    ),
    "fingerprint": Field(
        fields.choice("content", "dependencies"),
        "what decides whether to build: everything in the contexts, or their package files alone (can be stale)",
        {"enum": ["content", "dependencies"]},
    ),
    "builder": Field(fields.text, "buildx builder; empty means the current one", _TEXT),
    "jobs": Field(fields.count, "builds at once; empty means one per processor", _COUNT),
    "keep": Field(fields.count, "versions or images that a clean-up keeps", _COUNT),
    "version_file": Field(fields.text, "file that holds the version", _TEXT),
    "state": Field(
        fields.text, "folder for logs and records; empty means one for this project in the user's state folder", _TEXT
    ),
}


@dataclass(frozen=True, slots=True)
class Project:
    """A repository with its services. `root` and `state` are absolute folders, `version_file` an absolute file."""

    root: Path
    services: tuple[Service, ...]
    latest: str
    bases: str
    fingerprint: str
    builder: str
    jobs: int
    keep: int
    version_file: Path
    state: Path


def load(c: Context) -> Project:
    """Read and check the configuration of the project.

    Raises:
        ConfigError: a setting is wrong or unknown; starts with the file and the key path.
    """
    root, source = _root(c), f"{_file(c)}: buildtasks"
    section = _section(c, source)
    fields.known_keys(section, FIELDS, source)
    # An empty value means the default, also where it came in place of one (`latest:` alone, an empty variable).
    given = _filled({**DEFAULTS, **_filled(section)})
    read = {key: FIELDS[key].read(value, f"{source}.{key}") for key, value in given.items()}
    place = Place(root, source, read.get("repository", ""), read.get("platforms", ()), read.get("labels", {}))
    return Project(
        root=root,
        services=discover(c, read.get("services", "services"), place),
        latest=read["latest"],
        bases=read["bases"],
        fingerprint=read["fingerprint"],
        builder=read.get("builder", ""),
        jobs=read.get("jobs", os.cpu_count() or 1),
        keep=read["keep"],
        version_file=root / read["version_file"],
        state=root / read["state"] if "state" in read else user_state(root),
    )


def user_state(root: Path) -> Path:
    """Return the state folder of a project in the user's own: inside the project it could be part of a context."""
    mark = sha256(os.fsencode(root)).hexdigest()[:12]
    return platformdirs.user_state_path("buildtasks") / f"{root.name}-{mark}"


def _section(c: Context, source: str) -> dict[str, Any]:
    """Return our section with the defaults put back: an outer `configure` erases them (pyinvoke/invoke#782)."""
    config = c.config.clone()
    config.load_defaults(merge_dicts(type(config).global_defaults(), {"buildtasks": dict(DEFAULTS)}), merge=False)
    config.load_shell_env()
    section = _plain(config["buildtasks"])
    if not isinstance(section, dict):
        raise ConfigError(f"{source}: a mapping is needed, found {fields.shown(section)}")
    return section


def _filled(section: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in section.items() if value not in (None, "")}


def _plain(value: Any) -> Any:
    """Return invoke's DataProxy as dictionaries, by indexing: a service may be called `items`."""
    if hasattr(value, "_config") or isinstance(value, Mapping):
        return {key: _plain(value[key]) for key in value}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _root(c: Context) -> Path:
    """Return the folder that holds tasks.py: invoke knows it (also with `--search-root`) but has no public name."""
    known = getattr(c.config, "_project_prefix", None)
    if known:
        return Path(os.path.abspath(known))
    here = Path.cwd()
    marks = (
        folder for folder in (here, *here.parents) if (folder / "tasks.py").exists() or (folder / "tasks").is_dir()
    )
    return next(marks, here)


def _file(c: Context) -> str:
    return Path(getattr(c.config, "_project_path", None) or "invoke.yaml").name


def selected(project: Project, names: Iterable[str]) -> tuple[Service, ...]:
    """Return the named services, all when no name is given, in the project's order.

    Raises:
        ConfigError: no such service; the nearest is named.
    """
    wanted, known = list(names), [service.name for service in project.services]
    for name in wanted:
        if name not in known:
            raise ConfigError(f"no such service: {name}{fields.nearest(name, known)} (known: {', '.join(known)})")
    return tuple(service for service in project.services if not wanted or service.name in wanted)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of invoke.yaml's `buildtasks` section, for editors."""
    service = _object(SERVICE_FIELDS)
    section = _object(FIELDS)
    section["properties"]["services"] |= {
        "anyOf": [
            {"type": "string"},
            {"type": "object", "additionalProperties": {"anyOf": [service, {"type": "null"}]}},
        ]
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "buildtasks",
        "type": "object",
        "properties": {"buildtasks": section},
    }


def _object(table: Mapping[str, Field]) -> dict[str, Any]:
    properties = {key: _property(field) for key, field in table.items()}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _property(field: Field) -> dict[str, Any]:
    """Return the schema of one key; a key without a value means its default."""
    return {"description": field.help, **({"anyOf": [dict(field.schema), {"type": "null"}]} if field.schema else {})}
