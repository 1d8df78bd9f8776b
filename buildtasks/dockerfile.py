"""Which images a Dockerfile is built from. Pure: text and build arguments in, references out.

Follows the Dockerfile reference (https://docs.docker.com/reference/dockerfile/): parser directives, continued lines,
comments, here-documents, `ARG` before `FROM`, stages, `COPY --from`, `RUN --mount=from=`. What cannot be resolved
from the text and the arguments is said, not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

DIRECTIVE = re.compile(r"#\s*(\w+)\s*=\s*(.+?)\s*$")
HEREDOC = re.compile(r"<<(-?)(['\"]?)([A-Za-z0-9_.]+)\2")
PLACE = re.compile(r"\\\$|\$(\w+)|\$\{(\w+)(?:(:?[-+])([^}]*))?\}")
FROM_FLAG = re.compile(r"--from=(\S+)")
MOUNT_FROM = re.compile(r"--mount=(\S+)")


@dataclass(frozen=True, slots=True)
class Bases:
    """The images a Dockerfile is built from, as written after expansion, and the words that cannot be resolved."""

    images: tuple[str, ...]
    unresolved: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its name in upper case and the rest, with continued lines joined."""

    name: str
    rest: str


def bases(text: str, *, args: Mapping[str, str], named: Iterable[str] = ()) -> Bases:
    """Return the images that a Dockerfile needs from outside, sorted.

    `args` are build arguments, `named` the named contexts, which stand in front of images of their names.
    """
    steps = list(instructions(text))
    words = [*_syntax(text), *_froms(steps, args), *_copies(steps)]
    stages = {name.lower() for name in _stage_names(steps)} | {"scratch"} | {name.lower() for name in named}
    outside = {word for word in words if word.lower() not in stages and not word.isdigit()}
    return Bases(
        images=tuple(sorted(word for word in outside if "$" not in word)),
        unresolved=tuple(sorted(word for word in outside if "$" in word)),
    )


def runs_on_target(text: str) -> bool:
    """Tell whether a RUN may need the platform that is built for; cross-building Dockerfiles run on their own."""
    steps = list(instructions(text))
    crossing = any(
        step.name == "FROM" and "--platform=$" in step.rest and "BUILDPLATFORM" in step.rest for step in steps
    )
    return not crossing and any(step.name == "RUN" for step in steps)


def instructions(text: str) -> Iterator[Instruction]:
    """Yield the instructions of a Dockerfile; here-documents are passed over."""
    escape = directives(text).get("escape", "\\")
    lines = iter(text.removeprefix("\ufeff").splitlines())
    for line in lines:
        whole = _whole(line, lines, escape)
        name, _, rest = whole.strip().partition(" ")
        if not name or name.startswith("#"):
            continue
        for dash, _, word in HEREDOC.findall(rest) if name.upper() in ("RUN", "COPY", "ADD") else ():
            _pass_over(lines, word, bool(dash))
        yield Instruction(name.upper(), rest.strip())


def _whole(line: str, lines: Iterator[str], escape: str) -> str:
    """Join a line with those that continue it; comments and empty lines between them do not count."""
    if line.lstrip().startswith("#"):
        return ""
    whole = line.rstrip()
    while whole.endswith(escape):
        following = next(lines, None)
        if following is None:
            return whole[:-1]
        if following.strip() and not following.lstrip().startswith("#"):
            whole = whole[:-1] + " " + following.strip()
    return whole.replace("\t", " ")


def _pass_over(lines: Iterator[str], word: str, tabs: bool) -> None:
    for line in lines:
        if (line.lstrip("\t") if tabs else line).rstrip("\r") == word:
            return


def directives(text: str) -> dict[str, str]:
    """Return the parser directives (`# syntax=`, `# escape=`) at the top of a Dockerfile."""
    found: dict[str, str] = {}
    for line in text.removeprefix("\ufeff").splitlines():
        match = DIRECTIVE.match(line.strip())
        if not match or match.group(1).lower() in found:
            break
        found[match.group(1).lower()] = match.group(2)
    return found


def _syntax(text: str) -> list[str]:
    frontend = directives(text).get("syntax", "").split()
    return frontend[:1]


def _froms(steps: Iterable[Instruction], given: Mapping[str, str]) -> Iterator[str]:
    scope: dict[str, str] = {}
    started = False
    for step in steps:
        if step.name == "FROM":
            started = True
            words = [word for word in step.rest.split() if not word.startswith("--")]
            if words:
                yield expand(words[0], scope)
        elif step.name == "ARG" and not started:
            scope |= _arguments(step.rest, given, scope)


def _arguments(rest: str, given: Mapping[str, str], scope: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in rest.split():
        name, equals, default = word.partition("=")
        if name in given:
            found[name] = given[name]
        elif equals:
            found[name] = expand(default.strip("\"'"), {**scope, **found})
    return found


def expand(word: str, scope: Mapping[str, str]) -> str:
    """Expand `$X`, `${X}`, `${X:-word}`, `${X-word}`, `${X:+word}` and `${X+word}`; what is not known stays."""

    def value(match: re.Match[str]) -> str:
        name = match.group(1) or match.group(2)
        if name is None:
            return match.group(0)
        operator, alternative, known = match.group(3), match.group(4) or "", scope.get(name)
        there = bool(known) if operator and operator.startswith(":") else known is not None
        if operator and operator.endswith("+"):
            return expand(alternative, scope) if there else ""
        if there:
            return str(known)
        return expand(alternative, scope) if operator else match.group(0)

    return PLACE.sub(value, word.strip("\"'"))


def _stage_names(steps: Iterable[Instruction]) -> Iterator[str]:
    for step in steps:
        words = step.rest.split()
        if step.name == "FROM" and len(words) >= 3 and words[-2].upper() == "AS":
            yield words[-1]


def _copies(steps: Iterable[Instruction]) -> Iterator[str]:
    for step in steps:
        if step.name in ("COPY", "ADD"):
            yield from FROM_FLAG.findall(_flags(step.rest))
        if step.name == "RUN":
            for mount in MOUNT_FROM.findall(_flags(step.rest)):
                yield from (part[5:] for part in mount.split(",") if part.startswith("from="))


def _flags(rest: str) -> str:
    """Return the flags at the start of an instruction; a `--from=` further on belongs to a command."""
    words = rest.split()
    count = next((index for index, word in enumerate(words) if not word.startswith("--")), len(words))
    return " ".join(words[:count])
