"""The services of a project: where they come from, and one checked value for each.

`services` in the configuration is a folder with one Dockerfile per sub-folder, a mapping, or a compose or bake file.
Words are bake's (https://docs.docker.com/build/bake/reference/).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from invoke.context import Context

from buildtasks.errors import ConfigError, InvalidReference
from buildtasks.reference import Repository
from buildtasks.settings import bakefile, fields
from buildtasks.settings.fields import Field

NAME = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*")
# As buildx tells them apart: a bare `name.git` is a folder.
REMOTE = re.compile(r"(?:https?|ssh|git)://|[\w.-]+@[\w.-]+:|github\.com/")
# Keys of a bake target that change what is built and that a service has no word for.

_TEXT = {"type": "string"}
_LIST = {"type": ["string", "array"], "items": {"type": "string"}}
_PAIRS = {"type": "object", "additionalProperties": {"type": "string"}}

FIELDS: Mapping[str, Field] = {
    "context": Field(fields.text, "folder that is sent to the builder, or a git or http URL", _TEXT),
    "dockerfile": Field(fields.text, "Dockerfile, relative to the context", _TEXT),
    "repository": Field(fields.text, "template of the repository of this service", _TEXT),
    "target": Field(fields.text, "stage of the Dockerfile", _TEXT),
    "args": Field(fields.pairs, "build arguments; {version} and {revision} are filled in", _PAIRS),
    "labels": Field(fields.pairs, "labels of the image", _PAIRS),
    "platforms": Field(fields.texts, "platforms, os/arch[/variant]", _LIST),
    "secrets": Field(fields.lines, "build secrets, as buildx --secret takes them", _LIST),
    "ssh": Field(fields.lines, "ssh agents, as buildx --ssh takes them", _LIST),
    "contexts": Field(fields.pairs, "named contexts: name to folder, URL or docker-image://", _PAIRS),
    "needs": Field(fields.texts, "own services that it is built FROM, by their names", _LIST),
    "network": Field(fields.text, "network of RUN steps: default, none or host", _TEXT),
    "test": Field(fields.command, "command that is run inside the built image", _LIST),
}


@dataclass(frozen=True, slots=True)
class Service:
    """One image to build: a context, a Dockerfile and a repository.

    `context` is an absolute folder or a URL; `dockerfile` an absolute path, or relative to a remote context; `needs`
    names other services, `contexts` maps names to absolute folders, URLs or `docker-image://` references.
    """

    name: str
    context: str
    dockerfile: str
    repository: Repository
    target: str = ""
    args: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    platforms: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    ssh: tuple[str, ...] = ()
    contexts: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    network: str = ""
    test: tuple[str, ...] = ()

    @property
    def remote(self) -> bool:
        """Tell whether the context is a URL and not a folder."""
        return is_remote(self.context)


@dataclass(frozen=True, slots=True)
class Place:
    """Where services are read: the project's root and the words for error messages."""

    root: Path
    source: str
    repository: str
    platforms: tuple[str, ...]
    labels: Mapping[str, str]


def is_remote(context: str) -> bool:
    """Tell whether a context is a git or http URL."""
    return bool(REMOTE.match(context))


def discover(c: Context, value: Any, place: Place) -> tuple[Service, ...]:
    """Return the services that the `services` setting means, in order of their names.

    Raises:
        ConfigError: nothing there, or a setting of a service is wrong; says which.
    """
    where = f"{place.source}.services"
    if isinstance(value, Mapping):
        found = parse(value, where, place)
    else:
        path = place.root / fields.text(value, where)
        if path.is_dir():
            found = parse(_folder(path, where), where, place)
        elif path.is_file():
            at = f"{where} ({path.name})"
            given = bakefile.settings(c, path, at, place.root, tags=not place.repository)
            found = parse(given, at, place)
        else:
            raise ConfigError(f"{where}: no such folder or file: {value}")
    if not found:
        raise ConfigError(f"{where}: no service with a Dockerfile in {value}")
    check_needs(found, where)
    return found


