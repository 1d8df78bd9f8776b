"""Content hashes of the files of a context, remembered between runs so that an unchanged file is not read again.

A hash is taken from memory only when path, size, mtime, ctime, inode and device are the same, and only when those
times were already old when the file was read (a file written twice within one tick of the clock looks unchanged; git
calls that racy, https://git-scm.com/docs/racy-git). The memory is worth time and nothing else: it is one file per
context in the user's cache folder, replaced as a whole, dropped when its checksum is wrong, and bounded.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from buildtasks.context import Entry, location
from buildtasks.errors import ContextError

MAGIC = b"buildtasks hashes 1\n"
SIGNATURE = struct.Struct("<qqqQQ")
RACY_NS = 2_000_000_000
CHUNK = 1 << 20
MOST_BYTES = 256_000_000

Signature = tuple[int, int, int, int, int]


class Changed(Exception):
    """A file was not the one that the walk saw: it vanished, was replaced or was written to. Carries its path."""


class Remembered(NamedTuple):
    """The stat values of a file and the SHA-256 of its content at that time, as hex digits."""

    signature: Signature
    digest: str


class Hashes:
    """SHA-256 of the files below one folder. Use it for one walk, then `save`."""

    def __init__(self, root: Path, store: Path | None) -> None:
        self._root, self._file = root, _place(root, store) if store else None
        self._old = _read(self._file) if self._file else {}
        self._new: dict[str, Remembered] = {}
        self._fresh = False

    def of(self, entry: Entry) -> str:
        """Return the SHA-256 of a file's content as 64 hex digits.

        Raises:
            Changed: the file is not what the walk saw.
            ContextError: the file cannot be read.
        """
        signature = (entry.size, entry.mtime_ns, entry.ctime_ns, entry.inode, entry.device)
        known = self._old.get(entry.path)
        if known is not None and known[0] == signature:
            self._new[entry.path] = known
            return known[1]
        return self._read(entry, signature)

    def _read(self, entry: Entry, signature: Signature) -> str:
        now = time.time_ns()
        digest = _digest(location(self._root, entry.path), entry, signature)
        if max(entry.mtime_ns, entry.ctime_ns) + RACY_NS < now:
            self._new[entry.path] = Remembered(signature, digest)
            self._fresh = True
        return digest

    def save(self) -> None:
        """Remember the hashes of this walk; a cache that cannot be written costs time and nothing else."""
        if self._file and (self._fresh or len(self._new) != len(self._old)):
            with contextlib.suppress(OSError):
                _write(self._file, self._new)
                _bound(self._file.parent)


def _place(root: Path, store: Path) -> Path:
    return store / hashlib.sha256(os.fsencode(root)).hexdigest()[:32]


def _digest(path: bytes, entry: Entry, signature: Signature) -> str:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except PermissionError as error:
        raise ContextError(f"{os.fsdecode(path)}: {error.strerror}") from error
    except OSError as error:
        raise Changed(entry.path) from error
    try:
        digest = _content(handle, entry.size)
        after = os.fstat(handle)
    except OSError as error:
        raise ContextError(f"{os.fsdecode(path)}: {error.strerror}") from error
    finally:
        os.close(handle)
    if (after.st_size, after.st_mtime_ns, after.st_ctime_ns, after.st_ino, after.st_dev) != signature:
        raise Changed(entry.path)
    return digest


def _content(handle: int, size: int) -> str:
    if size < CHUNK:
        return hashlib.sha256(os.read(handle, CHUNK)).hexdigest()
    whole = hashlib.sha256()
    for part in iter(partial(os.read, handle, CHUNK), b""):
        whole.update(part)
    return whole.hexdigest()


def _read(file: Path) -> Mapping[str, Remembered]:
    """Read a memory; any doubt about it gives an empty one."""
    try:
        content = file.read_bytes()
    except OSError:
        return {}
    head, body = content[: len(MAGIC) + 32], content[len(MAGIC) + 32 :]
    if head != MAGIC + hashlib.sha256(body).digest():
        return {}
    count = int.from_bytes(body[:8], "little")
    signatures, digests = 8 + count * SIGNATURE.size, 8 + count * (SIGNATURE.size + 32)
    paths = body[digests:].decode("utf-8", "surrogateescape").split("\0")
    hexes = body[signatures:digests].hex()
    hashes = (hexes[at : at + 64] for at in range(0, len(hexes), 64))
    return dict(zip(paths, map(Remembered, SIGNATURE.iter_unpack(body[8:signatures]), hashes), strict=False))


def _write(file: Path, known: Mapping[str, Remembered]) -> None:
    body = b"".join(_body(known))
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(MAGIC + hashlib.sha256(body).digest() + body)
        os.replace(name, file)
    except OSError:
        os.unlink(name)
        raise


def _body(known: Mapping[str, Remembered]) -> Iterable[bytes]:
    return chain(
        [len(known).to_bytes(8, "little")],
        (SIGNATURE.pack(*one.signature) for one in known.values()),
        (bytes.fromhex(one.digest) for one in known.values()),
        ["\0".join(known).encode("utf-8", "surrogateescape")],
    )


def _bound(folder: Path) -> None:
    """Remove the memories not written for the longest time until the rest is below the limit."""
    files = sorted(_files(folder), reverse=True)
    total = 0
    for _, size, path in files:
        total += size
        if total > MOST_BYTES:
            os.unlink(path)


def _files(folder: Path) -> Iterator[tuple[float, int, str]]:
    for entry in os.scandir(folder):
        stat = entry.stat()
        yield stat.st_mtime, stat.st_size, entry.path
