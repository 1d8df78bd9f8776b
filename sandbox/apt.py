"""apt with folders of our own: it downloads and verifies; the system's lists and packages stay as they are.

In: a folder and a machine. Out: an `Apt` whose lists are loaded. Only the file that says which packages are
installed is the system's, and it is only read. The mirror is the one that the machine uses already.

See apt.conf(5), sources.list(5), and apt-get(8) about `indextargets`.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sandbox.machine import Machine
from sandbox.messages import SandboxError

FIELDS = "$(LABEL)|$(RELEASE)|$(REPO_URI)"
HOOKS = ("APT::Update::Pre-Invoke", "APT::Update::Post-Invoke", "APT::Update::Post-Invoke-Success")


@dataclass(frozen=True, slots=True)
class Apt:
    """apt-get with the configuration in a folder."""

    folder: Path

    def __call__(self, *words: str, cwd: Path | None = None) -> str:
        """Run one command and return what it printed.

        Raises:
            SandboxError: it failed; with its last lines.
        """
        return run("apt-get", "-c", str(self.folder / "apt.conf"), *words, cwd=cwd or self.folder)


def run(program: str, *words: str, cwd: Path) -> str:
    """Run a program of the package system in English and return what it printed.

    Raises:
        SandboxError: it failed; with its last lines.
    """
    environ = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        [program, *words], cwd=cwd, env=environ, capture_output=True, text=True, check=False, timeout=600
    )
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-10:])
        raise SandboxError(f"`{program} {' '.join(words)}` failed with {done.returncode}:", tail)
    return done.stdout


def prepare(folder: Path, host: Machine, suite: str) -> Apt:
    """Write our configuration and source list, and load the lists.

    Raises:
        SandboxError: the machine's sources name no archive, or it cannot be reached.
    """
    for name in ("lists/partial", "cache/archives/partial", "state"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    apt, asked = Apt(folder), ("indextargets", "--format", FIELDS, "Created-By: Packages")
    address = mirror(run("apt-get", *asked, cwd=folder), host)
    if not address:
        # A slim image has thrown its lists away, and apt names no target that it never loaded.
        (folder / "apt.conf").write_text(configuration(folder, host, own=False))
        with suppress(SandboxError):  # one source that fails is no reason to give up on the others
            apt("update")
        address = mirror(apt(*asked), host)
    if not address:
        raise SandboxError(f"apt's sources name no {host.distribution.label} archive for {host.codename}")
    (folder / "sources.list").write_text(sources(address, host, suite))
    (folder / "apt.conf").write_text(configuration(folder, host))
    apt("update", "--error-on=any")
    return apt


def mirror(targets: str, host: Machine) -> str:
    """Choose the address from lines of `label|release|address`; empty when none is the machine's archive."""
    rows = [line.split("|") for line in targets.splitlines() if line.count("|") == 2]
    for label, release, address in rows:
        if (label, release) == (host.distribution.label, host.codename):
            return address
    return ""


def sources(address: str, host: Machine, suite: str) -> str:
    """Write a source list: the machine's own suite for both architectures, and the engine's suite."""
    kind, keyring = host.distribution, host.distribution.keyring
    key = f" signed-by={keyring}" if keyring.exists() else ""
    both, one = ",".join(host.architectures), host.architecture
    wanted = {host.codename: both}
    if kind.suites:
        wanted.setdefault(suite, one)
    else:
        wanted[f"{host.codename}-updates"] = both
    lines = [f"deb [arch={names}{key}] {address} {suite} {kind.parts}" for suite, names in wanted.items()]
    return "\n".join(lines) + "\n"


def configuration(folder: Path, host: Machine, *, own: bool = True) -> str:
    """Write apt.conf(5): everything that apt writes goes below the folder, and no hook of the system runs.

    `own` reads our source list; without it, apt reads the machine's.
    """
    values = {
        "Dir::State": folder / "state",
        "Dir::State::lists": folder / "lists",
        "Dir::State::status": "/var/lib/dpkg/status",
        "Dir::Cache": folder / "cache",
        # Container images empty these two names, and then each call of apt parses all lists again: 1.4 s.
        "Dir::Cache::pkgcache": "pkgcache.bin",
        "Dir::Cache::srcpkgcache": "srcpkgcache.bin",
        "APT::Sandbox::User": "root",
        "APT::Install-Recommends": "false",
        "APT::Default-Release": host.codename,
        "Acquire::Languages": "none",
        "Acquire::Retries": "2",
        "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled": "false",
        "Debug::NoLocking": "true",
    }
    if own:
        values |= {
            "Dir::Etc::sourcelist": folder / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
        }
    names = " ".join(f'"{name}";' for name in host.architectures)
    cleared = [f"#clear {name};" for name in (*HOOKS, "APT::Architectures")]
    set_to = [f'{key} "{value}";' for key, value in values.items()]
    return "\n".join([*cleared, f"APT::Architectures {{ {names} }};", *set_to, ""])
