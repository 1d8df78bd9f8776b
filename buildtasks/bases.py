"""Digests of base images: asked of their registries, else what the local engine knows, else not known.

A base that is pinned by digest in the Dockerfile is no question at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from invoke.context import Context

from buildtasks import shell
from buildtasks.errors import InvalidReference, RegistryError
from buildtasks.reference import Reference
from buildtasks.registry import Registries

AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Base:
    """One base image as written, its digest (empty: not known), and what there is to say about the answer."""

    image: str
    digest: str
    note: str = ""


def digests(c: Context, registries: Registries, images: Iterable[str]) -> tuple[Base, ...]:
    """Return the digest of each base image, in order of their names."""
    wanted = sorted(set(images))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return tuple(pool.map(lambda image: _base(image, registries, lambda: _local(c, image)), wanted))


def pinned(images: Iterable[str]) -> tuple[Base, ...]:
    """Take base images by their names alone, without a question."""
    return tuple(Base(image, "by name") for image in sorted(set(images)))


def _base(image: str, registries: Registries, local: Callable[[], str]) -> Base:
    try:
        reference = Reference.parse(image).resolved
    except InvalidReference as error:
        return Base(image, "", f"base {image}: {error}")
    if reference.digest:
        return Base(image, reference.digest)
    try:
        found = registries.of(reference.repository).head(reference)
    except RegistryError as error:
        return _fallback(image, local(), str(error).splitlines()[0])
    return Base(image, found.digest) if found else _fallback(image, local(), "not in its registry")


def _fallback(image: str, digest: str, why: str) -> Base:
    known = "taking the digest that the local engine knows" if digest else "not known here either, so it is built"
    return Base(image, digest, f"base {image}: {why}; {known}")


def _local(c: Context, image: str) -> str:
    """Return the digest of an image in the engine, else its id: a classic image store has no digest of a loaded one."""
    form = "{{range .RepoDigests}}{{println .}}{{end}}{{.Id}}"
    answer = shell.read(c, ["docker", "image", "inspect", "--format", form, image])
    if not answer.ok:
        return ""
    *digests, image_id = answer.stdout.split()
    found = map(Reference.parse, digests)
    repository = Reference.parse(image).repository
    return next((one.digest for one in found if one.repository == repository and one.digest), f"id {image_id}")
