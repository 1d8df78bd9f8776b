"""Upload an image to the sandbox's registry, which asks for no credentials.

In: an image as blobs. Out: nothing; the registry has it. See the distribution specification 1.1, "Push":
https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#push
"""

from __future__ import annotations

from urllib.parse import urlsplit

from sandbox import registry
from sandbox.busybox import INDEX, MANIFEST, REPOSITORY, TAG, Image
from sandbox.messages import SandboxError

TOP = f"/v2/{REPOSITORY}"
BYTES = "application/octet-stream"


def push(image: Image, where: str) -> None:
    """Upload the blobs, the manifests that name them, then the index under its tag.

    Raises:
        SandboxError: the registry refuses something.
    """
    for digest, blob in image.blobs.items():
        if digest not in image.manifests:
            _blob(where, digest, blob)
    for digest in image.manifests:
        _send(where, "PUT", f"{TOP}/manifests/{digest}", image.blobs[digest], MANIFEST)
    _send(where, "PUT", f"{TOP}/manifests/{TAG}", image.index, INDEX)


def _blob(where: str, digest: str, blob: bytes) -> None:
    """Ask for a place to upload to, and send the whole blob there."""
    place = urlsplit(_send(where, "POST", f"{TOP}/blobs/uploads/", b"", BYTES))
    query = f"{place.query}&" if place.query else ""
    _send(where, "PUT", f"{place.path}?{query}digest={digest}", blob, BYTES)


def _send(where: str, method: str, path: str, data: bytes, kind: str) -> str:
    """Send one request; return where the answer points."""
    try:
        status, location = registry.call(where, method, path, data, {"Content-Type": kind})
    except OSError as error:
        raise SandboxError(f"the registry at {where} does not answer: {error}") from error
    if status not in (201, 202):
        raise SandboxError(f"the registry at {where} refuses {method} {path}: status {status}")
    return location
