"""What an engine that was killed leaves behind: processes, mounts, control groups.

All of it carries the sandbox's name: containerd and its shims in their command line, containers in the name
of their control group, mounts in the path of the runtime folder or of the data. In: that name and those
folders.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from sandbox.daemon import command

CGROUPS = Path("/sys/fs/cgroup")
PROGRAMS = ("dockerd", "docker-proxy", "containerd", "runc")


def clear(name: str, folders: Iterable[Path]) -> None:
    """Kill the processes, unmount below the folders, and remove the control groups of a sandbox."""
    deadline = time.monotonic() + 10
    while (found := processes(name)) and time.monotonic() < deadline:
        kill(found)
        time.sleep(0.05)
    for mount in mounts(Path("/proc/self/mountinfo").read_text(), folders):
        subprocess.run(["umount", "--lazy", mount], capture_output=True, check=False)
    for top in groups(name):
        for folder, _, _ in os.walk(top, topdown=False):
            with suppress(OSError):
                Path(folder).rmdir()


def kill(pids: Iterable[int]) -> None:
    """End processes without asking."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def processes(name: str) -> list[int]:
    """List the processes of a sandbox's engine and of its containers."""
    running = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in running if _serves(pid, name)] + contained(name)


def _serves(pid: int, name: str) -> bool:
    with suppress(OSError):
        program = Path(f"/proc/{pid}/exe").readlink().name
        return program.startswith(PROGRAMS) and f"/{name}/" in command(pid)
    return False


def contained(name: str) -> list[int]:
    """List the processes in the control groups of a sandbox, which are those in its containers."""
    files = [path for top in groups(name) for path in top.rglob("cgroup.procs")]
    found: set[int] = set()
    for file in files:
        with suppress(OSError):
            found.update(map(int, file.read_text().split()))
    return sorted(found)


def groups(name: str) -> list[Path]:
    """Find the control groups of a sandbox: one, or one per controller on a machine with the older kind."""
    return [*CGROUPS.glob(name), *CGROUPS.glob(f"*/{name}")]


def mounts(table: str, folders: Iterable[Path]) -> list[str]:
    """Find the mount points at or below the folders in /proc/self/mountinfo (proc(5)), the deepest first."""
    points = [_plain(line.split()[4]) for line in table.splitlines() if line.strip()]
    tops = [str(folder) for folder in folders]
    inside = [point for point in points if any(point == top or point.startswith(f"{top}/") for top in tops)]
    return sorted(inside, key=len, reverse=True)


def _plain(point: str) -> str:
    """Undo the octal escapes of blanks, tabs and backslashes in a mount point."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), point)
