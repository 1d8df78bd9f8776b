"""The public surface: every name is there, is what it says, and comes without loading the rest."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import buildtasks

ROOT = Path(__file__).resolve().parents[1]


def test_the_lists_agree() -> None:
    assert buildtasks.__all__ == sorted(buildtasks._HOMES)
    typed = (ROOT / "buildtasks" / "__init__.py").read_text(encoding="utf-8").partition("_HOMES")[0]
    assert all(name in typed for name in buildtasks.__all__)


@pytest.mark.parametrize("name", buildtasks.__all__)
def test_every_name_is_there(name: str) -> None:
    found = getattr(buildtasks, name)
    assert found is getattr(import_module(f"buildtasks.{buildtasks._HOMES[name]}"), name)
    if isinstance(found, type):
        assert found.__name__ == name


def test_names_are_listed_before_they_are_loaded() -> None:
    script = "import buildtasks; print(*dir(buildtasks))"
    said = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(buildtasks.__all__) <= set(said.stdout.split())


def test_a_star_brings_everything() -> None:
    script = "from buildtasks import *; print(Refused.__name__, ns.name, load.__name__)"
    said = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout == "Refused None load\n"


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'buildtasks' has no attribute 'biuld'"):
        _ = buildtasks.biuld
    assert not hasattr(buildtasks, "__version__x")
