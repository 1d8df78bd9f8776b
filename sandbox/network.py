"""The private engine's network: a bridge of its own, a free subnet, and three firewall rules.

Two engines on one bridge, or two that both rewrite the chains which Docker names `DOCKER`, break each other's
RUN steps. So the engine runs with `iptables: false` on a bridge made here, and the three rules that lead from
that bridge to the outside are ours. The bridge is made with the ioctl calls of brctl(8), because a small
machine has no `ip`.
"""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from sandbox.messages import SandboxError

POOL = ipaddress.IPv4Network("10.213.0.0/16")

# include/uapi/linux/sockios.h
SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFNETMASK, SIOCBRADDBR, SIOCBRDELBR = 0x8914, 0x8916, 0x891C, 0x89A0, 0x89A1
IFF_UP = 1

Network = ipaddress.IPv4Network


def routes(table: str) -> list[tuple[str, Network]]:
    """Read interface and network of each line of /proc/net/route, whose numbers are in host byte order."""
    rows = [line.split() for line in table.splitlines()[1:]]
    return [(row[0], Network((_address(row[1]), str(_address(row[7]))))) for row in rows if len(row) > 7]


def _address(digits: str) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(struct.pack("=I", int(digits, 16)))


def free(taken: Iterable[Network], start: int) -> Network:
    """Return the first /24 of the pool, counted from `start`, that no known route reaches.

    Raises:
        SandboxError: every subnet of the pool is taken.
    """
    known = [network for network in taken if network.prefixlen]
    subnets = list(POOL.subnets(new_prefix=24))
    for number in range(len(subnets)):
        subnet = subnets[(start + number) % len(subnets)]
        if not any(subnet.overlaps(network) for network in known):
            return subnet
    raise SandboxError(f"no free subnet in {POOL}: stop another sandbox")


def mtu(default: int = 1500) -> int:
    """Return the largest packet, in bytes, that the default route carries."""
    for device, network in routes(Path("/proc/net/route").read_text()):
        if network.prefixlen == 0:
            with suppress(OSError):
                return int(Path(f"/sys/class/net/{device}/mtu").read_text())
    return default


def make_bridge(name: str, start: int) -> Network:
    """Create the bridge on a free subnet, give it the first address, and switch it on."""
    remove_bridge(name)
    taken = [network for _, network in routes(Path("/proc/net/route").read_text())]
    subnet = free(taken, start)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCBRADDBR, name.encode() + b"\0")
        fcntl.ioctl(control, SIOCSIFADDR, _request(name, str(subnet[1])))
        fcntl.ioctl(control, SIOCSIFNETMASK, _request(name, str(subnet.netmask)))
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", name.encode(), IFF_UP))
    return subnet


def remove_bridge(name: str) -> None:
    """Switch the bridge off and remove it, if it is there."""
    if not Path(f"/sys/class/net/{name}").exists():
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control, suppress(OSError):
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", name.encode(), 0))
        fcntl.ioctl(control, SIOCBRDELBR, name.encode() + b"\0")


def _request(name: str, address: str) -> bytes:
    """Pack a struct ifreq that carries an IPv4 address."""
    return struct.pack("16sH2x4s8x", name.encode(), socket.AF_INET, socket.inet_aton(address))
