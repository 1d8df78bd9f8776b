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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path
from typing import cast

from buildtasks.context import Entry, location
from buildtasks.context.walk import Stamp
from buildtasks.errors import ContextError

MAGIC = b"buildtasks hashes 1\n"
SIGNATURE = struct.Struct("<qqqQQ")
RACY_NS = 2_000_000_000
CHUNK = 1 << 20
MOST_BYTES = 256_000_000

BATCH = 256
THREADS = 4

Remembered = tuple[Stamp, str]


class Changed(Exception):
    """A file was not the one that the walk saw: it vanished, was replaced or was written to. Carries its path."""


def digests(root: Path, entries: Sequence[Entry], store: Path | None) -> list[str]:
    """Return the SHA-256 of each file's content as 64 hex digits, an empty text for what is no file.

    `store` is the folder that remembers hashes between runs, None for no memory.

    Raises:
        Changed: a file is not what the walk saw.
        ContextError: a file cannot be read.
    """
    memory = _place(root, store) if store else None
    old = _read(memory) if memory else {}
    since = time.time_ns() - RACY_NS
    found = [_remembered(one, old) if one.kind == "file" else "" for one in entries]
    unread = [at for at, digest in enumerate(found) if digest is None]
    for at, digest in zip(unread, _contents(root, [entries[at] for at in unread]), strict=True):
        found[at] = digest
    if memory and (unread or sum(map(bool, found)) != len(old)):
        _remember(memory, entries, found, since)
    return cast("list[str]", found)


def _remembered(entry: Entry, old: Mapping[str, Remembered]) -> str | None:
    known = old.get(entry.path)
    return known[1] if known is not None and known[0] == entry.stamp else None


def _contents(root: Path, entries: Sequence[Entry]) -> Iterator[str]:
    """Read files in several threads: reading and hashing both let other threads run."""
    parts = [entries[at : at + BATCH] for at in range(0, len(entries), BATCH)]
    if len(parts) < 2:
        yield from (_digest(root, entry) for entry in entries)
        return
    with ThreadPoolExecutor(THREADS) as pool:
        for part in pool.map(lambda batch: [_digest(root, entry) for entry in batch], parts):
            yield from part


def _remember(memory: Path, entries: Sequence[Entry], found: Sequence[str | None], since: int) -> None:
    """Remember what was not written to lately; a memory that cannot be written costs time and nothing else."""
    known = {
        entry.path: (entry.stamp, digest)
        for entry, digest in zip(entries, found, strict=True)
        if digest and max(entry.stamp[1:3]) < since
    }
    with contextlib.suppress(OSError):
        _write(memory, known)
        _bound(memory.parent)


def _place(root: Path, store: Path) -> Path:
    return store / hashlib.sha256(os.fsencode(root)).hexdigest()[:32]


def _digest(root: Path, entry: Entry) -> str:
    path = location(root, entry.path)
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except PermissionError as error:
        raise ContextError(f"{os.fsdecode(path)}: {error.strerror}") from error
    except OSError as error:
        raise Changed(entry.path) from error
    try:
        digest, now = _content(handle, entry.size), os.fstat(handle)
    except OSError as error:
        raise ContextError(f"{os.fsdecode(path)}: {error.strerror}") from error
    finally:
        os.close(handle)
    stamp = (now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino, now.st_dev)
    if stamp != entry.stamp:
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
    hashes = [hexes[at : at + 64] for at in range(0, len(hexes), 64)]
    return dict(zip(paths, zip(SIGNATURE.iter_unpack(body[8:signatures]), hashes, strict=True), strict=False))


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
        (SIGNATURE.pack(*signature) for signature, _ in known.values()),
        (bytes.fromhex(digest) for _, digest in known.values()),
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
