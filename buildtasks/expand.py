"""Words of a Dockerfile: how they are split, unquoted and expanded. Pure: text and variables in, text out.

The rules are those of BuildKit's shell lexer (https://github.com/moby/buildkit/tree/master/frontend/dockerfile/shell),
which the Dockerfile reference calls environment replacement
(https://docs.docker.com/reference/dockerfile/#environment-replacement).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
OPERATOR = re.compile(r":?[-+]")


def words(text: str, escape: str = "\\") -> list[str]:
    """Split a text at blanks outside quotes; quotes and escapes stay in the words."""
    quote, found, word = "", [], ""
    characters = iter(text)
    for character in characters:
        if character.isspace() and not quote:
            found.append(word)
            word = ""
            continue
        word += character
        if character == escape and quote != "'":
            word += next(characters, "")
        elif character == quote:
            quote = ""
        elif not quote and character in "'\"":
            quote = character
    return [word for word in [*found, word] if word]


def unquoted(word: str, escape: str = "\\") -> str:
    """Return a word without its quotes and escapes; variables stay as they are."""
    return "".join(text for text, _ in _pieces(word, escape))


def expand(word: str, scope: Mapping[str, str | None], escape: str = "\\") -> str | None:
    """Expand the variables of a word: `$X`, `${X}`, and `${X-word}`, `${X+word}` with or without a colon.

    A variable that is not in `scope` is empty, as in BuildKit. None: a value in `scope` is None, so not known, or the
    word uses something else, such as `${X%pattern}`.
    """
    parts = [_value(text[1:], scope, escape) if variable else text for text, variable in _pieces(word, escape)]
    known = [part for part in parts if part is not None]
    return "".join(known) if len(known) == len(parts) else None


def _pieces(word: str, escape: str) -> Iterator[tuple[str, bool]]:
    """Yield literal characters and whole variables (`$X`, `${...}`), quotes and escapes taken off."""
    quote, at = "", 0
    while at < len(word):
        character = word[at]
        end = _end(word, at) if character == "$" and quote != "'" else at
        if end > at:
            yield word[at:end], True
            at = end
            continue
        following = word[at + 1 : at + 2]
        if character == escape and quote != "'" and (not quote or following in ('"', "$", escape)):
            yield following, False
            at += 2
            continue
        if character == quote:
            quote = ""
        elif not quote and character in "'\"":
            quote = character
        else:
            yield character, False
        at += 1


def _end(word: str, at: int) -> int:
    """Return where the variable that begins at a `$` ends; `at` itself when there is none."""
    if word[at + 1 : at + 2] != "{":
        found = NAME.match(word, at + 1)
        return found.end() if found else at
    depth = 0
    for place in range(at + 1, len(word)):
        depth += {"{": 1, "}": -1}.get(word[place], 0)
        if not depth:
            return place + 1
    return len(word)


def _value(variable: str, scope: Mapping[str, str | None], escape: str) -> str | None:
    inside = variable[1:-1] if variable.startswith("{") and variable.endswith("}") else variable
    name = NAME.match(inside)
    if not name:
        return None
    rest, value = inside[name.end() :], scope.get(name[0], "")
    if not rest:
        return value
    operator = OPERATOR.match(rest)
    if not operator or value is None:
        return None
    there = bool(value) if operator[0].startswith(":") else name[0] in scope
    alternative = expand(rest[operator.end() :], scope, escape)
    return (alternative if there else "") if operator[0].endswith("+") else (value if there else alternative)
