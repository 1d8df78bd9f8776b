"""Read a .dockerignore: which file counts, and which patterns it holds.

Bytes in, pattern texts with their line numbers out, as the `ignorefile` reader of Docker gives them: byte order
mark, CRLF, comments, blanks, slashes and `!`. Only `Patterns` knows what a pattern means.

Follows https://docs.docker.com/build/concepts/context/#dockerignore-files and the package `ignorefile` of
https://github.com/moby/patternmatcher.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from buildtasks.errors import ConfigError, ContextError

# Go's unicode.IsSpace; str.strip() would also take U+001C to U+001F.
SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
LONGEST_LINE = 65535  # bytes without the newline; Docker fails on longer lines
LINKS = 255  # followed before a chain of links counts as a loop


def ignore_file(root: Path, dockerfile: Path | None = None) -> Path | None:
    """Find the ignore file of the context `root`, or None.

    `<dockerfile>.dockerignore` comes first, even when it is empty. `dockerfile` None is a named context: it has
    only its own .dockerignore. A link is followed as if its folder were the root of the file system, so one that
    leads out of the context finds nothing there. Anything but a regular file counts as absent.

    Raises:
        ContextError: a folder on the way cannot be read.
    """
    if dockerfile is not None:
        own = _inside(dockerfile.parent, f"{_spelled(dockerfile)}.dockerignore")
        if own is not None:
            return own
    return _inside(root, ".dockerignore")


def pattern_lines(content: bytes, name: str) -> Iterator[tuple[int, str]]:
    """Yield (line number, pattern) of an ignore file; `name` is for errors.

    Raises:
        ConfigError: a line is longer than Docker reads.
    """
    for number, line in enumerate(content.split(b"\n"), start=1):
        if len(line) > LONGEST_LINE:
            raise ConfigError(f"{name}:{number}: longer than {LONGEST_LINE} bytes")
        line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        text = line.decode("utf-8", "surrogateescape")
        if not text.startswith("#") and (pattern := text.strip(SPACE)):
            yield number, _rooted_here(pattern)


def clean(path: str) -> str:
    """Shorten a path by its text alone, as Go's path.Clean: no `.`, inner `..` or double slash; empty is `.`."""
    kept: list[str] = []
    for part in path.split("/"):
        if part == ".." and kept and kept[-1] != "..":
            kept.pop()
        elif part == ".." and path.startswith("/"):
            continue
        elif part not in {"", "."}:
            kept.append(part)
    return "/" * path.startswith("/") + "/".join(kept) or "."


def _rooted_here(pattern: str) -> str:
    """Clean one pattern and take its leading slash, also behind a `!`."""
    sign = "!" if pattern.startswith("!") else ""
    rest = pattern[len(sign) :].strip(SPACE) if sign else pattern
    if rest:
        rest = clean(rest)
        rest = rest[1:] if len(rest) > 1 and rest.startswith("/") else rest
    return sign + rest


def _spelled(dockerfile: Path) -> str:
    """Name the Dockerfile as buildx does: `dockerfile` serves where there is no `Dockerfile`."""
    if dockerfile.name != "Dockerfile":
        return dockerfile.name
    try:
        names = set(os.listdir(dockerfile.parent))
    except OSError:
        return dockerfile.name
    return "dockerfile" if "dockerfile" in names and "Dockerfile" not in names else dockerfile.name


def _inside(root: Path, name: str) -> Path | None:
    """Resolve `name` with `root` as the top of all links; None unless it is a regular file."""
    todo, found, links = [name], root, 0
    try:
        while todo:
            part = todo.pop()
            if part in {"", "."}:
                continue
            if part == "..":
                found = found.parent if found != root else root
                continue
            mode = os.lstat(found / part).st_mode
            if not stat.S_ISLNK(mode):
                found /= part
                continue
            target = os.readlink(found / part)
            found = root if target.startswith("/") else found
            todo += reversed(target.split("/"))
            if (links := links + 1) > LINKS:
                return None
        return found if stat.S_ISREG(os.lstat(found).st_mode) else None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ContextError(f"{error.filename}: {error.strerror}") from error
