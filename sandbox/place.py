"""Where a sandbox lives on this machine, and the names it may claim there.

In: the environment variables `BUILDTASKS_SANDBOX` (`private`), `BUILDTASKS_SANDBOX_SUITE` (`trixie`, `sid`)
and `BUILDTASKS_SANDBOX_STORE` (`containerd`, `classic`). Out: a `Place`. Everything that is shared by all
processes of a machine (a bridge, a control group, a runtime folder) is named after the folder of the sandbox,
so that clones of this repository, suites and image stores run side by side, and what a killed one left behind
is found again.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.messages import SandboxError

ROOT = Path(__file__).resolve().parent.parent / ".sandbox"
STORES = ("containerd", "classic")
MARK = "buildtasks-"


@dataclass(frozen=True, slots=True)
class Place:
    """One sandbox: its folder, the folder of packages, and the suite and image store of its engine."""

    home: Path
    packages: Path
    suite: str = "trixie"
    store: str = "containerd"
    forced: bool = False
    private: bool = True

    @property
    def mark(self) -> str:
        """Return ten hexadecimal digits that belong to this folder alone."""
        return hashlib.sha256(str(self.home.resolve()).encode()).hexdigest()[:10]

    @property
    def name(self) -> str:
        """Return the name that this sandbox gives to its runtime folder and its control group."""
        return MARK + self.mark

    @property
    def bridge(self) -> str:
        """Return the name of its network bridge: Linux allows 15 characters."""
        return f"bt{self.mark}"

    @property
    def run(self) -> Path:
        """Return a short folder for sockets, whose paths Linux cuts at 108 bytes (unix(7))."""
        runtime = Path("/run")
        return (runtime if os.access(runtime, os.W_OK) else Path(tempfile.gettempdir())) / self.name

    @property
    def socket(self) -> Path:
        """Return the socket of the private engine."""
        return self.run / "docker.sock"

    def make(self) -> None:
        """Create the folder of the sockets, for its owner only.

        Raises:
            SandboxError: somebody else made it first.
        """
        self.run.mkdir(mode=0o700, exist_ok=True)
        if self.run.is_symlink() or self.run.stat().st_uid != os.getuid():
            raise SandboxError(f"{self.run} belongs to somebody else: remove it")


def choose(environ: Mapping[str, str] = os.environ, root: Path = ROOT) -> Place:
    """Read which sandbox is wanted; naming a suite or a store asks for a private engine.

    Raises:
        SandboxError: a variable holds a value that is not known.
    """
    store = environ.get("BUILDTASKS_SANDBOX_STORE") or STORES[0]
    if store not in STORES:
        raise SandboxError(f"BUILDTASKS_SANDBOX_STORE is {store!r}: expected one of {', '.join(STORES)}")
    suite = environ.get("BUILDTASKS_SANDBOX_SUITE") or "trixie"
    if not suite.replace("-", "").isalnum():
        raise SandboxError(f"BUILDTASKS_SANDBOX_SUITE is {suite!r}: expected a suite's name, such as trixie or sid")
    mode = environ.get("BUILDTASKS_SANDBOX") or ""
    if mode not in ("", "private"):
        raise SandboxError(f"BUILDTASKS_SANDBOX is {mode!r}: expected 'private' or nothing")
    named = any(environ.get(f"BUILDTASKS_SANDBOX_{key}") for key in ("SUITE", "STORE"))
    return Place(root / suite / store, root / "packages", suite, store, forced=bool(mode) or named)


def system(root: Path = ROOT) -> Place:
    """Return the place whose engine is the machine's own: only a registry runs there."""
    return Place(root / "system", root / "packages", private=False)


def existing(root: Path = ROOT) -> list[Place]:
    """List every sandbox that was ever started in this repository."""
    private = [
        Place(home, root / "packages", home.parent.name, home.name)
        for store in STORES
        for home in sorted(root.glob(f"*/{store}"))
    ]
    return [*private, *([system(root)] if system(root).home.is_dir() else [])]
