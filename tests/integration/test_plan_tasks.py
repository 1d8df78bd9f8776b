"""`inv build.plan`: what would be done and why, as table, JSON and bake file; nothing is done."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import witness
from conftest import Said, Scratch


def done(said: Said) -> Said:
    assert said.code == 0, said.err
    return said


@pytest.fixture
def app(scratch: Scratch) -> Scratch:
    """Return a committed project with two services, one on top of the other."""
    scratch.write("services/low/Dockerfile", "FROM scratch\nCOPY low /low\n")
    scratch.write("services/low/low", "low")
    scratch.write("services/web.app/Dockerfile", "FROM low\nARG A\nARG B\nARG C\nCOPY app /app\nLABEL a=$A b=$B c=$C\n")
    scratch.write("services/web.app/app", "app")
    settings(scratch)
    return scratch


def settings(scratch: Scratch, *lines: str, top: str = "") -> None:
    own = "".join(f"      {line}\n" for line in lines)
    head = f"buildtasks:\n  repository: {scratch.prefix}/{{service}}\n{top}"
    scratch.write("invoke.yaml", f"{head}  services:\n    low:\n    web.app:\n      needs: [low]\n{own}")
    scratch.commit()


def reasons(said: Said) -> dict[str, tuple[str, str]]:
    return {one["service"]: (one["action"], one["reason"]) for one in done(said).json["steps"]}


def test_the_plan_of_a_first_release(app: Scratch) -> None:
    before = witness.files(app.root)
    said = done(app.inv("build.plan", "--json")).json
    assert said["version"] == "1.0.0"
    assert (said["revision"]["branch"], said["revision"]["dirty"]) == ("main", False)
    assert set(said["revision"]) >= {"commit", "branch", "tag", "dirty"}
    assert [one["service"] for one in said["steps"]] == ["low", "web.app"]
    for one in said["steps"]:
        repository = f"{app.prefix}/{one['service']}"
        assert re.fullmatch("[0-9a-f]{64}", one.pop("fingerprint"))
        assert one == {
            "service": one["service"],
            "repository": repository,
            "action": "build",
            "reason": "not in the registry yet",
            "digest": None,
            "permanent": [f"{repository}:1.0.0"],
            "moving": [f"{repository}:latest"],
        }
    table = done(app.inv("build.plan")).out.splitlines()
    assert table[0].split() == ["service", "action", "reason", "tags"]
    assert table[1].split("  ")[0] == "low"
    assert table[1].endswith("1.0.0, latest (new -> to be built)")
    assert table[-1] == "latest moves: 1.0.0 is the newest version"
    assert (witness.files(app.root), witness.registry(app), witness.engine(app)) == (before, {}, {})


def test_the_reasons_of_later_releases(app: Scratch) -> None:
    done(app.inv("release"))
    assert reasons(app.inv("build.plan", "--json")) == {
        "low": ("skip", "unchanged, and every tag is there"),
        "web.app": ("skip", "unchanged, and every tag is there"),
    }
    moved = app.inv("build.plan", "--version", "1.1.0", "--json")
    assert reasons(moved)["low"] == ("reuse", "unchanged; sets 1.1.0")
    was = {name: witness.digest(f"{app.prefix}/{name}", "latest") or "" for name in ("low", "web.app")}
    assert {one["service"]: one["digest"] for one in moved.json["steps"]} == was
    app.write("services/web.app/app", "other")
    app.write("services/web.app/two", "x")
    assert reasons(app.inv("build.plan", "--version", "1.1.0", "--json")) == {
        "low": ("reuse", "unchanged; sets 1.1.0"),
        "web.app": ("build", "2 files changed: app, two"),
    }
    line = done(app.inv("build.plan", "--version", "1.1.0", "--service", "web.app")).out.splitlines()[2]
    assert line.endswith(f"1.1.0, latest ({was['web.app'].removeprefix('sha256:')[:12]} -> to be built)")
    app.write("services/low/low", "other")
    assert reasons(app.inv("build.plan", "--version", "1.1.0", "--json")) == {
        "low": ("build", "1 file changed: low"),
        "web.app": ("build", "2 files changed: app, two; need low is built anew"),
    }
    forced = app.inv("build.plan", "--version", "1.1.0", "--force", "--json")
    assert set(reasons(forced).values()) == {("build", "forced")}
    older = done(app.inv("build.plan", "--version", "0.9.0"))
    assert "latest stays: 0.9.0 is lower than 1.0.0" in older.out
    refused = app.inv("build.plan")
    assert (refused.code, refused.out) == (3, "")
    assert "app:1.0.0 exists with other content" in refused.err


def layers(name: str) -> list[str]:
    found: list[str] = json.loads(witness.docker("inspect", "--format", "{{json .RootFS.Layers}}", name))
    return found


def test_the_bake_file_builds_the_same_images(app: Scratch, tmp_path: Path) -> None:
    app.write("lib/x", "named")
    app.write(
        "services/web.app/Dockerfile",
        "FROM low\nARG A B C\nCOPY --from=lib x /x\nCOPY app /app\nLABEL a=$A b=$B c=$C\n",
    )
    values = {"A": "${X} $${Y} $Z", "B": "%{if true} %%{x} 100%", "C": "a\"b'c\\d"}
    escaped = {name: value.replace("{", "{{").replace("}", "}}") for name, value in values.items()}
    settings(app, f"args: {json.dumps(escaped)}", "contexts: {lib: lib}")
    done(app.inv("build"))
    names = [f"{app.prefix}/{name}:latest" for name in ("low", "web.app")]
    ours = [layers(name) for name in names]
    form = "{{json .Config.Labels}}"
    labels = [json.loads(witness.docker("inspect", "--format", form, name)) for name in names]
    assert {key.upper(): labels[1][key] for key in "abc"} == values
    witness.forget(app)
    said = done(app.inv("build.plan", "--bake"))
    assert set(said.json["target"]) == {"low", "web-app"}
    (tmp_path / "bake.json").write_text(said.out)
    words = ["docker", "buildx", "bake", "-f", str(tmp_path / "bake.json"), "--load"]
    built = subprocess.run(words, cwd=app.root, capture_output=True, text=True, check=False, timeout=120)
    assert built.returncode == 0, built.stderr
    tagged = [f"{app.prefix}/{name}:1.0.0" for name in ("low", "web.app")]
    assert [layers(name) for name in tagged] == ours
    assert [json.loads(witness.docker("inspect", "--format", form, name)) for name in tagged] == labels
    assert str(app.root) not in said.out
    skipped = done(app.inv("build", "--json")).json
    assert {one["action"] for one in skipped["images"]} == {"skip"}, "bake's images are known as ours"


def test_the_bake_file_says_what_it_wants_to_read(app: Scratch, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    settings(app, f"contexts: {{out: {tmp_path}/outside}}")
    said = done(app.inv("build.plan", "--bake"))
    assert f"--allow=fs.read={tmp_path}/outside" in said.err
    assert said.json["target"]["web-app"]["contexts"]["low"] == "target:low"


def test_dependencies_alone_decide_when_the_project_says_so(app: Scratch) -> None:
    app.write("services/web.app/requirements.txt", "x==1\n")
    settings(app, top="  fingerprint: dependencies\n")
    refused = app.inv("release")
    assert (refused.code, refused.out) == (3, "")
    assert "release with --allow-stale" in refused.err
    assert witness.registry(app) == {}
    done(app.inv("release", "--allow-stale"))
    app.write("services/web.app/app", "other")
    assert {action for action, _ in reasons(app.inv("build.plan", "--version", "1.1.0", "--json")).values()} == {
        "reuse"
    }
    app.write("services/web.app/requirements.txt", "x==2\n")
    assert reasons(app.inv("build.plan", "--version", "1.1.0", "--json")) == {
        "low": ("reuse", "unchanged; sets 1.1.0"),
        "web.app": ("build", "1 file changed: requirements.txt"),
    }


def test_a_setting_that_reads_unknown_is_reused(app: Scratch) -> None:
    settings(app, "args: {A: unknown}", "labels: {l: unknown}")
    done(app.inv("release"))
    assert {action for action, _ in reasons(app.inv("build.plan", "--json")).values()} == {"skip"}
