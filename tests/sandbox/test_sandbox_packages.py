"""Which packages make an engine, and where their files are."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.machine import DEBIAN, UBUNTU, Machine
from sandbox.messages import SandboxError
from sandbox.packages import busybox, busyboxes, check_libc, engine, path

BOOKWORM, NOBLE = Machine(DEBIAN, "bookworm", "amd64"), Machine(UBUNTU, "noble", "amd64")


@pytest.mark.parametrize(
    ("machine", "name", "first"),
    [(BOOKWORM, "engine-sid", "docker.io/sid"), (NOBLE, "engine-noble", "docker.io")],
    ids=["debian: the suite that was asked for", "ubuntu: its own"],
)
def test_engine(machine: Machine, name: str, first: str) -> None:
    parcel = engine(machine, "sid")
    assert (parcel.name, parcel.alone[0]) == (name, first)
    assert {"runc", "iptables"} <= set(parcel.whole)


def test_only_the_foreign_busybox_may_be_missing() -> None:
    assert [(parcel.name, parcel.optional) for parcel in busyboxes(BOOKWORM)] == [
        ("busybox-amd64", False),
        ("busybox-arm64", True),
    ]


@pytest.mark.parametrize("layout", ["usr/bin", "bin"])
def test_busybox_is_found_in_both_layouts(tmp_path: Path, layout: str) -> None:
    expected = tmp_path / "busybox-amd64" / layout / "busybox"
    expected.parent.mkdir(parents=True)
    expected.touch()
    assert busybox(tmp_path, "amd64") == expected


@pytest.mark.parametrize("version", ["glibc 2.34", "glibc 2.41", "glibc 3.0", ""])
def test_new_libc_passes(version: str) -> None:
    check_libc(version)


def test_old_libc_is_refused() -> None:
    with pytest.raises(SandboxError, match=r"need libc 2\.34, here is 2\.31"):
        check_libc("glibc 2.31")


def test_path_keeps_the_system_reachable(tmp_path: Path) -> None:
    words = path(tmp_path, {"PATH": "/usr/bin"}).split(":")
    assert words[0] == f"{tmp_path}/usr/sbin"
    assert words[-3:] == ["/usr/bin", "/usr/sbin", "/sbin"]
