"""What is going on right now, on standard error: a live view on a terminal, plain lines elsewhere.

Both views take the same three calls from any thread: `started`, `step`, `ended`.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID


class Progress(Protocol):
    """A view of services at work."""

    def started(self, service: str) -> None:
        """Tell that work on a service begins."""

    def step(self, service: str, text: str) -> None:
        """Tell what is done for a service now."""

    def ended(self, service: str, text: str) -> None:
        """Tell how the work on a service ended."""


class Lines:
    """One line per service when it starts and one when it ends; nothing that needs a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._lock = stream, threading.Lock()
        self._since: dict[str, float] = {}

    def started(self, service: str) -> None:
        """Print that work on a service begins."""
        self._since[service] = time.monotonic()
        self._print(f"{service}: started")

    def step(self, service: str, text: str) -> None:
        """Print nothing: steps are in the log of the service."""

    def ended(self, service: str, text: str) -> None:
        """Print how the work on a service ended, with the seconds that it took."""
        now = time.monotonic()
        seconds = now - self._since.get(service, now)
        self._print(f"{service}: {text} ({seconds:.1f} s)")

    def _print(self, line: str) -> None:
        with self._lock:
            print(line, file=self._stream, flush=True)


class Live:
    """One moving line per service with its current step and time."""

    def __init__(self, view: RichProgress) -> None:
        self._view = view
        self._rows: dict[str, TaskID] = {}

    def started(self, service: str) -> None:
        """Add the line of a service."""
        self._rows[service] = self._view.add_task(service, total=None, step="")

    def step(self, service: str, text: str) -> None:
        """Show the current step of a service."""
        self._view.update(self._rows[service], step=text)

    def ended(self, service: str, text: str) -> None:
        """Stop the clock of a service and show how it ended."""
        self._view.update(self._rows[service], step=text, total=1, completed=1)


@contextmanager
def shown(stream: TextIO | None = None) -> Iterator[Progress]:
    """Show progress on `stream` (standard error) while the block runs."""
    target = stream or sys.stderr
    if not target.isatty() or os.environ.get("TERM") == "dumb":
        yield Lines(target)
        return
    with _live(target) as view:
        yield Live(view)


def _live(stream: TextIO) -> RichProgress:
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.table import Column

    return Progress(
        SpinnerColumn(finished_text=" "),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        # Steps hold brackets ("[2/4] RUN make") that markup would swallow.
        TextColumn("{task.fields[step]}", markup=False, table_column=Column(ratio=1, no_wrap=True)),
        console=Console(file=stream),
        expand=True,
    )
