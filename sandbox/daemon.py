"""One long-running process with a pid file and a log: start it, ask whether it lives, stop it.

A pid alone proves nothing, since the kernel hands it out again: the process counts as ours while its command
line names its own configuration file. A zombie has an empty command line, so it counts as dead without being
waited for.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sandbox.messages import SandboxError


@dataclass(frozen=True, slots=True)
class Daemon:
    """A process that reads one configuration file in `home` and runs until it is told to stop."""

    name: str
    home: Path
    config: Path

    @property
    def log(self) -> Path:
        """Return the file that holds what the process printed since its last start."""
        return self.home / f"{self.name}.log"

    @property
    def pidfile(self) -> Path:
        """Return the file that holds the process id."""
        return self.home / f"{self.name}.pid"

    def tail(self, lines: int = 15) -> str:
        """Return the last lines of the log."""
        with suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""

    def pid(self) -> int | None:
        """Return the process id while the process is alive and ours."""
        try:
            pid = int(self.pidfile.read_text())
        except (FileNotFoundError, ValueError):
            return self._lost()
        return pid if self._is(pid) else None

    def _is(self, pid: int) -> bool:
        return str(self.config) in command(pid)

    def _lost(self) -> int | None:
        """Find the process without its pid file: a second daemon on the same data would break the first."""
        pids = (int(entry.name) for entry in Path("/proc").glob("[0-9]*"))
        # A shell that names the configuration is the one that starts the process.
        return next((pid for pid in pids if self._is(pid) and not command(pid).startswith("/bin/sh")), None)

    def start(self, argv: Sequence[str], environ: Mapping[str, str]) -> None:
        """Start the process in a session of its own, so that it outlives the terminal and its Ctrl-C."""
        # The shell in between makes init the parent: a test runner that calls us never holds a zombie.
        script = '"$@" >"$LOG" 2>&1 </dev/null & echo $! >"$PID.new" && mv "$PID.new" "$PID"'
        self.pidfile.unlink(missing_ok=True)
        subprocess.run(
            ["/bin/sh", "-c", script, "sh", *argv],
            env={**environ, "LOG": str(self.log), "PID": str(self.pidfile)},
            check=True,
            start_new_session=True,
            cwd="/",
            stdin=subprocess.DEVNULL,
        )

    def wait(self, ready: Callable[[], bool], seconds: float) -> None:
        """Return as soon as the process answers.

        Raises:
            SandboxError: it ended, or it did not answer in time; with the log's tail.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if self.pid() is None:
                raise SandboxError(f"{self.name} ended while starting; the end of {self.log}:", self.tail())
            if time.monotonic() > deadline:
                raise SandboxError(
                    f"{self.name} gave no answer in {seconds:.0f} s; the end of {self.log}:", self.tail()
                )
            time.sleep(0.05)

    def stop(self, seconds: float = 25) -> None:
        """Ask the process to end, wait, and kill it when it does not."""
        for request, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 5.0)):
            pid = self.pid()
            if pid is None:
                break
            with suppress(ProcessLookupError):
                os.kill(pid, request)
            deadline = time.monotonic() + patience
            while self.pid() is not None and time.monotonic() < deadline:
                time.sleep(0.02)
        self.pidfile.unlink(missing_ok=True)


def command(pid: int) -> str:
    """Return the command line of a process, its words joined by blanks; empty when it is gone or a zombie.

    Any other trouble, such as too many open files, is raised: a living daemon must not be taken for a dead one.
    """
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        pass
    if Path("/proc/self").exists():
        return ""
    shown = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout
