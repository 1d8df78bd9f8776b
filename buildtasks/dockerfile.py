"""Which images a Dockerfile is built from. Pure: text and build arguments in, references out.

Follows the Dockerfile reference (https://docs.docker.com/reference/dockerfile/) and, where that is silent, BuildKit's
parser (https://github.com/moby/buildkit/tree/master/frontend/dockerfile): parser directives, continued lines, comments,
here-documents, `ARG` before `FROM`, stages, `COPY --from`, `RUN --mount=from=`. What cannot be resolved from the text
and the arguments is said, not guessed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile

from buildtasks.errors import InvalidReference
from buildtasks.expand import expand, unquoted, words
from buildtasks.reference import Reference

DIRECTIVE = re.compile(r"#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*$")
KNOWN_DIRECTIVES = frozenset(("syntax", "escape", "check"))
HEREDOC = re.compile(r"\d*<<(-?)([^<]+)")
BLANKS = re.compile(r"[ \t\v\f\r]+")
# Known without ARG in FROM; BuildKit takes them from the platforms of the run.
PLATFORM_ARGS = tuple(side + part for side in ("BUILD", "TARGET") for part in ("PLATFORM", "OS", "ARCH", "VARIANT"))


ADDRESS = re.compile(r"(?:https?|ssh|git)://|[\w.-]+@[\w.-]+:")
COMMIT = re.compile(r"#[0-9a-f]{40}(?::|$)")


@dataclass(frozen=True, slots=True)
class Bases:
    """The images a Dockerfile is built from, as written after expansion, and the words that cannot be resolved."""

    images: tuple[str, ...]
    unresolved: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its name in upper case, its `--` flags without quotes, and the rest, continued lines joined."""

    name: str
    flags: tuple[str, ...]
    rest: str

    def values(self, flag: str) -> list[str]:
        """Return the values of a flag that may be given several times."""
        found = (word.partition("=") for word in self.flags)
        return [value for name, _, value in found if name == f"--{flag}"]


def bases(text: str, *, args: Mapping[str, str], named: Iterable[str] = ()) -> Bases:
    """Return the images that a Dockerfile needs from outside, sorted.

    `args` are build arguments, `named` the named contexts, which stand in front of images of their names.
    """
    steps, escape = list(instructions(text)), _escape(text)
    contexts = {_plain(name) for name in named}
    found = [*_froms(steps, args, escape), *((word, word) for word in _copies(steps))]
    outside = {(word, image) for word, image in found if image is None or _plain(image) not in contexts}
    unresolved = {word for word, image in outside if not image or "$" in image} | set(_downloads(steps))
    return Bases(
        images=tuple(sorted({image for _, image in outside if image and "$" not in image} | _syntax(text, args))),
        unresolved=tuple(sorted(unresolved)),
    )


def runs_on_target(text: str) -> bool:
    """Tell whether a RUN may need the platform that is built for; cross-building Dockerfiles run on their own."""
    steps = list(instructions(text))
    crossing = any(
        "$" in value and "BUILDPLATFORM" in value
        for step in steps
        if step.name == "FROM"
        for value in step.values("platform")
    )
    return not crossing and any(step.name == "RUN" for step in steps)


def instructions(text: str) -> Iterator[Instruction]:
    """Yield the instructions of a Dockerfile; here-documents are passed over."""
    escape = _escape(text)
    # Only a line feed ends a line here: str.splitlines knows nine other characters.
    lines = iter(text.removeprefix("\ufeff").split("\n"))
    for line in lines:
        name, rest = _split(_whole(line, lines, escape))
        if not name:
            continue
        inner, inside = _split(rest) if name == "ONBUILD" else (name, rest)
        for word, tabs in _heredocs(inside, escape) if inner in ("RUN", "COPY", "ADD") else ():
            _pass_over(lines, word, tabs)
        flags = tuple(takewhile(lambda word: word.startswith("--") and word != "--", words(rest, escape)))
        yield Instruction(name, tuple(unquoted(flag, escape) for flag in flags), rest)


def _split(line: str) -> tuple[str, str]:
    name, *rest = BLANKS.split(line.strip(), maxsplit=1)
    return name.upper(), "".join(rest)


def _whole(line: str, lines: Iterator[str], escape: str) -> str:
    """Join a line with those that continue it; comments and empty lines between them do not count."""
    if line.lstrip().startswith("#"):
        return ""
    # An escape that is itself escaped continues nothing.
    continued = re.compile(rf"(?:^|(?<=[^{re.escape(escape)}])){re.escape(escape)}[ \t\r]*$")
    whole, more = continued.subn("", line.lstrip())
    while more:
        following = next(lines, None)
        if following is None:
            break
        if following.strip() and not following.lstrip().startswith("#"):
            following, more = continued.subn("", following)
            whole += following
    return whole


