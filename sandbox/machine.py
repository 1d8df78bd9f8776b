"""What the machine is, as far as packages go: its distribution, the suite that it runs, its architecture.

In: os-release(5) and dpkg. Out: a `Machine`, or None where Debian's packages have no place.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

FOREIGN = {"amd64": "arm64", "arm64": "amd64"}
KEYRINGS = Path("/usr/share/keyrings")


@dataclass(frozen=True, slots=True)
class Distribution:
    """A family of packages: its label in archives, its parts, its keys, and what it calls an engine.

    `suites`: the engine may come from another suite than the machine's own. `foreign`: one archive holds both
    common architectures.
    """

    label: str
    parts: str
    keyring: Path
    engine: tuple[str, ...]
    suites: bool
    foreign: bool


DEBIAN = Distribution(
    label="Debian",
    parts="main",
    keyring=KEYRINGS / "debian-archive-keyring.gpg",
    engine=("docker.io", "docker-cli", "docker-buildx", "containerd"),
    suites=True,
    foreign=True,
)
UBUNTU = Distribution(
    label="Ubuntu",
    parts="main universe",
    keyring=KEYRINGS / "ubuntu-archive-keyring.gpg",
    engine=("docker.io", "docker-buildx", "containerd"),
    suites=False,
    foreign=False,
)


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine that runs one suite of a distribution."""

    distribution: Distribution
    codename: str
    architecture: str

    @property
    def architectures(self) -> tuple[str, ...]:
        """Name the machine's architecture, and the other one whose packages the same archive holds."""
        other = FOREIGN.get(self.architecture)
        return (self.architecture, other) if other and self.distribution.foreign else (self.architecture,)


def read(release: Path = Path("/etc/os-release")) -> Machine | None:
    """Read what this machine is; None when it is neither Debian nor Ubuntu."""
    try:
        distribution, codename = parse(release.read_text())
    except OSError:
        return None
    if distribution is None:
        return None
    shown = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True)
    return Machine(distribution, codename, shown.stdout.strip())


def parse(release: str) -> tuple[Distribution | None, str]:
    """Find distribution and codename in the text of os-release(5); Debian's unstable names none."""
    pairs = (line.split("=", 1) for line in release.splitlines() if "=" in line)
    values = {key: value.strip("\"'") for key, value in pairs}
    found = {"debian": DEBIAN, "ubuntu": UBUNTU}.get(values.get("ID", ""))
    return found, values.get("VERSION_CODENAME", "sid")
