"""What can go wrong, and the exit code that says so.

    invoke.Exit
      BuildtasksError        1   base; catch this
        ConfigError          2   invoke.yaml, VERSION or a flag; starts with the file and the key path
          InvalidReference   2   a name that breaks the grammar of references
          InvalidVersion     2   a version that is not SemVer 2.0
        CommandFailed        1   docker or git failed: argv, exit code, last lines of its output
        ContextError         1   a build context that cannot be read
        EngineError          1   the local Docker Engine is missing, down or refuses
        RegistryError        1   METHOD host/path: status code: message
          Unauthorized       1   401 or 403
          NotFound           1   404; the only answer that is read as "is not there"
        Failed               1   some services failed; the others are done
        Refused              3   a rule said no

Every class is an `invoke.Exit`: the task runner prints the message on stderr and exits with the code, without a
traceback, and a program that composes the tasks catches the same class.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from invoke.exceptions import Exit


class BuildtasksError(Exit):
    """Base of all errors of this package; carries the message and the exit code."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(message, self.exit_code)

    def __str__(self) -> str:
        return str(self.message)


class ConfigError(BuildtasksError):
    """The configuration or a flag is wrong; nothing has been done."""

    exit_code = 2


class InvalidReference(ConfigError):
    """A name breaks the grammar of image references."""


class InvalidVersion(ConfigError):
    """A text is not a SemVer 2.0 version."""


class CommandFailed(BuildtasksError):
    """A command ended with a non-zero exit code.

    `argv` is the command, `exited` its code, `output` what it printed last.
    """

    def __init__(self, argv: Sequence[str], exited: int, output: str = "", *, hint: str = "") -> None:
        self.argv, self.exited, self.output = tuple(argv), exited, output
        lines = [f"{shlex.join(argv)}: exit code {exited}", *output.strip().splitlines()[-5:]]
        super().__init__("\n  ".join(lines) + (f"\n{hint}" if hint else ""))


class ContextError(BuildtasksError):
    """A build context cannot be read, or keeps changing while it is read."""


class EngineError(BuildtasksError):
    """The local Docker Engine is missing, down or refuses."""


class RegistryError(BuildtasksError):
    """A registry answered with an error, or not at all.

    `status` is the HTTP status (None: no answer), `codes` the registry's own error codes.
    """

    def __init__(self, message: str, *, status: int | None = None, codes: Sequence[str] = ()) -> None:
        self.status, self.codes = status, tuple(codes)
        super().__init__(message)


class Unauthorized(RegistryError):
    """The registry wants other credentials, or more permissions."""


class NotFound(RegistryError):
    """The registry says that it is not there (404 and nothing else)."""


class Failed(BuildtasksError):
    """One or more services failed."""


class Refused(BuildtasksError):
    """A rule of the project said no; nothing has been changed."""

    exit_code = 3
