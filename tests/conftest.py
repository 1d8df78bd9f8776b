"""What tests share: the sandbox with its engine and registry, throw-away projects, and `inv` run as people run it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import hypothesis
import pytest
from cases import pytest_terminal_summary as pytest_terminal_summary

import sandbox as sandboxes
from buildtasks.labels import FINGERPRINT
from buildtasks.reference import Repository
from buildtasks.registry import Registries

ROOT = Path(__file__).resolve().parents[1]

# A busy machine is no mistake in the code.
hypothesis.settings.register_profile("suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the sizes of slow sweeps, with small defaults."""
    parser.addoption("--context-cases", type=int, default=50, help="random contexts compared with BuildKit (50)")
    parser.addoption("--context-seed", type=int, default=1, help="seed of the first random context (1)")
    parser.addoption("--cache-cases", type=int, default=25, help="edits whose cache use BuildKit is asked about (25)")


@pytest.fixture(scope="session")
def sandbox() -> sandboxes.Sandbox:
    """Start the engine and the registry, or find them running, and lead this process to them."""
    running = sandboxes.up()
    os.environ.update(running.environ())
    return running


@pytest.fixture(scope="session")
def registry(sandbox: sandboxes.Sandbox) -> str:
    """Return host and port of the real registry."""
    return sandbox.registry


@dataclass(frozen=True)
class Said:
    """What a command said: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Return standard output as the one JSON document that it must be."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Scratch:
    """A throw-away project of its own, and the way to run `inv` in it."""

    root: Path
    prefix: str
    env: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        """Return the folder where logs and records of this project go."""
        mark = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]
        return Path(self.env["XDG_STATE_HOME"]) / "buildtasks" / f"{self.root.name}-{mark}"

    def write(self, path: str, text: str, mode: int = 0o644) -> Path:
        """Write a file of the project, with its folders."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        file.chmod(mode)
        return file

    def inv(self, *args: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Said:
        """Run `inv` with arguments in the project, as a user would."""
        done = subprocess.run(
            [sys.executable, "-m", "invoke", *args],
            cwd=cwd or self.root,
            env={**os.environ, "PYTHONPATH": str(ROOT), **self.env, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def git(self, *args: str) -> None:
        """Run git in the project, with a fixed author and date."""
        who = {
            "GIT_AUTHOR_NAME": "t",
            "GIT_AUTHOR_EMAIL": "t@example.org",
            "GIT_COMMITTER_NAME": "t",
            "GIT_COMMITTER_EMAIL": "t@example.org",
            "GIT_AUTHOR_DATE": "2026-01-02T03:04:05Z",
            "GIT_COMMITTER_DATE": "2026-01-02T03:04:05Z",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_SYSTEM": os.devnull,
        }
        subprocess.run(["git", *args], cwd=self.root, env={**os.environ, **who}, check=True, capture_output=True)

    def commit(self) -> None:
        """Commit everything, in a repository made when there is none."""
        if not (self.root / ".git").exists():
            self.git("init", "-q", "-b", "main")
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "state")

    def repository(self, service: str) -> Repository:
        """Return the repository of one service."""
        return Repository.parse(f"{self.prefix}/{service}")


@contextmanager
def projects(base: Path, registry: str) -> Iterator[Callable[[], Scratch]]:
    """Give a maker of throw-away projects below a folder; their images leave engine and registry afterwards."""
    made: list[Scratch] = []

    def make() -> Scratch:
        root = base / f"project{len(made)}"
        root.mkdir()
        folders = {f"XDG_{kind}_HOME": str(base / kind.lower()) for kind in ("CACHE", "STATE")}
        scratch = Scratch(root, f"{registry}/t{uuid.uuid4().hex[:12]}", folders)
        scratch.write("tasks.py", "from buildtasks import ns\n")
        scratch.write("VERSION", "1.0.0\n")
        scratch.write("invoke.yaml", f"buildtasks:\n  repository: {scratch.prefix}/{{service}}\n")
        made.append(scratch)
        return scratch

    try:
        yield make
    finally:
        for scratch in made:
            clean_engine(scratch)
            clean_registry(scratch)


def add_samples(scratch: Scratch) -> Scratch:
    """Put this repository's five sample services into a project, with their settings, and commit."""
    shutil.copytree(ROOT / "services", scratch.root / "services")
    settings = (ROOT / "invoke.yaml").read_text(encoding="utf-8")
    template = next(line for line in settings.splitlines() if line.strip().startswith("repository:"))
    scratch.write("invoke.yaml", settings.replace(template, f"  repository: {scratch.prefix}/{{service}}"))
    scratch.commit()
    return scratch


@pytest.fixture
def make_scratch(tmp_path: Path, registry: str) -> Iterator[Callable[[], Scratch]]:
    """Return a maker of throw-away projects; their images leave the engine and the registry afterwards."""
    with projects(tmp_path, registry) as make:
        yield make


@pytest.fixture
def scratch(make_scratch: Callable[[], Scratch]) -> Scratch:
    """Return an empty throw-away project."""
    return make_scratch()


@pytest.fixture
def samples(scratch: Scratch) -> Scratch:
    """Return a committed throw-away project with this repository's five sample services."""
    return add_samples(scratch)


def clean_engine(scratch: Scratch) -> None:
    """Remove all images of a project from the engine: those with a name, and those that lost it to a newer build."""
    built = {path.name.partition(".")[0] for path in scratch.state.glob("inputs/*")}
    client = docker.from_env()
    try:
        # By a filter: a list of all images fails when another test removes one of them at that moment.
        for image in client.api.images(filters={"reference": f"{scratch.prefix}/*"}):
            names = (name for name in image.get("RepoTags") or () if name.startswith(f"{scratch.prefix}/"))
            for name in sorted(names, key=lambda name: "@" in name):
                # A name with a digest may go with the last tag.
                with suppress(docker.errors.ImageNotFound):
                    client.api.remove_image(name, force=True)
        for image in client.api.images(filters={"dangling": True, "label": [FINGERPRINT]}):
            if image["Labels"][FINGERPRINT] in built:
                with suppress(docker.errors.APIError):
                    client.api.remove_image(image["Id"])
    finally:
        client.close()


def clean_registry(scratch: Scratch) -> None:
    """Remove all images of a project from the registry."""
    registry, _, name = scratch.prefix.partition("/")
    with urllib.request.urlopen(f"http://{registry}/v2/_catalog?n=100&last={name}", timeout=10) as answer:
        known = json.load(answer)["repositories"]
    registries = Registries()
    for path in (path for path in known if path.startswith(f"{name}/")):
        repository = Repository.parse(f"{registry}/{path}")
        client = registries.of(repository)
        tops = {client.head(repository.tag(tag)) for tag in client.tags(repository)}
        for top in tops - {None}:
            assert top is not None
            client.delete_manifest(repository.at(top.digest))
