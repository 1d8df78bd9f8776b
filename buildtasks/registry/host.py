"""One registry server: its address, our login there, and errors that say what to do.

Between the verbs (`client`, `blobs`) and the wire (`transport`): it puts scheme and host before a path,
brings the Authorization header, and answers a refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from buildtasks.credentials import Credential
from buildtasks.errors import RegistryError
from buildtasks.reference import Repository, is_loopback
from buildtasks.registry.auth import Auth, refused
from buildtasks.registry.challenge import Scope
from buildtasks.registry.failure import broken, failure
from buildtasks.registry.origin import inside, origin, speaks_tls
from buildtasks.registry.transport import Call, Reply, Transport

PULL = ("pull",)
PUSH = ("pull", "push")
DELETE = ("delete", "pull", "push")
"""distribution asks for `delete` alone, Docker Hub for all three; who may do less is granted less."""


class Host:
    """One registry, such as `docker.io` or `127.0.0.1:5000`; safe for threads."""

    def __init__(
        self,
        registry: str,
        find: Callable[[], Credential | None],
        transport: Transport,
        token_servers: Mapping[str, str] | None = None,
        *,
        plain_http: bool = False,
    ) -> None:
        self.registry = registry
        self._authority = Repository(registry, "").host
        self._scheme = "http" if plain_http or is_loopback(registry) else "https"
        self._spoken = plain_http
        self._transport = transport
        self._auth = Auth(registry, transport, find, token_servers)

    def url(self, repository: Repository, path: str) -> str:
        """Return the URL of something in a repository of this registry, such as `tags/list`."""
        if repository.registry != self.registry:
            raise ValueError(f"{repository} is not in {self.registry}")
        return f"{self._scheme}://{self._authority}/v2/{repository.path}/{path}"

    def ask(self, call: Call, scope: Scope) -> Reply:
        """Send a call with our login and return the answer, whatever its status.

        Raises:
            Unauthorized: the token server refuses us.
            RegistryError: there is no answer.
        """
        try:
            reply = self._login(call, scope)
        except RegistryError:
            if not self._found_tls():
                raise
        else:
            if reply.status != 400 or not self._found_tls():
                return reply
        return self._login(replace(call, url=call.url.replace("http:", "https:", 1)), scope)

    def expect(self, reply: Reply, *statuses: int) -> Reply:
        """Return an answer that has one of the wanted statuses.

        Raises:
            Unauthorized: 401 or 403.
            NotFound: 404.
            RegistryError: any other status.
        """
        if reply.status in statuses:
            return reply
        raise failure(reply, self._advice(reply))

    def inside(self, reply: Reply, found: str) -> str:
        """Resolve a URL that the registry sent in a header.

        Raises:
            RegistryError: it leads to another host, which would get our login.
        """
        url = inside(f"{self._scheme}://{self._authority}/", reply.url, found)
        if url is None:
            raise broken(reply.method, reply.url, "it sends us to another host, which is not followed")
        return url

    def _login(self, call: Call, scope: Scope) -> Reply:
        """Send a call with our login, as far as it was asked for; answer a refusal, but never for long."""
        header = self._auth.header(call.url, scope)
        reply = self._transport.send(replace(call, authorization=header))
        self._spoken = self._spoken or reply.status != 400
        if not refused(reply, header) or not self._ours(reply):
            return reply
        for wanted in self._auth.tries(scope):
            header = self._auth.again(reply, wanted, header)
            if header is None:
                break
            reply = self._transport.send(replace(call, authorization=header))
            if not refused(reply, header) or not self._ours(reply):
                break
        return reply

    def _ours(self, reply: Reply) -> bool:
        """Tell whether the registry itself answered, and not the host of a redirect."""
        return origin(reply.url) == origin(f"{self._scheme}://{self._authority}")

    def _found_tls(self) -> bool:
        """Tell whether a loopback registry that refuses plain http speaks TLS; if so, it is used now."""
        if self._spoken or self._scheme == "https" or not speaks_tls(self._authority):
            return False
        self._scheme = "https"
        return True

    def _advice(self, reply: Reply) -> str:
        if reply.status in (401, 403) and self._ours(reply):
            return self._auth.advice(reply.url, reply.status)
        seconds = self._transport.asked(reply)
        return f"it asks to wait {seconds:.0f} s" if seconds else ""
