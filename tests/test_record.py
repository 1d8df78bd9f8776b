"""Records of inputs: they come back as they were packed, say what differs, and lie beside an image in a registry."""

from __future__ import annotations

import gzip
import json
import os
import random
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import witness
from hypothesis import given
from hypothesis import strategies as st

from buildtasks import record as module
from buildtasks.fingerprint import of
from buildtasks.inputs import Input, Scope
from buildtasks.record import (
    Difference,
    Record,
    compare,
    keep,
    kept,
    pack,
    publish,
    published,
    shown,
    taken,
    told,
    unpack,
)
from buildtasks.reference import Reference, Repository
from buildtasks.registry import Manifest, Registries
from buildtasks.registry.manifest import OCI_MANIFEST
from buildtasks.settings import Service

PRINT = "0123456789abcdef" * 4
NAMES = st.text(st.characters(codec="utf-8") | st.sampled_from("\udcff\udc80\n"), max_size=6)
RECORDS = st.builds(Record, NAMES, st.lists(st.builds(Input, NAMES, NAMES, NAMES), max_size=6).map(tuple))


@given(RECORDS)
def test_a_record_comes_back(record: Record) -> None:
    assert unpack(pack(record)) == record
    assert pack(record) == pack(record)


@given(st.binary(max_size=60))
def test_garbage_is_no_record(content: bytes) -> None:
    assert unpack(content) is None
    assert unpack(gzip.compress(content)) is None


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        "text",
        {"fingerprint": PRINT},
        {"inputs": []},
        {"fingerprint": PRINT, "inputs": None},
        {"fingerprint": PRINT, "inputs": [["arg", "A"]]},
        {"fingerprint": PRINT, "inputs": [["arg", "A", "1", "2"]]},
        {"fingerprint": PRINT, "inputs": [1]},
    ],
)
def test_other_json_is_no_record(document: object) -> None:
    assert unpack(gzip.compress(json.dumps(document).encode())) is None


def test_a_cut_record_is_none() -> None:
    whole = pack(Record(PRINT, (Input("arg", "A", "1"),)))
    for at in range(len(whole)):
        assert unpack(whole[:at]) is None, at


def test_a_damaged_record_is_none_or_what_it_was() -> None:
    """gzip has a sum of its own; some bytes of its head, such as the time, mean nothing."""
    record = Record(PRINT, (Input("arg", "A", "1"), Input("file", "a", "x" * 500)))
    whole = pack(record)
    for at in range(len(whole)):
        for bit in (1, 16, 128):
            broken = whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :]
            assert unpack(broken) in (None, record), at


def test_fifty_thousand_entries_stay_small() -> None:
    chance = random.Random(1)
    inputs = [
        Input(
            "file",
            f"src/module{number % 300}/part{number % 17}/file{number}.py",
            f"file 0644 {chance.randbytes(32).hex()}",
        )
        for number in range(50_000)
    ]
    assert len(pack(Record(PRINT, tuple(inputs)))) < 3_000_000


def one(kind: str, name: str, value: str = "1") -> Input:
    return Input(kind, name, value)


@pytest.mark.parametrize(
    "was, now, differences, words",
    [
        ([], [], [], ""),
        ([one("arg", "A")], [one("arg", "A")], [], ""),
        ([one("arg", "A"), one("arg", "B")], [one("arg", "B"), one("arg", "A")], [], ""),
        ([], [one("arg", "A")], [("arg", "A", None, "1")], "arg A is new"),
        ([one("arg", "A")], [], [("arg", "A", "1", None)], "arg A is gone"),
        ([one("arg", "A")], [one("arg", "A", "2")], [("arg", "A", "1", "2")], "arg A changed"),
        ([one("base", "b:1")], [one("base", "b:1", "2")], [("base", "b:1", "1", "2")], "base b:1 moved"),
        ([], [one("base", "b:1")], [("base", "b:1", None, "1")], "base b:1 is new"),
        ([one("need", "db")], [one("need", "db", "2")], [("need", "db", "1", "2")], "need db is built anew"),
        ([one("target", "")], [one("target", "", "2")], [("target", "", "1", "2")], "target changed"),
        ([one("platform", "p", "")], [], [("platform", "p", "", None)], "platform p is gone"),
        ([one("label", "x", "")], [one("label", "x")], [("label", "x", "", "1")], "label x changed"),
        ([], [one("file", "a")], [("file", "a", None, "1")], "1 file changed: a"),
        (
            [one("file", "b")],
            [one("file", "a"), one("arg", "A")],
            [("arg", "A", None, "1"), ("file", "a", None, "1"), ("file", "b", "1", None)],
            "2 files changed: a, b; arg A is new",
        ),
        (
            [one("dockerfile", ""), one("file", "Dockerfile")],
            [one("dockerfile", "", "2"), one("file", "Dockerfile", "2")],
            [("dockerfile", "", "1", "2"), ("file", "Dockerfile", "1", "2")],
            "1 file changed: Dockerfile",
        ),
        (
            [one("dockerfile", ""), one("file", "a")],
            [one("dockerfile", "", "2"), one("file", "a", "2")],
            [("dockerfile", "", "1", "2"), ("file", "a", "1", "2")],
            "1 file changed: a; dockerfile changed",
        ),
        (
            [],
            [one("file", name) for name in "edcba"],
            [("file", name, None, "1") for name in "abcde"],
            "5 files changed: a, b, c, ...",
        ),
        (
            [],
            [one("file", name) for name in "cba"],
            [("file", name, None, "1") for name in "abc"],
            "3 files changed: a, b, c",
        ),
        ([], [one("file", "n\nl\udcff\té")], [("file", "n\nl\udcff\té", None, "1")], r"1 file changed: n\nl\udcff\té"),
    ],
)
def test_what_differs(
    was: list[Input], now: list[Input], differences: list[tuple[str, str, str | None, str | None]], words: str
) -> None:
    found = compare(was, now)
    assert found == tuple(Difference(*row) for row in differences)
    assert told(found) == words


