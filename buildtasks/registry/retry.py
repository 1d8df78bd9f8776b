"""When to ask again, and how long to wait: pure decisions over a status, headers and a clock.

Servers say how long in three ways: `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3,
https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3) and Docker Hub's older `X-Retry-After` as unix time.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

TEMPORARY = frozenset({408, 429, 502, 503, 504})
"""The statuses that say "not now"."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Time as three functions, so that a test can bring its own: seconds, unix seconds, and waiting."""

    monotonic: Callable[[], float] = time.monotonic
    unix: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class Patience:
    """How often one call is sent at most, and how many seconds all of its attempts and pauses may take."""

    attempts: int = 5
    seconds: float = 120.0
    first_pause: float = 0.25


def pause(attempt: int, headers: Mapping[str, str], patience: Patience, unix: float) -> float:
    """Return the seconds to wait after the attempt with this number (1 is the first).

    The server's own wish counts; without one, pauses double, with jitter so that parallel services do not
    return in step.
    """
    wish = asked(headers, unix)
    if wish is not None:
        return wish
    return float(patience.first_pause * 2 ** (attempt - 1) * random.uniform(0.75, 1.25))


def asked(headers: Mapping[str, str], unix: float) -> float | None:
    """Return how many seconds the server asks to wait; None when it does not say, or not understandably."""
    after = headers.get("Retry-After", "").strip()
    if after.isascii() and after.isdigit():
        return float(after)
    until = _date(after)
    if until is None:
        until = _number(headers.get("X-Retry-After", ""))
    return None if until is None else max(0.0, until - unix)


def _date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError):
        return None


def _number(text: str) -> float | None:
    text = text.strip()
    return float(text) if text.isascii() and text.isdigit() else None
