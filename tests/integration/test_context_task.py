"""`inv build.context`: what is sent to the builder and what could stay out; bad input is told, never a traceback."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from hashlib import sha256
from pathlib import Path

import pytest
from conftest import ROOT, Said, Scratch


@pytest.fixture
def app(scratch: Scratch) -> Scratch:
    """Return a project with one service and a context of every kind of entry."""
    scratch.write("services/app/Dockerfile", "FROM scratch\nCOPY . /\n")
    scratch.write("services/app/sub/run", "run\n", 0o755)
    scratch.write("services/app/large", "x" * 5000)
    scratch.write("services/app/out.log", "ignored")
    scratch.write("services/app/.dockerignore", "*.log\nDockerfile\n")
    (scratch.root / "services/app/link").symlink_to("sub/run")
    for path in ("services/app/empty", "services/app/sub"):
        (scratch.root / path).mkdir(exist_ok=True)
        (scratch.root / path).chmod(0o755)
    return scratch


def done(said: Said) -> Said:
    assert said.code == 0, said.err
    return said


def refused(said: Said, code: int, *words: str) -> None:
    assert (said.code, said.out) == (code, ""), said.err
    assert "Traceback" not in said.err
    for word in words:
        assert word in said.err


def ask(scratch: Scratch, *words: str, env: dict[str, str] | None = None) -> Said:
    return scratch.inv("build.context", "--service", "app", *words, env=env)


def row(path: str, kind: str, mode: str, content: str | None = None, target: str | None = None) -> dict[str, object]:
    digest = None if content is None else sha256(content.encode()).hexdigest()
    size = len(content or "")
    return {"path": path, "kind": kind, "mode": mode, "size": size, "sha256": digest, "target": target}


def test_the_json_lists_every_entry(app: Scratch) -> None:
    for _ in range(2):
        assert done(ask(app, "--json")).json == {
            "service": "app",
            "root": f"{app.root}/services/app",
            "dockerfile": f"{app.root}/services/app/Dockerfile",
            "files": 3,
            "bytes": 5000 + 4 + 17,
            "entries": [
                row(".dockerignore", "file", "0644", "*.log\nDockerfile\n"),
                row("empty", "dir", "0755"),
                row("large", "file", "0644", "x" * 5000),
                row("link", "symlink", "0777", None, "sub/run"),
                row("sub", "dir", "0755"),
                row("sub/run", "file", "0755", "run\n"),
            ],
        }


def test_the_tables_show_what_is_large_and_what_could_stay_out(app: Scratch) -> None:
    for number in range(15):
        app.write(f"services/app/sub/node_modules/m{number}/index.js", "y" * 100 * (number + 1))
    app.write("services/app/.git/objects/x", "z" * 700)
    parts = done(ask(app)).out.split("\n\n")
    assert parts[0] == "app: 19 files, 17.7 kB"
    heads = [part.splitlines()[0].split("  ")[0] for part in parts[1:]]
    assert heads == ["folder", "file", "line for .dockerignore"]
    folders, files, lines = (part.splitlines()[1:] for part in parts[1:])
    assert folders[0].split() == ["sub", "16", "12.0", "kB"]
    assert folders[1].split() == ["sub/node_modules", "15", "12.0", "kB"]
    assert files[0].split() == ["large", "1", "5.0", "kB"]
    assert (len(folders), len(files)) == (10, 10)
    assert [line.split() for line in lines] == [["**/node_modules", "15", "12.0", "kB"], ["**/.git", "1", "700", "B"]]


def test_an_empty_context(app: Scratch) -> None:
    app.write("services/app/.dockerignore", "*\n")
    assert done(ask(app)).out == "app: 0 files, 0 B\n"
    assert done(ask(app, "--json")).json["entries"] == []


def test_odd_names_stay_on_their_line(app: Scratch) -> None:
    folder = os.fsencode(app.root / "services/app")
    for name in (b"n\nl", b"\xff", "é".encode()):
        Path(os.fsdecode(folder + b"/" + name)).write_bytes(b"q" * 9000)
    env = {"PYTHONIOENCODING": "utf-8:strict"}
    said = done(ask(app, "--json", env=env))
    assert {"n\nl", "\udcff", "é"} <= {one["path"] for one in said.json["entries"]}
    said.out.encode("utf-8")
    table = done(ask(app, env=env)).out.split("\n\n")[2].splitlines()
    assert {line.split()[0] for line in table[1:4]} == {r"n\nl", r"\udcff", "é"}


def test_a_loop_of_links_is_listed_and_not_followed(app: Scratch) -> None:
    root = app.root / "services/app"
    (root / "one").symlink_to("two")
    (root / "two").symlink_to("one")
    (root / "sub/up").symlink_to("..")
    found = {one["path"]: one["target"] for one in done(ask(app, "--json")).json["entries"] if one["target"]}
    assert found == {"link": "sub/run", "one": "two", "two": "one", "sub/up": ".."}
    done(ask(app))


@pytest.mark.parametrize("line", ["[", "a[", "!", "[b-a]", "x\\"])
def test_a_broken_pattern_names_file_and_line(app: Scratch, line: str) -> None:
    app.write("services/app/.dockerignore", f"# first\n*.log\n{line}\n")
    for words in (["build.context", "--service", "app"], ["build"], ["release"], ["build.plan"]):
        refused(app.inv(*words), 2, f"{app.root}/services/app/.dockerignore:3: ")


def test_a_context_that_is_no_folder(app: Scratch) -> None:
    settings = f"buildtasks:\n  repository: {app.prefix}/{{service}}\n  services:\n    app: {{context: %s}}\n"
    app.write("invoke.yaml", settings % "VERSION")
    refused(ask(app), 2, "invoke.yaml: buildtasks.services.app.context: not a folder: VERSION")
    app.write("invoke.yaml", settings % "none")
    refused(ask(app), 2, "invoke.yaml: buildtasks.services.app.context: no such folder: none")
    app.write("invoke.yaml", settings % "https://example.org/x.git")
    refused(ask(app), 2, "app: its context is https://example.org/x.git; only a folder can be listed")


def test_wrong_use(app: Scratch) -> None:
    refused(app.inv("build.context"), 2, "--service is missing: which one? (known: app)")
    refused(app.inv("build.context", "--service", "apq"), 2, "no such service: apq; did you mean app?")


@pytest.mark.parametrize("path", ["large", "sub"])
@pytest.mark.parametrize("task", ["build.context", "build", "release"])
def test_what_cannot_be_read_is_named(app: Scratch, path: str, task: str) -> None:
    """Root reads everything, so the tasks run as nobody where the tests run as root."""
    shut = app.root / "services/app" / path
    # With a platform given, nothing asks the engine, whose socket is root's alone.
    app.write("invoke.yaml", (app.root / "invoke.yaml").read_text() + "  platforms: linux/amd64\n")
    app.commit()
    shut.chmod(0)
    try:
        words = [task, *(["--service", "app", "--json"] if task == "build.context" else [])]
        refused(unprivileged(app, words), 1, f"{shut}: Permission denied")
    finally:
        shut.chmod(0o755)


def unprivileged(scratch: Scratch, words: list[str]) -> Said:
    """Run `inv` as a user who is not root; all modules are loaded before, since root's folders are shut to others."""
    script = (
        "import os, sys, encodings.idna, encodings.utf_8_sig, invoke.main;"
        "import buildtasks.tasks._flow, buildtasks.tasks._inspect, docker, requests;"
        "os.geteuid() or (os.setgroups([]), os.setgid(65534), os.setuid(65534));"
        "from invoke.main import program; program.run(['inv', *sys.argv[1:]])"
    )
    for folder in (scratch.root, *scratch.root.parents):
        if folder.stat().st_uid == os.geteuid() and "pytest" in str(folder):
            folder.chmod(0o755)
    quiet = {"HOME": str(scratch.root), "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory"}
    env = {**os.environ, "PYTHONPATH": str(ROOT), **scratch.env, **quiet, "GIT_CONFIG_VALUE_0": "*"}
    env.update({"XDG_STATE_HOME": "/nonexistent", "XDG_CACHE_HOME": "/nonexistent"})
    ran = subprocess.run(
        [sys.executable, "-c", script, *words],
        cwd=scratch.root,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Said(ran.returncode, ran.stdout, ran.stderr)


def test_a_file_that_never_stops_changing(app: Scratch) -> None:
    """It is read again, then told: the listing fails, a plan builds."""
    stop, path = threading.Event(), app.root / "services/app/large"
    path.write_bytes(b"x" * 40_000_000)

    def write() -> None:
        with path.open("r+b", buffering=0) as stream:
            while not stop.wait(0.0005):
                stream.seek(0)
                stream.write(os.urandom(8))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        refused(ask(app, "--json"), 1, f"{path}: keeps changing while it is read")
        step = done(app.inv("build.plan", "--json")).json["steps"][0]
        assert (step["action"], step["reason"]) == ("build", "not known: context, whose files keep changing")
        done(app.inv("build"))
        refused(app.inv("build.explain", "--service", "app"), 1, "app: not known: context, whose files keep changing")
    finally:
        stop.set()
        writer.join()
    shutil.copy(path, path.with_name("still"))
    assert done(ask(app, "--json")).json["files"] == 4
