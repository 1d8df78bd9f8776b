"""Subnets, firewall rules and leftovers: what is read from the kernel."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

import pytest

from sandbox import firewall, leftovers
from sandbox.messages import SandboxError
from sandbox.network import POOL, free, routes

TABLE = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""
RULES = """-P FORWARD ACCEPT
-N DOCKER
-A FORWARD -i bt0123456789 -m comment --comment bt0123456789 -j ACCEPT
-A FORWARD -i bt0123456789abc -m comment --comment bt0123456789abc -j ACCEPT
-A FORWARD -m comment --comment "two words" -j DROP
-A POSTROUTING -s 10.213.1.0/24 ! -o bt0123456789 -m comment --comment bt0123456789 -j MASQUERADE
"""
MOUNTS = r"""22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:30 / /run/buildtasks-1/exec/netns/a rw - nsfs nsfs rw
31 22 0:31 / /run/buildtasks-1 rw - tmpfs tmpfs rw
32 22 0:32 / /run/buildtasks-10/x rw - tmpfs tmpfs rw
33 22 0:33 / /a\040b/data/overlay rw - overlay overlay rw
"""


@pytest.mark.skipif("sys.byteorder != 'little'", reason="the table was written by a little-endian machine")
def test_routes() -> None:
    assert routes(TABLE) == [("eth0", IPv4Network("0.0.0.0/0")), ("eth0", IPv4Network("192.0.2.0/24"))]


@pytest.mark.parametrize(
    ("taken", "start", "expected"),
    [
        pytest.param([], 0, "10.213.0.0/24", id="the first"),
        pytest.param([], 256 + 7, "10.213.7.0/24", id="any start"),
        pytest.param(["10.213.7.0/25", "10.213.8.0/22"], 7, "10.213.12.0/24", id="overlaps"),
        pytest.param(["10.213.255.0/24"], 255, "10.213.0.0/24", id="wraps"),
        pytest.param(["0.0.0.0/0"], 0, "10.213.0.0/24", id="the default route takes nothing"),
    ],
)
def test_free(taken: list[str], start: int, expected: str) -> None:
    assert free([IPv4Network(network) for network in taken], start) == IPv4Network(expected)


def test_free_refuses_when_all_is_taken() -> None:
    with pytest.raises(SandboxError, match="no free subnet"):
        free([POOL], 0)


def test_rules_are_found_by_their_whole_comment() -> None:
    found = firewall.marked(RULES, "bt0123456789")
    assert [rule[0] for rule in found] == ["FORWARD", "POSTROUTING"]


def test_every_rule_is_found_again() -> None:
    written = firewall.rules("bt0123456789", IPv4Network("10.213.1.0/24"))
    listed = "\n".join(f"-A {rule}" for _, rule in written)
    assert firewall.marked(listed, "bt0123456789") == [rule.split() for _, rule in written]


def test_mounts_below_the_folders_the_deepest_first() -> None:
    folders = [Path("/run/buildtasks-1"), Path("/a b")]
    assert leftovers.mounts(MOUNTS, folders) == [
        "/run/buildtasks-1/exec/netns/a",
        "/run/buildtasks-1",
        "/a b/data/overlay",
    ]