@given(st.text())
def test_what_is_shown_can_be_printed(name: str) -> None:
    assert shown(name).isprintable()
    shown(name).encode("utf-8")
    if name.isprintable():
        assert shown(name) == name


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """Return a service with two files, one with a name that is not UTF-8."""
    root = tmp_path / "context"
    root.mkdir()
    (root / "a").write_bytes(b"A")
    Path(os.fsdecode(os.fsencode(root) + b"/\xff")).write_bytes(b"B")
    (tmp_path / "Dockerfile").write_bytes(b"FROM scratch\n")
    return Service("app", str(root), str(tmp_path / "Dockerfile"), Repository("localhost:5000", "app"))


NOTHING = Scope({}, {}, None)


def test_a_record_is_taken_of_the_inputs_of_its_fingerprint_alone(service: Service) -> None:
    now = of([service], NOTHING)["app"].value
    found = taken(service, NOTHING, now)
    assert found is not None
    assert found.fingerprint == now
    assert {input.name for input in found.inputs if input.kind == "file"} == {"a", "\udcff"}
    assert not [input for input in found.inputs if input.kind == "context"]
    assert taken(service, NOTHING, PRINT) is None
    Path(service.context, "a").write_bytes(b"other")
    assert taken(service, NOTHING, now) is None


def test_a_record_keeps_remote_contexts(service: Service) -> None:
    address = f"https://example.org/x.git#{'a' * 40}"
    remote = replace(service, contexts={"src": address})
    found = taken(remote, NOTHING, of([remote], NOTHING)["app"].value)
    assert found is not None
    assert Input("context", "src", address) in found.inputs


def test_no_record_of_what_is_not_known(service: Service) -> None:
    Path(service.dockerfile).write_bytes(b"FROM none\n")
    now = of([service], NOTHING)["app"]
    assert now.unknown
    assert taken(service, NOTHING, now.value) is None


def test_a_record_on_this_machine(tmp_path: Path) -> None:
    record = Record(PRINT, (Input("file", "\udcff", "1"),))
    assert kept(tmp_path, PRINT) is None
    keep(tmp_path, record)
    assert kept(tmp_path, PRINT) == record
    assert [path.name for path in (tmp_path / "inputs").iterdir()] == [f"{PRINT}.json.gz"]
    (tmp_path / "inputs" / f"{PRINT}.json.gz").write_bytes(b"garbage")
    assert kept(tmp_path, PRINT) is None


def test_a_record_that_cannot_be_kept_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    keep(tmp_path / "file", Record(PRINT, ()))
    assert kept(tmp_path / "file", PRINT) is None


# Beside an image, in the real registry.


@pytest.fixture
def content(registry: str) -> Iterator[Reference]:
    """Return the content tag of an image; all that is put beside it goes afterwards."""
    repository = Repository.parse(f"{registry}/t{uuid.uuid4().hex[:12]}/app")
    yield repository.tag(f"src-{PRINT[:12]}")
    client = Registries().of(repository)
    for tag in client.tags(repository):
        found = client.head(repository.tag(tag))
        if found:
            client.delete_manifest(repository.at(found.digest))


def test_a_record_beside_an_image(content: Reference) -> None:
    registries, record = Registries(), Record(PRINT, (Input("file", "\udcff\n", "1"), Input("arg", "A", "é")))
    assert published(registries, content) is None
    publish(registries, content, record)
    assert published(registries, content) == record
    assert published(Registries(), content) == record
    publish(registries, content, record)
    assert witness.tags(str(content.repository)) == {f"src-{PRINT[:12]}.inputs"}
    served = witness.manifest(str(content.repository), f"src-{PRINT[:12]}.inputs")
    assert served is not None
    assert served.media_type == OCI_MANIFEST
    assert served.json["layers"][0]["mediaType"] == "application/vnd.buildtasks.inputs.v1+json+gzip"
    (layer,) = served.json["layers"]
    blob = witness.get(f"{content.repository}/blobs/{layer['digest']}")
    assert blob is not None
    assert json.loads(gzip.decompress(blob[0]))["fingerprint"] == PRINT


@pytest.mark.parametrize("layers", [[], ["other"], ["garbage"], ["two", "two"]])
def test_another_manifest_under_the_tag_is_no_record(content: Reference, layers: list[str]) -> None:
    registry, repository = Registries().of(content.repository), content.repository
    config = registry.upload(repository, b"{}", module.CONFIG_TYPE)
    kinds = {"other": "application/octet-stream"}
    given = [registry.upload(repository, text.encode(), kinds.get(text, module.LAYER_TYPE)) for text in layers]
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": module._descriptor(config),
        "layers": [module._descriptor(layer) for layer in given],
    }
    registry.put(repository.tag(f"{content.tag}.inputs"), Manifest.of(json.dumps(document).encode(), OCI_MANIFEST))
    assert published(Registries(), content) is None
