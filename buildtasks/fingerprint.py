"""The fingerprint: SHA-256 over the inputs of a build.

The encoding is canonical, versioned and safe against shifting bytes between neighbours; docs/fingerprint.md gives it
byte for byte. Same inputs, same fingerprint, on any machine, checkout path and locale. When an input is not known the
fingerprint is one that no image can have.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from hashlib import sha256
from pathlib import Path

from buildtasks.inputs import Input, Inputs, Listing, gather
from buildtasks.settings import Service

ENCODING = "buildtasks fingerprint 1"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The fingerprint of one service: 64 hex digits, and what could not be known (then it must be built)."""

    value: str
    unknown: tuple[str, ...] = ()


def of(
    services: Iterable[Service], bases: Mapping[str, str], store: Path | None, *, mode: str = "content"
) -> dict[str, Fingerprint]:
    """Return the fingerprint of each service; all that they need must be among them.

    For `bases`, `store` and `mode` see `inputs.gather`.

    Raises:
        ContextError: a context cannot be read.
    """
    table = {service.name: service for service in services}
    order = TopologicalSorter({name: set(service.needs) for name, service in table.items()}).static_order()
    found: dict[str, Fingerprint] = {}
    for name in order:
        needs = {need: found[need].value for need in table[name].needs}
        blind = tuple(f"need {need}" for need in needs if found[need].unknown)
        found[name] = fingerprint(gather(table[name], bases, needs, store, mode=mode), blind)
    return found


def fingerprint(inputs: Inputs, blind: tuple[str, ...] = ()) -> Fingerprint:
    """Return the fingerprint of inputs; `blind` says what else is not known."""
    unknown = inputs.unknown() + blind
    contexts = [Input("context", name, digest(listing)) for name, listing in inputs.listings.items()]
    nonce = [Input("unknown", "", uuid.uuid4().hex)] if unknown else []
    return Fingerprint(encode([*inputs.single, *contexts, *nonce]), unknown)


def digest(listing: Listing) -> str:
    """Return the SHA-256 of a context's listing. Neither paths nor values can hold the NUL that ends them."""
    text = "".join([f"{path}\0{value}\0" for path, value in listing])
    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def encode(inputs: Iterable[Input]) -> str:
    """Return the SHA-256, as 64 hex digits, of the canonical encoding of inputs in any order."""
    whole = sha256(ENCODING.encode() + b"\n")
    for parts in sorted(tuple(part.encode("utf-8", "surrogateescape") for part in one) for one in inputs):
        # Each part has its length in front: no byte can move from one part into the next unseen.
        whole.update(b"".join(len(part).to_bytes(8, "big") + part for part in parts))
    return whole.hexdigest()
