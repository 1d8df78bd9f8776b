"""The fingerprint: SHA-256 over everything that decides what a build gives.

The encoding is canonical, versioned and safe against shifting bytes between neighbours; docs/fingerprint.md gives it
byte for byte. Same inputs, same fingerprint, on any machine, checkout path and locale. Times, owners, values of
secrets and labels of the run do not count. What is not known makes a fingerprint that no image can have.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from buildtasks import dockerfile
from buildtasks.context import Entry, walk
from buildtasks.errors import ContextError
from buildtasks.filehash import Changed, Hashes
from buildtasks.revision import Revision
from buildtasks.settings import Service, fields
from buildtasks.settings.services import is_remote
from buildtasks.version import Version

ENCODING = "buildtasks fingerprint 1"
UNKNOWN = "unknown"
IMAGE = "docker-image://"
PINNED = re.compile(r"#[0-9a-f]{40}(?::|$)")


ATTEMPTS = 3


class Input(NamedTuple):
    """One input of a build: its kind, its name, and its value; for a file permission bits and content hash."""

    kind: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The fingerprint of one service: 64 hex digits, and what could not be known (then it must be built)."""

    value: str
    unknown: tuple[str, ...] = ()


def settled(service: Service, version: Version | None, revision: Revision) -> Service:
    """Return the service with `{version}` and `{revision}` filled into its build arguments.

    Raises:
        ConfigError: an argument wants a version and there is none.
    """
    values = {"revision": revision.commit, **({"version": str(version)} if version else {})}
    where = f"services.{service.name}.args"
    return replace(service, args={k: fields.fill(v, f"{where}.{k}", values) for k, v in service.args.items()})


def of(services: Iterable[Service], bases: Mapping[str, str], store: Path | None) -> dict[str, Fingerprint]:
    """Return the fingerprint of each service; all that they need must be among them.

    `bases` maps base images as written to their digests (an empty text: not known); `store` is the folder that
    remembers hashes of files.

    Raises:
        ContextError: a context cannot be read.
    """
    table = {service.name: service for service in services}
    order = TopologicalSorter({name: set(service.needs) for name, service in table.items()}).static_order()
    found: dict[str, Fingerprint] = {}
    for name in order:
        found[name] = _fingerprint(table[name], bases, found, store)
    return found


def _fingerprint(
    service: Service, bases: Mapping[str, str], needs: Mapping[str, Fingerprint], store: Path | None
) -> Fingerprint:
    inputs, unknown = [], []
    for one in chain(_settings(service), _bases(service, bases), _contexts(service, store)):
        if one.value == UNKNOWN:
            unknown.append(f"{one.kind} {one.name or service.context}")
        inputs.append(one)
    inputs += [Input("need", name, needs[name].value) for name in service.needs]
    unknown += [f"need {name}" for name in service.needs if needs[name].unknown]
    nonce = [Input("unknown", "", uuid.uuid4().hex)] if unknown else []
    return Fingerprint(encode([*inputs, *nonce]), tuple(unknown))


def _settings(service: Service) -> Iterator[Input]:
    yield Input("target", "", service.target)
    yield Input("network", "", service.network)
    yield from (Input("platform", platform, "") for platform in service.platforms)
    yield from (Input("arg", name, value) for name, value in service.args.items())
    yield from (Input("label", name, value) for name, value in service.labels.items())


def dockerfile_text(service: Service) -> str:
    """Return the text of a service's Dockerfile; empty when it is in a remote context.

    Raises:
        ContextError: it cannot be read.
    """
    if service.remote:
        return ""
    try:
        return Path(service.dockerfile).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise ContextError(f"{service.dockerfile}: {error.strerror}") from error


def base_images(service: Service) -> dockerfile.Bases:
    """Return the images that a service is built from and that are not its needs or named contexts."""
    found = dockerfile.bases(dockerfile_text(service), args=service.args, named=[*service.needs, *service.contexts])
    named = [context.removeprefix(IMAGE) for context in service.contexts.values() if context.startswith(IMAGE)]
    return replace(found, images=tuple(sorted({*found.images, *named})))


def _bases(service: Service, digests: Mapping[str, str]) -> Iterator[Input]:
    text = dockerfile_text(service)
    yield Input("dockerfile", "", hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest())
    found = base_images(service)
    yield from (Input("base", image, digests.get(image) or UNKNOWN) for image in found.images)
    yield from (Input("base", image, UNKNOWN) for image in found.unresolved)


def _contexts(service: Service, store: Path | None) -> Iterator[Input]:
    yield Input("context", "", _context(service.context, Path(service.dockerfile), store))
    for name, context in service.contexts.items():
        yield Input("context", name, _context(context, None, store))


def _context(context: str, ignore_of: Path | None, store: Path | None) -> str:
    """Return what stands for one context: a digest of its entries, a pinned address, or that it is not known."""
    if context.startswith(IMAGE):
        return context
    if is_remote(context) or "://" in context:
        return context if PINNED.search(context) else UNKNOWN
    whole = hashlib.sha256()
    try:
        for path, value in listing(Path(context), ignore_of, store):
            whole.update(f"{path}\0{value}\0".encode("utf-8", "surrogateescape"))
    except Changed:
        return UNKNOWN
    return whole.hexdigest()


def listing(root: Path, ignore_of: Path | None, store: Path | None) -> list[tuple[str, str]]:
    """Return path and value of each entry of a context, in the order of the walk.

    A file has `file <mode> <sha256>`, a folder `dir <mode>`, a symbolic link `symlink <target>`, anything else its
    kind, mode and device numbers. The mode is four octal digits without write for group and others, so that umask
    022 and 002 agree.

    Raises:
        Changed: files kept changing while they were read, each of several times.
        ContextError: something cannot be read.
    """
    for _ in range(ATTEMPTS - 1):
        with contextlib.suppress(Changed):
            return _listing(root, ignore_of, store)
    return _listing(root, ignore_of, store)


def _listing(root: Path, ignore_of: Path | None, store: Path | None) -> list[tuple[str, str]]:
    hashes = Hashes(root, store)
    found = [(entry.path, _value(entry, hashes)) for entry in walk(root, dockerfile=ignore_of)]
    hashes.save()
    return found


def _value(entry: Entry, hashes: Hashes) -> str:
    if entry.kind == "file":
        return f"file {entry.mode & 0o7755:04o} {hashes.of(entry)}"
    if entry.kind == "symlink":
        return f"symlink {entry.target}"
    return f"{entry.kind} {entry.mode & 0o7755:04o}" + (f" {entry.target}" if entry.target else "")


def encode(inputs: Iterable[Input]) -> str:
    """Return the SHA-256, as 64 hex digits, of the canonical encoding of inputs in any order."""
    whole = hashlib.sha256(ENCODING.encode() + b"\n")
    for parts in sorted(tuple(part.encode("utf-8", "surrogateescape") for part in one) for one in inputs):
        # Each part has its length in front: no byte can move from one part into the next unseen.
        whole.update(b"".join(len(part).to_bytes(8, "big") + part for part in parts))
    return whole.hexdigest()
