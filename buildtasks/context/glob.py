r"""One pattern of an ignore file: which paths it matches, and how to ask cheaply.

A pattern is compared as text, as a prefix (`a/**`), as a suffix (`**/a`) or as a Go regular expression. Which of
them shows in corners: `a/**` does not match `a`; in an expression, a byte that is not UTF-8 is U+FFFD, `**` stops
at a newline, and `|` and `{2}` mean what they mean there. To ask for 50,000 files at once, `cut` splits a pattern
into a question about the folder and one about the name: exact wherever the path has no newline and is UTF-8.

Follows https://github.com/moby/patternmatcher and, for what is refused, https://pkg.go.dev/path#Match.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from buildtasks.context.goregexp import FOLDERS, MalformedError, to_python
from buildtasks.errors import ConfigError

Test = Callable[[str], object]  # truthy: matches
Form = Literal["text", "prefix", "suffix", "expression"]

_MEMBER = r"(?:[^\\\]-]|\\.)"
_CLASS = rf"\[(?P<not>\^|(?!\^))(?P<members>(?:{_MEMBER}(?:-{_MEMBER})?)+)\]"
_VALID = re.compile(rf"(?:[^\\\[]|\\.|{_CLASS})*", re.DOTALL)
_CHUNK = re.compile(r"(?:\[(?:\\.|[^\]\\])*\\?\]?|\\.|\\\Z|[^*\[\\])+", re.DOTALL)  # what is between stars
_TOKEN = re.compile(r"\*\*/?|\\.|.", re.DOTALL)
_MEANING = {"*": "[^/]*", "?": "[^/]", **{char: f"\\{char}" for char in ".+()$"}}
_INVALID_BYTES = dict.fromkeys(range(0xDC80, 0xDD00), "\ufffd")
_MARK = "\ufeff"  # Go's text scanner drops a byte order mark, but only from what becomes an expression


class Cut(NamedTuple):
    """A pattern as two questions; it matches when both are answered with yes.

    `folder`: None for every folder, the one folder ("" or "a/b/"), or a test of it.
    `kind` and `text`: what the name is; "path": ask `Pattern.matches` with the whole path instead.
    """

    folder: str | Test | None
    kind: Literal["all", "literal", "ending", "expression", "path"]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A cleaned pattern without its `!`; `place` is its file and line.

    `matches` tells whether it matches a path by itself, parents aside. Docker compiles a pattern when it is
    first asked, so what does not compile is an error only then: `matches` raises ConfigError.
    """

    text: str
    keeps: bool = False
    place: str = ""
    matches: Test = field(init=False, repr=False, compare=False)
    broken: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        refusal = ConfigError(f"{self.place}: bad pattern: {self.text}")
        if _is_malformed(self.text):
            raise refusal
        matches = _matcher(self.text, refusal)
        object.__setattr__(self, "matches", matches)
        object.__setattr__(self, "broken", isinstance(matches, _Refusal))

    def reaches(self, folder: str) -> bool:
        """Tell whether something below `folder` ("a/b/") may match; True when in doubt."""
        if re.search("[|{]", self.text):
            return True
        lead = re.split(r"[*?\[\]\\^]", self.text, maxsplit=1)[0]
        if lead == self.text:
            return lead.startswith(folder)
        if not folder.startswith(lead) and not lead.startswith(folder):
            return False
        fixed = not re.search(r"\*\*|[\[\\]", self.text)
        return not fixed or folder.count("/") <= self.text.count("/")


@dataclass(frozen=True, slots=True)
class _Refusal:
    """The test of a pattern that does not compile."""

    error: ConfigError

    def __call__(self, asked: str, /) -> bool:
        raise self.error


def _is_malformed(text: str) -> bool:
    """Tell whether Docker refuses a pattern unasked.

    It takes what Go's filepath.Match says of the path `.`, which reads from star to star and only as far as it
    matches: what is wrong behind that counts when the pattern is asked, and a class there may be as in an expression.
    """
    chunks = _CHUNK.findall(text)
    read = chunks[: 2 if chunks and _is_dot(chunks[0]) else 1]
    return not all(_VALID.fullmatch(chunk) for chunk in read)


def _is_dot(chunk: str) -> bool:
    """Tell whether a part of a pattern without stars matches `.`."""
    found = re.fullmatch(_CLASS, chunk, re.DOTALL)
    if found is None:
        return chunk in {".", "\\.", "?"}
    ranges = re.findall(r"\\?(.)(?:-\\?(.))?", found["members"], re.DOTALL)
    return any(low <= "." <= (high or low) for low, high in ranges) != bool(found["not"])


