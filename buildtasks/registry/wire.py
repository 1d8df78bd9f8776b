"""One request and its answer over `requests`: pooled connections, TLS, proxies, time limits.

`requests.Session` is left out on purpose: it would add `~/.netrc` logins in place of our Authorization
header, follow redirects by its own rules, keep cookies (Harbor then wants a CSRF token), and is not safe for
threads. Its adapter, which holds the connections, is; one per origin serves all threads.

This module imports `requests` at its top: import it inside functions only, so that `inv --list` stays fast.
"""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

from buildtasks.errors import ConfigError
from buildtasks.reference import is_loopback
from buildtasks.registry.origin import origin

CONNECT_SECONDS = 10.0
POOLED = 32


class Adapter(HTTPAdapter):
    """Connections whose TLS trusts what a context trusts too, directly and through a proxy."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        super().__init__(pool_connections=POOLED, pool_maxsize=POOLED)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        """Make the pool of direct connections."""
        super().init_poolmanager(connections, maxsize, block, ssl_context=self._context, **options)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Make the pool of connections through a proxy."""
        return super().proxy_manager_for(proxy, ssl_context=self._context, **options)


@dataclass(frozen=True, slots=True)
class Line:
    """What reaches one origin: connections, trust, client certificate and proxies."""

    adapter: HTTPAdapter
    verify: bool | str
    cert: tuple[str, str] | None
    proxies: Mapping[str, str]

    def send(self, method: str, url: str, headers: Mapping[str, str], body: Any, seconds: float) -> requests.Response:
        """Send one request, once, and return its answer with the body still unread."""
        request = requests.Request(method, url, headers=dict(headers), data=body).prepare()
        return self.adapter.send(
            request,
            stream=True,
            timeout=(CONNECT_SECONDS, seconds),
            verify=self.verify,
            cert=self.cert,
            proxies=self.proxies,
        )


def open_line(url: str, environ: Mapping[str, str]) -> Line:
    """Prepare what reaches the origin of a URL, with what Docker's `certs.d` holds for it.

    Raises:
        ConfigError: a file there is no certificate.
    """
    scheme, host, port = origin(url)
    local = is_loopback(f"[{host}]" if ":" in host else host)
    proxies = {} if local else requests.utils.get_environ_proxies(url)
    if scheme == "http":
        return Line(Adapter(None), True, None, proxies)
    folders = certificate_folders(host, port, environ)
    authorities = [path for folder in folders for path in sorted(folder.glob("*.crt"))]
    context = _context(authorities)
    if local and not authorities:
        _quiet()
        return Line(Adapter(None), False, _client_certificate(folders), proxies)
    return Line(Adapter(context), _verify(environ), _client_certificate(folders), proxies)


def _context(authorities: list[Path]) -> ssl.SSLContext:
    """Trust some authorities beside those of the system."""
    context = ssl.create_default_context()
    for path in authorities:
        try:
            context.load_verify_locations(path)
        except OSError as error:
            raise ConfigError(f"{path}: not a certificate: {error.strerror or error}") from None
    return context


def certificate_folders(host: str, port: int, environ: Mapping[str, str]) -> list[Path]:
    """Find the folders with certificates for a host, as Docker does, rootless Docker too.

    https://docs.docker.com/engine/security/certificates/
    """
    home = Path(environ.get("HOME") or Path.home())
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    roots = [config / "docker" / "certs.d", home / ".docker" / "certs.d", Path("/etc/docker/certs.d")]
    name = f"[{host}]" if ":" in host else host
    names = [f"{name}:{port}", name] if port == 443 else [f"{name}:{port}"]
    return [folder for root in roots for each in names if (folder := root / each).is_dir()]


def _client_certificate(folders: list[Path]) -> tuple[str, str] | None:
    """Return the first certificate that has its key beside it."""
    for folder in folders:
        for path in sorted(folder.glob("*.cert")):
            if path.with_suffix(".key").is_file():
                return str(path), str(path.with_suffix(".key"))
    return None


def _verify(environ: Mapping[str, str]) -> bool | str:
    return environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE") or True


def _quiet() -> None:
    """Silence urllib3's warning for TLS on the loopback: Docker does not verify certificates there either."""
    warnings.filterwarnings(
        "ignore",
        message=r"Unverified HTTPS request is being made to host '(localhost|127\.|::1)",
        category=urllib3.exceptions.InsecureRequestWarning,
    )
