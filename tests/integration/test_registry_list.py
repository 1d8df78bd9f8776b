"""`inv registry`: the tags of the services as a table and as JSON, checked against what the registry serves."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import pytest
import witness
from conftest import Scratch, projects

from buildtasks.reference import Repository
from buildtasks.registry import Manifest, Registries
from buildtasks.registry.manifest import OCI_MANIFEST


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, registry: str) -> Iterator[Scratch]:
    """Release two services, the first one twice."""
    with projects(tmp_path_factory.mktemp("published"), registry) as make:
        scratch = make()
        for name in ("one", "two"):
            scratch.write(f"services/{name}/Dockerfile", f"FROM busybox:stable\nRUN echo {name} > /name\n")
        scratch.commit()
        assert scratch.inv("release").code == 0
        scratch.write("services/one/Dockerfile", "FROM busybox:stable\nRUN echo again > /name\n")
        said = scratch.inv("release", "--version", "1.1.0", "--service", "one")
        assert said.code == 0, said.err
        yield scratch


def test_json_is_what_the_registry_serves(published: Scratch) -> None:
    said = published.inv("registry", "--json")
    assert said.code == 0, said.err
    assert [(one["service"], one["tag"]) for one in said.json] == [
        *(("one", tag) for tag in ("1.1.0", "latest", "1.0.0")),
        *(("two", tag) for tag in ("1.0.0", "latest")),
    ]
    for one in said.json:
        repository = f"{published.prefix}/{one['service']}"
        served = witness.manifest(repository, one["tag"])
        assert served
        sizes = [part["size"] for part in (served.json["config"], *served.json["layers"])]
        assert one == {
            "service": one["service"],
            "repository": repository,
            "tag": one["tag"],
            "digest": served.digest,
            "created": witness.config(repository, one["tag"])["created"],
            "size": sum(sizes),
            "platforms": ["linux/amd64"],
            "media_type": served.media_type,
        }


def test_the_table_says_the_same(published: Scratch) -> None:
    told = {(one["service"], one["tag"]): one for one in published.inv("registry", "--json").json}
    head, *rows = published.inv("registry").out.splitlines()
    assert head.split() == ["service", "tag", "created", "size", "platforms", "digest"]
    assert len(rows) == len(told)
    for row in rows:
        service, tag, created, number, unit, platforms, digest = row.split()
        one = told[service, tag]
        assert (created, platforms, digest) == (one["created"][:19], "linux/amd64", one["digest"])
        assert f"{number} {unit}" == f"{one['size'] / 1e6:.1f} MB"


def test_content_tags_are_shown_only_when_asked_for(published: Scratch) -> None:
    shown = published.inv("registry", "--all", "--json")
    assert shown.code == 0, shown.err
    for service in ("one", "two"):
        assert {one["tag"] for one in shown.json if one["service"] == service} == witness.tags(
            f"{published.prefix}/{service}"
        )
    hidden = {one["tag"] for one in shown.json} - {one["tag"] for one in published.inv("registry", "--json").json}
    assert all(re.fullmatch(r"src-[0-9a-f]{12}(\.inputs)?", tag) for tag in hidden)
    assert len(hidden) >= 3


def test_only_the_chosen_service(published: Scratch) -> None:
    assert {one["service"] for one in published.inv("registry", "--service", "two", "--json").json} == {"two"}


def test_nothing_published_is_an_empty_list(scratch: Scratch) -> None:
    scratch.write("services/app/Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")
    said = scratch.inv("registry", "--json")
    assert (said.code, said.json) == (0, []), said.err
    assert scratch.inv("registry").out.split() == ["service", "tag", "created", "size", "platforms", "digest"]


def test_attestations_are_no_platforms(make_scratch: Callable[[], Scratch]) -> None:
    """An index that another tool pushed, with provenance, and an artifact whose config is no JSON."""
    scratch = make_scratch()
    scratch.write("services/app/Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")
    repository = f"{scratch.prefix}/app"
    witness.docker(
        *("buildx", "build", "--provenance=mode=max", "--platform", "linux/amd64,linux/arm64", "--push", "--quiet"),
        *("--tag", f"{repository}:other", str(scratch.root / "services/app")),
    )
    ours = Repository.parse(repository)
    client = Registries().of(ours)
    config = client.upload(ours, b"\xff not JSON", "application/vnd.example.config")
    layer = client.upload(ours, b"chart", "application/vnd.example.chart")
    parts = [{"mediaType": one.media_type, "digest": one.digest, "size": one.size} for one in (config, layer)]
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": parts[0], "layers": parts[1:]}
    client.put(ours.tag("chart"), Manifest.of(json.dumps(document).encode(), OCI_MANIFEST))

    said = scratch.inv("registry", "--json")
    assert said.code == 0, said.err
    index = witness.manifest(repository, "other")
    assert index
    kinds = [child.get("annotations", {}).get("vnd.docker.reference.type") for child in index.json["manifests"]]
    assert kinds.count("attestation-manifest") == 2
    children = [witness.manifest(repository, child["digest"]) for child in index.json["manifests"][:2]]
    sizes = [part["size"] for one in children if one for part in (one.json["config"], *one.json["layers"])]
    found = {one["tag"]: one for one in said.json}
    assert set(found) == {"chart", "other"}
    assert found["other"]["platforms"] == ["linux/amd64", "linux/arm64"]
    assert (found["other"]["digest"], found["other"]["size"]) == (index.digest, sum(sizes))
    assert (found["other"]["media_type"], found["chart"]["media_type"]) == (index.media_type, OCI_MANIFEST)
    assert (found["chart"]["created"], found["chart"]["size"]) == (None, 15)
    assert scratch.inv("registry").code == 0
