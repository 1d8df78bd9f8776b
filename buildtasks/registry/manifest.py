"""Manifests, descriptors and media types: the values that a registry stores.

A manifest is kept as the exact bytes the registry sent: its digest is the hash of those bytes, so it is never
serialised again. Specs: OCI image-spec, descriptor and media types
(https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md) and Docker image manifest v2 schema 2
(https://distribution.github.io/distribution/spec/manifest-v2-2/).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"

MEDIA_TYPES = (OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST)
"""What a manifest may be. All four are always accepted: with fewer, servers answer with a child's digest."""

INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_LIST})
ALGORITHMS = ("sha256", "sha384", "sha512")


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a registry says about some content: media type, digest and size in bytes."""

    media_type: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or an index: its media type, its digest and its exact bytes."""

    media_type: str
    digest: str
    content: bytes = field(repr=False)

    @classmethod
    def of(cls, content: bytes, media_type: str = "", *, algorithm: str = "sha256") -> Manifest:
        """Make a manifest of its bytes; without `media_type` the bytes say what they are.

        Raises:
            ValueError: the bytes are not a manifest of one of the known media types.
        """
        kind = media_type if media_type in MEDIA_TYPES else _kind(content)
        return cls(kind, digest_of(content, algorithm), content)

    @property
    def json(self) -> dict[str, Any]:
        """Parse the content; a new dict each time, so that nobody can change ours."""
        parsed: dict[str, Any] = json.loads(self.content)
        return parsed

    @property
    def is_index(self) -> bool:
        """Tell whether this lists manifests of several platforms."""
        return self.media_type in INDEX_TYPES

    @property
    def descriptor(self) -> Descriptor:
        """Describe these bytes: media type, digest and size."""
        return Descriptor(self.media_type, self.digest, len(self.content))


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    """Hash bytes into `algorithm:hex`."""
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def algorithm_of(digest: str) -> str:
    """Return the hash algorithm of a digest.

    Raises:
        ValueError: not an algorithm that references allow.
    """
    algorithm = digest.partition(":")[0]
    if algorithm not in ALGORITHMS:
        raise ValueError(f"unknown digest algorithm: {algorithm[:32]!r}")
    return algorithm


def _kind(content: bytes) -> str:
    """Read the media type out of the bytes: OCI manifests may leave the field out, so their shape decides."""
    try:
        parsed = json.loads(content)
    except ValueError:
        raise ValueError("not JSON") from None
    if not isinstance(parsed, dict):
        raise ValueError("not a JSON object")
    said = parsed.get("mediaType")
    if said in MEDIA_TYPES:
        return str(said)
    if said is None and isinstance(parsed.get("manifests"), list):
        return OCI_INDEX
    if said is None and isinstance(parsed.get("config"), dict) and isinstance(parsed.get("layers"), list):
        return OCI_MANIFEST
    raise ValueError(f"not a known kind of manifest: {str(said)[:80]}")
