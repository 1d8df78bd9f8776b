"""The real thing: engines and registries that start, are killed, start again, and leave nothing.

The killed ones are private sandboxes with a folder of their own, and the repository's packages.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

import sandbox
from sandbox import busybox, client, engine, firewall, leftovers, lifecycle, machine, packages, registry
from sandbox.place import ROOT, Place, system

HOST = machine.read()
MANIFEST = f"/v2/{busybox.REPOSITORY}/manifests/{busybox.TAG}"


@pytest.fixture
def shared() -> sandbox.Sandbox:
    """Return the sandbox that all tests share."""
    return sandbox.up()


@pytest.fixture
def place(tmp_path: Path, shared: sandbox.Sandbox) -> Iterator[Place]:
    """Name a private sandbox of the test's own, and remove all of it afterwards."""
    if HOST is None or os.geteuid() != 0:
        reason = "a private engine needs Debian or Ubuntu, and root"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    made = Place(
        tmp_path / "home",
        ROOT / "packages",
        shared.suite or "trixie",
        shared.store or "containerd",
        forced=True,
    )
    yield made
    sandbox.down(made, clean=True)


def remains(place: Place) -> list[str]:
    """List what a sandbox left on the machine."""
    environ = engine.environment(place, place.packages / f"engine-{place.suite}")
    rules = [
        rule
        for table in firewall.TABLES
        for rule in firewall.marked(
            subprocess.run(
                ["/usr/bin/env", "iptables", "-t", table, "-S"],
                env=environ,
                capture_output=True,
                text=True,
                check=True,
            ).stdout,
            place.bridge,
        )
    ]
    return [
        *map(str, leftovers.processes(place.name)),
        *leftovers.mounts(Path("/proc/self/mountinfo").read_text(), [place.home, place.run]),
        *(str(path) for path in [place.run, Path("/sys/class/net", place.bridge)] if path.exists()),
        *map(str, leftovers.groups(place.name)),
        *(" ".join(rule) for rule in rules),
    ]


def build(running: sandbox.Sandbox, folder: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    (folder / "Dockerfile").write_text("FROM busybox:stable\nARG SEED\nRUN echo $SEED && test -d /tmp && id -u\n")
    seed = f"SEED={os.urandom(8).hex()}"
    return client.call(running, "buildx", "build", "--build-arg", seed, *words, str(folder), seconds=60)


def test_up_twice_gives_the_same(shared: sandbox.Sandbox) -> None:
    assert sandbox.up() == shared


def test_an_image_is_built_from_the_base(shared: sandbox.Sandbox, tmp_path: Path) -> None:
    done = build(shared, tmp_path)
    assert done.returncode == 0, done.stderr.decode()


def test_the_registry_holds_the_base(shared: sandbox.Sandbox) -> None:
    assert registry.answers(shared.registry, MANIFEST)


def test_the_user_s_configuration_is_left_alone(shared: sandbox.Sandbox) -> None:
    assert not Path(shared.docker_config).is_relative_to(Path.home() / ".docker")
    assert (Path(shared.docker_config) / "config.json").read_text() == "{}\n"


def test_down_leaves_nothing_even_while_a_container_runs(place: Place, tmp_path: Path) -> None:
    running = sandbox.up(place)
    started = client.call(running, "run", "--detach", "busybox:stable", "sleep", "600")
    assert started.returncode == 0, started.stderr.decode()
    (folder := tmp_path / "context").mkdir()
    assert build(running, folder).returncode == 0
    assert sandbox.down(place) == [place]
    assert remains(place) == []
    assert not registry.answers(running.registry)
    assert sandbox.down(place) == []


def test_killed_daemons_are_noticed_and_started_again(place: Place, tmp_path: Path) -> None:
    running = sandbox.up(place)
    client.call(running, "run", "--detach", "busybox:stable", "sleep", "600")
    for daemon in (engine.daemon(place), registry.daemon(place.home)):
        pid = daemon.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    with ThreadPoolExecutor(4) as threads:
        again = list(threads.map(lambda _: sandbox.up(place), range(4)))
    assert len(set(again)) == 1
    # The port may be another one: any process may have taken it meanwhile.
    assert replace(again[0], registry=running.registry) == running
    (folder := tmp_path / "context").mkdir()
    done = build(again[0], folder)
    assert done.returncode == 0, done.stderr.decode()


def test_another_port_when_the_registry_s_was_taken(place: Place, tmp_path: Path) -> None:
    before = sandbox.up(place)
    registry.daemon(place.home).stop()
    engine_pid = engine.daemon(place).pid()
    port = int(before.registry.rpartition(":")[2])
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        after = sandbox.up(place)
    assert after.registry != before.registry
    assert engine.daemon(place).pid() == engine_pid
    # Without the image at hand, the engine asks its mirror: the registry at its new address.
    assert client.succeeds(after, "image", "rm", "--force", busybox.NAME)
    (folder := tmp_path / "context").mkdir()
    done = build(after, folder, "--no-cache")
    assert done.returncode == 0, done.stderr.decode()


def test_a_pruned_base_comes_back_without_a_new_engine(place: Place) -> None:
    running = sandbox.up(place)
    pid = engine.daemon(place).pid()
    assert client.succeeds(running, "image", "rm", "--force", busybox.NAME)
    assert sandbox.up(place) == running
    assert client.succeeds(running, "image", "inspect", busybox.NAME)
    assert engine.daemon(place).pid() == pid


def test_an_engine_that_cannot_start_shows_its_log(place: Place) -> None:
    assert HOST
    root = place.packages / packages.engine(HOST, place.suite).name
    place.home.mkdir()
    (place.home / "data").write_text("not a folder")
    with pytest.raises(sandbox.SandboxError, match=r"dockerd ended while starting; .*\n(.*\n)*.*points to a file"):
        engine.start(place, root, "127.0.0.1:1")


def test_status_tells_the_living_from_the_dead(place: Place) -> None:
    home = place.home.parent / "root/trixie/containerd"
    here = replace(place, home=home)
    try:
        sandbox.up(here)
        (one,) = lifecycle.status(home.parent.parent)
        assert one.engine == f"running, pid {engine.daemon(here).pid()}"
        registry.daemon(home).stop()
        (one,) = lifecycle.status(home.parent.parent)
        assert one.registry == "dead"
    finally:
        sandbox.down(here, clean=True)
    (one,) = lifecycle.status(home.parent.parent)
    assert (one.engine, one.registry) == ("stopped", "stopped")


def test_without_docker_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "read", lambda: None)
    monkeypatch.setattr(client, "usable", lambda: False)
    with pytest.raises(sandbox.SandboxError, match="Install Docker Engine with its buildx plugin") as caught:
        sandbox.up(Place(tmp_path / "home", tmp_path / "packages"))
    assert "\n" not in str(caught.value)


def test_the_machine_s_own_docker_gets_a_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: sandbox.Sandbox
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "packages").symlink_to(ROOT / "packages")
    for name, value in shared.environ().items():
        monkeypatch.setenv(name, value)
    # This engine stands in for an installed one: it must not be recognised as a sandbox by its socket's name.
    (tmp_path / "docker.sock").symlink_to(shared.docker_host.removeprefix("unix://"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    here = Place(root / "trixie/containerd", root / "packages")
    try:
        running = sandbox.up(here)
        assert (running.private, running.docker_host) == (False, f"unix://{tmp_path}/docker.sock")
        assert running.registry != shared.registry
        assert sandbox.up(here) == running
    finally:
        assert sandbox.down(system(root), clean=True) == [system(root)]
    assert not registry.answers(running.registry)