def cut(pattern: Pattern) -> Cut:
    """Split a pattern into a folder and a name."""
    form = _form(pattern.text)
    if pattern.broken or pattern.text.startswith(_MARK):
        return Cut(None, "path")
    if form == "expression":
        return _cut_expression(pattern.text)
    folder, name = _split(_stem(pattern.text, form))
    if form == "text":
        return Cut(folder, "literal", name)
    if form == "prefix":
        return Cut(None, "path") if name else Cut(lambda asked: asked.startswith(folder), "all")
    if folder.startswith("/") or not folder:
        top = folder[1:]
        anywhere = folder in {"", "/"}
        test: Test | None = None if anywhere else lambda asked: asked == top or asked.endswith(folder)
        return Cut(test, "literal" if folder else "ending", name)
    return Cut(lambda asked: asked.endswith(folder), "literal", name)


def _cut_expression(text: str) -> Cut:
    """Split behind the last slash, if it is one in the expression too and the name cannot match another."""
    folder, name = _split(text)
    before = re.sub(r"(\*\*/)+\Z", "", folder)
    simple = not re.search(r"[\[\]\\^]", name) and (name == "**" or "**" not in name)
    if re.search(r"[\\|{]", text) or not simple or not (before == "" or before.endswith("/")):
        return Cut(None, "path")
    pieces, count = _pieces(text), len(_TOKEN.findall(folder))
    front, back = _joined(pieces[:count]), _joined(pieces[count:])
    if name == "**":
        return Cut(_compiled(front + back + "$"), "all")
    if front == FOLDERS:
        return Cut(None, *_name(name, back))
    if not re.search(r"[*?\[\]^]", folder):
        return Cut(folder, *_name(name, back))
    try:
        return Cut(_compiled(front + "$"), *_name(name, back))
    except MalformedError:  # a class that only ends where a `?` of the name became `[^/]`
        return Cut(None, "path")


def _name(name: str, expression: str) -> tuple[Literal["all", "literal", "ending", "expression"], str]:
    """Give the cheapest question for the last part of a pattern."""
    if name == "*":
        return "all", ""
    if not re.search("[*?]", name):
        return "literal", name
    if not re.search("[*?]", name[1:]) and name.startswith("*"):
        return "ending", name[1:]
    return "expression", to_python(expression)


def _form(text: str) -> Form:
    """Tell how Docker compares a pattern."""
    tokens = _TOKEN.findall(text.removeprefix(_MARK))
    stars = [place for place, token in enumerate(tokens) if token.startswith("**")]
    if any(token in {"*", "?", "[", "]"} or token.startswith("\\") for token in tokens):
        return "expression"
    if not stars:
        return "text"
    if stars == [0]:
        return "suffix"
    return "prefix" if stars == [len(tokens) - 1] else "expression"


def _stem(text: str, form: Form) -> str:
    """Give the text that a path must equal, start with or end with."""
    if form == "suffix":
        return text.encode()[2:].decode("utf-8", "surrogateescape")
    return text[:-2] if form == "prefix" else text


def _matcher(text: str, refusal: ConfigError) -> Test:
    """Make the test of a whole path."""
    form = _form(text)
    stem = _stem(text, form)
    if form == "text":
        return stem.__eq__
    if form == "prefix":
        return lambda path: path.startswith(stem)
    if form == "suffix":
        return lambda path: path.endswith(stem) or (stem.startswith("/") and path == stem[1:])
    try:
        found = _compiled("^" + _joined(_pieces(text.removeprefix(_MARK))) + "$", whole=False)
    except MalformedError as error:
        return _Refusal(ConfigError(f"{refusal}: {error}"))
    return lambda path: found(path if path.isascii() else path.translate(_INVALID_BYTES))


def _pieces(text: str) -> list[str]:
    """Translate each token of a pattern to Go's expression."""
    pieces = [FOLDERS if token.startswith("**") else _MEANING.get(token, token) for token in _TOKEN.findall(text)]
    if text.endswith("**") and pieces[-1] == FOLDERS:
        pieces[-1] = ".*"
    return pieces


def _joined(pieces: list[str]) -> str:
    """Join pieces; a row of `**/` says no more than one, and would be slow."""
    return "".join(
        piece
        for place, piece in enumerate(pieces)
        if piece != FOLDERS or "\\Q" in pieces or pieces[place - 1 : place] != [FOLDERS]
    )


def _compiled(expression: str, *, whole: bool = True) -> Test:
    pattern = re.compile(to_python(expression), re.ASCII)
    if whole:
        return pattern.fullmatch
    return pattern.search if "|" in expression else pattern.match


def _split(text: str) -> tuple[str, str]:
    folder, slash, name = text.rpartition("/")
    return folder + slash, name
