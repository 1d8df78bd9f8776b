"""The wrapper `./inv`, with a Python that only pretends to install: what it decides, and when."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PYTHON = """#!/bin/sh
case $* in
    *-m\\ venv\\ *)
        echo made >>"$LOG"
        mkdir -p "$3/bin"
        cp "$0" "$3/bin/python"
        printf '#!/bin/sh\\necho "$PWD|$*"\\n' >"$3/bin/inv"
        chmod +x "$3/bin/inv" ;;
    *--editable*) exit "${FAIL:-0}" ;;
    --version) echo "Python 3.12.0" ;;
esac
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Make a repository with blanks in its name and a Python on PATH."""
    home, programs = tmp_path / "a clone", tmp_path / "bin"
    (home / "sub").mkdir(parents=True)
    programs.mkdir()
    shutil.copy(ROOT / "inv", home)
    (home / "pyproject.toml").write_text("[project]\n")
    (home / "requirements-dev.lock").write_text("invoke\n")
    (programs / "python3.12").write_text(PYTHON)
    (programs / "python3.12").chmod(0o755)
    return home


def call(clone: Path, *words: str, program: Path | None = None, cwd: Path | None = None, **more: str) -> str:
    programs = clone.parent / "bin"
    environ = {"PATH": f"{programs}:{os.environ['PATH']}", "LOG": str(clone.parent / "log"), **more}
    done = subprocess.run(
        [program or clone / "inv", *words],
        cwd=cwd or clone,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() if done.returncode == 0 else f"{done.returncode}: {done.stderr}"


def made(clone: Path) -> int:
    return len((clone.parent / "log").read_text().splitlines())


def test_sets_up_once_and_passes_the_words_on(clone: Path) -> None:
    expected = f"{clone}|--search-root {clone} build --service=a b"
    assert [call(clone, "build", "--service=a b") for _ in range(2)] == [expected, expected]
    assert made(clone) == 1


def test_works_from_anywhere_and_through_links(clone: Path) -> None:
    near, far = clone.parent / "near", clone.parent / "far"
    near.symlink_to("a clone/inv")
    far.symlink_to(near)
    assert call(clone, cwd=clone / "sub") == f"{clone}/sub|--search-root {clone}"
    assert call(clone, program=far, cwd=Path("/")) == f"/|--search-root {clone}"
    assert call(clone, program=Path("../far"), cwd=clone) == f"{clone}|--search-root {clone}"


@pytest.mark.parametrize("name", ["pyproject.toml", "requirements-dev.lock"])
def test_sets_up_again_when_what_is_installed_changes(clone: Path, name: str) -> None:
    call(clone)
    (clone / name).touch()
    call(clone)
    assert made(clone) == 1
    (clone / name).write_text("changed\n")
    call(clone)
    assert made(clone) == 2


def test_sets_up_again_when_the_clone_was_moved(clone: Path) -> None:
    call(clone)
    moved = clone.rename(clone.with_name("moved"))
    assert call(moved) == f"{moved}|--search-root {moved}"
    assert made(moved) == 2


def test_a_failed_installation_is_not_taken_for_a_good_one(clone: Path) -> None:
    assert "the installation into" in call(clone, FAIL="1")
    assert not (clone / ".venv.lock").is_symlink()
    assert call(clone) == f"{clone}|--search-root {clone}"


def test_two_at_once_set_up_once(clone: Path) -> None:
    environ = {"PATH": f"{clone.parent / 'bin'}:{os.environ['PATH']}", "LOG": str(clone.parent / "log")}
    running = [subprocess.Popen([clone / "inv"], env=environ, stderr=subprocess.DEVNULL) for _ in range(4)]
    assert [process.wait(20) for process in running] == [0] * 4
    assert made(clone) == 1


def test_a_lock_whose_owner_is_gone_is_taken_over(clone: Path) -> None:
    (clone / ".venv.lock").symlink_to("pid-999999999")
    assert call(clone) == f"{clone}|--search-root {clone}"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("exit 1", "no Python 3.10 or newer on PATH"),
        ('case "$*" in *ensurepip*) exit 1 ;; esac', "apt-get install python3-venv"),
    ],
    ids=["none", "without venv"],
)
def test_says_what_is_missing(clone: Path, script: str, message: str) -> None:
    names = ["python", "python3", *(f"python3.{minor}" for minor in range(10, 15))]
    for name in names:
        (clone.parent / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (clone.parent / "bin" / name).chmod(0o755)
    assert message in call(clone)
    assert not (clone / ".venv").exists()
