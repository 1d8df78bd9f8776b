"""Answers about one service: what changed since its image was built, and what its context holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from invoke.context import Context

from buildtasks import engine, record, settings
from buildtasks import report as reports
from buildtasks.context import Entry, ignore_file, walk
from buildtasks.context.summary import Weight, advice, heaviest_files, heaviest_folders, total
from buildtasks.errors import BuildtasksError, ConfigError, ContextError, RegistryError
from buildtasks.filehash import Changed, Memory
from buildtasks.inputs import ATTEMPTS
from buildtasks.record import Difference, shown
from buildtasks.reference import Reference
from buildtasks.registry.published import look
from buildtasks.settings import Service
from buildtasks.tasks._request import Request, recorded, request, store, tell

MOST = 10


def explain(c: Context, name: str, version: str, *, as_json: bool) -> tuple[Difference, ...]:
    """Print and return the inputs of a service that differ from those of the image that is there now.

    Raises:
        ConfigError: no service is named.
        BuildtasksError: nothing records what that image was built from.
    """
    asked = request(c, service=[_one(c, name).name], version=version)
    service = next(one for one in asked.services if one.name == name)
    against, was = _now(c, asked, service)
    found = _differences(asked, service, against, was)
    if as_json:
        print(reports.document(_explained(asked, service, against, found)))
    else:
        print(_told(service, against, found))
    return found


def _one(c: Context, name: str) -> Service:
    project = settings.load(c)
    known = ", ".join(service.name for service in project.services)
    if not name:
        raise ConfigError(f"--service is missing: which one? (known: {known})")
    return settings.selected(project, [name])[0]


def _now(c: Context, asked: Request, service: Service) -> tuple[Reference | None, str | None]:
    """Return the image that is there now and its fingerprint: `latest` in the registry, else in the engine."""
    latest = service.repository.tag("latest")
    try:
        found = look(asked.registries, latest)
    except RegistryError as error:
        tell(f"{str(error).splitlines()[0]}; comparing with the engine")
        found = None
    if found:
        return latest, found.fingerprint
    with engine.connected(c) as client:
        images = engine.images(client, [service])
    return (latest, images[0].fingerprint) if images else (None, None)


def _differences(
    asked: Request, service: Service, against: Reference | None, was: str | None
) -> tuple[Difference, ...]:
    if against is None:
        return ()
    if was == asked.fingerprints[service.name].value:
        return ()
    blind = asked.fingerprints[service.name].unknown
    if blind:
        raise BuildtasksError(f"{service.name}: not known: {', '.join(blind)}; it is always built")
    old = recorded(asked, service, was) if was else None
    if old is None:
        why = "not all of them were known" if was else "it was not built by these tasks"
        raise BuildtasksError(f"{against} has no record of its inputs: {why}")
    now = asked.record(service)
    if now is None:
        raise BuildtasksError(f"{service.name}: its files keep changing")
    return record.compare(old.inputs, now.inputs)


def _explained(
    asked: Request, service: Service, against: Reference | None, found: Sequence[Difference]
) -> dict[str, Any]:
    return {
        "service": service.name,
        "fingerprint": asked.fingerprints[service.name].value,
        "against": str(against) if against else None,
        "changed": [{"input": one.kind, "name": one.name, "was": one.was, "is": one.now} for one in found],
    }


def _told(service: Service, against: Reference | None, found: Sequence[Difference]) -> str:
    if against is None:
        return f"{service.name}: nothing is published or built yet"
    if not found:
        return f"{service.name}: built from the same inputs as {against}"
    rows = [tuple(shown(text or "-") for text in (_verb(one), *astuple(one))) for one in found]
    head = f"{service.name}: {len(found)} input{'s differ' if len(found) > 1 else ' differs'} from {against}"
    return f"{head}\n{reports.table(('what', 'input', 'name', 'was', 'is'), rows)}"


def _verb(one: Difference) -> str:
    return "added" if one.was is None else "removed" if one.now is None else "changed"


def context(c: Context, name: str, *, as_json: bool) -> tuple[Entry, ...]:
    """Print and return what is sent to the builder for a service.

    Raises:
        ConfigError: no service is named, or its context is not on this machine.
    """
    service = _one(c, name)
    if service.remote:
        raise ConfigError(f"{name}: its context is {service.context}; only a folder can be listed")
    if not as_json:
        entries = tuple(walk(Path(service.context), dockerfile=Path(service.dockerfile)))
        print(_weighed(service, entries))
        return entries
    entries, hashes = _hashed(service)
    print(reports.document(_listed(service, entries, hashes)))
    return entries


def _hashed(service: Service) -> tuple[tuple[Entry, ...], list[str]]:
    """Walk and read a context; again when a file changes meanwhile.

    Raises:
        ContextError: it keeps changing.
    """
    root, dockerfile, at = Path(service.context), Path(service.dockerfile), ""
    memory = Memory(root, store(), ignore_file(root, dockerfile))
    for _ in range(ATTEMPTS):
        entries = tuple(walk(root, dockerfile=dockerfile))
        try:
            return entries, memory.digests(entries)
        except Changed as changed:
            at = str(changed)
    raise ContextError(f"{root / at}: keeps changing while it is read")


def _listed(service: Service, entries: Sequence[Entry], hashes: Sequence[str]) -> dict[str, Any]:
    sent = total(entries)
    return {
        "service": service.name,
        "root": service.context,
        "dockerfile": service.dockerfile,
        "files": sent.files,
        "bytes": sent.bytes,
        "entries": list(map(_entry, entries, hashes)),
    }


def _entry(one: Entry, sha256: str) -> dict[str, Any]:
    return {
        "path": one.path,
        "kind": one.kind,
        "mode": f"{one.mode:04o}",
        "size": one.size,
        "sha256": sha256 or None,
        "target": one.target,
    }


def _weighed(service: Service, entries: Sequence[Entry]) -> str:
    sent = total(entries)
    parts = [f"{service.name}: {sent.files} files, {reports.size(sent.bytes)}"]
    parts += _weights("folder", heaviest_folders(entries, MOST))
    parts += _weights("file", heaviest_files(entries, MOST))
    parts += _weights("line for .dockerignore", advice(entries))
    return "\n\n".join(parts)


def _weights(head: str, weights: Sequence[Weight]) -> list[str]:
    rows = [(shown(one.name), str(one.files), reports.size(one.bytes)) for one in weights]
    return [reports.table((head, "files", "size"), rows)] if rows else []
