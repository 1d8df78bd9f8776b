"""What the sandbox tells people: notes on stderr while it works, and one error that ends it.

invoke.Exit SandboxError 1 one clear line, and the log's tail when a process is to blame
"""

from __future__ import annotations

import sys

from invoke.exceptions import Exit


class SandboxError(Exit):
    """Something is missing or failed; `inv` prints the message and exits with 1."""

    def __init__(self, message: str, log: str = "") -> None:
        """Join the message and the last lines of the log that explain it."""
        super().__init__(f"{message}\n{log.rstrip()}" if log.strip() else message, code=1)

    def __str__(self) -> str:
        """Return the message: `invoke.Exit` leaves that to its caller."""
        return self.message or ""


def say(line: str) -> None:
    """Tell on stderr what takes time or is not as usual."""
    print(f"sandbox: {line}", file=sys.stderr, flush=True)
