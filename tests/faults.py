"""A small HTTP server on the loopback that answers as a test says, breaks off where a test says, and remembers.

`serve(rule)` runs one in the background: for every request the rule returns a `Say`. `forward` gives the answer of a
real server, so that a rule can sit before a real registry and spoil single answers. `Ticking` is a clock that a test
owns: whoever sleeps on it only moves its hands.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from buildtasks.registry.retry import Clock

BEFORE, INSIDE, AFTER = "before the head", "inside the body", "after the body"
"""Where an answer breaks off: with a reset, a reset, and a silent close of a connection that was to stay open."""


@dataclass(frozen=True)
class Asked:
    """A request as it came in; header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The path without the query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        """The query's values by name."""
        return parse_qs(urlsplit(self.target).query)

    @property
    def authorization(self) -> str:
        """The Authorization header; empty when there is none."""
        return self.headers.get("authorization", "")


@dataclass(frozen=True)
class Say:
    """An answer: status, headers, body and where it breaks off. A list gives a header several lines."""

    status: int = 200
    headers: Mapping[str, str | list[str]] = field(default_factory=dict)
    body: bytes = b""
    breaks: str = ""


Rule = Callable[[Asked], Say]


@dataclass
class Server:
    """A running server: `host:port`, and the requests that came."""

    host: str
    asked: list[Asked] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The server's URL, without a path."""
        return f"http://{self.host}"

    def lines(self) -> list[str]:
        """The requests as `METHOD target`."""
        return [f"{asked.method} {asked.target}" for asked in self.asked]


@contextmanager
def serve(rule: Rule, address: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Run a server that answers by a rule; `127.0.0.2` is another host than `127.0.0.1`, on the same machine."""
    httpd = _Httpd((address, 0), type("Handler", (_Handler,), {"rule": staticmethod(rule)}))
    httpd.daemon_threads, httpd.block_on_close = True, False
    if tls:
        httpd.socket = tls.wrap_socket(httpd.socket, server_side=True)
    server = Server(f"{address}:{httpd.server_port}")
    httpd.server = server  # type: ignore[attr-defined]
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def in_turn(*says: Say, then: Rule | None = None) -> Rule:
    """Make the rule that gives these answers one after the other, then those of `then`, else the last for ever."""
    left = list(says)

    def rule(asked: Asked) -> Say:
        if len(left) > 1 or (left and then):
            return left.pop(0)
        return then(asked) if then else left[0]

    return rule


def forward(host: str) -> Rule:
    """Make the rule that gives the answers of a real server, which takes our name for its own."""

    def rule(asked: Asked) -> Say:
        connection = http.client.HTTPConnection(host, timeout=10)
        try:
            connection.request(asked.method, asked.target, asked.body or None, asked.headers)
            response = connection.getresponse()
            kept = {name: value for name, value in response.getheaders() if name.lower() not in _HOP_BY_HOP}
            return Say(response.status, dict(kept), response.read())
        finally:
            connection.close()

    return rule


_HOP_BY_HOP = frozenset({"connection", "transfer-encoding", "keep-alive", "date"})


class _Httpd(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that did not wait for its answer."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536
    rule: Rule

    def _answer(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.command, self.path, headers, self.rfile.read(int(headers.get("content-length", 0))))
        server: Server = self.server.server  # type: ignore[attr-defined]
        server.asked.append(asked)
        say = type(self).rule(asked)
        if say.breaks == BEFORE:
            return self._reset()
        self._head(say)
        if self.command != "HEAD" and say.status not in (204, 304):
            self.wfile.write(say.body[: len(say.body) // 2] if say.breaks == INSIDE else say.body)
        self.wfile.flush()
        if say.breaks == INSIDE:
            return self._reset()
        self.close_connection = say.breaks == AFTER
        return None

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = _answer  # noqa: N815

    def _head(self, say: Say) -> None:
        self.send_response_only(say.status)
        given = {name.lower() for name in say.headers}
        for name, value in say.headers.items():
            for line in value if isinstance(value, list) else [value]:
                self.send_header(name, line)
        if "content-length" not in given:
            self.send_header("Content-Length", str(len(say.body)))
        self.end_headers()

    def _reset(self) -> None:
        """Close without a goodbye: the other side sees a reset connection."""
        with suppress(OSError):
            self.wfile.flush()
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: tests look at `Server.asked`."""


class Ticking:
    """A clock that stands still until somebody sleeps on it."""

    def __init__(self, unix: float = 1_800_000_000.0) -> None:
        self.start = self.unix = unix
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Move the hands on."""
        self.slept.append(seconds)
        self.unix += seconds

    @property
    def clock(self) -> Clock:
        """The clock as the transport wants it."""
        return Clock(monotonic=lambda: self.unix - self.start, unix=lambda: self.unix, sleep=self.sleep)


def hang(seconds: float = 0.3) -> Say:
    """Answer later than the client waits."""
    time.sleep(seconds)
    return Say()
