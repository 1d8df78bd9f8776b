"""The state file, and the variables that users get."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sandbox import state
from sandbox.state import Sandbox
from sandbox.tasks import exports

RUNNING = Sandbox("unix:///run/x/docker.sock", "/c d", "/b/docker", "127.0.0.1:5000", private=True, suite="sid")


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    state.save(tmp_path, RUNNING)
    assert state.load(tmp_path) == RUNNING
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]
    state.forget(tmp_path)
    assert state.load(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"docker_host": "x"}', '{"unknown": 1}'])
def test_a_broken_state_means_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)
    assert state.load(tmp_path) is None


@pytest.mark.parametrize(
    ("before", "after"),
    [("/usr/bin", "/b:/usr/bin"), ("/b:/usr/bin", "/b:/usr/bin"), ("/usr/bin:/b", "/b:/usr/bin:/b")],
    ids=["new", "already first", "too late"],
)
def test_the_client_is_found_first(before: str, after: str) -> None:
    assert RUNNING.environ({"PATH": before})["PATH"] == after


def test_exports_are_lines_for_a_shell() -> None:
    assert exports(RUNNING) == [
        "export DOCKER_HOST=unix:///run/x/docker.sock",
        "export DOCKER_CONFIG='/c d'",
        "export SANDBOX_REGISTRY=127.0.0.1:5000",
        'export PATH=/b:"$PATH"',
    ]


def test_a_lock_is_free_again_when_its_owner_is_killed(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        with state.locked(tmp_path):
            os._exit(9)
    os.waitpid(child, 0)
    with state.locked(tmp_path):
        pass
