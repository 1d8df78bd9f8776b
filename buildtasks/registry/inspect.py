"""What an image in a registry is: fingerprint, platforms, created, size; from its manifest and its config.

Of an index the first image speaks for the fingerprint and the date, since all are built from the same inputs;
attestations in it are no platforms (https://docs.docker.com/build/metadata/attestations/attestation-storage/).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from buildtasks import labels
from buildtasks.image import Found
from buildtasks.reference import Reference
from buildtasks.registry.pool import Registries


def describe(registries: Registries, pinned: Reference) -> Found:
    """Return what the image or index at a digest is.

    Raises:
        RegistryError: it cannot be read.
    """
    registry, contents = registries.of(pinned.repository), registries.contents
    top = contents.manifest(registry, pinned)
    children = [child for child in top.json.get("manifests", []) if not is_attestation(child)]
    images = [contents.manifest(registry, pinned.repository.at(child["digest"])) for child in children] or [top]
    config = _config(registries, pinned, images[0].json)
    return Found(
        digest=top.digest,
        fingerprint=_labels(config).get(labels.FINGERPRINT),
        platforms=tuple(_platform(child.get("platform") or {}) for child in children) or (_platform(config),),
        created=config.get("created"),
        size=sum(_size(image.json) for image in images),
        media_type=top.media_type,
    )


def is_attestation(child: Mapping[str, Any]) -> bool:
    """Tell whether an entry of an index is an attestation and not an image."""
    return (child.get("annotations") or {}).get("vnd.docker.reference.type") == "attestation-manifest"


def _config(registries: Registries, pinned: Reference, manifest: Mapping[str, Any]) -> dict[str, Any]:
    if "config" not in manifest:
        return {}
    registry, repository = registries.of(pinned.repository), pinned.repository
    try:
        value = json.loads(registries.contents.blob(registry, repository, manifest["config"]["digest"]))
    except ValueError:
        # An artifact may have any bytes there: https://github.com/opencontainers/image-spec/blob/main/manifest.md
        return {}
    return value if isinstance(value, dict) else {}


def _labels(config: Mapping[str, Any]) -> dict[str, str]:
    return (config.get("config") or {}).get("Labels") or {}


def _size(manifest: Mapping[str, Any]) -> int:
    parts = [manifest.get("config") or {}, *(manifest.get("layers") or [])]
    return sum(int(part.get("size", 0)) for part in parts)


def _platform(value: Mapping[str, Any]) -> str:
    words = (value.get("os", "unknown"), value.get("architecture", "unknown"), value.get("variant", ""))
    return "/".join(word for word in words if word)
