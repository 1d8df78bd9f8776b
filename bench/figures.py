"""What the benchmarks share: best-of timing in turns, child processes with their peak memory, and the printed lines."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of a command: seconds of the wall clock, user CPU seconds, peak memory in bytes."""

    seconds: float
    user: float
    peak: int


def best(work: Callable[[], object], rounds: int) -> float:
    """Return the shortest of some runs, in seconds: the one with the least interference."""
    return min(_timed(work) for _ in range(rounds))


def in_turns(first: Callable[[], object], second: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Return the shortest run of each of two, run in turns so that a busy moment hits both."""
    pairs = [(_timed(first), _timed(second)) for _ in range(rounds)]
    return min(one for one, _ in pairs), min(other for _, other in pairs)


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def run(argv: Sequence[str], cwd: Path) -> Ran:
    """Run a command to its end and return what it took.

    Raises:
        SystemExit: it failed; the last lines of its output are shown.
    """
    # An installed package has its byte code beside it.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    with subprocess.Popen(
        argv, cwd=cwd, env={**env, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        tail = "\n".join(said.decode(errors="replace").splitlines()[-10:])
        sys.exit(f"{' '.join(argv)}: exit code {process.returncode}\n{tail}")
    return Ran(time.perf_counter() - start, used.ru_utime, used.ru_maxrss * 1024)


def peak() -> int:
    """Return the peak memory of this process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def line(what: str, ours: float, theirs: float, wanted: str, unit: str = "s") -> None:
    """Print one comparison and the figure that was asked for."""
    print(f"{what:58} {ours:8.3f} {unit}  against {theirs:8.3f} {unit}  = {ours / theirs:6.3f}   (wanted: {wanted})")
