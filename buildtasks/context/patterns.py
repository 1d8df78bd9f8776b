"""Decide which paths of a build context an ignore file excludes.

Text of an ignore file in, `Patterns` out. The answer for a path depends on its parents, so a walk asks for it:

- Patterns are grouped into runs of the same sign. A leading run of `!` has nothing to bring back and is dropped,
  so the runs alternate: exclude, keep, exclude...
- A folder's *level* is the number of runs up to the last one that matched it or a parent of it, 0 when none did.
  An odd level is excluded, an even one is kept.
- What is in a folder starts at the folder's level. Docker asks a run only when it could change the answer, and
  takes what matched a parent as matched: so ask the runs `level`, `level + 2`, ... and go on in the same way
  behind the first that matches.

Follows https://github.com/moby/patternmatcher (MatchesUsingParentResults), which BuildKit's client uses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from buildtasks.context.glob import Pattern, Test, cut
from buildtasks.context.ignorefile import SPACE, clean, pattern_lines
from buildtasks.errors import ConfigError, ContextError

_ODD = re.compile("[\n\udc80-\udcff]")  # where a cut pattern is not exact


class Names(NamedTuple):
    """What one run matches in one folder."""

    all: bool
    literal: frozenset[str]
    endings: tuple[str, ...]
    name: Callable[[str], object] | None
    paths: tuple[Test, ...]

    def among(self, names: list[str], folder: str) -> set[str]:
        """Pick the names that the run matches."""
        if self.all:
            return set(names)
        found = set(self.literal.intersection(names))
        if self.endings:
            found.update(name for name in names if name.endswith(self.endings))
        if self.name is not None:
            found.update(filter(self.name, names))
        if self.paths:
            found.update(name for name in names if any(test(folder + name) for test in self.paths))
        return found


Stage = Names | None  # None: the run matches nothing here


class Run:
    """Neighbouring patterns of the same sign: their order does not matter."""

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        self.patterns = tuple(patterns)
        self._everywhere: list[int] = []
        self._at: dict[str, list[int]] = {}
        self._tested: list[tuple[Test, int]] = []
        self._cuts = [cut(pattern) for pattern in self.patterns]
        for number, (folder, *_) in enumerate(self._cuts):
            if self.patterns[number].broken:
                continue  # `Patterns` asks it
            if folder is None:
                self._everywhere.append(number)
            elif isinstance(folder, str):
                self._at.setdefault(folder, []).append(number)
            else:
                self._tested.append((folder, number))
        self._made: dict[tuple[int, ...], Stage] = {}

    def names(self, folder: str) -> Stage:
        """Give what the run matches in `folder` ("" or "a/b/")."""
        active = (*self._at.get(folder, ()), *(number for test, number in self._tested if test(folder)))
        if active not in self._made:
            self._made[active] = self._make([*self._everywhere, *active])
        return self._made[active]

    def each(self) -> Names:
        """Give the run as it is, pattern by pattern, for paths where cut patterns are not exact."""
        return Names(False, frozenset(), (), None, tuple(each.matches for each in self.patterns if not each.broken))

    def reaches(self, folder: str) -> bool:
        """Tell whether the run may match something below `folder`."""
        return any(pattern.reaches(folder) for pattern in self.patterns)

    def _make(self, active: list[int]) -> Stage:
        if not active:
            return None
        texts: dict[str, list[str]] = {kind: [] for kind in ("all", "literal", "ending", "expression", "path")}
        for number in active:
            texts[self._cuts[number].kind].append(self._cuts[number].text)
        expression = "|".join(f"(?:{text})" for text in texts["expression"])
        return Names(
            bool(texts["all"]),
            frozenset(texts["literal"]),
            tuple(texts["ending"]),
            re.compile(expression, re.ASCII).fullmatch if expression else None,
            tuple(self.patterns[number].matches for number in active if self._cuts[number].kind == "path"),
        )


@dataclass(frozen=True, slots=True)
class Patterns:
    """The patterns of one ignore file, in order."""

    patterns: tuple[Pattern, ...] = ()
    runs: tuple[Run, ...] = field(init=False, repr=False, compare=False)
    broken: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        runs = [(keeps, Run(group)) for keeps, group in groupby(self.patterns, lambda pattern: pattern.keeps)]
        object.__setattr__(self, "runs", tuple(run for place, (keeps, run) in enumerate(runs) if place or not keeps))
        object.__setattr__(self, "broken", any(pattern.broken for pattern in self.patterns))

    @classmethod
    def parse(cls, text: str | bytes, name: str = ".dockerignore") -> Patterns:
        """Read the text of an ignore file; `name` is for errors.

        Raises:
            ConfigError: Docker refuses it; names file and line.
        """
        content = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
        lines = [(f"{name}:{number}", line) for number, line in pattern_lines(content, name)]
        _check_header(lines)
        return cls(tuple(found for place, line in lines if (found := _pattern(line, place))))

    @classmethod
    def read(cls, path: Path) -> Patterns:
        """Read an ignore file.

        Raises:
            ConfigError: Docker refuses it; names file and line.
            ContextError: it cannot be read.
        """
        try:
            return cls.parse(path.read_bytes(), str(path))
        except OSError as error:
            raise ContextError(f"{path}: {error.strerror}") from error

    def levels(self, folder: str, level: int, names: list[str]) -> dict[str, int]:
        """Give the levels of the names in a folder ("" or "a/b/"): of those that differ from the folder's."""
        if self.broken:
            for name in names:
                self._ask(folder + name)
        stages = self._stages(folder, level, names)
        if not any(stages):
            return {}
        reached: dict[str, int] = {}
        asked: list[list[str]] = [names, *([] for _ in stages), []]
        for place, stage in enumerate(stages):
            here = asked[place]
            found = stage.among(here, folder) if stage and here else ()
            asked[place + 1] += found
            asked[place + 2] += [name for name in here if name not in found] if found else here
            reached.update(dict.fromkeys(found, level + place + 1))
        return reached

    def reaches(self, folder: str, level: int) -> bool:
        """Tell whether an exception may bring back something below an excluded folder."""
        return self.broken or any(run.reaches(folder) for run in self.runs[level::2])

    def excludes(self, path: str) -> bool:
        """Tell whether a path is left out, its parents counting."""
        level, folder = 0, ""
        for name in path.split("/"):
            level = self.levels(folder, level, [name]).get(name, level)
            folder += f"{name}/"
        return level % 2 == 1

    def _ask(self, path: str) -> None:
        """Ask each pattern that Docker asks about a path, one by one: those that do not compile raise ConfigError."""
        matched = [False] * len(self.patterns)
        parts = path.split("/")
        for depth in range(len(parts)):
            excluded = False
            for number, pattern in enumerate(self.patterns):
                if not matched[number] and pattern.keeps == excluded:
                    matched[number] = bool(pattern.matches("/".join(parts[: depth + 1])))
                if matched[number]:
                    excluded = not pattern.keeps

    def _stages(self, folder: str, level: int, names: list[str]) -> list[Stage]:
        """Give what the runs from `level` on match in a folder."""
        if _ODD.search(folder) or _ODD.search("".join(names)):
            return [run.each() for run in self.runs[level:]]
        return [run.names(folder) for run in self.runs[level:]]


def _check_header(lines: Iterable[tuple[str, str]]) -> None:
    """Refuse what gRPC does: patterns are header values, encoded only if one of them is not ASCII."""
    if all(line.isascii() for _, line in lines):
        for place, line in lines:
            if re.search(r"[^ -~]", line):
                raise ConfigError(f"{place}: Docker takes no control character: {line!r}")


def _pattern(line: str, place: str) -> Pattern | None:
    """Read one pattern as Docker's client does after the ignore file's reader: it trims and cleans once more.

    What is not UTF-8 arrives there as U+FFFD, because the pattern travels as JSON.
    """
    text = re.sub("[\udc80-\udcff]", "\ufffd", line).strip(SPACE)
    if not text:
        return None
    text = clean(text)
    if text == "!":
        raise ConfigError(f"{place}: illegal exclusion pattern: !")
    return Pattern(text.removeprefix("!"), text.startswith("!"), place)
