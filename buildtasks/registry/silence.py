"""Why there is no answer: the exceptions of `requests` and urllib3 as sentences, and which of them may pass."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING

from buildtasks.errors import RegistryError
from buildtasks.registry.failure import clean
from buildtasks.registry.origin import origin, shown

if TYPE_CHECKING:
    import requests


class Passing(RegistryError):
    """No whole answer came, for a reason that may pass: asking again is worth it."""


def silence(method: str, url: str, error: requests.RequestException) -> RegistryError:
    """Make the error for a request without an answer; not in the words of `requests`: they hold the query."""
    import requests

    place = f"{method} {shown(url)}"
    if isinstance(error, requests.ConnectTimeout):
        return Passing(f"{place}: no connection in time")
    if isinstance(error, requests.Timeout):
        return Passing(f"{place}: no answer in time")
    cause = next(filter(_tells, _causes(error)), None)
    if isinstance(cause, ssl.SSLError):
        return RegistryError(f"{place}: TLS: {_tls(cause)}\n{_certificates(url)}")
    if isinstance(error, requests.exceptions.ProxyError):
        return RegistryError(f"{place}: no answer through the proxy: {_words(cause)}")
    final = isinstance(cause, ConnectionRefusedError | socket.gaierror) or not isinstance(
        error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError
    )
    return (RegistryError if final else Passing)(f"{place}: no answer: {_words(cause)}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Walk from the innermost cause out: that is the one with the reason in plain words."""
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return reversed(chain)


def _tells(cause: BaseException) -> bool:
    return isinstance(cause, OSError | http.client.HTTPException)


def _words(cause: BaseException | None) -> str:
    if isinstance(cause, http.client.IncompleteRead):
        return "the connection broke before the end"
    if isinstance(cause, OSError) and cause.strerror:
        return clean(cause.strerror).lower()
    return clean(str(cause)).lower() if cause else "the answer is not HTTP"


def _tls(cause: ssl.SSLError) -> str:
    return clean(getattr(cause, "verify_message", "") or cause.reason or "handshake failed")


def _certificates(url: str) -> str:
    _scheme, host, port = origin(url)
    name = host if port == 443 else f"{host}:{port}"
    return f"a private authority belongs into /etc/docker/certs.d/{name}/ca.crt"
