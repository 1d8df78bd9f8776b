"""Sends a call until it has an answer: retries, redirects, time limits, and errors in words.

Nothing here knows registries or passwords: a call brings its own Authorization header, which is sent to the
origin of its URL and nowhere else. OCI distribution-spec: clients must not forward it to another host on a
redirect (https://github.com/opencontainers/distribution-spec/blob/main/spec.md#redirects).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from buildtasks.errors import RegistryError
from buildtasks.registry.failure import broken
from buildtasks.registry.origin import may_lead, origin
from buildtasks.registry.retry import TEMPORARY, Clock, Patience, asked, pause
from buildtasks.registry.silence import Passing, silence

if TYPE_CHECKING:
    import requests

    from buildtasks.registry.wire import Line

LARGEST_BODY = 64 * 2**20
READ_SECONDS = 60.0
MOST_REDIRECTS = 5
CHUNK = 256 * 2**10
HEADERS = {"User-Agent": "buildtasks", "Accept-Encoding": "identity"}
"""Bodies must come as they are: a compressed one has another digest."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `again`: sending it twice does no harm; `limit` is in bytes, `seconds` are per read."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    authorization: str | None = field(default=None, repr=False)
    again: bool = True
    stream: bool = False
    limit: int = LARGEST_BODY
    seconds: float = READ_SECONDS


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer, and the method and URL that got it at last; header names are found in any case.

    The body of a streamed success is in `chunks`, still to be read.
    """

    method: str
    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)
    attempts: int = 1
    chunks: Iterator[bytes] = field(default=iter(()), repr=False)

    @property
    def media_type(self) -> str:
        """The Content-Type without its parameters, in lower case."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()


class Transport:
    """Sends calls to any host; safe for threads, which share its connections."""

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        patience: Patience | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self.patience = patience or Patience()
        self.environ = os.environ if environ is None else environ
        self._lines: dict[tuple[str, str, int], Line] = {}
        self._lock = threading.Lock()

    def send(self, call: Call) -> Reply:
        """Send a call and return its answer, whatever its status.

        Raises:
            RegistryError: no answer, or none that may be read; after the retries that the call allows.
        """
        start = self.clock.monotonic()
        for attempt in count(1):
            try:
                reply = replace(self._follow(call), attempts=attempt)
            except Passing as error:
                if not self._wait(call, attempt, start, {}):
                    raise RegistryError(str(error)) from error.__cause__
                continue
            if reply.status not in TEMPORARY or not self._wait(call, attempt, start, reply.headers):
                break
        return reply

    def _wait(self, call: Call, attempt: int, start: float, headers: Mapping[str, str]) -> bool:
        """Pause before the next attempt; False when there is none left, or no time for it."""
        if not call.again or attempt >= self.patience.attempts:
            return False
        seconds = pause(attempt, headers, self.patience, self.clock.unix())
        if self.clock.monotonic() - start + seconds > self.patience.seconds:
            return False
        self.clock.sleep(seconds)
        return True

    def _follow(self, call: Call) -> Reply:
        """Send once, and go where redirects of a read lead; the Authorization header stays at its origin."""
        first = origin(call.url)
        for _ in range(MOST_REDIRECTS + 1):
            reply = self._exchange(call)
            target = _target(call, reply)
            if target is None:
                return reply
            known = call.authorization if origin(target) == first else None
            call = replace(call, url=target, authorization=known)
        raise broken(call.method, call.url, f"more than {MOST_REDIRECTS} redirects")

    def _exchange(self, call: Call) -> Reply:
        """Send one request and read its answer."""
        headers = {**HEADERS, **call.headers}
        if call.authorization:
            headers["Authorization"] = call.authorization
        import requests

        try:
            response = self._line(call.url).send(call.method, call.url, headers, call.body, call.seconds)
            return _reply(call, response)
        except requests.RequestException as error:
            raise silence(call.method, call.url, error) from error

    def _line(self, url: str) -> Line:
        from buildtasks.registry.wire import open_line

        key = origin(url)
        line = self._lines.get(key)
        if line is None:
            with self._lock:
                line = self._lines.get(key) or open_line(url, self.environ)
                self._lines[key] = line
        return line

    def asked(self, reply: Reply) -> float | None:
        """Return how many seconds the server asks to wait before the next call; None when it does not say."""
        return asked(reply.headers, self.clock.unix())


def _target(call: Call, reply: Reply) -> str | None:
    """Return where a redirect leads; None when it is none, or one that a change must not follow.

    Raises:
        RegistryError: to plain http, or to something that is no URL.
    """
    found = reply.headers.get("Location")
    if reply.status not in (301, 302, 303, 307, 308) or not found or call.method not in ("GET", "HEAD"):
        return None
    try:
        target = urljoin(reply.url, found)
        if not may_lead(reply.url, target):
            raise broken(call.method, call.url, "a redirect to plain http is not followed")
    except ValueError:
        raise broken(call.method, call.url, "a redirect to something that is no URL") from None
    return target


def _reply(call: Call, response: requests.Response) -> Reply:
    """Read an answer; of a streamed success, only the head."""
    if call.stream and response.status_code == 200:
        chunks = _chunks(call, response)
        return Reply(call.method, call.url, response.status_code, response.headers, chunks=chunks)
    with response:
        body = bytearray()
        for chunk in response.iter_content(CHUNK):
            body += chunk
            if len(body) > call.limit:
                raise broken(call.method, call.url, f"the answer is larger than {call.limit} bytes")
    return Reply(call.method, call.url, response.status_code, response.headers, bytes(body))


def _chunks(call: Call, response: requests.Response) -> Iterator[bytes]:
    """Yield the body piece by piece.

    Raises:
        RegistryError: the connection broke before the end.
    """
    import requests

    with response:
        try:
            yield from response.iter_content(CHUNK)
        except requests.RequestException as error:
            raise silence(call.method, call.url, error) from error
