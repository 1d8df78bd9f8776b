"""The error tree: drawn as it is, one exit code each, and no traceback in `inv`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import Scratch
from invoke.exceptions import Exit

from buildtasks import errors
from buildtasks.errors import BuildtasksError, CommandFailed, RegistryError

CLASSES = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, BuildtasksError)]
DRAWN = re.findall(r"^( +)(\w+) +(\d) ", errors.__doc__ or "", re.MULTILINE)


def test_the_drawing_is_the_tree() -> None:
    assert {name for _, name, _ in DRAWN} == {one.__name__ for one in CLASSES}
    above: list[tuple[int, str]] = [(4, "Exit")]
    for blanks, name, code in DRAWN:
        above = [(depth, parent) for depth, parent in above if depth < len(blanks)]
        error = getattr(errors, name)
        assert error.__bases__[0].__name__ == above[-1][1]
        assert error.exit_code == int(code)
        above.append((len(blanks), name))


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
def test_each_is_an_exit_with_its_code_and_message(error: type[BuildtasksError]) -> None:
    made = CommandFailed(["false"], 9) if issubclass(error, CommandFailed) else error("what went wrong")
    assert isinstance(made, Exit)
    assert made.code == error.exit_code
    assert str(made) == made.message == ("false: exit code 9" if isinstance(made, CommandFailed) else "what went wrong")
    assert (error.__doc__ or "").strip()


def test_a_failed_command_keeps_its_last_lines() -> None:
    error = CommandFailed(["a", "b c"], 2, "1\n2\n3\n4\n5\n6\n", hint="do this")
    assert str(error) == "a 'b c': exit code 2\n  2\n  3\n  4\n  5\n  6\ndo this"
    assert (error.argv, error.exited, error.output) == (("a", "b c"), 2, "1\n2\n3\n4\n5\n6\n")


def test_a_registry_error_keeps_status_and_codes() -> None:
    error = RegistryError("no", status=503, codes=["UNAVAILABLE"])
    assert (error.status, error.codes) == (503, ("UNAVAILABLE",))
    assert (RegistryError("no").status, RegistryError("no").codes) == (None, ())


@pytest.mark.parametrize("name, code", [("ConfigError", 2), ("Failed", 1), ("Refused", 3)])
def test_inv_prints_the_message_alone(tmp_path: Path, name: str, code: int) -> None:
    scratch = Scratch(tmp_path, "unused")
    scratch.write(
        "tasks.py",
        f"from invoke import task\nfrom buildtasks import {name}\n@task\ndef t(c):\n    raise {name}('so it is')\n",
    )
    said = scratch.inv("t")
    assert (said.code, said.out, said.err) == (code, "", "so it is\n")
