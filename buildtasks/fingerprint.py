"""The fingerprint: SHA-256 over the inputs of a build.

The encoding is canonical, versioned and safe against shifting bytes between neighbours; docs/fingerprint.md gives it
byte for byte. Same inputs, same fingerprint, on any machine, checkout path and locale. When an input is not known the
fingerprint is one that no image can have.
"""

from __future__ import annotations

import gc
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from hashlib import sha256

from buildtasks.inputs import Input, Scope, contexts, gather, unknown
from buildtasks.settings import Service

ENCODING = "buildtasks fingerprint 1"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The fingerprint of one service: 64 hex digits, and what could not be known (then it must be built)."""

    value: str
    unknown: tuple[str, ...] = ()


def of(services: Iterable[Service], scope: Scope) -> dict[str, Fingerprint]:
    """Return the fingerprint of each service; all that they need must be among them.

    Raises:
        ContextError: a context cannot be read.
    """
    table = {service.name: service for service in services}
    order = TopologicalSorter({name: set(service.needs) for name, service in table.items()}).static_order()
    found: dict[str, Fingerprint] = {}
    whole = replace(scope, contexts={**hashed(table.values(), scope), **scope.contexts})
    for name in order:
        needs = {need: found[need] for need in table[name].needs}
        values = {need: one.value for need, one in needs.items()}
        blind = tuple(f"need {need}" for need, one in needs.items() if one.unknown)
        found[name] = fingerprint(gather(table[name], replace(whole, needs=values)), blind)
    return found


def hashed(services: Iterable[Service], scope: Scope) -> dict[str, tuple[Input, ...]]:
    """Return the local contexts of services by their digests, which is most of the work of a fingerprint.

    Raises:
        ContextError: a context cannot be read.
    """
    with _uncollected():
        return {one.name: contexts(one, scope) for one in services if one.name not in scope.contexts}


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector out: a walk makes tuples by the ten thousand and no cycle (measured: a tenth)."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def fingerprint(inputs: Sequence[Input], blind: tuple[str, ...] = ()) -> Fingerprint:
    """Return the fingerprint of gathered inputs; `blind` says what else is not known."""
    lacking = unknown(inputs) + blind
    nonce = [Input("unknown", "", uuid.uuid4().hex)] if lacking else []
    return Fingerprint(encode([*inputs, *nonce]), lacking)


def encode(inputs: Iterable[Input]) -> str:
    """Return the SHA-256, as 64 hex digits, of the canonical encoding of inputs in any order."""
    whole = sha256(ENCODING.encode() + b"\n")
    for parts in sorted(tuple(part.encode("utf-8", "surrogateescape") for part in one) for one in inputs):
        # Each part has its length in front: no byte can move from one part into the next unseen.
        whole.update(b"".join(len(part).to_bytes(8, "big") + part for part in parts))
    return whole.hexdigest()
