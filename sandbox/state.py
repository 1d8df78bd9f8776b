"""What a running sandbox is to its users: addresses and folders, kept in one JSON file.

In and out: `Sandbox`. The file appears whole or not at all, so that many test processes may read it at any
time.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Sandbox:
    """An engine and a registry that run."""

    docker_host: str
    docker_config: str
    docker: str
    registry: str
    private: bool
    suite: str = ""
    store: str = ""
    base: str = ""

    @property
    def path(self) -> str:
        """Return the folder of the docker client, to be searched first."""
        return str(Path(self.docker).parent)

    def environ(self, rest: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Return the variables that lead docker, buildx and the tests here."""
        before = rest.get("PATH", "")
        known = before.split(":")[0] == self.path
        return {
            **({"DOCKER_HOST": self.docker_host} if self.docker_host else {}),
            "DOCKER_CONFIG": self.docker_config,
            "PATH": before if known else f"{self.path}:{before}",
            "SANDBOX_REGISTRY": self.registry,
        }


def load(home: Path) -> Sandbox | None:
    """Read what runs in a folder; None when nothing does, or when an older version wrote it."""
    with suppress(OSError, ValueError, TypeError):
        return Sandbox(**json.loads((home / "state.json").read_text()))
    return None


def save(home: Path, sandbox: Sandbox) -> None:
    """Write the state in one step."""
    handle, name = tempfile.mkstemp(dir=home, prefix="state.")
    with os.fdopen(handle, "w") as file:
        json.dump(asdict(sandbox), file, indent=1)
    Path(name).replace(home / "state.json")


def forget(home: Path) -> None:
    """Remove the state."""
    (home / "state.json").unlink(missing_ok=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process at a time work in a folder; the kernel frees the lock of a killed one."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
