"""Which tags change (pure), and what setting them does in a real registry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
import witness
from conftest import Scratch, projects

from buildtasks import publish
from buildtasks.errors import Refused, RegistryError
from buildtasks.plan import Action, Move, Plan, Step
from buildtasks.publish import Change
from buildtasks.reference import Repository
from buildtasks.registry import Manifest, Registries
from buildtasks.registry.manifest import OCI_INDEX, OCI_MANIFEST
from buildtasks.revision import Revision
from buildtasks.settings import Service

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def step(name: str, action: Action = Action.BUILD, *, was: str | None = None, digest: str | None = None) -> Step:
    repository = Repository.parse(f"example.org/{name}")
    return Step(
        service=Service(name, "/context", "/context/Dockerfile", repository),
        action=action,
        reason="",
        fingerprint="f" * 64,
        digest=digest,
        permanent=(repository.tag("1.0.0"),),
        moving=(Move(repository.tag("latest"), was),),
        source=repository.tag("src-ffffffffffff"),
    )


def plan(*steps: Step) -> Plan:
    return Plan(None, Revision(), steps)


def told(changes: tuple[Change, ...]) -> list[tuple[str, str | None, str, bool]]:
    return [(str(one.reference), one.was, one.to, one.moving) for one in changes]


def test_permanent_tags_of_all() -> None:
    found = publish.changes(plan(step("a"), step("b", Action.REUSE)), {"a": A, "b": B}, moving=False)
    assert told(found) == [("example.org/a:1.0.0", None, A, False), ("example.org/b:1.0.0", None, B, False)]
    assert [one.service for one in found] == ["a", "b"]


@pytest.mark.parametrize("was, moves", [(None, True), (A, False), (B, True)], ids=["new", "there already", "elsewhere"])
def test_moving_tags_that_are_not_there_yet(was: str | None, moves: bool) -> None:
    found = publish.changes(plan(step("a", was=was)), {"a": A}, moving=True)
    assert told(found) == ([("example.org/a:latest", was, A, True)] if moves else [])


def test_a_skipped_service_changes_nothing() -> None:
    for moving in (False, True):
        assert publish.changes(plan(step("a", Action.SKIP, digest=A)), {"a": A}, moving=moving) == ()


@pytest.fixture
def room(tmp_path_factory: pytest.TempPathFactory, registry: str) -> Iterator[Scratch]:
    """Return a project of which only the name in the registry is used."""
    with projects(tmp_path_factory.mktemp("room"), registry) as make:
        yield make()


def manifest(registries: Registries, repository: Repository, content: str, *, padded: bool = False) -> str:
    """Store a manifest with one layer, only under its digest; return that. Padding makes unusual bytes."""
    client = registries.of(repository)
    config, layer = client.upload(repository, b"{}"), client.upload(repository, content.encode())
    parts = [{"mediaType": one.media_type, "digest": one.digest, "size": one.size} for one in (config, layer)]
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": parts[0], "layers": parts[1:]}
    found = Manifest.of(json.dumps(document, indent=7 if padded else None).encode(), OCI_MANIFEST)
    client.put(repository.at(found.digest), found)
    return found.digest


def test_a_tag_gets_the_very_bytes(room: Scratch) -> None:
    registries, repository = Registries(), room.repository("app")
    digest = manifest(registries, repository, "one", padded=True)
    changes = [
        Change("app", repository.tag("1.0.0"), None, digest, False),
        Change("app", repository.tag("latest"), None, digest, True),
    ]
    assert publish.apply(changes, registries) == tuple(changes)
    served = {tag: witness.manifest(str(repository), tag) for tag in ("1.0.0", "latest")}
    assert {one.digest for one in served.values() if one} == {digest}
    assert {one.media_type for one in served.values() if one} == {OCI_MANIFEST}
    # Once more: nothing is left to do.
    assert publish.apply(changes, registries) == ()


def test_an_index_stays_one(room: Scratch) -> None:
    registries, repository = Registries(), room.repository("app")
    child = manifest(registries, repository, "one")
    entry = {"mediaType": OCI_MANIFEST, "digest": child, "size": len(_get(registries, repository, child).content)}
    index = Manifest.of(json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode(), OCI_INDEX)
    registries.of(repository).put(repository.at(index.digest), index)
    publish.apply([Change("app", repository.tag("2"), None, index.digest, True)], registries)
    served = witness.manifest(str(repository), "2")
    assert served
    assert (served.digest, served.media_type) == (index.digest, OCI_INDEX)


def _get(registries: Registries, repository: Repository, digest: str) -> Manifest:
    found = registries.of(repository).get(repository.at(digest))
    assert found
    return found


def test_only_a_moving_tag_gets_another_content(room: Scratch) -> None:
    registries, repository = Registries(), room.repository("app")
    first, second = (manifest(registries, repository, text) for text in ("one", "two"))
    change = Change("app", repository.tag("x"), None, first, False)
    publish.apply([change], registries)
    with pytest.raises(Refused, match="exists with other content"):
        publish.apply([replace(change, to=second)], registries)
    assert witness.digest(str(repository), "x") == first
    publish.apply([replace(change, to=second, moving=True)], registries)
    assert witness.digest(str(repository), "x") == second


def test_content_that_is_gone_sets_no_tag(room: Scratch) -> None:
    registries, repository = Registries(), room.repository("app")
    with pytest.raises(RegistryError, match="names it but does not have it"):
        publish.apply([Change("app", repository.tag("x"), None, A, True)], registries)
    with pytest.raises(RegistryError, match="the registry does not have it"):
        publish.expect(registries, repository.tag("x"))
    assert witness.tags(str(repository)) == set()
