"""Content hashes of the files of a context, remembered between runs so that an unchanged file is not read again.

A hash is taken from memory only when path, size, mtime, ctime, inode and device are the same, and only when those
times were already old when the file was read (a file written twice within one tick of the clock looks unchanged; git
calls that racy, https://git-scm.com/docs/racy-git). When nothing at all has changed, one comparison gives the digest
of the whole context. The memory is worth time and nothing else: it is one file per context in the user's cache folder,
replaced as a whole, dropped when its checksum is wrong, and bounded.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path

from buildtasks.context import Entry, location
from buildtasks.context.walk import STAMP, stamp_of
from buildtasks.errors import ContextError

MAGIC = b"buildtasks hashes 3\n"
SUM = 32
RACY_NS = 2_000_000_000
CHUNK = 1 << 20
# What reading says when in place of the file there is nothing any more, a folder, a link or a socket.
GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO, errno.ESTALE})
MOST_BYTES = 256_000_000

Remembered = tuple[bytes, str]


class Changed(Exception):
    """A file was not the one that the walk saw: it vanished, was replaced or was written to. Carries its path."""


class Memory:
    """What is remembered of one context; `store` is the folder of memories, None for none.

    `ignore` is the ignore file of the context: services of one folder with ignore files of their own remember apart.
    """

    def __init__(self, root: Path, store: Path | None, ignore: Path | None = None) -> None:
        self._root = root
        self._file = store / _name(root, ignore) if store else None
        self._body = _read(self._file) if self._file else b""
        self._since = time.time_ns() - RACY_NS

    def whole(self, entries: Sequence[Entry]) -> str | None:
        """Return the digest of the whole context when no entry has changed since it was kept."""
        known = self._body[: 2 * SUM]
        return known[SUM:].hex() if known and known[:SUM] == _state(entries) else None

    def digests(self, entries: Sequence[Entry]) -> list[str]:
        """Return the SHA-256 of each file's content as 64 hex digits, an empty text for what is no file.

        Raises:
            Changed: a file is not what the walk saw.
            ContextError: a file cannot be read.
        """
        old = _unpack(self._body)
        found = [_remembered(one, old) if one.kind == "file" else "" for one in entries]
        root = os.fsencode(self._root)
        return [_digest(root, one) if known is None else known for one, known in zip(entries, found, strict=True)]

    def keep(self, entries: Sequence[Entry], digests: Sequence[str], whole: str) -> None:
        """Remember a context, but nothing that was written to lately.

        A memory that cannot be written costs time and nothing else.
        """
        if not self._file:
            return
        files = [(one, digest) for one, digest in zip(entries, digests, strict=True) if self._settled(one)]
        # Were an entry too young, the digest of the whole would vouch for it: an all-zero state matches nothing.
        state = _state(entries) if len(files) == len(entries) else bytes(SUM)
        known = {one.path: (one.stamp, digest) for one, digest in files if digest}
        with contextlib.suppress(OSError):
            _write(self._file, state + bytes.fromhex(whole) + _pack(known))
            _bound(self._file.parent)

    def _settled(self, entry: Entry) -> bool:
        _, _, mtime, ctime, _, _ = STAMP.unpack(entry.stamp)
        return bool(max(mtime, ctime) < self._since)


def _name(root: Path, ignore: Path | None) -> str:
    return sha256(os.fsencode(root) + b"\0" + os.fsencode(ignore or "")).hexdigest()[:32]


def _state(entries: Sequence[Entry]) -> bytes:
    """Return a hash of all that the walk saw: equal when no entry has changed, as far as its stamp tells."""
    whole = sha256(b"".join([one.stamp for one in entries]))
    whole.update("\0".join([one.path for one in entries]).encode("utf-8", "surrogateescape"))
    return whole.digest()


def _remembered(entry: Entry, old: Mapping[str, Remembered]) -> str | None:
    known = old.get(entry.path)
    return known[1] if known is not None and known[0] == entry.stamp else None


def _digest(root: bytes, entry: Entry) -> str:
    path = location(root, entry.path)
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            digest, now = _content(handle, entry.size), os.fstat(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno in GONE:
            raise Changed(entry.path) from error
        raise ContextError(f"{os.fsdecode(path)}: {error.strerror}") from error
    if stamp_of(now) != entry.stamp:
        raise Changed(entry.path)
    return digest


def _content(handle: int, size: int) -> str:
    """Hash what is read; a small file in a buffer of its size, since to get a large one costs more than to read."""
    content = os.read(handle, size + 1) if size < CHUNK else b""
    whole = sha256(content)
    # Some file systems give less than was asked for: only all that the walk saw needs no second look.
    if len(content) == size:
        return whole.hexdigest()
    for part in iter(partial(os.read, handle, CHUNK), b""):
        whole.update(part)
    return whole.hexdigest()


def _read(file: Path) -> bytes:
    """Read a memory; any doubt about it gives an empty one."""
    try:
        content = file.read_bytes()
    except OSError:
        return b""
    head, body = content[: len(MAGIC) + SUM], content[len(MAGIC) + SUM :]
    return body if head == MAGIC + sha256(body).digest() else b""


def _unpack(body: bytes) -> Mapping[str, Remembered]:
    """Return path, stamp and digest of each file: a count, all stamps, all digests, all paths."""
    if not body:
        return {}
    start = 2 * SUM + 8
    count = int.from_bytes(body[start - 8 : start], "little")
    stamps, digests = start + count * STAMP.size, start + count * (STAMP.size + SUM)
    paths = body[digests:].decode("utf-8", "surrogateescape").split("\0")
    hexes = body[stamps:digests].hex()
    texts = [hexes[at : at + 2 * SUM] for at in range(0, len(hexes), 2 * SUM)]
    seen = [body[at : at + STAMP.size] for at in range(start, stamps, STAMP.size)]
    return dict(zip(paths, zip(seen, texts, strict=True), strict=False))


def _pack(known: Mapping[str, Remembered]) -> bytes:
    stamps = b"".join(stamp for stamp, _ in known.values())
    digests = bytes.fromhex("".join(digest for _, digest in known.values()))
    return len(known).to_bytes(8, "little") + stamps + digests + "\0".join(known).encode("utf-8", "surrogateescape")


def _write(file: Path, body: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(MAGIC + sha256(body).digest() + body)
        os.replace(name, file)
    except OSError:
        os.unlink(name)
        raise


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
