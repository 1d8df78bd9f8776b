r"""Say in Python what a Go regular expression says, as far as a glob can become one.

Docker turns a pattern with wildcards into a Go regular expression and lets through what the author wrote
behind a backslash or between brackets, and also `|` and `{2}`: there `\d` is a digit, `[[:alpha:]]` a letter,
and `*a|b` two expressions of which the second is looked for anywhere. Python's `re` differs just in such
corners, hence this translation: text of an expression in, text for `re` out.

Follows https://pkg.go.dev/regexp/syntax (Perl flags). `\p` classes are not known here.
"""

from __future__ import annotations

import re
import string

FOLDERS = "(.*/)?"
LAST = 0x10FFFF
MOST = 1000  # repetitions
Ranges = list[tuple[int, int]]


class MalformedError(ValueError):
    """Go refuses the expression, or it uses `\\p`."""


def _ranges(*pairs: str) -> Ranges:
    return [(ord(pair[0]), ord(pair[-1])) for pair in pairs]


_PERL = {"d": _ranges("09"), "s": _ranges("\t\n", "\f\r", " "), "w": _ranges("09", "AZ", "__", "az")}
_POSIX = {
    "alnum": _ranges("09", "AZ", "az"),
    "alpha": _ranges("AZ", "az"),
    "ascii": _ranges("\x00\x7f"),
    "blank": _ranges("\t", " "),
    "cntrl": _ranges("\x00\x1f", "\x7f"),
    "digit": _ranges("09"),
    "graph": _ranges("!~"),
    "lower": _ranges("az"),
    "print": _ranges(" ~"),
    "punct": _ranges("!/", ":@", "[`", "{~"),
    "space": _ranges("\t\r", " "),
    "upper": _ranges("AZ"),
    "word": _ranges("09", "AZ", "az", "__"),
    "xdigit": _ranges("09", "AF", "af"),
}
_CONTROL = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_TIMES = re.compile(r"\{(0|[1-9][0-9]*)(,(?:0|[1-9][0-9]*)?)?\}")
_ANCHOR = {"A": r"\A", "b": r"\b", "B": r"\B", "z": r"\Z"}  # compiled with re.ASCII


def to_python(expression: str) -> str:
    """Translate a Go expression, to be compiled with `re.ASCII`; its only group is `(.*/)?`.

    Raises:
        MalformedError: Go does not compile it.
    """
    out: list[str] = []
    at, repeated = 0, False
    while at < len(expression):
        char = expression[at]
        times = _TIMES.match(expression, at)
        if times or char == "*":
            if repeated or not out or out[-1] == "|":
                raise MalformedError(f"nothing to repeat before {times[0] if times else char}")
            out[-1] = f"(?:{out[-1]})" + (_times(times[1], times[2]) if times else "*")
            at += len(times[0]) if times else 1
        elif expression.startswith(FOLDERS, at):
            out.append("(?:.*/)?")
            at += len(FOLDERS)
        elif char == "[":
            ranges, at = _bracket(expression, at + 1)
            out.append(_class(ranges))
        elif char == "\\":
            pieces, at = _escaped(expression, at)
            out += pieces
        else:
            out.append({"$": r"\Z"}.get(char, char if char in "^.|" else re.escape(char)))
            at += 1
        repeated = times is not None or char == "*" or (char == "(")
    return "".join(out)


def _times(low: str, rest: str | None) -> str:
    """Check and write a `{2}`, `{2,}` or `{2,3}`; `rest` is what follows the first number."""
    high = (rest or "")[1:]
    if int(low) > MOST or (high and not int(low) <= int(high) <= MOST):
        raise MalformedError(f"invalid repeat count {{{low}{rest or ''}}}")
    return f"{{{low}{rest or ''}}}"


def _escaped(text: str, at: int) -> tuple[list[str], int]:
    """Translate what starts with the backslash at `at`, outside of brackets."""
    letter = text[at + 1 : at + 2]
    if letter == "Q":
        quoted, found, _ = text[at + 2 :].partition(r"\E")
        return [re.escape(char) for char in quoted], at + 2 + len(quoted) + len(found)
    if letter in _ANCHOR:
        return [_ANCHOR[letter]], at + 2
    if letter and letter.lower() in _PERL:
        return [_class(_perl(letter))], at + 2
    code, at = _code(text, at)
    return [re.escape(chr(code))], at


def _bracket(text: str, at: int) -> tuple[Ranges, int]:
    """Read a bracket expression that opened just before `at`; give its characters and the place behind it."""
    negated = text.startswith("^", at)
    at += negated
    ranges: Ranges = []
    first = True
    while first or not text.startswith("]", at):
        first = False
        some, at = _member(text, at)
        ranges += some
    return (_complement(ranges) if negated else ranges), at + 1


def _member(text: str, at: int) -> tuple[Ranges, int]:
    """Read one member of a bracket expression: a named class, a Perl class, a character or a range."""
    end = text.find(":]", at + 2) if text.startswith("[:", at) else -1
    if end >= 0:
        name = text[at + 2 : end]
        if name.removeprefix("^") not in _POSIX:
            raise MalformedError(f"no character class {text[at : end + 2]}")
        ranges = _POSIX[name.removeprefix("^")]
        return (_complement(ranges) if name.startswith("^") else ranges), end + 2
    letter = text[at + 1 : at + 2]
    if text.startswith("\\", at) and letter and letter.lower() in _PERL:
        return _perl(letter), at + 2
    low, at = _one(text, at)
    high = low
    if text.startswith("-", at) and text[at + 1 : at + 2] not in {"", "]"}:
        high, at = _one(text, at + 1)
    if high < low:
        raise MalformedError(f"range {chr(low)}-{chr(high)} is upside down")
    return [(low, high)], at


def _one(text: str, at: int) -> tuple[int, int]:
    """Read one character inside brackets."""
    if at >= len(text):
        raise MalformedError("missing ]")
    return _code(text, at) if text[at] == "\\" else (ord(text[at]), at + 1)


def _code(text: str, at: int) -> tuple[int, int]:
    """Read a backslash and what it stands for: a character."""
    letter = text[at + 1 : at + 2]
    if octal := re.compile(r"0[0-7]{0,2}|[1-7][0-7]{1,2}").match(text, at + 1):
        return int(octal[0], 8), octal.end()
    if digits := re.compile("x([0-9A-Fa-f]{2})").match(text, at + 1):
        return int(digits[1], 16), digits.end()
    if letter in _CONTROL:
        return _CONTROL[letter], at + 2
    if letter and letter.isascii() and letter not in string.ascii_letters + string.digits:
        return ord(letter), at + 2
    raise MalformedError(f"no such escape: \\{letter}")


def _perl(letter: str) -> Ranges:
    ranges = _PERL[letter.lower()]
    return _complement(ranges) if letter.isupper() else ranges


def _complement(ranges: Ranges) -> Ranges:
    """Give all characters that are in none of the ranges."""
    out: Ranges = []
    start = 0
    for low, high in sorted(ranges):
        if low > start:
            out.append((start, low - 1))
        start = max(start, high + 1)
    return [*out, (start, LAST)] if start <= LAST else out


def _class(ranges: Ranges) -> str:
    """Write a class that `re` reads the same way whatever the characters are."""
    if not ranges:
        return r"(?!)"
    return "[" + "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in ranges) + "]"
