"""The registry HTTP API of one registry: reads and changes of manifests, tags and blobs.

Reads: `head`, `get`, `tags`, `blob`, `stream_blob`, `has_blob`. Changes: `put`, `upload`, `upload_stream`,
`mount`, `delete_tag`, `delete_manifest`; whoever calls them has decided, dry runs included. Only 404 is read
as "is not there"; every other failure is a `RegistryError` that names method, host, path and status.

Spec: OCI distribution-spec 1.1 (https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from buildtasks.credentials import Credential
from buildtasks.reference import Reference, Repository, is_digest
from buildtasks.registry import blobs, listing
from buildtasks.registry.challenge import scope_of
from buildtasks.registry.failure import broken
from buildtasks.registry.host import DELETE, PULL, PUSH, Host
from buildtasks.registry.manifest import MEDIA_TYPES, Descriptor, Manifest, algorithm_of, digest_of
from buildtasks.registry.transport import Call, Reply, Transport

ACCEPT = {"Accept": ", ".join(MEDIA_TYPES)}
"""In one header: a proxy may keep only the last of several."""

LARGEST_MANIFEST = 8 * 2**20
LARGEST_BLOB = 32 * 2**20


class Registry:
    """One registry, such as `docker.io` or `127.0.0.1:5000`; safe for threads."""

    def __init__(
        self,
        host: str,
        credential: Credential | None = None,
        *,
        find: Callable[[], Credential | None] | None = None,
        transport: Transport | None = None,
        token_servers: Mapping[str, str] | None = None,
        plain_http: bool = False,
    ) -> None:
        """Describe the registry; nothing is sent yet.

        `find` looks the credential up when the registry first asks for one. `token_servers` names further
        hosts, per registry, that may see its password. `plain_http` is for a registry without TLS off this
        machine: it never gets a login.
        """
        self.host = host
        find = find or (lambda: credential)
        self._host = Host(host, find, transport or Transport(), token_servers, plain_http=plain_http)

    def head(self, ref: Reference) -> Descriptor | None:
        """Return what a tag or digest points to; None when it is not there.

        Raises:
            RegistryError: the registry answers with anything else, or not at all.
        """
        reply = self._manifest("HEAD", ref)
        if reply.status == 404:
            return None
        digest, size = reply.headers.get("Docker-Content-Digest", ""), reply.headers.get("Content-Length", "")
        complete = reply.media_type in MEDIA_TYPES and is_digest(digest) and size.isdigit()
        if reply.status == 405 or (reply.status == 200 and not complete):
            found = self.get(ref)
            return found.descriptor if found else None
        self._host.expect(reply, 200)
        if ref.digest and digest != ref.digest:
            raise broken(reply.method, reply.url, f"it answers with another digest: {digest}")
        return Descriptor(reply.media_type, digest, int(size))

    def get(self, ref: Reference) -> Manifest | None:
        """Return the manifest of a tag or digest, its bytes checked against its digest; None when it is not
        there.

        Raises:
            RegistryError: the registry answers with anything else, or not at all.
        """
        reply = self._manifest("GET", ref)
        if reply.status == 404:
            return None
        self._host.expect(reply, 200)
        if reply.media_type == "text/html":
            raise broken(reply.method, reply.url, "it answers with an HTML page, not with a manifest")
        said = reply.headers.get("Docker-Content-Digest", "")
        wanted = ref.digest or (said if is_digest(said) else "")
        try:
            manifest = Manifest.of(reply.body, reply.media_type, algorithm=algorithm_of(wanted or "sha256"))
        except ValueError as error:
            raise broken(reply.method, reply.url, f"it answers with no manifest: {error}") from None
        if wanted and manifest.digest != wanted:
            raise broken(reply.method, reply.url, f"the content does not have the digest {wanted}")
        return manifest

    def tags(self, repository: Repository) -> tuple[str, ...]:
        """Return all tags, sorted; none when the repository is not there.

        Raises:
            RegistryError: a page is missing or broken: a part of the list is never returned.
        """
        return listing.tags(self._host, repository)

    def blob(self, repository: Repository, digest: str, *, limit: int = LARGEST_BLOB) -> bytes:
        """Return a blob, checked against its digest; of at most `limit` bytes.

        Raises:
            NotFound: it is not there.
            RegistryError: it is larger, or has another digest, or the registry fails.
        """
        return blobs.read(self._host, repository, digest, limit)

    def stream_blob(self, repository: Repository, digest: str) -> Iterator[bytes]:
        """Yield a blob piece by piece; only when the last step passes was the content the right one.

        Raises:
            NotFound: it is not there.
            RegistryError: it has another digest, or the registry fails.
        """
        return blobs.stream(self._host, repository, digest)

    def has_blob(self, repository: Repository, digest: str) -> bool:
        """Tell whether a blob is there."""
        return blobs.has(self._host, repository, digest)

    def put(self, ref: Reference, manifest: Manifest) -> str:
        """Store the manifest's bytes under the tag, else under the digest, of a reference; return its digest.

        Raises:
            ValueError: the reference names the digest of another content.
            RegistryError: the registry refuses, or stored something else.
        """
        if ref.digest not in (None, manifest.digest):
            raise ValueError(f"{ref}: the content has the digest {manifest.digest}")
        url = self._host.url(ref.repository, f"manifests/{ref.tag or manifest.digest}")
        call = Call("PUT", url, {"Content-Type": manifest.media_type}, manifest.content)
        reply = self._host.expect(self._host.ask(call, scope_of(ref.repository.path, *PUSH)), 201)
        stored = reply.headers.get("Docker-Content-Digest") or manifest.digest
        if stored != manifest.digest:
            raise broken(reply.method, reply.url, f"it stored another content: {stored}")
        return manifest.digest

    def upload(self, repository: Repository, content: bytes, media_type: str = blobs.OCTETS) -> Descriptor:
        """Store bytes as a blob, unless they are there; return their descriptor."""
        descriptor = Descriptor(media_type, digest_of(content), len(content))
        if not self.has_blob(repository, descriptor.digest):
            blobs.upload(self._host, repository, descriptor.digest, content)
        return descriptor

    def upload_stream(self, repository: Repository, blob: Descriptor, chunks: Iterable[bytes]) -> None:
        """Store a blob of known digest and size from pieces, such as another registry's `stream_blob`."""
        content = blobs.Body(chunks, blob.size) if blob.size else b""
        blobs.send(self._host, repository, blob.digest, content)

    def mount(self, repository: Repository, digest: str, source: Repository) -> bool:
        """Take a blob over from another repository of this registry; False when it must be uploaded."""
        return blobs.mount(self._host, repository, digest, source)

    def delete_tag(self, ref: Reference) -> bool:
        """Delete one tag and nothing else; False when this registry cannot.

        Raises:
            NotFound: the tag is not there.
            RegistryError: the registry refuses, or fails.
        """
        reply = self._delete(ref, ref.tag)
        if reply.status in (400, 405):
            return False
        self._gone(reply)
        return True

    def delete_manifest(self, ref: Reference) -> None:
        """Delete a manifest by its digest, and with it every tag that points to it.

        Raises:
            NotFound: it is not there.
            RegistryError: the registry refuses, or fails.
        """
        self._gone(self._delete(ref, ref.digest))

    def _manifest(self, method: str, ref: Reference) -> Reply:
        url = self._host.url(ref.repository, f"manifests/{ref.identifier}")
        call = Call(method, url, ACCEPT, limit=LARGEST_MANIFEST)
        return self._host.ask(call, scope_of(ref.repository.path, *PULL))

    def _delete(self, ref: Reference, identifier: str | None) -> Reply:
        if identifier is None:
            raise ValueError(f"{ref}: nothing named to delete")
        url = self._host.url(ref.repository, f"manifests/{identifier}")
        return self._host.ask(Call("DELETE", url), scope_of(ref.repository.path, *DELETE))

    def _gone(self, reply: Reply) -> None:
        """Accept the answer to a DELETE; 404 only when an earlier attempt may have done it."""
        if reply.status != 404 or reply.attempts == 1:
            self._host.expect(reply, 200, 202, 204)
