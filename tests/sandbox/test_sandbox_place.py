"""Which sandbox the environment asks for, and the names that it claims."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.messages import SandboxError
from sandbox.place import Place, choose, existing, system

ROOT = Path("/r")


@pytest.mark.parametrize(
    ("variables", "home", "forced"),
    [
        pytest.param({}, "trixie/containerd", False, id="nothing"),
        pytest.param({"": "private"}, "trixie/containerd", True, id="private"),
        pytest.param({"_SUITE": "sid"}, "sid/containerd", True, id="suite"),
        pytest.param({"_STORE": "classic"}, "trixie/classic", True, id="store"),
        pytest.param({"": "", "_SUITE": "", "_STORE": ""}, "trixie/containerd", False, id="empty is unset"),
    ],
)
def test_choose(variables: dict[str, str], home: str, forced: bool) -> None:
    place = choose({f"BUILDTASKS_SANDBOX{key}": value for key, value in variables.items()}, ROOT)
    assert (place.home, place.forced, place.packages) == (ROOT / home, forced, ROOT / "packages")


@pytest.mark.parametrize(
    ("name", "value"),
    [("", "public"), ("_SUITE", "../x"), ("_SUITE", "sid main"), ("_STORE", "overlay")],
)
def test_choose_refuses(name: str, value: str) -> None:
    with pytest.raises(SandboxError, match=rf"^BUILDTASKS_SANDBOX{name} is "):
        choose({f"BUILDTASKS_SANDBOX{name}": value}, ROOT)


def test_names_are_short_and_differ_between_folders() -> None:
    deep = Place(Path("/" + "very-long-name/" * 40), ROOT)
    other = Place(Path("/other"), ROOT)
    assert len(f"{deep.run}/exec/containerd/containerd.sock.ttrpc") < 108
    assert len(deep.bridge) <= 15
    assert {deep.bridge, deep.name, deep.run}.isdisjoint({other.bridge, other.name, other.run})


def test_existing(tmp_path: Path) -> None:
    for name in ("trixie/classic", "sid/containerd", "packages/apt-sid", "system"):
        (tmp_path / name).mkdir(parents=True)
    found = existing(tmp_path)
    assert [(place.suite, place.store) for place in found[:-1]] == [
        ("sid", "containerd"),
        ("trixie", "classic"),
    ]
    assert found[-1] == system(tmp_path)
