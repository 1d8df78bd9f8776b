"""The record of an image: the list of inputs that it was built from, stored beside it, and compared with now.

In a registry the record is an artifact of its own (https://github.com/opencontainers/image-spec/blob/main/manifest.md
#guidelines-for-artifact-usage) under the content tag with `.inputs` behind it: an ordinary manifest with one small
config and one layer, which every registry takes. On this machine it is a file in the project's state folder.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buildtasks.filehash import Changed
from buildtasks.fingerprint import encode
from buildtasks.inputs import Input, Scope, files, gather
from buildtasks.reference import Reference
from buildtasks.registry import Manifest, Registries
from buildtasks.registry.manifest import OCI_MANIFEST, Descriptor
from buildtasks.settings import Service

LISTED = re.compile(r"[0-9a-f]{64}")
SUFFIX = ".inputs"
CONFIG_TYPE = "application/vnd.buildtasks.inputs.config.v1+json"
LAYER_TYPE = "application/vnd.buildtasks.inputs.v1+json+gzip"
LARGEST = 256_000_000


@dataclass(frozen=True, slots=True)
class Record:
    """The inputs that an image with this fingerprint was built from."""

    fingerprint: str
    inputs: tuple[Input, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """One input that is not the same: `was` None means added, `now` None means removed."""

    kind: str
    name: str
    was: str | None
    now: str | None


def taken(service: Service, scope: Scope, fingerprint: str) -> Record | None:
    """Read the inputs of a service for the record of a fingerprint; None when they are others by now.

    Raises:
        ContextError: a context cannot be read.
    """
    with contextlib.suppress(Changed):
        listed = tuple(files(service, scope))
        # Gathered after the files were read: had one changed meanwhile, this would show it.
        single = gather(service, scope)
        if encode(single) == fingerprint:
            return Record(fingerprint, (*(one for one in single if not _is_listed(one)), *listed))
    return None


def _is_listed(one: Input) -> bool:
    """Tell whether an input stands for a local context, whose entries the record lists one by one."""
    return one.kind == "context" and LISTED.fullmatch(one.value) is not None


def compare(was: Sequence[Input], now: Sequence[Input]) -> tuple[Difference, ...]:
    """Return the inputs that differ, by kind and name."""
    before, after = ({(one.kind, one.name): one.value for one in inputs} for inputs in (was, now))
    return tuple(
        Difference(*key, before.get(key), after.get(key))
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    )


def told(differences: Sequence[Difference], most: int = 3) -> str:
    """Return differences in words, such as `2 files changed: a.py, b.py` or `base busybox:stable moved`."""
    files = [one for one in differences if one.kind == "file"]
    other = [one for one in differences if one.kind != "file" and not _repeats(one, files)]
    words = [_files(files, most)] if files else []
    return "; ".join([*words, *(_other(one) for one in other)])


def _repeats(one: Difference, files: Sequence[Difference]) -> bool:
    """Tell whether the Dockerfile is named twice: it is an input of its own and mostly a file of the context too."""
    return one.kind == "dockerfile" and any(file.name.rpartition("/")[2] == "Dockerfile" for file in files)


def _files(files: Sequence[Difference], most: int) -> str:
    names = ", ".join(shown(one.name) for one in files[:most]) + (", ..." if len(files) > most else "")
    return f"{len(files)} file{'s' if len(files) > 1 else ''} changed: {names}"


def _other(one: Difference) -> str:
    verb = "is new" if one.was is None else "is gone" if one.now is None else "changed"
    if one.kind in ("base", "need") and verb == "changed":
        verb = "moved" if one.kind == "base" else "is built anew"
    return " ".join(word for word in (one.kind, shown(one.name), verb) if word)


def shown(name: str) -> str:
    """Return a name on one line that any terminal can print: line feeds and bytes that are not UTF-8 are escaped."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in name)


def pack(record: Record) -> bytes:
    """Return a record as compressed JSON; the same record gives the same bytes."""
    document = {"fingerprint": record.fingerprint, "inputs": [list(one) for one in record.inputs]}
    return gzip.compress(json.dumps(document, separators=(",", ":")).encode(), mtime=0)


def unpack(content: bytes) -> Record | None:
    """Return the record that some bytes hold, None when they hold none."""
    with contextlib.suppress(ValueError, KeyError, TypeError, OSError, EOFError, zlib.error):
        document = json.loads(gzip.decompress(content))
        return Record(document["fingerprint"], tuple(Input(*one) for one in document["inputs"]))
    return None


def publish(registries: Registries, content: Reference, record: Record) -> None:
    """Store a record beside the image under its content tag.

    Raises:
        RegistryError: the registry refuses.
    """
    registry, repository = registries.of(content.repository), content.repository
    config = registry.upload(repository, b"{}", CONFIG_TYPE)
    layer = registry.upload(repository, pack(record), LAYER_TYPE)
    registry.put(repository.tag(f"{content.tag}{SUFFIX}"), Manifest.of(_manifest(config, layer), OCI_MANIFEST))


def _manifest(config: Descriptor, layer: Descriptor) -> bytes:
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _descriptor(config),
        "layers": [_descriptor(layer)],
    }
    return json.dumps(document, separators=(",", ":")).encode()


def _descriptor(one: Descriptor) -> dict[str, Any]:
    return {"mediaType": one.media_type, "digest": one.digest, "size": one.size}


def published(registries: Registries, content: Reference) -> Record | None:
    """Return the record beside an image, None when there is none.

    Raises:
        RegistryError: the registry cannot tell.
    """
    registry, repository = registries.of(content.repository), content.repository
    manifest = registry.get(repository.tag(f"{content.tag}{SUFFIX}"))
    layers: Sequence[Mapping[str, Any]] = manifest.json.get("layers", []) if manifest else []
    if len(layers) != 1 or layers[0].get("mediaType") != LAYER_TYPE:
        return None
    return unpack(registry.blob(repository, layers[0]["digest"], limit=LARGEST))


def keep(state: Path, record: Record) -> None:
    """Store a record on this machine; where that fails, `explain` knows less and nothing else happens."""
    with contextlib.suppress(OSError):
        file = _file(state, record.fingerprint)
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_suffix(f".{os.getpid()}")
        new.write_bytes(pack(record))
        new.replace(file)


def kept(state: Path, fingerprint: str) -> Record | None:
    """Return the record of a fingerprint that this machine keeps."""
    with contextlib.suppress(OSError):
        return unpack(_file(state, fingerprint).read_bytes())
    return None


def _file(state: Path, fingerprint: str) -> Path:
    return state / "inputs" / f"{fingerprint}.json.gz"
