"""Packages that are unpacked into a folder instead of being installed.

In: parcels, which are names of packages. Out: one folder per parcel with the unpacked files, and what is in
it. The engine comes from the chosen suite, where it needs no more than libc; runc, iptables and the registry
link to more libraries and come from the machine's own.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox import apt
from sandbox.machine import Machine
from sandbox.messages import SandboxError, say

LIBC = (2, 34)


@dataclass(frozen=True, slots=True)
class Parcel:
    """Packages unpacked together: some `alone`, some `whole` with what they need and is not installed."""

    name: str
    alone: tuple[str, ...]
    whole: tuple[str, ...] = ()
    optional: bool = False


REGISTRY = Parcel("registry", ("docker-registry",))


def engine(host: Machine, suite: str) -> Parcel:
    """Name the packages of a Docker Engine."""
    if not host.distribution.suites:
        return Parcel(f"engine-{host.codename}", host.distribution.engine, ("runc", "iptables", "tini"))
    names = tuple(f"{name}/{suite}" for name in host.distribution.engine)
    return Parcel(f"engine-{suite}", names, ("runc", "iptables", "tini"))


def busyboxes(host: Machine) -> list[Parcel]:
    """Name the static busybox of each architecture that the archive holds."""
    return [
        Parcel(f"busybox-{name}", (f"busybox-static:{name}",), optional=name != host.architecture)
        for name in host.architectures
    ]


def fetch(folder: Path, host: Machine, suite: str, parcels: Iterable[Parcel]) -> None:
    """Download and unpack the parcels that are not there yet, each into a folder of its name.

    Raises:
        SandboxError: the archive cannot be reached, lacks a package, or its packages cannot run here.
    """
    missing = [parcel for parcel in parcels if not (folder / parcel.name).is_dir()]
    if not missing:
        return
    check_libc(os.confstr("CS_GNU_LIBC_VERSION") or "")
    ready = apt.prepare(folder / f"apt-{suite}", host, suite)
    for parcel in missing:
        say(f"fetching {' '.join((*parcel.alone, *parcel.whole))}")
        try:
            _unpack(ready, parcel, folder / parcel.name)
        except SandboxError as error:
            if not parcel.optional:
                raise
            say(f"going on without {parcel.name}: {error}")
            (folder / parcel.name).mkdir()


def check_libc(version: str) -> None:
    """Refuse a machine whose C library, such as `glibc 2.36`, is too old for the engine's packages.

    Raises:
        SandboxError: it is.
    """
    number = version.rpartition(" ")[2]
    if number and tuple(int(part) for part in number.split(".")[:2]) < LIBC:
        raise SandboxError(f"the engine's packages need libc 2.34, here is {number}: use Debian 12 or newer")


def _unpack(ready: apt.Apt, parcel: Parcel, root: Path) -> None:
    """Download a parcel and unpack it; the folder gets its name when it is complete."""
    loaded, fresh = root.with_name(f"{root.name}.deb"), root.with_name(f"{root.name}.new")
    for folder in (loaded, fresh):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    ready("download", *parcel.alone, cwd=loaded)
    if parcel.whole:
        (loaded / "partial").mkdir()
        ready("install", "--yes", "--download-only", "-o", f"Dir::Cache::archives={loaded}", *parcel.whole)
    for package in sorted(loaded.glob("*.deb")):
        apt.run("dpkg", "-x", str(package), str(fresh), cwd=loaded)
    shutil.rmtree(loaded)
    fresh.rename(root)


def busybox(folder: Path, architecture: str) -> Path:
    """Return where a busybox was unpacked: below bin in older packages, usr/bin in newer."""
    root = folder / f"busybox-{architecture}"
    newer = root / "usr/bin/busybox"
    return newer if newer.exists() else root / "bin/busybox"


def libraries(root: Path) -> Path:
    """Return the folder of a root's shared libraries, such as usr/lib/x86_64-linux-gnu."""
    found = sorted(root.glob(f"usr/lib/{platform.machine()}-linux-gnu*"))
    return found[0] if found else root / "usr/lib"


def path(root: Path, rest: Mapping[str, str] = os.environ) -> str:
    """Return a PATH in which the root's programs come first and the system's own stay reachable."""
    here = [str(root / name) for name in ("usr/sbin", "usr/bin", "sbin", "bin")]
    return ":".join([*here, rest.get("PATH", "/usr/bin:/bin"), "/usr/sbin:/sbin"])
