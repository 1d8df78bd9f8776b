"""Versions by SemVer 2.0, and the VERSION file that holds one.

Text goes in through `Version.parse` (a leading `v` is accepted and dropped) or `read`; `str` gives it back
without the `v`. Parsing and precedence are python-semver's; here are messages with hints, the file, and what
image tags need.

SemVer 2.0: https://semver.org/spec/v2.0.0.html (grammar: 2, 9 and 10; precedence: 11)
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import semver

from buildtasks.errors import ConfigError, InvalidVersion

PARTS = ("major", "minor", "patch", "pre")
LONGEST = 255
LONGEST_TAG = 128


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A SemVer 2.0 version.

    Comparison, equality included, is SemVer's precedence: build metadata does not count (section 10).
    Where it must count, compare the texts.
    """

    value: semver.Version

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read a version such as `1.2.0`, `v1.2.0` or `1.3.0-rc.1`.

        Raises:
            InvalidVersion: the text is not a version; the message has a hint.
        """
        value = _parsed(text)
        if value is None:
            raise InvalidVersion(f"not a version: {text!r}: {_hint(text)}")
        return cls(value)

    @property
    def major(self) -> int:
        """The first number: it changes when users must change something."""
        return self.value.major

    @property
    def minor(self) -> int:
        """The second number: it changes when there is something new."""
        return self.value.minor

    @property
    def patch(self) -> int:
        """The third number: it changes when something is mended."""
        return self.value.patch

    @property
    def prerelease(self) -> bool:
        """Whether this comes before a release, as `1.3.0-rc.1` does."""
        return self.value.prerelease is not None

    def __str__(self) -> str:
        return str(self.value)


def read(path: Path) -> Version:
    """Read the version in a file of one line; its line end may be missing or CRLF, a UTF-8 BOM is dropped.

    Raises:
        InvalidVersion: the file holds anything else.
        ConfigError: the file cannot be read.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}: write the version there, for example 0.1.0") from error
    except UnicodeDecodeError:
        raise InvalidVersion(f"{path}: not a version: save it as UTF-8, one line such as 1.2.0") from None
    line = text.removesuffix("\n").removesuffix("\r")
    if "\n" in line:
        raise InvalidVersion(f"{path}: not a version: more than one line: leave only one such as 1.2.0")
    try:
        return Version.parse(line)
    except InvalidVersion as error:
        raise InvalidVersion(f"{path}: {error}") from None


def write(path: Path, version: Version) -> None:
    """Replace the file by the version and a newline, in one step; permission bits and a symbolic link stay.

    Raises:
        ConfigError: the file cannot be written; it is as it was.
    """
    target = path.resolve()
    new = target.with_name(f".{target.name}.{os.urandom(4).hex()}")
    try:
        _replace(target, new, f"{version}\n".encode())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}: the version {version} is not written") from error
    finally:
        with suppress(OSError):
            new.unlink()


def newest(tags: Iterable[str]) -> Version | None:
    """Return the highest stable version among tags, or None; what is not exactly a version does not count."""
    values = (_parsed(tag) for tag in tags)
    return max((Version(value) for value in values if value and not value.prerelease), default=None)


def bump(version: Version, part: str) -> Version:
    """Return the next version: part is `major`, `minor`, `patch` or `pre`. Build metadata is dropped.

    A pre-release goes to the release that it comes before, when the part allows: 1.3.0-rc.1 and `minor` give
    1.3.0.
    `pre` counts on: 1.2.1-rc.1 gives 1.2.1-rc.2, and the stable 1.2.0 gives 1.2.1-rc.1.

    Raises:
        ConfigError: there is no such part.
    """
    if part not in PARTS:
        raise ConfigError(f"no such part of a version: {part!r}: use {', '.join(PARTS[:-1])} or {PARTS[-1]}")
    # semver 3.0 turns 1.2.0+a into 1.2.0 here, which is no step forward.
    value = version.value.replace(build=None)
    return Version(value.next_version(part) if part != "pre" else _next_prerelease(value))


def as_tag(version: Version) -> str:
    """Return the version as an image tag: `+` becomes `-`, because tags have no `+`.

    Raises:
        InvalidVersion: the tag would be longer than 128 characters.
    """
    tag = str(version).replace("+", "-")
    if len(tag) > LONGEST_TAG:
        raise InvalidVersion(f"version {version}: {len(tag)} characters: a tag has at most {LONGEST_TAG}")
    return tag


def _parsed(text: str) -> semver.Version | None:
    bare = text.removeprefix("v")
    # semver 3.0 lets other scripts' digits and a final newline through, and int() gives up at 4300 digits.
    if len(bare) > LONGEST or not bare.isascii() or not bare.isprintable():
        return None
    try:
        return semver.Version.parse(bare)
    except ValueError:
        return None


def _next_prerelease(value: semver.Version) -> semver.Version:
    """Count the last number up; where there is none, or where that would sort lower (rc9, rc10), begin one.

    Not semver's own: 3.0 keeps the label (beta.1, beta.2), 3.1 goes on to rc.1.
    """
    if value.prerelease is None:
        return value.bump_patch().replace(prerelease="rc.1")
    counted = re.sub(r"\d+$", lambda last: str(int(last[0]) + 1), value.prerelease)
    following = value.replace(prerelease=counted)
    return following if following > value else value.replace(prerelease=f"{value.prerelease}.1")


def _hint(text: str) -> str:
    if len(text) > LONGEST:
        return f"{len(text)} characters: at most {LONGEST} are read"
    bare, plus, build = text.strip().lstrip("vV=").partition("+")
    core = re.sub(r"(?<![0-9A-Za-z])0+(?=[0-9])", "", bare)
    why = "numbers have no leading zeros: " if core != bare else ""
    core = re.sub(r"^([0-9]+\.[0-9]+\.[0-9]+)[._]?([a-z]+)[._]?([0-9]+)$", r"\1-\2.\3", core)
    core = re.sub(r"^([0-9]+)(\.[0-9]+)?(?=$|-)", lambda short: short[1] + (short[2] or ".0") + ".0", core)
    if _parsed(core + plus + build):
        return f"{why}did you mean {core}{plus}{build}?"
    return f"{why}three numbers, such as 1.2.0, or a pre-release, such as 1.3.0-rc.1"


def _replace(target: Path, new: Path, content: bytes) -> None:
    with new.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    if target.exists():
        shutil.copymode(target, new)
    new.replace(target)
