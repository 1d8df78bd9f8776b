"""What invoke asks of every task of ours: no positionals, no short flags, help for all, a default that stays put."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Scratch
from invoke.collection import Collection
from invoke.tasks import Task

from buildtasks import ns
from buildtasks.defaults import DEFAULTS
from buildtasks.tasks import build, cache, push, registry, release

MODULES = {"build": build, "push": push, "release": release, "registry": registry, "cache": cache}


def tasks(collection: Collection) -> Iterator[tuple[str, Task[Any]]]:
    """Yield full name and task, all the way down."""
    for name in collection.task_names:
        yield name, collection[name]


TASKS = dict(tasks(ns))
every = pytest.mark.parametrize("name", sorted(TASKS))


def parameters(task: Task[Any]) -> dict[str, inspect.Parameter]:
    first, *others = inspect.signature(task.body).parameters.values()
    assert first.name == "c"
    return {parameter.name: parameter for parameter in others}


def test_the_namespaces() -> None:
    assert set(ns.collections) == set(MODULES)
    assert {"build.images", "build.plan", "push.images", "release.images", "registry.tags", "cache.images"} <= set(
        TASKS
    )
    assert ns.default is None


@pytest.mark.parametrize("name", MODULES)
def test_a_namespace_alone(name: str) -> None:
    own = MODULES[name].ns
    assert own.default is not None
    assert (MODULES[name].__doc__ or "").strip()
    assert own.configuration()["buildtasks"] == dict(DEFAULTS)
    assert Collection(MODULES[name]).collections[name].default == own.default


def test_defaults_are_configured_at_the_top() -> None:
    assert ns.configuration()["buildtasks"] == dict(DEFAULTS)


@every
def test_a_task_says_what_it_does(name: str) -> None:
    first = (TASKS[name].body.__doc__ or "").strip().splitlines()[0]
    assert first.endswith(".")
    assert len(first) < 80


@every
def test_no_task_has_a_positional(name: str) -> None:
    for parameter in parameters(TASKS[name]).values():
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY, parameter
        assert parameter.default is not inspect.Parameter.empty, parameter
    # Of a copy: invoke uses up the help of a task when it makes its arguments.
    assert not [argument for argument in copy.deepcopy(TASKS[name]).get_arguments() if argument.positional]


@every
def test_every_parameter_has_its_help(name: str) -> None:
    helps = dict(TASKS[name].help)
    assert set(helps) == set(parameters(TASKS[name]))
    assert all(text.endswith(".") and len(text) < 110 for text in helps.values())


@every
def test_no_flag_is_short_or_shadows_invoke(name: str) -> None:
    assert TASKS[name].auto_shortflags is False
    names = {flag for argument in copy.deepcopy(TASKS[name]).get_arguments() for flag in argument.names}
    assert all(len(flag) > 1 for flag in names)
    assert not names & {"dry", "help", "echo", "list", "config", "hide", "pty", "dry_run"}


@every
def test_nothing_runs_before_or_after_and_no_default_leaks(name: str) -> None:
    assert (list(TASKS[name].pre), list(TASKS[name].post), TASKS[name].is_default) == ([], [], False)
    assert not TASKS[name].autoprint


@every
def test_a_repeated_flag_is_a_list_and_nothing_else_is(name: str) -> None:
    iterables = {key for key, one in parameters(TASKS[name]).items() if "Iterable[" in str(one.annotation)}
    assert iterables == set(TASKS[name].iterable)


@every
def test_what_depends_on_a_version_takes_one(name: str) -> None:
    """invoke drops --version silently where a task lacks it."""
    if name.split(".")[0] in ("push", "release") or name in ("build.images", "build.plan"):
        assert "version" in parameters(TASKS[name])


@pytest.fixture
def project(tmp_path: Path) -> Scratch:
    scratch = Scratch(tmp_path, "unused")
    scratch.write("tasks.py", "from buildtasks import ns\n")
    return scratch


def test_a_bare_inv_runs_nothing(project: Scratch) -> None:
    said = project.inv()
    assert "Usage:" in said.out


def test_an_imported_task_does_not_become_the_default(project: Scratch) -> None:
    project.write("tasks.py", "from buildtasks.tasks.release import images\n")
    said = project.inv()
    assert "Usage:" in said.out


def test_lists_and_helps(project: Scratch) -> None:
    listed = project.inv("--list")
    assert (listed.code, listed.err) == (0, "")
    for name in MODULES:
        assert f"({name})" in listed.out
    told = project.inv("--help", "release")
    assert "--[no-]" not in told.out
    for flag in ("--service", "--version", "--force", "--json", "--latest", "--no-latest"):
        assert flag in told.out
