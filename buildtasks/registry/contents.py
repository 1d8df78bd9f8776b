"""Manifests and configs by digest: what a digest names never changes, so it is read from a registry once.

They are kept in memory and, given a folder, on disk, where a file counts only when its bytes have the digest of its
name. Nothing here says that a registry still has something: ask `Registry.head` or `Registry.get` for that.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from buildtasks.errors import RegistryError
from buildtasks.reference import Reference, Repository
from buildtasks.registry.client import Registry
from buildtasks.registry.manifest import Manifest, algorithm_of, digest_of

LARGEST = 1_000_000
MOST = 2_000


class Contents:
    """Small contents by their digests; safe for threads."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._known: dict[str, bytes] = {}

    def manifest(self, registry: Registry, pinned: Reference) -> Manifest:
        """Return the manifest of a digest that the registry is known to have.

        Raises:
            RegistryError: the registry does not have it after all, or fails.
        """
        digest = str(pinned.digest)
        content = self._get(digest)
        if content is not None:
            return Manifest.of(content, algorithm=algorithm_of(digest))
        manifest = registry.get(pinned)
        if manifest is None:
            raise RegistryError(f"{pinned}: the registry names it but does not have it")
        self._put(digest, manifest.content)
        return manifest

    def blob(self, registry: Registry, repository: Repository, digest: str) -> bytes:
        """Return a small blob, such as a config.

        Raises:
            NotFound: it is not there.
            RegistryError: the registry fails.
        """
        content = self._get(digest)
        if content is None:
            content = registry.blob(repository, digest)
            self._put(digest, content)
        return content

    def _get(self, digest: str) -> bytes | None:
        content = self._known.get(digest)
        if content is None and self._folder:
            with contextlib.suppress(OSError, ValueError):
                read = self._file(self._folder, digest).read_bytes()
                content = read if digest_of(read, algorithm_of(digest)) == digest else None
        return content

    def _put(self, digest: str, content: bytes) -> None:
        if len(content) > LARGEST or len(self._known) >= MOST:
            return
        self._known[digest] = content
        if self._folder:
            with contextlib.suppress(OSError):
                _write(self._file(self._folder, digest), content)

    @staticmethod
    def _file(folder: Path, digest: str) -> Path:
        return folder / digest.replace(":", "-")


def _write(file: Path, content: bytes) -> None:
    """Write a file as a whole, and make room when there are many."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
    os.replace(name, file)
    _bound(file.parent)


def _bound(folder: Path) -> None:
    names = os.listdir(folder)
    if len(names) > 2 * MOST:
        oldest = sorted(names, key=lambda name: (folder / name).stat().st_mtime)[:MOST]
        for name in oldest:
            (folder / name).unlink()
