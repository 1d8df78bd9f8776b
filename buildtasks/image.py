"""Images that are there, as values: what a registry or an engine says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Found:
    """An image that exists.

    `digest` is that of its manifest or index (None: an engine does not keep it), `fingerprint` what its label holds
    (None: not one of ours), `platforms` are `os/arch[/variant]`, `created` is RFC 3339, `size` bytes.
    """

    digest: str | None
    fingerprint: str | None = None
    platforms: tuple[str, ...] = ()
    created: str | None = None
    size: int = 0
    media_type: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one repository: the images under the tags that matter, and the names of all tags."""

    images: Mapping[str, Found] = field(default_factory=dict)
    names: tuple[str, ...] = ()
