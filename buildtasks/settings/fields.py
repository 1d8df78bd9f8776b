"""Checks of single configuration values, each with its JSON Schema.

A `Field` reads one value found at `where` (file and key path) and returns the typed value or raises `ConfigError`
with that place in front. The same table of fields checks the configuration, suggests the nearest known key and gives
the JSON Schema (draft 2020-12, https://json-schema.org/draft/2020-12) for editors.
"""

from __future__ import annotations

import difflib
import re
import shlex
import string
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from buildtasks.errors import ConfigError

Read = Callable[[Any, str], Any]


@dataclass(frozen=True, slots=True)
class Field:
    """One key of the configuration: how to read it, what it means, its JSON Schema."""

    read: Read
    help: str
    schema: Mapping[str, Any] = field(default_factory=dict)


def nearest(word: str, known: Collection[str]) -> str:
    """Return `; did you mean X?` for the known word nearest to `word`, or nothing."""
    found = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {found[0]}?" if found else ""


def known_keys(value: Mapping[str, Any], fields: Mapping[str, Field], where: str) -> None:
    """Check that a mapping holds no other keys than those of `fields`.

    Raises:
        ConfigError: a key is unknown; the nearest known one is named.
    """
    for key in value:
        if key not in fields:
            raise ConfigError(f"{where}.{key}: unknown setting{nearest(str(key), fields)}")


def text(value: Any, where: str) -> str:
    """Read a text that is not empty.

    Raises:
        ConfigError: another type, or empty.
    """
    if isinstance(value, (bool, int, float)):
        raise ConfigError(f'{where}: a text is needed, YAML made a {type(value).__name__} of it: quote it, "{value}"')
    if isinstance(value, date):
        raise ConfigError(f'{where}: a text is needed, YAML made a date of it: quote it, "{value}"')
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{where}: a text is needed, found {shown(value)}")
    return value


def flag(value: Any, where: str) -> bool:
    """Read true or false, also as a text, since invoke casts environment variables badly.

    Raises:
        ConfigError: neither of them.
    """
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if isinstance(value, bool):
        return value
    if str(value).lower() in words:
        return words[str(value).lower()]
    raise ConfigError(f"{where}: true or false is needed, found {shown(value)}")


def count(value: Any, where: str) -> int:
    """Read a whole number of at least 1 and at most 999999999, also as a text.

    Raises:
        ConfigError: anything else.
    """
    digits = str(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
    if not re.fullmatch(r"0*[1-9][0-9]{0,8}", digits):
        raise ConfigError(f"{where}: a whole number of at least 1 is needed, found {shown(value)}")
    return int(digits)


def choice(*words: str) -> Read:
    """Return a reader that takes one of `words`."""

    def read(value: Any, where: str) -> str:
        if value not in words:
            raise ConfigError(f"{where}: one of {', '.join(words)} is needed, found {shown(value)}")
        return str(value)

    return read


def texts(value: Any, where: str) -> tuple[str, ...]:
    """Read a list of texts; one text may hold several, separated by commas.

    Raises:
        ConfigError: anything else.
    """
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return lines(value, where)


def lines(value: Any, where: str) -> tuple[str, ...]:
    """Read a list of texts, or one text; commas stay (buildx options are full of them).

    Raises:
        ConfigError: anything else.
    """
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, (list, tuple)):
        raise ConfigError(f"{where}: a list is needed, found {shown(value)}")
    return tuple(text(item, f"{where}[{index}]") for index, item in enumerate(value))


def command(value: Any, where: str) -> tuple[str, ...]:
    """Read a command: a list of words, or one text that a shell would split into them.

    Raises:
        ConfigError: anything else, an empty command, or a quote that is not closed.
    """
    try:
        words = tuple(shlex.split(value)) if isinstance(value, str) else lines(value, where)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}: {value}") from error
    if not words:
        raise ConfigError(f"{where}: a command is needed, found {shown(value)}")
    return words


def pairs(value: Any, where: str) -> dict[str, str]:
    """Read a mapping of texts to texts.

    Raises:
        ConfigError: another type, or a value that YAML took for a number, a date or a boolean.
    """
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: a mapping is needed, found {shown(value)}")
    return {text(key, where): _scalar(item, f"{where}.{key}") for key, item in value.items()}


def _scalar(value: Any, where: str) -> str:
    return "" if value == "" else text(value, where)


def fill(template: str, where: str, values: Mapping[str, str]) -> str:
    """Fill `{name}` places of a template.

    Raises:
        ConfigError: the template names a value that does not exist, or has a single brace or a format.
    """
    try:
        places = [(name, form, how) for _, name, form, how in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise ConfigError(f"{where}: {error}: {template}") from error
    for name, form, conversion in places:
        if form or conversion:
            raise ConfigError(f"{where}: a name alone is needed in the braces of {{{name}}}: {template}")
        if name not in values:
            raise ConfigError(f"{where}: unknown {{{name}}}{nearest(name, values)} (known: {', '.join(values)})")
    return template.format_map(values)


def shown(value: Any) -> str:
    """Return a value as the configuration would show it, cut to 60 characters."""
    words = "nothing" if value is None else repr(value)
    return words if len(words) <= 60 else words[:57] + "..."
