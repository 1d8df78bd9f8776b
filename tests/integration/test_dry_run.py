"""A dry run tells the plan and changes nothing: not in the engine, not in the registry, not in the files."""

from __future__ import annotations

import pytest
import witness
from conftest import Scratch


def app(scratch: Scratch) -> None:
    scratch.write("services/base/Dockerfile", "FROM busybox:stable\nRUN echo base > /base\n")
    scratch.write("services/app/Dockerfile", "FROM base\nRUN echo first > /which\n")
    settings = (scratch.root / "invoke.yaml").read_text()
    scratch.write("invoke.yaml", settings + "  services:\n    base:\n    app: {needs: [base], test: [cat, /which]}\n")
    scratch.commit()


def test_a_dry_release_changes_nothing(scratch: Scratch) -> None:
    app(scratch)
    assert scratch.inv("release", "--version", "1.1.0").code == 0
    scratch.write("services/app/Dockerfile", "FROM base\nRUN echo second > /which\n")
    before = witness.engine(scratch), witness.registry(scratch), witness.files(scratch.root)
    plans = [
        scratch.inv("--dry", "release", "--version", "1.2.0"),
        scratch.inv("release", "--dry", "--version=1.2.0"),
        scratch.inv("release", "--version", "1.2.0", "--dry"),
    ]
    assert [one.code for one in plans] == [0, 0, 0], plans[0].err
    assert len({one.out for one in plans}) == 1
    head, app_line, base_line, note = plans[0].out.splitlines()
    assert head.split() == ["service", "action", "reason", "tags"]
    assert app_line.split()[:2] == ["app", "build"]
    assert "1.2.0, latest (" in app_line
    assert "-> to be built)" in app_line
    assert base_line.split()[:2] == ["base", "reuse"]
    assert note == "latest moves: 1.2.0 is the newest version"
    told = scratch.inv("release", "--version", "1.2.0", "--dry", "--json")
    assert [(one["service"], one["action"]) for one in told.json["steps"]] == [("app", "build"), ("base", "reuse")]
    assert scratch.inv("build.plan", "--version", "1.2.0", "--json").json == told.json
    after = witness.engine(scratch), witness.registry(scratch), witness.files(scratch.root)
    assert after == before


@pytest.mark.parametrize("task", ["build", "push", "release"])
def test_a_dry_run_of_a_new_project_leaves_no_trace(scratch: Scratch, task: str) -> None:
    app(scratch)
    # The first run of a tasks.py compiles it.
    assert scratch.inv("--list").code == 0
    before = witness.files(scratch.root)
    for words in ([task, "--dry"], [task, "--force", "--dry", "--json"]):
        said = scratch.inv(*words)
        assert said.code == 0, said.err
    assert witness.files(scratch.root) == before
    assert (witness.engine(scratch), witness.registry(scratch)) == ({}, {})


def test_a_dry_run_refuses_what_the_run_would_refuse(scratch: Scratch) -> None:
    app(scratch)
    assert scratch.inv("release").code == 0
    scratch.write("services/base/Dockerfile", "FROM busybox:stable\nRUN echo other > /base\n")
    said = scratch.inv("release", "--dry")
    assert said.code == 3
    assert "a version never changes" in said.err


def test_the_plan_comes_true(scratch: Scratch) -> None:
    """What a dry run tells is what a run does."""
    app(scratch)
    told = scratch.inv("release", "--dry", "--json").json
    said = scratch.inv("release", "--json")
    assert said.code == 0, said.err
    assert [(one["service"], one["action"]) for one in said.json["images"]] == [
        (one["service"], one["action"]) for one in told["steps"]
    ]
    for step in told["steps"]:
        for reference in (*step["permanent"], *step["moving"]):
            repository, _, tag = reference.rpartition(":")
            label = witness.config(repository, tag)["config"]["Labels"]["dev.buildtasks.fingerprint"]
            assert label == step["fingerprint"]
