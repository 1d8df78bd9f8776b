"""The one door to other programs, through invoke's Context.

Two verbs: `read` asks a question (always runs, also in a dry run, hidden, never raises by itself) and `run` makes
a change (echoed, skipped by `--dry`, raises when it fails). Both take an argv list; quoting happens here.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from invoke.context import Context
from invoke.exceptions import CommandTimedOut

from buildtasks.errors import CommandFailed

# The exit code of timeout(1).
TIMED_OUT = 124


# Quoting is POSIX, and bash, invoke's choice, is not everywhere.
SHELL: Mapping[str, Any] = {"shell": "/bin/sh"} if os.name == "posix" else {}


class Writer(Protocol):
    """Where the output of a command goes, as it comes."""

    def write(self, text: str, /) -> object:
        """Take some text."""

    def flush(self) -> object:
        """Pass on what was taken."""


class _Nowhere:
    def write(self, text: str, /) -> None: ...

    def flush(self) -> None: ...


# For commands that only matter when they fail: the error holds what was said.
NOWHERE: Writer = _Nowhere()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command said: exit code, standard output and standard error as text."""

    exited: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        """Tell whether the exit code was 0."""
        return self.exited == 0


def read(c: Context, argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Answer:
    """Run a command that changes nothing and return its answer, whatever its exit code.

    Raises:
        CommandFailed: it took longer than `inv --command-timeout` allows.
    """
    return _answer(c, argv, env, cwd, {"hide": True, "echo": False, "dry": False})


def run(
    c: Context,
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    log: Writer | None = None,
    hint: str = "",
) -> Answer:
    """Run a command that changes something; in a dry run only tell it.

    With `log`, standard output and standard error go there instead of the terminal. Secrets belong in `env`, which
    is never echoed.

    Raises:
        CommandFailed: the exit code was not 0 (`hint` is added to its message), or it took too long.
    """
    streams: dict[str, Any] = {"out_stream": log, "err_stream": log, "echo": False} if log else {}
    if log and not dry(c):
        log.write(f"$ {shlex.join(argv)}\n")
    answer = _answer(c, argv, env, cwd, streams)
    if not answer.ok:
        raise CommandFailed(argv, answer.exited, answer.stderr or answer.stdout, hint=hint)
    return answer


def _answer(
    c: Context, argv: Sequence[str], env: Mapping[str, str] | None, cwd: Path | None, how: Mapping[str, Any]
) -> Answer:
    # An `env` of ours takes the place of the one in the `run` section of invoke.yaml, so that it must hold it too.
    configured = c.config.run.env
    whole = {**{name: configured[name] for name in configured}, **(env or {})}
    try:
        result = c.run(_line(argv, cwd), pty=False, warn=True, in_stream=False, env=whole, **SHELL, **how)
    except CommandTimedOut as error:
        raise CommandFailed(argv, TIMED_OUT, f"stopped after {error.timeout} seconds") from error
    return Answer(result.exited, result.stdout, result.stderr)


def _line(argv: Sequence[str], cwd: Path | None) -> str:
    return f"cd {shlex.quote(str(cwd))} && {shlex.join(argv)}" if cwd else shlex.join(argv)


def dry(c: Context) -> bool:
    """Tell whether this is a dry run (`inv --dry`): reads happen, changes are only told."""
    return bool(c.config.run.dry)
