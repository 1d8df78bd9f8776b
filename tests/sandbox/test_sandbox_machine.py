"""What os-release(5) says about a machine."""

from __future__ import annotations

import pytest

from sandbox.machine import DEBIAN, UBUNTU, Distribution, Machine, parse


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        pytest.param('ID=debian\nVERSION_CODENAME=bookworm\nVERSION_ID="12"\n', (DEBIAN, "bookworm"), id="debian"),
        pytest.param('PRETTY_NAME="Debian GNU/Linux trixie/sid"\nID=debian\n', (DEBIAN, "sid"), id="unstable"),
        pytest.param("ID='ubuntu'\nVERSION_CODENAME='noble'\n", (UBUNTU, "noble"), id="quoted"),
        pytest.param('ID="fedora"\nID_LIKE="rhel"\nVERSION_CODENAME=""\n', (None, ""), id="other"),
        pytest.param("# empty\n", (None, "sid"), id="empty"),
    ],
)
def test_parse(release: str, expected: tuple[Distribution | None, str]) -> None:
    assert parse(release) == expected


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        (Machine(DEBIAN, "bookworm", "amd64"), ("amd64", "arm64")),
        (Machine(DEBIAN, "bookworm", "arm64"), ("arm64", "amd64")),
        (Machine(DEBIAN, "bookworm", "riscv64"), ("riscv64",)),
        (Machine(UBUNTU, "noble", "amd64"), ("amd64",)),
    ],
    ids=lambda value: value.architecture if isinstance(value, Machine) else "",
)
def test_architectures(machine: Machine, expected: tuple[str, ...]) -> None:
    assert machine.architectures == expected
