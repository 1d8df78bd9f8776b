"""Digests of base images: from the real registry, from the real engine, and what is said where neither knows."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from invoked import LEAVES_PIPES, context
from invoked import collected as collected

from buildtasks import bases
from buildtasks.bases import Base
from buildtasks.reference import Repository
from buildtasks.registry import Manifest, Registries
from buildtasks.registry.manifest import OCI_MANIFEST

pytestmark = LEAVES_PIPES
SHA = "sha256:" + "a" * 64
NOWHERE = "127.0.0.1:1/x/base:1"


@pytest.fixture
def pushed(registry: str) -> Iterator[tuple[Repository, str]]:
    """Put a manifest under a tag; give its repository and digest."""
    repository = Repository.parse(f"{registry}/t{uuid.uuid4().hex[:12]}/base")
    client = Registries().of(repository)
    config = client.upload(repository, b"{}", "application/vnd.oci.image.config.v1+json")
    described = {"mediaType": config.media_type, "digest": config.digest, "size": config.size}
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described, "layers": []}
    content = json.dumps(document).encode()
    client.put(repository.tag("1"), Manifest.of(content, OCI_MANIFEST))
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    yield repository, digest
    client.delete_manifest(repository.at(digest))


def ask(tmp_path: Path, *images: str) -> tuple[Base, ...]:
    return bases.digests(context(tmp_path), Registries(), images)


def test_the_registry_is_asked(tmp_path: Path, pushed: tuple[Repository, str]) -> None:
    repository, digest = pushed
    image = f"{repository}:1"
    assert ask(tmp_path, image, image) == (Base(image, digest),)


def test_a_digest_in_the_name_is_no_question(tmp_path: Path) -> None:
    image = f"127.0.0.1:1/x/base:1@{SHA}"
    assert ask(tmp_path, image) == (Base(image, SHA),)


def test_a_tag_that_is_not_there(tmp_path: Path, pushed: tuple[Repository, str]) -> None:
    image = f"{pushed[0]}:2"
    (found,) = ask(tmp_path, image)
    assert found == Base(image, "", f"base {image}: not in its registry; not known here either, so it is built")


def test_a_registry_that_does_not_answer(tmp_path: Path) -> None:
    (found,) = ask(tmp_path, NOWHERE)
    assert (found.image, found.digest) == (NOWHERE, "")
    assert found.note.startswith(f"base {NOWHERE}: HEAD 127.0.0.1:1/v2/x/base/manifests/1: ")
    assert found.note.endswith("; not known here either, so it is built")
    assert "\n" not in found.note


def test_words_that_are_no_reference(tmp_path: Path) -> None:
    (found,) = ask(tmp_path, "Not/A Reference")
    assert found.digest == ""
    assert found.note.startswith("base Not/A Reference: ")


def test_answers_come_in_order_of_the_names(tmp_path: Path) -> None:
    images = [f"127.0.0.1:1/x/{name}@{SHA}" for name in "cab"]
    assert [one.image for one in ask(tmp_path, *images)] == sorted(images)
    assert ask(tmp_path) == ()


def test_pinned_asks_nothing() -> None:
    assert bases.pinned([NOWHERE, "a", "a"]) == (Base(NOWHERE, "by name"), Base("a", "by name"))
