"""The registries of one run, made when they are first named."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path

from buildtasks import credentials
from buildtasks.reference import Repository
from buildtasks.registry.client import Registry
from buildtasks.registry.contents import Contents
from buildtasks.registry.transport import Transport


class Registries:
    """Hands out one `Registry` per host; safe for threads.

    Logins are looked up when a registry asks for one.
    """

    def __init__(
        self,
        *,
        environ: Mapping[str, str] | None = None,
        read: credentials.Read | None = None,
        transport: Transport | None = None,
        token_servers: Mapping[str, str] | None = None,
        plain_http: Collection[str] = (),
        contents: Path | None = None,
    ) -> None:
        """Prepare an empty pool.

        `read` asks a credential helper (`partial(shell.read, c)` in a task). `token_servers` maps a registry
        to the host of a token server that may see its password, beside its own host. `plain_http` names registries
        off this machine that have no TLS; no login is ever sent there. `contents` is the folder that keeps
        manifests and configs between runs, None for none.
        """
        self.contents = Contents(contents)
        self._environ = os.environ if environ is None else environ
        self._read = read
        self._transport = transport or Transport(environ=self._environ)
        self._token_servers, self._plain_http = token_servers, plain_http
        self._lock = threading.Lock()
        self._registries: dict[str, Registry] = {}

    def of(self, repository: Repository) -> Registry:
        """Return the registry that a repository is in."""
        host = repository.registry
        with self._lock:
            if host not in self._registries:
                self._registries[host] = self._make(host)
            return self._registries[host]

    def _make(self, host: str) -> Registry:
        return Registry(
            host,
            find=partial(credentials.find, host, environ=self._environ, read=self._read),
            transport=self._transport,
            token_servers=self._token_servers,
            plain_http=host in self._plain_http,
        )