def _heredocs(rest: str, escape: str) -> Iterator[tuple[str, bool]]:
    """Yield the end word of each here-document that a line begins, and whether tabs in front of it do not count."""
    if _is_json(rest, escape):
        return
    for word in words(rest, escape):
        found = HEREDOC.fullmatch(word)
        if found:
            yield unquoted(found.group(2), escape), bool(found.group(1))


def _is_json(rest: str, escape: str) -> bool:
    command = rest
    for flag in takewhile(lambda word: word.startswith("--"), words(rest, escape)):
        command = command.lstrip()[len(flag) :]
    try:
        return isinstance(json.loads(command), list)
    except ValueError:
        return False


def _pass_over(lines: Iterator[str], word: str, tabs: bool) -> None:
    for line in lines:
        if (line.lstrip("\t") if tabs else line).rstrip("\r") == word:
            return


def directives(text: str) -> dict[str, str]:
    """Return the parser directives (`# syntax=`, `# escape=`) at the top of a Dockerfile."""
    found: dict[str, str] = {}
    for line in text.removeprefix("\ufeff").split("\n"):
        match = DIRECTIVE.match(line)
        name = match.group(1).lower() if match else ""
        if not match or name not in KNOWN_DIRECTIVES or name in found:
            break
        found[name] = match.group(2)
    return found


def _escape(text: str) -> str:
    return "`" if directives(text).get("escape") == "`" else "\\"


def _syntax(text: str, args: Mapping[str, str]) -> set[str]:
    """Return the image of the frontend that reads the Dockerfile; a build argument wins over the first line."""
    return set((args.get("BUILDKIT_SYNTAX") or directives(text).get("syntax", "")).split()[:1])


def _froms(steps: Iterable[Instruction], given: Mapping[str, str], escape: str) -> Iterator[tuple[str, str | None]]:
    """Yield what FROM names besides stages above it: the word, and what it expands to where that is known."""
    scope: dict[str, str | None] = {name: given.get(name) for name in PLATFORM_ARGS}
    stages = {"scratch"}
    for step in steps:
        if step.name == "ARG" and len(stages) == 1:
            scope |= _arguments(step.rest, given, scope, escape)
        if step.name == "FROM":
            parts = words(step.rest, escape)[len(step.flags) :]
            word = parts[0] if parts else ""
            image = expand(word, scope, escape)
            if word and (image or "").lower() not in stages:
                yield word, image
            stages.add(parts[2].lower() if len(parts) == 3 else f"#{len(stages)}")


def _arguments(
    rest: str, given: Mapping[str, str], scope: Mapping[str, str | None], escape: str
) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for word in words(rest, escape):
        name, equals, default = word.partition("=")
        if name in given:
            found[name] = given[name]
        elif equals:
            found[name] = expand(default, {**scope, **found}, escape)
    return found


def _copies(steps: Iterable[Instruction]) -> Iterator[str]:
    """Yield the images that COPY and RUN take files from; a stage is known by its name or its number."""
    stages = {"scratch"}
    for step in steps:
        parts = step.rest.split()
        if step.name == "FROM" and len(parts) >= 3 and parts[-2].upper() == "AS":
            stages.add(parts[-1].lower())
        sources = step.values("from") if step.name == "COPY" else []
        if step.name == "RUN":
            sources = [source for mount in step.values("mount") for source in _mounted(mount)]
        yield from (source for source in sources if source.lower() not in stages and not source.isdigit())


def _downloads(steps: Iterable[Instruction]) -> Iterator[str]:
    """Yield what ADD fetches from an address that may hold something else tomorrow."""
    for step in steps:
        if step.name == "ADD" and not step.values("checksum"):
            sources = step.rest.split()[len(step.flags) : -1]
            yield from (one for one in sources if ADDRESS.match(one) and not COMMIT.search(one))


def _mounted(mount: str) -> Iterator[str]:
    for part in mount.split(","):
        key, _, value = part.partition("=")
        if key.strip().lower() == "from" and value:
            yield value


def _plain(image: str) -> str:
    """Return an image as BuildKit compares it with named contexts: the familiar name, `:latest` left out."""
    try:
        return Reference.parse(image).familiar.removesuffix(":latest")
    except InvalidReference:
        return image
