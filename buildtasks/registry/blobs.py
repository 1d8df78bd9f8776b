"""Blobs of one registry: configs, layers and other content, named by digest.

What is read is hashed, and what is sent is named by its hash, so that no answer has to be believed. Uploads
are one POST and one PUT (OCI distribution-spec 1.1, "POST then PUT",
https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#post-then-put).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from urllib.parse import urlencode

from buildtasks.errors import RegistryError
from buildtasks.reference import Repository
from buildtasks.registry.challenge import Scope, scope_of
from buildtasks.registry.failure import broken
from buildtasks.registry.host import PULL, PUSH, Host
from buildtasks.registry.manifest import algorithm_of, digest_of
from buildtasks.registry.transport import Call, Reply

OCTETS = "application/octet-stream"
UPLOAD_SECONDS = 300.0


class Body:
    """A body of known length that is made while it is sent, and so can be sent once."""

    def __init__(self, chunks: Iterable[bytes], size: int) -> None:
        self._chunks, self._size = iter(chunks), size
        self._sent = False

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        if self._sent:
            raise RegistryError("the upload broke: its content must be read again from the start")
        self._sent = True
        return self._chunks


def read(host: Host, repository: Repository, digest: str, limit: int) -> bytes:
    """Return a blob of at most `limit` bytes."""
    call = Call("GET", _url(host, repository, digest), limit=limit)
    reply = host.expect(host.ask(call, scope_of(repository.path, *PULL)), 200)
    _check(reply, digest, digest_of(reply.body, algorithm_of(digest)))
    return reply.body


def stream(host: Host, repository: Repository, digest: str) -> Iterator[bytes]:
    """Yield a blob piece by piece; the last step checks the digest of them all."""
    algorithm = algorithm_of(digest)
    hasher = hashlib.new(algorithm)
    call = Call("GET", _url(host, repository, digest), stream=True)
    reply = host.expect(host.ask(call, scope_of(repository.path, *PULL)), 200)
    for chunk in reply.chunks:
        hasher.update(chunk)
        yield chunk
    _check(reply, digest, f"{algorithm}:{hasher.hexdigest()}")


def _check(reply: Reply, wanted: str, found: str) -> None:
    if found != wanted:
        raise broken(reply.method, reply.url, f"the content does not have the digest {wanted}")


def has(host: Host, repository: Repository, digest: str) -> bool:
    """Tell whether a blob is there."""
    reply = host.ask(Call("HEAD", _url(host, repository, digest)), scope_of(repository.path, *PULL))
    if reply.status == 404:
        return False
    host.expect(reply, 200)
    return True


def upload(host: Host, repository: Repository, digest: str, content: bytes) -> None:
    """Send a blob that is in memory; once more from the start when the upload breaks."""
    try:
        send(host, repository, digest, content)
    except RegistryError as error:
        if error.status in range(400, 500) and error.status != 404:
            raise
        if not has(host, repository, digest):
            send(host, repository, digest, content)


def send(host: Host, repository: Repository, digest: str, content: bytes | Body) -> None:
    """Send a blob, once: an upload session holds what came so far, so a PUT to it cannot be repeated."""
    scope = scope_of(repository.path, *PUSH)
    started = host.expect(host.ask(Call("POST", host.url(repository, "blobs/uploads/")), scope), 202)
    finish(host, started, scope, digest, content)


def finish(host: Host, started: Reply, scope: Scope, digest: str, content: bytes | Body) -> None:
    """Put all bytes into an upload session and close it."""
    location = started.headers.get("Location")
    if not location:
        raise broken(started.method, started.url, "it does not say where to send the blob")
    location = host.inside(started, location)
    url = f"{location}{'&' if '?' in location else '?'}{urlencode({'digest': digest})}"
    headers = {"Content-Type": OCTETS, "Content-Length": str(len(content))}
    call = Call("PUT", url, headers, content, again=False, seconds=UPLOAD_SECONDS)
    host.expect(host.ask(call, scope), 201)


def mount(host: Host, repository: Repository, digest: str, source: Repository) -> bool:
    """Take a blob over from another repository of the registry; False when it must be sent."""
    query = urlencode({"mount": digest, "from": source.path})
    scope = scope_of(repository.path, *PUSH) | scope_of(source.path, *PULL)
    call = Call("POST", host.url(repository, f"blobs/uploads/?{query}"))
    reply = host.expect(host.ask(call, scope), 201, 202)
    if reply.status == 202 and (location := reply.headers.get("Location")):
        host.ask(Call("DELETE", host.inside(reply, location), again=False), scope)
    return reply.status == 201


def _url(host: Host, repository: Repository, digest: str) -> str:
    return host.url(repository, f"blobs/{digest}")
