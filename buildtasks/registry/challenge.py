"""What a registry asks for with 401: the `WWW-Authenticate` header, and scopes of tokens.

Grammar: RFC 9110, section 11.6.1 (https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1). Several challenges
may stand in one line. Scopes: distribution, "Token Scope Documentation"
(https://distribution.github.io/distribution/spec/auth/scope/).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

Scope = frozenset[tuple[str, str]]
"""Pairs of a name and one action, `("repository:a/app", "pull")`: a wider set serves a narrower call."""

_SPACE = re.compile(r"[ \t]*")
_WORD = re.compile(r'"?([!#$%&\'*+.^_`|~0-9A-Za-z-]+)"?')
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_BARE = re.compile(r'[^\s,"]*')


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge: its scheme and the names of its parameters, both in lower case."""

    scheme: str
    params: dict[str, str] = field(default_factory=dict)


def parse_challenges(header: str) -> list[Challenge]:
    """Read a `WWW-Authenticate` value; lines of the same name are joined by a comma before.

    Of a repeated parameter the last counts; an empty one counts as not given.

    Raises:
        ValueError: the text breaks the grammar.
    """
    found: list[Challenge] = []
    at = _skip(header, 0)
    while at < len(header):
        word, after = _take(_WORD, header, at)
        equals = _space(header, after)
        if found and header[equals : equals + 1] == "=":
            at = _parameter(found[-1], word, header, equals + 1)
        else:
            found.append(Challenge(word.lower()))
            at = _first_parameter(found[-1], header, after)
        at = _skip(header, at)
    return found


def _first_parameter(challenge: Challenge, header: str, at: int) -> int:
    """Read the parameter that follows a scheme without a comma, if there is one."""
    at = _space(header, at)
    match = _WORD.match(header, at)
    if match is None:
        return at
    equals = _space(header, match.end())
    if header[equals : equals + 1] != "=":
        raise ValueError(f"{header!r}: a parameter needs a value")
    return _parameter(challenge, match[1], header, equals + 1)


def _parameter(challenge: Challenge, name: str, header: str, at: int) -> int:
    """Read a value, quoted or bare, into its challenge; what follows must be a comma or the end."""
    at = _space(header, at)
    pattern = _QUOTED if header[at : at + 1] == '"' else _BARE
    value, at = _take(pattern, header, at)
    at = _space(header, at)
    if at < len(header) and header[at] != ",":
        raise ValueError(f"{header!r}: a comma is missing")
    if value := re.sub(r"\\(.)", r"\1", value):
        challenge.params[name.lower()] = value
    return at


def _take(pattern: re.Pattern[str], header: str, at: int) -> tuple[str, int]:
    match = pattern.match(header, at)
    if match is None:
        raise ValueError(f"{header!r}: not understood at {at}")
    return match[1] if pattern.groups else match[0], match.end()


def _space(header: str, at: int) -> int:
    match = _SPACE.match(header, at)
    return match.end() if match else at


def _skip(header: str, at: int) -> int:
    """Go over commas and blanks."""
    while at < len(header) and header[at] in ", \t":
        at += 1
    return at


def parse_scope(text: str) -> Scope:
    """Read the scopes of a challenge: parts with blanks between, each `type:name:action,action` or a word."""
    pairs: set[tuple[str, str]] = set()
    for part in text.split():
        name, _, actions = part.rpartition(":")
        pairs.update((name, action) for action in actions.split(",") if action)
    return frozenset(pairs)


def format_scope(scope: Scope) -> list[str]:
    """Write scopes for a token server: one part per name, sorted, each with all its actions."""
    actions: dict[str, list[str]] = defaultdict(list)
    for name, action in sorted(scope):
        actions[name].append(action)
    return [":".join(filter(None, [name, ",".join(found)])) for name, found in sorted(actions.items())]


def scope_of(path: str, *actions: str) -> Scope:
    """Return the scope for some actions on one repository path."""
    return frozenset((f"repository:{path}", action) for action in actions)


def widen(scope: Scope) -> Scope:
    """Add `pull` and `push` for everything that a scope names."""
    return scope | {(name, action) for name, _ in scope for action in ("pull", "push")}


def pick(challenges: Iterable[Challenge]) -> Challenge | None:
    """Choose the challenge to answer: Bearer before Basic; None when there is neither."""
    known = {challenge.scheme: challenge for challenge in reversed(list(challenges))}
    return known.get("bearer") or known.get("basic")
