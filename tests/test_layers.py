"""Imports run one way; only a few rooms know invoke; listing tasks loads nothing heavy. Read from the code itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HOUSE = ROOT / "buildtasks"

# Each line may import from the lines above it, never from its own or those below.
ORDER = """
errors defaults expand image
reference version
shell
settings revision
context dockerfile tags labels
filehash
inputs
fingerprint
credentials
registry buildx engine
bases record
plan progress
pipeline publish bake
report verify
tasks
"""
LEVEL = {room: level for level, line in enumerate(ORDER.strip().splitlines()) for room in line.split()}
KNOW_INVOKE = {"shell", "settings", "errors", "tasks"}
# Credential helpers are also asked where no task runs.
MAKE_A_CONTEXT = {"credentials"}
# Not yaml: invoke itself puts its own copy under that name.
HEAVY = ("requests", "docker", "rich", "urllib3", "semver", "platformdirs")
FILES = sorted(file for file in HOUSE.rglob("*.py") if file != HOUSE / "__init__.py")


def room(file: Path) -> str:
    return file.relative_to(HOUSE).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and full name of all that is imported, at the top, in functions and under TYPE_CHECKING."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def test_every_room_has_its_place() -> None:
    assert {room(file) for file in FILES} == set(LEVEL)


def test_imports_run_one_way() -> None:
    wrong = [
        f"{file.relative_to(ROOT)}:{line}: {room(file)} imports {target}"
        for file in FILES
        for line, name in imported(parsed(file))
        if name.startswith("buildtasks.")
        for target in [name.split(".")[1]]
        if target != room(file) and LEVEL.get(target, len(LEVEL)) >= LEVEL[room(file)]
    ]
    assert not wrong, "\n".join(wrong)


def test_who_knows_invoke() -> None:
    wrong = [
        f"{file.relative_to(ROOT)}:{line}: {name}"
        for file in FILES
        if room(file) not in KNOW_INVOKE
        for line, name in imported(parsed(file))
        if name.split(".")[0] == "invoke" and name != "invoke.context.Context"
    ]
    assert not wrong, "\n".join(wrong)


def test_context_is_only_a_type_below_the_tasks() -> None:
    """No room but those that know invoke makes a Context, or asks it for more than the shell does."""
    wrong = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in FILES
        if room(file) not in KNOW_INVOKE | MAKE_A_CONTEXT
        for node in ast.walk(parsed(file))
        if (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Context")
        or (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "c")
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("module", ["buildtasks", "buildtasks.tasks"])
def test_listing_tasks_loads_nothing_heavy(module: str) -> None:
    script = f"import sys, {module}; print(*sorted(sys.modules))"
    said = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(said.stdout.split())
    assert module in loaded
    assert not loaded & set(HEAVY)
    ours = {name for name in loaded if name.startswith("buildtasks.") and not name.startswith("buildtasks.tasks")}
    assert ours <= {"buildtasks.defaults", "buildtasks.errors"}
