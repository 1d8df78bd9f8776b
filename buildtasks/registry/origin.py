"""Which places may be trusted: origins of URLs, and what may travel to them.

Plain http is for the loopback only, as in Docker's own rule for 127.0.0.0/8. A registry there is spoken to in
plain http at once (no probe, so a local release pays nothing); only when that fails is TLS tried.
"""

from __future__ import annotations

import socket
import ssl
from urllib.parse import urljoin, urlsplit

from buildtasks.reference import is_loopback


def origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of a URL (RFC 6454).

    Raises:
        ValueError: the URL has no host, a broken port, or a scheme other than http and https.
    """
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    if not parts.hostname or port is None or parts.scheme not in ("http", "https"):
        raise ValueError("not an http or https URL")
    return parts.scheme, parts.hostname, port


def is_safe(url: str) -> bool:
    """Tell whether a secret may travel to this URL: https, or plain http that stays on this machine."""
    scheme, host, _port = origin(url)
    return scheme == "https" or is_loopback(f"[{host}]" if ":" in host else host)


def may_lead(here: str, there: str) -> bool:
    """Tell whether a server may send us on: to https, or from plain http to plain http, but not off this
    machine.

    A server on the internet has nothing to ask of the loopback.
    """
    if origin(there)[0] == "https":
        return True
    return origin(here)[0] == "http" and (is_safe(there) or not is_safe(here))


def inside(base: str, at: str, found: str) -> str | None:
    """Resolve a URL that was found in the answer of `at`; None when it leads to another host or port than
    `base`.

    Scheme and port stay those of `base`: behind a proxy that ends TLS, registries name themselves `http://`.
    """
    try:
        here, there = urlsplit(base), urlsplit(urljoin(at, found))
        if there.hostname != here.hostname or there.port not in (None, origin(base)[2]):
            return None
    except ValueError:
        return None
    return there._replace(scheme=here.scheme, netloc=here.netloc, fragment="").geturl()


def shown(url: str) -> str:
    """Write a URL for a message: host and path; never the query, which can hold tokens, nor a user."""
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2] + parts.path


def speaks_tls(host: str, timeout: float = 2.0) -> bool:
    """Tell whether a server answers a TLS handshake at `host:port`; the certificate is not looked at."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _scheme, name, port = origin(f"https://{host}")
    try:
        with socket.create_connection((name, port), timeout) as plain, context.wrap_socket(plain):
            return True
    except OSError:
        return False
