"""How one registry is told who we are: Basic, or Bearer tokens from the server its challenge names.

Nothing is sent before the registry asks: the first 401 says how, and that is remembered, so later calls bring
their header at once. Tokens are kept per scope until they expire. Specs: "Docker Registry v2 authentication"
(https://distribution.github.io/distribution/spec/auth/token/) and its OAuth2 form
(https://distribution.github.io/distribution/spec/auth/oauth/).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from buildtasks.credentials import Credential
from buildtasks.registry.challenge import Challenge, Scope, parse_challenges, parse_scope, pick, widen
from buildtasks.registry.failure import broken, codes_of
from buildtasks.registry.origin import is_safe, may_lead, origin
from buildtasks.registry.token import Token, basic, fetch
from buildtasks.registry.transport import Reply, Transport

TOKEN_SERVERS = {"docker.io": "auth.docker.io", "registry.gitlab.com": "gitlab.com"}
"""Token servers on another host than their registry, which belong to the same owner. All others must be on
the registry's own host, or be named by the user: the realm of a challenge is what a hostile registry would
choose."""


class Auth:
    """The login of one registry; safe for threads."""

    def __init__(
        self,
        registry: str,
        transport: Transport,
        find: Callable[[], Credential | None],
        token_servers: Mapping[str, str] | None = None,
    ) -> None:
        self._registry, self._transport, self._find = registry, transport, find
        self._servers = {**TOKEN_SERVERS, **(token_servers or {})}
        self._lock = threading.RLock()
        self._fetching: dict[Scope, threading.Lock] = {}
        self._tokens: dict[Scope, Token] = {}
        self._challenge: Challenge | None = None
        self._found: list[Credential | None] = []

    def header(self, url: str, wanted: Scope) -> str | None:
        """Return the Authorization header for a call, as far as the registry has said that it wants one."""
        challenge = self._challenge
        if challenge is None or not is_safe(url):
            return None
        return self._basic() if challenge.scheme == "basic" else self._bearer(url, challenge, wanted, None)

    def again(self, reply: Reply, wanted: Scope, sent: str | None) -> str | None:
        """Return another header to answer a refusal with; None when there is no other.

        Raises:
            Unauthorized: the token server refuses.
            RegistryError: the challenge cannot be understood, or the token server fails.
        """
        challenge = self._learn(reply)
        if challenge is None or not is_safe(reply.url):
            return None
        if challenge.scheme == "basic":
            header = self._basic()
        else:
            asked = parse_scope(challenge.params.get("scope", ""))
            header = self._bearer(reply.url, challenge, wanted | asked, sent)
        return header if header != sent else None

    def tries(self, wanted: Scope) -> list[Scope]:
        """Return the scopes to ask for, one after the other, when a call is refused.

        Docker Hub refuses `pull` where nothing was pushed yet; who may push there is told 404 when asking for
        both.
        """
        wider = widen(wanted)
        return [wanted] if wider == wanted or self._credential() is None else [wanted, wider]

    def advice(self, url: str, status: int) -> str:
        """Say what the user can do about a 401 or 403."""
        if not is_safe(url):
            return "over plain http no login is sent: give the registry TLS"
        credential = self._credential()
        if credential is None:
            return f"there is no login for {self._registry}: run `docker login {self._registry}`"
        who = f"the login of {credential}"
        if status == 401 and (foreign := self._foreign(url)):
            return f"{who} was not sent to {foreign}, a token server on another host: see `token_servers`"
        if status == 401:
            return f"{who} was refused: run `docker login {self._registry}`"
        return f"{who} may not do this: give the user or its token more permissions"

    def _foreign(self, url: str) -> str:
        """Return the host of a token server that did not see our password; empty when there is none."""
        challenge = self._challenge
        if challenge is None or challenge.scheme == "basic" or self._trusts(url, challenge):
            return ""
        return origin(challenge.params["realm"])[1]

    def _learn(self, reply: Reply) -> Challenge | None:
        """Remember how the registry wants to be answered."""
        header = reply.headers.get("WWW-Authenticate", "")
        try:
            challenge = pick(parse_challenges(header))
        except ValueError:
            raise broken(reply.method, reply.url, "its login challenge cannot be understood") from None
        if challenge is not None:
            self._challenge = challenge
        return self._challenge

    def _credential(self) -> Credential | None:
        with self._lock:
            if not self._found:
                self._found.append(self._find())
            return self._found[0]

    def _basic(self) -> str | None:
        credential = self._credential()
        return basic(credential.username, credential.secret) if credential and credential.secret else None

    def _bearer(self, url: str, challenge: Challenge, wanted: Scope, sent: str | None) -> str:
        """Return a token that covers the scope and is not the one that was just refused."""
        credential = self._credential()
        if credential and credential.registry_token:
            return f"Bearer {credential.registry_token}"
        with self._lock:
            fetching = self._fetching.setdefault(wanted, threading.Lock())
        with fetching:
            token = self._kept(wanted, sent)
            if token is None:
                trusted = self._trusts(url, challenge)
                token = fetch(self._transport, challenge, wanted, credential if trusted else None)
                with self._lock:
                    self._tokens[wanted] = token
        return token.header

    def _kept(self, wanted: Scope, sent: str | None) -> Token | None:
        """Return a token that still lives, covers the scope and was not just refused."""
        now = self._transport.clock.monotonic()
        with self._lock:
            tokens = [token for token in self._tokens.values() if token.until > now and token.header != sent]
        return next((token for token in tokens if token.scope >= wanted), None)

    def _trusts(self, url: str, challenge: Challenge) -> bool:
        """Tell whether the token server may see our password.

        Raises:
            RegistryError: it is no place to ask at all: no URL, or plain http.
        """
        realm = challenge.params.get("realm", "")
        try:
            host, fit = origin(realm)[1], may_lead(url, realm)
        except ValueError:
            host, fit = "", False
        if not fit:
            raise broken("GET", url, "its login challenge names no token server that may be asked (https)")
        return host in (origin(url)[1], self._servers.get(self._registry))


def refused(reply: Reply, sent: str | None) -> bool:
    """Tell whether an answer says that the login is missing, or no longer good.

    Amazon's public registry says 400 DENIED, not 401, for a token that has ended (oras-project/oras-go#1227).
    """
    ended = reply.status == 400 and sent is not None and "DENIED" in codes_of(reply.body)
    return reply.status == 401 or ended
