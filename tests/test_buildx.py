"""Command lines of buildx as tables, its output as it is, and its version and platform asked of the real one."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from invoked import LEAVES_PIPES, context
from invoked import collected as collected

from buildtasks import buildx, shell
from buildtasks.buildx import Build, Built, argv, current_step, parse_metadata
from buildtasks.errors import EngineError
from buildtasks.reference import Repository
from buildtasks.settings import Service
from sandbox import Sandbox

pytestmark = LEAVES_PIPES

REPOSITORY = Repository("localhost:5000", "web")
WEB = Service("web", "/srv/web", "/srv/web/Dockerfile", REPOSITORY)
PLAIN = Build(WEB, (REPOSITORY.tag("src-1"), REPOSITORY.tag("latest")), Path("/tmp/m.json"))
FIRST = ["docker", "buildx", "build", "--progress=plain", "--load", "--provenance=false", "--sbom=false"]
FIRST += ["--file", "/srv/web/Dockerfile", "--metadata-file", "/tmp/m.json"]
LAST = ["--tag", "localhost:5000/web:src-1", "--tag", "localhost:5000/web:latest", "/srv/web"]


def test_a_plain_build() -> None:
    assert argv(PLAIN) == [*FIRST, *LAST]


@pytest.mark.parametrize(
    "changes, words",
    [
        pytest.param({"builder": "far"}, ["--builder", "far"], id="builder"),
        pytest.param({"pull": True}, ["--pull"], id="pull"),
        pytest.param({"no_cache": True}, ["--no-cache"], id="no-cache"),
        pytest.param({"args": {"B": "2", "A": "--push"}}, ["--build-arg", "A=--push", "--build-arg", "B=2"], id="args"),
        pytest.param({"labels": {"-l": "a b"}}, ["--label", "-l=a b"], id="labels"),
        pytest.param({"contexts": {"c": "/c"}}, ["--build-context", "c=/c"], id="contexts"),
    ],
)
def test_options_of_a_build(changes: dict[str, Any], words: list[str]) -> None:
    assert argv(replace(PLAIN, **changes)) == [*FIRST, *words, *LAST]


@pytest.mark.parametrize(
    "changes, words",
    [
        pytest.param({"target": "--push"}, ["--target", "--push"], id="target"),
        pytest.param({"network": "none"}, ["--network", "none"], id="network"),
        pytest.param({"platforms": ("a/b", "c/d")}, ["--platform", "a/b,c/d"], id="platforms"),
        pytest.param({"secrets": ("id=a", "id=b,src=c")}, ["--secret", "id=a", "--secret", "id=b,src=c"], id="secrets"),
        pytest.param({"ssh": ("default",)}, ["--ssh", "default"], id="ssh"),
    ],
)
def test_options_of_a_service(changes: dict[str, Any], words: list[str]) -> None:
    assert argv(replace(PLAIN, service=replace(WEB, **changes))) == [*FIRST, *words, *LAST]


def test_the_same_build_has_the_same_words() -> None:
    one = replace(PLAIN, args={"A": "1", "B": "2"}, labels={"x": "1", "y": "2"})
    other = replace(PLAIN, args={"B": "2", "A": "1"}, labels={"y": "2", "x": "1"})
    assert argv(one) == argv(other)


def test_words_that_look_like_options_stay_values(sandbox: Sandbox, tmp_path: Path) -> None:
    """buildx itself says so: it builds, with an odd label and argument."""
    (tmp_path / "-D").write_text("FROM scratch\nARG X\nLABEL arg=$X\nCOPY -D /f\n")
    odd = Service("web", str(tmp_path), str(tmp_path / "-D"), REPOSITORY)
    build = Build(odd, (), tmp_path / "m.json", args={"X": "--push"}, labels={"-l": "--x"})
    words = ["--output=type=cacheonly" if word == "--load" else word for word in argv(build)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "line, step",
    [
        ("#5 [2/4] RUN make", "[2/4] RUN make"),
        ("#5 [2/4] RUN make\r", "[2/4] RUN make"),
        ("#12 [build 3/7] COPY a b", "[build 3/7] COPY a b"),
        ('#12 [linux/arm64 build 3/7] RUN ["a"]', '[linux/arm64 build 3/7] RUN ["a"]'),
        ("#1 [internal] load build definition from Dockerfile", "[internal] load build definition from Dockerfile"),
        ("#9 exporting to image", "exporting to image"),
        ("#9 exporting to docker image format", "exporting to docker image format"),
        ("#5 CACHED", None),
        ("#5 DONE 0.4s", None),
        ("#5 0.214 [1/2] output of a command", None),
        ("#5 ERROR: process did not complete", None),
        ('#0 building with "default" instance using docker driver', None),
        (" > [2/4] RUN make:", None),
        ("[2/4] RUN make", None),
        ("", None),
    ],
)
def test_steps(line: str, step: str | None) -> None:
    assert current_step(line) == step


def test_steps_of_a_real_build(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "f").write_text(os.urandom(8).hex())
    (tmp_path / "Dockerfile").write_text("FROM scratch AS one\nCOPY f /f\nFROM scratch\nCOPY --from=one /f /g\n")
    command = ["docker", "buildx", "build", "--progress=plain", "--output=type=cacheonly", str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    steps = [step for step in map(current_step, said.splitlines()) if step and not step.startswith("[internal]")]
    assert dict.fromkeys(steps) == dict.fromkeys(["[one 1/1] COPY f /f", "[stage-1 1/1] COPY --from=one /f /g"])


def test_metadata() -> None:
    told = {"containerimage.digest": "sha256:a", "containerimage.config.digest": "sha256:b", "buildx.build.ref": "x"}
    assert parse_metadata(told) == Built("sha256:a", "sha256:b")
    assert parse_metadata({}) == Built(None, None)


def test_a_dry_run_builds_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dry = context(tmp_path, dry=True)
    told = replace(PLAIN, metadata=tmp_path / "m.json")
    assert buildx.build(dry, told, root=tmp_path, log=shell.NOWHERE) == Built(None, None)
    assert not (tmp_path / "m.json").exists()


def test_the_real_buildx_and_its_platform(sandbox: Sandbox, tmp_path: Path) -> None:
    c = context(tmp_path)
    assert buildx.check(c) >= buildx.OLDEST
    assert buildx.platform(c).startswith("linux/")


ANSWERS = {
    "too-old": ('echo "github.com/docker/buildx v0.12.1 abc"', "buildx v0.12.1 is too old: 0.13 or newer is needed"),
    "no-buildx": ('echo "docker: buildx is not a docker command." >&2; exit 1', "docker buildx is not installed: "),
    "no-version": ("echo buildx", "docker buildx is not installed: "),
    "no-daemon": (
        'test "$1" = buildx && echo "buildx v0.29.1" || { echo "Cannot connect" >&2; exit 1; }',
        "the Docker daemon does not answer: Cannot connect",
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_what_is_missing_is_said(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script, said = ANSWERS[name]
    (tmp_path / "docker").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(EngineError) as caught:
        buildx.check(context(tmp_path))
    assert str(caught.value).startswith(said)


def test_docker_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("bash", "sh"):
        (tmp_path / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("PATH", str(tmp_path))
    for ask in (buildx.check, buildx.platform):
        with pytest.raises(EngineError, match=r"^docker is not installed: https://"):
            ask(context(tmp_path))
