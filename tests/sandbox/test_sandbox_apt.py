"""What is read from apt, and what is written for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.apt import configuration, mirror, run, sources
from sandbox.machine import DEBIAN, UBUNTU, Machine
from sandbox.messages import SandboxError

NO_KEYS = Path("/nonexistent.gpg")
BOOKWORM = Machine(replace(DEBIAN, keyring=NO_KEYS), "bookworm", "amd64")
NOBLE = Machine(replace(UBUNTU, keyring=NO_KEYS), "noble", "amd64")
A, B = "http://a.example/debian/", "http://b.example/debian/"


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        pytest.param(f"Debian|bookworm|{A}\n", A, id="one"),
        pytest.param(f"Other|bookworm|{B}\nDebian|bookworm-updates|{B}\nDebian|bookworm|{A}\n", A, id="several"),
        pytest.param(f"Debian|bookworm|{A}\nDebian|bookworm|{B}\n", A, id="the first"),
        pytest.param("Debian Security|bookworm-security|http://s.example/\n", "", id="security only"),
        pytest.param("Debian|trixie|http://a.example/\n", "", id="another suite"),
        pytest.param("", "", id="no lists"),
    ],
)
def test_mirror(targets: str, expected: str) -> None:
    assert mirror(targets, BOOKWORM) == expected


@pytest.mark.parametrize(
    ("machine", "suite", "expected"),
    [
        pytest.param(
            BOOKWORM,
            "trixie",
            [f"deb [arch=amd64,arm64] {A} bookworm main", f"deb [arch=amd64] {A} trixie main"],
            id="another suite",
        ),
        pytest.param(
            replace(BOOKWORM, codename="trixie"),
            "trixie",
            [f"deb [arch=amd64,arm64] {A} trixie main"],
            id="its own suite",
        ),
        pytest.param(
            NOBLE,
            "trixie",
            [f"deb [arch=amd64] {A} {name} main universe" for name in ("noble", "noble-updates")],
            id="ubuntu has its own engine",
        ),
    ],
)
def test_sources(machine: Machine, suite: str, expected: list[str]) -> None:
    assert sources(A, machine, suite).splitlines() == expected


def test_sources_name_the_keys_that_are_there(tmp_path: Path) -> None:
    machine = replace(BOOKWORM, distribution=replace(DEBIAN, keyring=tmp_path))
    assert f"[arch=amd64 signed-by={tmp_path}]" in sources(A, machine, "sid")


def test_apt_writes_below_the_folder_only(tmp_path: Path) -> None:
    text = configuration(tmp_path, BOOKWORM)
    folders = [line for line in text.splitlines() if line.startswith(("Dir::State", "Dir::Cache ", "Dir::Etc"))]
    outside = [line for line in folders if str(tmp_path) not in line and "/dev/null" not in line]
    assert outside == ['Dir::State::status "/var/lib/dpkg/status";']
    assert "#clear APT::Update::Post-Invoke;" in text


def test_a_failure_shows_the_command_and_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match=r"`sh -c echo reason >&2; exit 3` failed with 3:\nreason"):
        run("sh", "-c", "echo reason >&2; exit 3", cwd=tmp_path)
