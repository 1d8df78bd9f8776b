"""The base image: the same bytes every time, readable as an OCI layout and by the older `docker load`."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from sandbox.busybox import Image, archive, make


@pytest.fixture
def programs(tmp_path: Path) -> dict[str, Path]:
    found = {name: tmp_path / name for name in ("amd64", "arm64")}
    for name, program in found.items():
        program.write_text(f"#!/bin/sh\n# {name}\nprintf 'sh\\nbusybox\\nhttpd\\n['\n")
        program.chmod(0o755)
    return found


@pytest.fixture
def image(programs: dict[str, Path]) -> Image:
    return make(programs)


def test_is_reproducible(programs: dict[str, Path], image: Image) -> None:
    assert archive(make(programs)) == archive(image)


def test_every_blob_has_its_digest(image: Image) -> None:
    assert all(digest == f"sha256:{hashlib.sha256(blob).hexdigest()}" for digest, blob in image.blobs.items())


def test_the_index_names_every_platform(image: Image) -> None:
    listed = json.loads(image.index)["manifests"]
    assert [entry["platform"]["architecture"] for entry in listed] == ["amd64", "arm64"]
    assert [entry["digest"] for entry in listed] == list(image.manifests)


def test_the_file_system(image: Image) -> None:
    manifest = json.loads(image.blobs[image.manifests[0]])
    layer = image.blobs[manifest["layers"][0]["digest"]]
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        members = {member.name: member for member in tar}
    links = {name: member.linkname for name, member in members.items() if member.issym()}
    assert links == {
        "bin/sh": "busybox",
        "bin/httpd": "busybox",
        "bin/[": "busybox",
        "usr/bin/env": "../../bin/busybox",
    }
    assert members["tmp"].mode == 0o1777
    assert members["bin/busybox"].mode == 0o755
    assert {member.mtime for member in members.values()} == {0}
    assert {"etc/passwd", "etc/group"} <= set(members)


def test_the_archive_leads_to_the_first_platform_in_the_old_way(image: Image) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive(image))) as tar:
        listed = json.load(tar.extractfile("manifest.json") or io.BytesIO())
        names = set(tar.getnames())
    assert listed[0]["RepoTags"] == ["busybox:stable"]
    assert {listed[0]["Config"], *listed[0]["Layers"], "index.json", "oci-layout"} <= names
