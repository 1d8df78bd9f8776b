"""Contents by digest: read once, kept on disk, and never believed when the bytes are others."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildtasks.errors import RegistryError
from buildtasks.reference import Reference, Repository
from buildtasks.registry import Manifest, Registries, Registry
from buildtasks.registry.contents import Contents
from buildtasks.registry.manifest import OCI_MANIFEST, digest_of


@pytest.fixture
def repository(registry: str) -> Repository:
    return Repository.parse(f"{registry}/c{uuid.uuid4().hex[:12]}/app")


@pytest.fixture
def host(repository: Repository) -> Registry:
    return Registries().of(repository)


@pytest.fixture
def pinned(host: Registry, repository: Repository) -> Iterator[Reference]:
    config = host.upload(repository, b'{"a": 1}')
    described = {"mediaType": config.media_type, "digest": config.digest, "size": config.size}
    text = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described, "layers": []})
    manifest = Manifest.of(text.encode())
    host.put(repository.tag("a"), manifest)
    yield repository.at(manifest.digest)
    if host.head(repository.at(manifest.digest)):
        host.delete_manifest(repository.at(manifest.digest))


def test_what_was_read_once_needs_no_registry(host: Registry, pinned: Reference, tmp_path: Path) -> None:
    first = Contents(tmp_path).manifest(host, pinned)
    host.delete_manifest(pinned)
    assert Contents(tmp_path).manifest(host, pinned) == first
    with pytest.raises(RegistryError, match="does not have it"):
        Contents().manifest(host, pinned)


def test_a_config(host: Registry, pinned: Reference, repository: Repository, tmp_path: Path) -> None:
    digest = digest_of(b'{"a": 1}')
    assert Contents(tmp_path).blob(host, repository, digest) == b'{"a": 1}'
    assert (tmp_path / digest.replace(":", "-")).read_bytes() == b'{"a": 1}'


@pytest.mark.parametrize("damage", [b"", b"{}", b"\0" * 100])
def test_other_bytes_are_read_again(host: Registry, pinned: Reference, tmp_path: Path, damage: bytes) -> None:
    right = Contents(tmp_path).manifest(host, pinned)
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage)
    assert Contents(tmp_path).manifest(host, pinned) == right
    assert file.read_bytes() == right.content


def test_a_folder_that_cannot_be_made(host: Registry, pinned: Reference, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert Contents(tmp_path / "file" / "below").manifest(host, pinned).digest == pinned.digest


def test_many_contents_make_room(
    host: Registry, pinned: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("buildtasks.registry.contents.MOST", 3)
    for number in range(6):
        (tmp_path / f"sha256-{number}").write_text("")
    Contents(tmp_path).manifest(host, pinned)
    left = {file.name for file in tmp_path.iterdir()}
    assert len(left) == 4
    assert str(pinned.digest).replace(":", "-") in left
