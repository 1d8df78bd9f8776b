"""The inputs of a build: everything that decides what it gives, read from the configuration, Dockerfile and contexts.

Times, owners, values of secrets and labels of the run do not count. What cannot be known is said with `UNKNOWN`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from buildtasks import dockerfile
from buildtasks.context import Entry, ignore_file, walk
from buildtasks.errors import ConfigError, ContextError
from buildtasks.filehash import Changed, Memory
from buildtasks.revision import Revision
from buildtasks.settings import Service, fields
from buildtasks.settings.services import is_remote
from buildtasks.version import Version

UNKNOWN = "unknown"
CHANGING = "unknown: it keeps changing"
IMAGE = "docker-image://"
PINNED = re.compile(r"#[0-9a-f]{40}(?::|$)")
ATTEMPTS = 3
DEPENDENCIES = (
    *("package.json", "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock*"),
    *("requirements*.txt", "requirements*.in", "constraints*.txt", "pyproject.toml", "setup.py", "setup.cfg"),
    *("uv.lock", "poetry.lock", "pdm.lock", "Pipfile", "Pipfile.lock"),
    *("pom.xml", "*.gradle", "*.gradle.kts", "gradle.properties", "gradle.lockfile", "libs.versions.toml"),
    *("go.mod", "go.sum", "go.work", "go.work.sum", "Cargo.toml", "Cargo.lock"),
    *("composer.json", "composer.lock", "Gemfile", "Gemfile.lock", "*.gemspec"),
)

Listing = list[tuple[str, str]]


class Input(NamedTuple):
    """One input of a build: its kind, its name, and its value; for a file permission bits and content hash."""

    kind: str
    name: str
    value: str


def settled(service: Service, version: Version | None, revision: Revision) -> Service:
    """Return the service with `{version}` and `{revision}` filled into its build arguments.

    Raises:
        ConfigError: an argument wants a version and there is none.
    """
    values = {"revision": revision.commit, "version": str(version) if version else ""}
    where = f"services.{service.name}.args"
    for name, text in service.args.items():
        if version is None and "{version}" in text:
            raise ConfigError(f"{where}.{name}: it holds the version: say which one with --version")
    return replace(service, args={k: fields.fill(v, f"{where}.{k}", values) for k, v in service.args.items()})


def dockerfile_text(service: Service) -> str:
    """Return the text of a service's Dockerfile; empty when it is in a remote context.

    Raises:
        ContextError: it cannot be read.
    """
    if service.remote:
        return ""
    try:
        return Path(service.dockerfile).read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise ContextError(f"{service.dockerfile}: {error.strerror}") from error


def base_images(service: Service) -> dockerfile.Bases:
    """Return the images that a service is built from, on any of its platforms, besides needs and named contexts."""
    text, named = dockerfile_text(service), [*service.needs, *service.contexts]
    found = [
        dockerfile.bases(text, args={**platform_args(platform), **service.args}, named=named)
        for platform in service.platforms or ("",)
    ]
    images = {image for one in found for image in one.images}
    images |= {context.removeprefix(IMAGE) for context in service.contexts.values() if context.startswith(IMAGE)}
    unresolved = {word for one in found for word in one.unresolved}
    return dockerfile.Bases(tuple(sorted(images)), tuple(sorted(unresolved)))


def platform_args(platform: str) -> dict[str, str]:
    """Return the arguments that BuildKit sets for the platform that is built for.

    See https://docs.docker.com/reference/dockerfile/#automatic-platform-args-in-the-global-scope.
    """
    if not platform:
        return {}
    system, architecture, variant = (*platform.split("/"), "", "")[:3]
    return {
        "TARGETPLATFORM": platform,
        "TARGETOS": system,
        "TARGETARCH": architecture,
        "TARGETVARIANT": variant,
    }


@dataclass(frozen=True, slots=True)
class Scope:
    """What the inputs of a service are read with.

    `bases` maps base images as written to their digests (missing or empty: not known), `needs` services to their
    fingerprints; `store` is the folder that remembers hashes of files; in mode `dependencies` only package files of
    the contexts count. `contexts` holds those of services that have been read already.
    """

    bases: Mapping[str, str]
    needs: Mapping[str, str]
    store: Path | None
    mode: str = "content"
    contexts: Mapping[str, tuple[Input, ...]] = field(default_factory=dict)


def gather(service: Service, scope: Scope) -> tuple[Input, ...]:
    """Return the inputs of a service; a local context is one of them, by the digest of its listing.

    Raises:
        ContextError: a context or the Dockerfile cannot be read.
    """
    known = scope.contexts.get(service.name)
    read = contexts(service, scope) if known is None else known
    needs = (Input("need", name, scope.needs[name]) for name in service.needs)
    return (*_settings(service, scope.mode), *_images(service, scope.bases), *_remote(service), *needs, *read)


def contexts(service: Service, scope: Scope) -> tuple[Input, ...]:
    """Return the local contexts of a service, each by the digest of its listing.

    Raises:
        ContextError: a context cannot be read.
    """
    return tuple(
        Input("context", name, _attempt(partial(_context_digest, root, ignore_of, scope)))
        for name, (root, ignore_of) in _folders(service).items()
    )


def unknown(inputs: Iterable[Input]) -> tuple[str, ...]:
    """Return which of the inputs could not be known, in words."""
    return tuple(_blind(one) for one in inputs if one.kind in ("base", "context") and one.value in (UNKNOWN, CHANGING))


def _blind(one: Input) -> str:
    words = f"{one.kind} {one.name}".strip()
    return f"{words}, whose files keep changing" if one.value == CHANGING else words


def files(service: Service, scope: Scope) -> Iterator[Input]:
    """Yield each entry of the local contexts; one of a named context has the name in front, as `NAME:path`.

    Raises:
        ContextError: a context cannot be read.
    """
    for name, (root, ignore_of) in _folders(service).items():
        for path, value in listing(root, ignore_of, scope):
            yield Input("file", f"{name}:{path}" if name else path, value)


def _settings(service: Service, mode: str) -> Iterator[Input]:
    text = dockerfile_text(service).encode("utf-8", "surrogateescape")
    yield Input("dockerfile", "", sha256(text).hexdigest())
    yield Input("target", "", service.target)
    yield Input("network", "", service.network)
    yield from (Input("platform", platform, "") for platform in service.platforms)
    yield from (Input("arg", name, value) for name, value in service.args.items())
    yield from (Input("label", name, value) for name, value in service.labels.items())
    if mode != "content":
        yield Input("mode", "", mode)


def _images(service: Service, known: Mapping[str, str]) -> Iterator[Input]:
    found = base_images(service)
    yield from (Input("base", image, known.get(image) or UNKNOWN) for image in found.images)
    yield from (Input("base", image, UNKNOWN) for image in found.unresolved)


def _remote(service: Service) -> Iterator[Input]:
    for name, context in {"": service.context, **service.contexts}.items():
        if context.startswith(IMAGE):
            yield Input("context", name, context)
        elif _is_address(context):
            yield Input("context", name or context, context if PINNED.search(context) else UNKNOWN)


def _folders(service: Service) -> dict[str, tuple[Path, Path | None]]:
    found: dict[str, tuple[Path, Path | None]] = {}
    if not service.remote:
        found[""] = Path(service.context), Path(service.dockerfile)
    for name, context in service.contexts.items():
        if not _is_address(context):
            found[name] = Path(context), None
    return found


def _is_address(context: str) -> bool:
    return is_remote(context) or "://" in context


def _is_dependency(path: str) -> bool:
    name = path.rpartition("/")[2]
    return any(fnmatchcase(name, pattern) for pattern in DEPENDENCIES)


def listing(root: Path, ignore_of: Path | None, scope: Scope) -> Listing:
    """Return path and value of each entry of a context that counts, in the order of the walk.

    A file has `file <mode> <sha256>`, a folder `dir <mode>`, a symbolic link `symlink <target>`, anything else its
    kind, mode and device numbers. The mode is four octal digits without write for group and others, so that umask
    022 and 002 agree.

    Raises:
        Changed: a file was not what the walk saw.
        ContextError: something cannot be read.
    """
    entries = list(walk(root, dockerfile=ignore_of))
    return _listed(entries, _memory(root, ignore_of, scope).digests(entries), scope.mode)


def _memory(root: Path, ignore_of: Path | None, scope: Scope) -> Memory:
    return Memory(root, scope.store, ignore_file(root, ignore_of))


def digest(found: Listing) -> str:
    """Return the SHA-256 of a listing. Neither paths nor values can hold the NUL that ends them."""
    text = "".join([f"{path}\0{value}\0" for path, value in found])
    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _context_digest(root: Path, ignore_of: Path | None, scope: Scope) -> str:
    entries, memory = list(walk(root, dockerfile=ignore_of)), _memory(root, ignore_of, scope)
    known = memory.whole(entries) if scope.mode == "content" else None
    if known:
        return known
    digests = memory.digests(entries)
    whole = digest(_listed(entries, digests, "content"))
    memory.keep(entries, digests, whole)
    return whole if scope.mode == "content" else digest(_listed(entries, digests, scope.mode))


def _attempt(read: Callable[[], str]) -> str:
    """Read again when files change meanwhile; when they keep changing, the value is not known."""
    for _ in range(ATTEMPTS):
        with contextlib.suppress(Changed):
            return read()
    return CHANGING


def _listed(entries: Iterable[Entry], digests: Iterable[str], mode: str) -> Listing:
    found = map(_value, entries, digests)
    return [one for one in found if mode == "content" or _is_dependency(one[0])]


def _value(entry: Entry, digest: str) -> tuple[str, str]:
    if digest:
        return entry.path, f"file {entry.mode & 0o7755:04o} {digest}"
    if entry.kind == "symlink":
        return entry.path, f"symlink {entry.target}"
    numbers = f" {entry.target}" if entry.target else ""
    return entry.path, f"{entry.kind} {entry.mode & 0o7755:04o}{numbers}"
