"""What is wrong is told in one line, with the right exit code, before anything is done."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
import witness
from conftest import Said, Scratch

from sandbox import packages, place, registry

DEAD = "unix:///nowhere/docker.sock"
CONFIG = "invoke.yaml: buildtasks"


@pytest.fixture
def app(scratch: Scratch) -> Scratch:
    """Return a project with one small service and its settings."""
    scratch.write("services/app/Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")
    return scratch


def settings(scratch: Scratch, *lines: str) -> None:
    scratch.write("invoke.yaml", "\n".join(["buildtasks:", *(f"  {line}" for line in lines)]) + "\n")


def refused(scratch: Scratch, said: Said, code: int, *words: str, lines: int = 1) -> str:
    """Check that a run ended with a code and some words, in few lines, and did nothing at all; return the words."""
    told = [line for line in said.err.splitlines() if not line.startswith("base ")]
    assert said.code == code, said.err
    assert "Traceback" not in said.err + said.out
    assert len(told) <= lines, said.err
    for word in words:
        assert word in said.err
    assert said.out == ""
    left = {path.name for path in scratch.root.iterdir()} - {"__pycache__"}
    assert left <= {"tasks.py", "VERSION", "invoke.yaml", "services", ".git"}
    return said.err


@pytest.mark.parametrize(
    "words, code, told",
    [
        (["release", "--service", "ap"], 2, "no such service: ap; did you mean app? (known: app)"),
        (["release", "--service", "-x"], 2, "no such service: -x"),
        (["build", "--service=../app"], 2, "no such service: ../app"),
        (["release", "--version", "1.2"], 2, "not a version: '1.2': did you mean 1.2.0?"),
        (["push", "--version", "latest"], 2, "not a version: 'latest'"),
        (["release", "--latest", "--no-latest"], 2, "--latest and --no-latest: take one of them"),
        (["build", "--jobs", "0"], 2, "--jobs: a whole number of at least 1 is needed, found '0'"),
        (["release", "--jobs", "abc"], 2, "--jobs: a whole number of at least 1 is needed, found 'abc'"),
        (
            ["build", "--report", "no/such/folder/r.json"],
            2,
            "--report no/such/folder/r.json: No such file or directory",
        ),
        (["release", "--report", "services"], 2, "--report services: Is a directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_flags(app: Scratch, words: list[str], code: int, told: str) -> None:
    refused(app, app.inv(*words), code, told)


@pytest.mark.parametrize(
    "lines, told",
    [
        (["latests: newest"], f"{CONFIG}.latests: unknown setting; did you mean latest?"),
        (["services: {app: {contexd: .}}"], f"{CONFIG}.services.app.contexd: unknown setting; did you mean context?"),
        (["services: {app: {context: ../none}}"], f"{CONFIG}.services.app.context: no such folder: ../none"),
        (["services: {app: {dockerfile: D}}"], f"{CONFIG}.services.app.dockerfile: no such file: services/app/D"),
        (["services: nowhere"], f"{CONFIG}.services: no such folder or file: nowhere"),
        (["services: {-app: {context: services/app}}"], f"{CONFIG}.services.-app: not a service name: '-app'"),
        (["services: {../app: {}}"], f"{CONFIG}.services.../app: not a service name: '../app'"),
        (["services: {App: {}}"], f"{CONFIG}.services.App: not a service name: 'App'"),
        (["services: {app: {needs: [ap]}}"], f"{CONFIG}.services.app.needs: no such service: ap; did you mean app?"),
        (
            ["services: {app: {needs: [b]}, b: {context: services/app, needs: [app]}}"],
            f"{CONFIG}.services: needs go in a circle: ",
        ),
        (["repository: Registry.example/You/{service}"], "repository names are lower case"),
        (["repository: 'example.org/a b/{service}'"], "white space"),
        (["repository: example.org/{servce}"], "unknown {servce}; did you mean service?"),
        (["jobs: 0"], f"{CONFIG}.jobs: a whole number of at least 1 is needed, found 0"),
        (["latest: sometimes"], f"{CONFIG}.latest: one of newest, always, never is needed, found 'sometimes'"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_wrong_settings(app: Scratch, lines: list[str], told: str) -> None:
    own = lines if lines[0].startswith("repository:") else [f"repository: {app.prefix}/{{service}}", *lines]
    settings(app, *own)
    refused(app, app.inv("release"), 2, told)


def test_two_services_of_one_repository(app: Scratch) -> None:
    settings(
        app, f"repository: {app.prefix}/same", "services: {one: {context: services/app}, two: {context: services/app}}"
    )
    refused(app, app.inv("release"), 2, f"services one and two both publish to {app.prefix}/same")


def test_no_repository(app: Scratch) -> None:
    settings(app, "latest: newest")
    refused(app, app.inv("release"), 2, f"{CONFIG}.repository: missing; where do the images go?")


@pytest.mark.parametrize(
    "content, told", [(None, "No such file"), ("one.two", "not a version"), ("1.0.0\n2\n", "line")]
)
def test_broken_version_file(app: Scratch, content: str | None, told: str) -> None:
    (app.root / "VERSION").unlink()
    if content is not None:
        app.write("VERSION", content)
    refused(app, app.inv("release"), 2, str(app.root / "VERSION"), told)


def test_a_report_that_nobody_may_write(app: Scratch, tmp_path: Path) -> None:
    refused(app, app.inv("release", "--report", "/proc/1/report.json"), 2, "--report /proc/1/report.json: ")


def test_no_docker(app: Scratch, tmp_path: Path) -> None:
    for name in ("git", "sh", "bash"):
        program = next(Path(one, name) for one in os.environ["PATH"].split(":") if Path(one, name).exists())
        (tmp_path / name).symlink_to(program)
    for task in ("build", "push", "release", "cache"):
        said = app.inv(task, env={"PATH": str(tmp_path), "DOCKER_HOST": DEAD})
        refused(app, said, 1, "docker is not installed" if task != "cache" else "the Docker Engine does not answer")


@pytest.mark.parametrize("host", [DEAD, "tcp://127.0.0.1:1"])
def test_no_daemon(app: Scratch, host: str) -> None:
    for task in ("build", "release", "cache"):
        since = time.monotonic()
        said = app.inv(task, env={"DOCKER_HOST": host})
        refused(app, said, 1, "does not answer: ", lines=2)
        assert time.monotonic() - since < 30


def test_no_registry(app: Scratch) -> None:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        settings(app, f"repository: 127.0.0.1:{port}/{{service}}")
        for task in ("push", "release", "registry"):
            since = time.monotonic()
            told = refused(app, app.inv(task), 1, "no answer: connection refused")
            assert f"127.0.0.1:{port}/v2/app/" in told
            assert time.monotonic() - since < 20
        # A build needs no registry: it says so, and goes on.
        said = app.inv("build", "--dry")
        assert said.code == 0, said.err
        assert "building what the engine does not have" in said.err


# The password is `right`: `htpasswd -nbB me right` with the lowest cost.
HTPASSWD = "me:$2b$04$tpeypcJ5ynEAJMrX1rW31uFO5O1VM1rSek59uBEsGRu.bbyocsjwS\n"


@contextmanager
def guarded(folder: Path) -> Iterator[str]:
    """Run a registry that wants a password; give its address."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder.mkdir()
    (folder / "htpasswd").write_text(HTPASSWD)
    wanted = registry.configuration(folder / "data", port)
    wanted["auth"] = {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}}
    (folder / "config.json").write_text(json.dumps(wanted))
    program = registry.program(place.choose().packages / packages.REGISTRY.name)
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([program, "serve", folder / "config.json"], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 15
        while not _asks(f"127.0.0.1:{port}"):
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _asks(where: str) -> bool:
    with suppress(OSError):
        try:
            with urllib.request.urlopen(f"http://{where}/v2/", timeout=5):
                return False
        except urllib.error.HTTPError as error:
            with error:
                return error.code == 401
    return False


def login(folder: Path, where: str, password: str) -> dict[str, str]:
    """Write a docker configuration with a login beside what the sandbox needs; return the variable for it."""
    folder.mkdir()
    known = Path(os.environ.get("DOCKER_CONFIG", Path.home() / ".docker"))
    for entry in known.iterdir() if known.is_dir() else ():
        if entry.name != "config.json":
            (folder / entry.name).symlink_to(entry)
    document = json.loads((known / "config.json").read_text()) if (known / "config.json").is_file() else {}
    document.pop("credsStore", None)
    document["auths"] = {where: {"auth": b64encode(f"me:{password}".encode()).decode()}}
    (folder / "config.json").write_text(json.dumps(document))
    return {"DOCKER_CONFIG": str(folder)}


def test_a_registry_that_wants_a_password(app: Scratch, tmp_path: Path) -> None:
    with guarded(tmp_path / "registry") as where:
        settings(app, f"repository: {where}/{{service}}")
        wrong, right = (login(tmp_path / password, where, password) for password in ("wrong", "right"))
        for task in ("push", "release", "registry"):
            refused(app, app.inv(task, env=wrong), 1, f"{where}/v2/app/", "401", lines=3)
        refused(app, app.inv("registry", env={"DOCKER_CONFIG": str(tmp_path)}), 1, "401", lines=3)
        try:
            said = app.inv("release", "--json", env=right)
            assert said.code == 0, said.err
            listed = app.inv("registry", "--json", env=right).json
            assert {one["tag"] for one in listed} == {"1.0.0", "latest"}
        finally:
            names = witness.docker("images", "--format", "{{.Repository}}:{{.Tag}}").splitlines()
            for name in (name for name in names if name.startswith(f"{where}/")):
                witness.docker("rmi", "-f", name)


def test_nothing_of_a_failed_run_stays(app: Scratch) -> None:
    """A refused run leaves engine and registry as they were."""
    app.write("services/app/Dockerfile", "FROM scratch\nCOPY none /\n")
    said = app.inv("release")
    assert said.code == 1
    assert re.search(r"^app: build: docker buildx build: exit code 1$", said.err, re.M)
    assert "Traceback" not in said.err
    assert (witness.engine(app), witness.registry(app)) == ({}, {})
