"""This repository's own tasks: the demo, the checks, and the image namespaces that it develops."""

from __future__ import annotations

import os
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

from invoke.collection import Collection
from invoke.context import Context

from buildtasks.errors import Refused
from buildtasks.tasks import build, cache, push, registry, release
from buildtasks.tasks._task import task
from sandbox.tasks import ns as sandbox

ROOT = Path(__file__).resolve().parent
PYTHON = shlex.quote(sys.executable)
LOCK = "requirements-dev.lock"


@task
def demo(c: Context) -> None:
    """Release the five sample services twice into a registry of their own and show what is there."""
    import sandbox as sandboxes
    from buildtasks.tasks import _request

    running = sandboxes.up()
    os.environ.update(running.environ())
    os.environ["INVOKE_BUILDTASKS_REPOSITORY"] = f"{running.registry}/demo/{{service}}"
    for version in ("1.0.0", "1.1.0"):
        _request.tell(f"\n$ inv release --version {version}")
        try:
            release.images(c, version=version)
        except Refused as error:
            hint = "the samples have changed since the last demo: `./inv sandbox.down --clean` empties its registry"
            raise Refused(f"{error}\n{hint}") from error
    _request.tell("\n$ inv registry")
    registry.tags(c)


@task
def lint(c: Context) -> None:
    """Check style and layout of the code."""
    with c.cd(ROOT):
        c.run(f"{PYTHON} -m ruff check .")
        c.run(f"{PYTHON} -m ruff format --check .")


@task
def types(c: Context) -> None:
    """Check types, of the tests too."""
    with c.cd(ROOT):
        c.run(f"{PYTHON} -m mypy")


@task(help={"args": "More words for pytest, such as `-k name` (default: none)."})
def test(c: Context, *, args: str = "") -> None:
    """Run lint, types and all tests."""
    lint(c)
    types(c)
    with c.cd(ROOT):
        c.run(f"{PYTHON} -m pytest -n {max(2, os.cpu_count() or 2)} {args}")


@task
def lock(c: Context) -> None:
    """Write requirements-dev.lock anew, for every supported Python and system; installs uv when it is missing."""
    if not find_spec("uv"):
        c.run(f"{PYTHON} -m pip install uv")
    options = "--universal --python-version 3.10 --generate-hashes --no-emit-index-url --no-annotate --no-header"
    with c.cd(ROOT):
        c.run(f"{PYTHON} -m uv pip compile {options} --quiet --upgrade --extra dev -o {LOCK} pyproject.toml")


ns = Collection(demo, lint, types, test, lock, build, push, release, registry, cache, sandbox)
