"""A plan as a bake file: what is in it, and that the real `docker buildx bake` reads back what was meant."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from buildtasks import bake
from buildtasks.errors import ConfigError
from buildtasks.plan import Action, Plan, Step
from buildtasks.reference import Repository
from buildtasks.revision import Revision
from buildtasks.settings import Service
from buildtasks.version import Version

ROOT = Path("/project")
PRINT = "0123456789abcdef" * 4
NASTY = {
    "plain": "a b",
    "dollar": "$X ${X} $${X} $$${X} $ $$ ${",
    "percent": "%X %{X} %%{X} %%%{X} % %% %{ if true }",
    "quotes": "'\"`\\ \\n \\${X}",
    "lines": "one\ntwo\ttabs",
    "unicode": "é 日本 \u2028",
    "empty": "",
    "ends": "$",
    "mixed": "$%{x}%${y}",
    "function": '${upper("x")}',
}


def service(name: str, **own: Any) -> Service:
    return Service(name, f"/project/{name}", f"/project/{name}/Dockerfile", Repository("localhost:5000", name), **own)


def step(one: Service) -> Step:
    permanent = (one.repository.tag("1.0.0"),)
    return Step(one, Action.BUILD, "forced", PRINT, None, permanent, (), one.repository.tag("x"))


def document(*services: Service) -> dict[str, Any]:
    return bake.document(Plan(Version.parse("1.0.0"), Revision(), tuple(map(step, services))), ROOT)


def printed(value: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Let bake resolve a file; return its targets."""
    file = folder / "bake.json"
    file.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    done = subprocess.run(
        ["docker", "buildx", "bake", "-f", str(file), "--print"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    targets: dict[str, Any] = json.loads(done.stdout)["target"]
    return targets


def test_a_target_holds_what_a_build_takes() -> None:
    whole = service(
        "web.app",
        target="final",
        network="none",
        args={"A": "1"},
        labels={"L": "2"},
        platforms=("linux/amd64", "linux/arm64"),
        secrets=("id=a,env=A",),
        ssh=("default",),
        needs=("db",),
        contexts={"lib": "/project/lib", "out": "/other", "img": "docker-image://alpine:3"},
    )
    found = document(whole, service("db"))
    assert found["group"] == {"default": {"targets": ["db", "web-app"]}}
    assert found["target"]["web-app"] == {
        "context": "web.app",
        "dockerfile": "Dockerfile",
        "contexts": {
            "lib": "lib",
            "out": "../other",
            "img": "docker-image://alpine:3",
            "db": "target:db",
        },
        "args": {"A": "1"},
        "labels": {
            "org.opencontainers.image.title": "web.app",
            "L": "2",
            "dev.buildtasks.fingerprint": PRINT,
            "dev.buildtasks.service": "web.app",
        },
        "tags": [f"localhost:5000/web.app:src-{PRINT[:12]}", "localhost:5000/web.app:1.0.0"],
        "target": "final",
        "network": "none",
        "platforms": ["linux/amd64", "linux/arm64"],
        "secret": ["id=a,env=A"],
        "ssh": ["default"],
        "attest": ["type=provenance,disabled=true", "type=sbom,disabled=true"],
    }
    assert set(found["target"]["db"]) == {"context", "dockerfile", "labels", "tags", "attest"}


def test_templates_of_bake_are_escaped() -> None:
    found = document(service("web", args={"A": "${X} %{if} $ %"}))["target"]["web"]
    assert found["args"] == {"A": "$${X} %%{if} $ %"}


def test_a_remote_context_stays_as_it_is() -> None:
    remote = Service("r", "https://example.org/x.git#main", "docker/Dockerfile", Repository("localhost:5000", "r"))
    found = document(remote)["target"]["r"]
    assert (found["context"], found["dockerfile"]) == ("https://example.org/x.git#main", "docker/Dockerfile")


def test_two_services_of_one_target_name() -> None:
    with pytest.raises(ConfigError, match=r"services a\.b and a-b both become the bake target a-b"):
        document(service("a.b"), service("a-b"))


def test_the_same_file_on_every_machine() -> None:
    assert "/project" not in json.dumps(document(service("web", contexts={"lib": "/project/lib"})))


def test_permissions_for_what_lies_outside() -> None:
    services = [
        service("web", contexts={"lib": "/other/lib", "img": "docker-image://alpine", "git": "https://x.org/y.git"}),
        Service("out", "/outside", "/outside/Dockerfile", Repository("localhost:5000", "out")),
        Service("two", "/outside", "/outside/Dockerfile", Repository("localhost:5000", "two")),
    ]
    assert bake.permissions(services, ROOT) == ("--allow=fs.read=/other/lib", "--allow=fs.read=/outside")
    assert bake.permissions([service("web")], ROOT) == ()


@pytest.mark.usefixtures("sandbox")
def test_bake_reads_back_every_value(tmp_path: Path) -> None:
    labels = {f"l.{key}": text for key, text in NASTY.items() if text}
    value = document(service("web.app", args=NASTY, labels=labels))
    found = printed(value, tmp_path)["web-app"]
    assert found["args"] == NASTY
    assert {key: text for key, text in found["labels"].items() if key.startswith("l.")} == labels


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("key", ["a${X}b", "%{x}", "$", "x.y/z"])
def test_bake_reads_back_every_name(tmp_path: Path, key: str) -> None:
    found = printed(document(service("web", labels={key: "1"})), tmp_path)["web"]
    assert found["labels"][key] == "1"
