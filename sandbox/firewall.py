"""The three firewall rules that let containers on a sandbox's bridge reach the outside.

In: the bridge, its subnet, and the environment in which `iptables` is found. The rules of a sandbox are found
again by their comment, so that they can be removed after a crash, when nobody remembers the subnet.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping
from ipaddress import IPv4Network

TABLES = ("filter", "nat")


def rules(bridge: str, subnet: IPv4Network) -> list[tuple[str, str]]:
    """Return table and rule: answers and requests pass, and requests leave with the machine's own address."""
    marked = f"-m comment --comment {bridge}"
    return [
        ("filter", f"FORWARD -i {bridge} {marked} -j ACCEPT"),
        ("filter", f"FORWARD -o {bridge} {marked} -j ACCEPT"),
        ("nat", f"POSTROUTING -s {subnet} ! -o {bridge} {marked} -j MASQUERADE"),
    ]


def allow(bridge: str, subnet: IPv4Network, environ: Mapping[str, str]) -> str:
    """Add the rules in front of others; return what went wrong, or nothing.

    A build that needs no network outside of the machine works without them, so this is no reason to give up.
    """
    forbid(bridge, environ)
    for table, rule in rules(bridge, subnet):
        error = _call(environ, "-t", table, "-I", *rule.split()).stderr
        if error.strip() and "Warning" not in error:
            return error.strip().splitlines()[0]
    return ""


def forbid(bridge: str, environ: Mapping[str, str]) -> None:
    """Remove each rule that carries the bridge's name."""
    for table in TABLES:
        listed = _call(environ, "-t", table, "-S").stdout
        for rule in marked(listed, bridge):
            _call(environ, "-t", table, "-D", *rule)


def marked(listed: str, bridge: str) -> list[list[str]]:
    """Find the rules of a bridge in what `iptables -S` prints, each as the words after `-A`."""
    found = [shlex.split(line) for line in listed.splitlines() if line.startswith("-A ")]
    return [words[1:] for words in found if bridge in words]


def _call(environ: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["/usr/bin/env", "iptables", "--wait", "5", *words],
            env=dict(environ),
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(words, 1, "", "iptables: no answer")
