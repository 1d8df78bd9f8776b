"""Reuse from the registry alone: a second machine builds nothing that the first one released."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import witness
from conftest import Said, Scratch, projects

TWO = ["app", "low"]


def write(scratch: Scratch) -> Scratch:
    """Make two services, one on top of the other, that build at once."""
    scratch.write("services/low/Dockerfile", "FROM scratch\nCOPY low /low\n")
    scratch.write("services/low/low", scratch.prefix)
    scratch.write("services/app/Dockerfile", "FROM low\nCOPY app /app\n")
    scratch.write("services/app/app", scratch.prefix)
    settings = (
        f"buildtasks:\n  repository: {scratch.prefix}/{{service}}\n  services:\n    low:\n    app: {{needs: [low]}}\n"
    )
    scratch.write("invoke.yaml", settings)
    scratch.commit()
    return scratch


def clone(scratch: Scratch, folder: Path) -> Scratch:
    """Return the same project as another machine has it: another folder, nothing remembered, no images."""
    shutil.copytree(scratch.root, folder, symlinks=True)
    witness.forget(scratch)
    env = {f"XDG_{kind}_HOME": f"{folder}.{kind.lower()}" for kind in ("CACHE", "STATE")}
    return replace(scratch, root=folder, env=env)


def done(said: Said) -> Said:
    assert said.code == 0, said.err
    return said


def actions(said: Said) -> dict[str, str]:
    document = said.json
    return {one["service"]: one["action"] for one in document.get("images", document.get("steps"))}


def builds(scratch: Scratch) -> int:
    """Return how many builds were tried."""
    return len(list(scratch.state.glob("logs/*/*.log")))


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory, registry: str) -> Iterator[Scratch]:
    """Release version 1.0.0 on one machine; tests look at it from others."""
    with projects(tmp_path_factory.mktemp("reuse"), registry) as make:
        scratch = write(make())
        assert actions(done(scratch.inv("release", "--json"))) == dict.fromkeys(TWO, "build")
        yield scratch


def digests(scratch: Scratch, tag: str) -> dict[str, str | None]:
    return {name: witness.digest(f"{scratch.prefix}/{name}", tag) for name in TWO}


def test_another_machine_releases_the_same_bytes(released: Scratch, tmp_path: Path) -> None:
    other = clone(released, tmp_path / "other")
    said = done(other.inv("release", "--version", "1.1.0", "--json"))
    assert actions(said) == dict.fromkeys(TWO, "reuse")
    assert digests(released, "1.1.0") == digests(released, "1.0.0")
    assert {one["service"]: one["digest"] for one in said.json["images"]} == digests(released, "1.0.0")
    assert builds(other) == 0
    assert not witness.engine(released), "nothing has to be pulled to move tags"


def test_another_machine_pulls_instead_of_building(released: Scratch, tmp_path: Path) -> None:
    other = clone(released, tmp_path / "other")
    plan = done(other.inv("build", "--dry", "--json")).json
    assert [(one["action"], one["reason"]) for one in plan["steps"]] == [("reuse", "in the registry")] * 2
    said = done(other.inv("build", "--json"))
    assert actions(said) == dict.fromkeys(TWO, "reuse")
    assert {one["service"]: one["digest"] for one in said.json["images"]} == digests(released, "1.0.0")
    assert builds(other) == 0
    local = witness.engine(released)
    assert set(local) >= {f"{released.prefix}/{name}:latest" for name in TWO}
    assert actions(done(other.inv("build", "--json"))) == dict.fromkeys(TWO, "skip")


def test_only_what_changed_is_built_on_what_is_pulled(released: Scratch, tmp_path: Path) -> None:
    other = clone(released, tmp_path / "other")
    other.write("services/app/app", "changed")
    said = done(other.inv("build", "--json"))
    assert actions(said) == {"app": "build", "low": "reuse"}
    form = "{{json .RootFS.Layers}}"
    low = witness.config(f"{released.prefix}/low", "1.0.0")["rootfs"]["diff_ids"]
    layers = witness.docker("inspect", "--format", form, f"{released.prefix}/app:latest")
    assert layers.startswith(str(low).replace("'", '"')[:-1])


@pytest.mark.parametrize("task", ["build", "release"])
def test_force_builds_what_could_be_reused(released: Scratch, tmp_path: Path, task: str) -> None:
    other = clone(released, tmp_path / "other")
    said = done(other.inv(task, "--force", "--json", *(["--version", "9.0.0"] if task == "release" else [])))
    assert actions(said) == dict.fromkeys(TWO, "build")
    assert builds(other) == 2


def test_an_image_that_only_looks_like_ours_is_never_reused(scratch: Scratch, tmp_path: Path) -> None:
    """The content tag is there, but its label holds another fingerprint: twelve digits are no proof."""
    write(scratch)
    steps = {one["service"]: one for one in done(scratch.inv("build.plan", "--json")).json["steps"]}
    fake = steps["low"]["fingerprint"][:12] + "0" * 52
    name = f"{scratch.prefix}/low:src-{fake[:12]}"
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /fake\n")
    words = ["buildx", "build", "--provenance=false", "--push", "--label", f"dev.buildtasks.fingerprint={fake}"]
    witness.docker(*words, "--label", "dev.buildtasks.service=low", "--tag", name, str(tmp_path))
    before = witness.registry(scratch)
    for task in ("push", "release"):
        said = scratch.inv(task, "--json")
        assert (said.code, said.out) == (3, ""), said.err
        assert f"{name} exists with other content" in said.err
    assert witness.registry(scratch) == before
    assert builds(scratch) == 0
    assert actions(done(scratch.inv("build", "--json"))) == dict.fromkeys(TWO, "build")
    done(scratch.inv("release", "--force"))
    assert witness.registry(scratch)[name] != before[name]


def test_without_a_registry_a_build_goes_on_and_a_release_does_nothing(scratch: Scratch) -> None:
    write(scratch)
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    text = (scratch.root / "invoke.yaml").read_text()
    host = scratch.prefix.partition("/")[0]
    scratch.write("invoke.yaml", text.replace(host, f"127.0.0.1:{port}"))
    dead = replace(scratch, prefix=scratch.prefix.replace(host, f"127.0.0.1:{port}"))
    try:
        for task in ("push", "release", "build.plan"):
            said = scratch.inv(task)
            assert (said.code, said.out) == (1, "")
            assert f"127.0.0.1:{port}/v2/" in said.err
            assert builds(scratch) == 0
        said = done(scratch.inv("build", "--json"))
        assert actions(said) == dict.fromkeys(TWO, "build")
        assert "connection refused; building what the engine does not have" in said.err
        assert actions(done(scratch.inv("build", "--json"))) == dict.fromkeys(TWO, "skip")
        explained = done(scratch.inv("build.explain", "--service", "app"))
        assert "comparing with the engine" in explained.err
        assert "built from the same inputs" in explained.out
    finally:
        witness.forget(dead)