def parse(value: Mapping[str, Any], where: str, place: Place) -> tuple[Service, ...]:
    """Return the services of a mapping of names to settings."""
    return tuple(_service(name, value[name], f"{where}.{name}", place) for name in sorted(value, key=str))


def _folder(path: Path, where: str) -> dict[str, Any]:
    try:
        names = sorted(entry.name for entry in path.iterdir() if (entry / "Dockerfile").is_file())
    except OSError as error:
        raise ConfigError(f"{where}: {path.name}: {error.strerror}") from error
    return {name: {"context": os.fspath(path / name)} for name in names}


def _service(name: Any, value: Any, where: str, place: Place) -> Service:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ConfigError(f"{where}: not a service name: {name!r} (lower case letters, digits, and . _ - between them)")
    given: Mapping[str, Any] = {} if value is None else value
    if not isinstance(given, Mapping):
        raise ConfigError(f"{where}: a mapping is needed, found {fields.shown(value)}")
    fields.known_keys(given, FIELDS, where)
    read = {key: FIELDS[key].read(item, f"{where}.{key}") for key, item in given.items() if item is not None}
    context, dockerfile = _location(name, read, where, place)
    return Service(
        name=name,
        context=context,
        dockerfile=dockerfile,
        repository=_repository(name, read.pop("repository", ""), where, place),
        platforms=read.pop("platforms", ()) or place.platforms,
        labels={**place.labels, **read.pop("labels", {})},
        contexts=_contexts(read.pop("contexts", {}), read.get("needs", ()), where, place),
        **read,
    )


def _location(name: str, read: dict[str, Any], where: str, place: Place) -> tuple[str, str]:
    context, dockerfile = read.pop("context", f"services/{name}"), read.pop("dockerfile", "Dockerfile")
    if is_remote(context):
        return context, dockerfile
    folder = _existing(place.root / context, context, f"{where}.context")
    path = folder / dockerfile
    if not path.is_file():
        raise ConfigError(f"{where}.dockerfile: no such file: {_told(path, place.root)}")
    return os.fspath(folder), os.fspath(path)


def _existing(folder: Path, told: str, where: str) -> Path:
    if not folder.exists():
        raise ConfigError(f"{where}: no such folder: {told}")
    if not folder.is_dir():
        raise ConfigError(f"{where}: not a folder: {told}")
    return Path(os.path.abspath(folder))


def _told(path: Path, root: Path) -> str:
    return os.path.relpath(path, root)


def _contexts(given: Mapping[str, str], needs: Iterable[str], where: str, place: Place) -> dict[str, str]:
    for name in needs:
        if name in given:
            raise ConfigError(f"{where}.contexts.{name}: also among needs: take one of them")

    def resolved(name: str, context: str) -> str:
        if is_remote(context) or "://" in context:
            return context
        return os.fspath(_existing(place.root / context, context, f"{where}.contexts.{name}"))

    return {name: resolved(name, context) for name, context in given.items()}


def _repository(name: str, own: str, where: str, place: Place) -> Repository:
    at, template = (f"{where if own else place.source}.repository", own or place.repository)
    if not template:
        raise ConfigError(f"{at}: missing; where do the images go? for example ghcr.io/you/{{service}}")
    try:
        return Repository.parse(fields.fill(template, at, {"service": name}))
    except InvalidReference as error:
        raise InvalidReference(f"{at}: {error}") from error


def check_needs(services: Iterable[Service], where: str) -> None:
    """Check that `needs` name services, without a cycle.

    Raises:
        ConfigError: an unknown service (the nearest is named), or a cycle (it is drawn).
    """
    needs = {service.name: service.needs for service in services}
    for name, wanted in needs.items():
        for other in wanted:
            if other not in needs:
                raise ConfigError(f"{where}.{name}.needs: no such service: {other}{fields.nearest(other, needs)}")
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        raise ConfigError(f"{where}: needs go in a circle: {' -> '.join(reversed(error.args[1]))}") from error
