"""One process: it starts, is known again, says why it failed, and ends."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.daemon import Daemon
from sandbox.messages import SandboxError


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon("sleeper", tmp_path, tmp_path / "sleeper.json")
    yield made
    made.stop(1)


def start(daemon: Daemon, script: str) -> None:
    daemon.start(["/bin/sh", "-c", script, "sh", str(daemon.config)], os.environ)


def test_runs_until_it_is_stopped(daemon: Daemon) -> None:
    start(daemon, "echo hello; while :; do sleep 0.02; done")
    pid = daemon.pid()
    assert pid is not None
    daemon.wait(lambda: "hello" in daemon.tail(), 5)
    assert os.getsid(pid) != os.getsid(0)
    daemon.stop()
    assert daemon.pid() is None
    assert not daemon.pidfile.exists()


def test_one_that_ignores_the_request_is_killed(daemon: Daemon) -> None:
    start(daemon, "trap '' TERM; echo ready; while :; do sleep 0.02; done")
    daemon.wait(lambda: "ready" in daemon.tail(), 5)
    daemon.stop(0.2)
    assert daemon.pid() is None


def test_a_killed_one_is_noticed(daemon: Daemon) -> None:
    start(daemon, "while :; do sleep 0.02; done")
    pid = daemon.pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while daemon.pid() is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert daemon.pid() is None


def test_one_that_ends_shows_its_log(daemon: Daemon) -> None:
    start(daemon, "echo one >&2; echo the reason >&2; exit 1")
    with pytest.raises(SandboxError, match=r"sleeper ended while starting; .*\none\nthe reason$"):
        daemon.wait(lambda: False, 5)


def test_one_that_is_silent_is_given_up(daemon: Daemon) -> None:
    start(daemon, "while :; do sleep 0.02; done")
    with pytest.raises(SandboxError, match="gave no answer in 0 s"):
        daemon.wait(lambda: False, 0.1)


def test_a_pid_that_belongs_to_another_process_is_not_ours(daemon: Daemon) -> None:
    daemon.pidfile.write_text(str(os.getpid()))
    assert daemon.pid() is None
    daemon.stop()


@pytest.mark.parametrize("text", ["", "x", "999999999"])
def test_a_broken_pid_file_means_no_process(daemon: Daemon, text: str) -> None:
    daemon.pidfile.write_text(text)
    assert daemon.pid() is None
