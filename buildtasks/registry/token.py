"""Asks a token server for a bearer token.

Specs: "Token Authentication Specification" (https://distribution.github.io/distribution/spec/auth/token/)
and, for identity tokens, its OAuth2 form (https://distribution.github.io/distribution/spec/auth/oauth/).
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import urlencode

from buildtasks.credentials import Credential
from buildtasks.registry.challenge import Challenge, Scope, format_scope
from buildtasks.registry.failure import broken, failure
from buildtasks.registry.transport import Call, Reply, Transport

DEFAULT_SECONDS = 60.0
LARGEST = 2**20
CLIENT = "buildtasks"


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token, what it was asked for, and when it ends, in seconds of the monotonic clock."""

    text: str = field(repr=False)
    scope: Scope
    until: float

    @property
    def header(self) -> str:
        """The value of the Authorization header."""
        return f"Bearer {self.text}"


def basic(username: str, secret: str) -> str:
    """Return the value of the Authorization header for a user and a password (RFC 7617, in UTF-8)."""
    return "Basic " + b64encode(f"{username}:{secret}".encode()).decode()


def fetch(transport: Transport, challenge: Challenge, scope: Scope, credential: Credential | None) -> Token:
    """Fetch a token from the realm of a challenge; without a credential, the one that everybody gets.

    Raises:
        Unauthorized: the server refuses the credential.
        RegistryError: no token, for another reason.
    """
    start = transport.clock.monotonic()
    reply = _post(transport, challenge, scope, credential) or _get(transport, challenge, scope, credential)
    if reply.status != 200:
        raise failure(reply, _advice(reply, credential))
    text, seconds = _read(reply)
    return Token(text, scope, start + seconds - min(5.0, seconds / 10))


def _get(transport: Transport, challenge: Challenge, scope: Scope, credential: Credential | None) -> Reply:
    """Ask in the first form, with Basic; `scope` is repeated, once per part."""
    realm, service = challenge.params["realm"], challenge.params.get("service")
    asked = [("service", service)] if service else []
    query = urlencode([*asked, *(("scope", part) for part in format_scope(scope))])
    url = f"{realm}{'&' if '?' in realm else '?'}{query}"
    secret = credential.secret or credential.identity_token if credential else ""
    authorization = basic(credential.username, secret) if credential and secret else None
    return transport.send(Call("GET", url, authorization=authorization, limit=LARGEST))


def _post(transport: Transport, challenge: Challenge, scope: Scope, credential: Credential | None) -> Reply | None:
    """Ask in the OAuth2 form, with an identity token; None without one, or when there is no such form."""
    if credential is None or not credential.identity_token:
        return None
    form = {
        "grant_type": "refresh_token",
        "service": challenge.params.get("service", ""),
        "client_id": CLIENT,
        "scope": " ".join(format_scope(scope)),
        "refresh_token": credential.identity_token,
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    body = urlencode(form).encode()
    reply = transport.send(Call("POST", challenge.params["realm"], headers, body, again=False, limit=LARGEST))
    return None if reply.status in (404, 405) else reply


def _read(reply: Reply) -> tuple[str, float]:
    """Take the token and its seconds of life out of an answer, whose forms differ in names."""
    try:
        said = json.loads(reply.body)
        text = str(said.get("token") or said.get("access_token") or "")
        seconds = float(said.get("expires_in") or DEFAULT_SECONDS)
    except (ValueError, TypeError, AttributeError):
        text, seconds = "", DEFAULT_SECONDS
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        raise broken(reply.method, reply.url, "the token server answered without a token")
    return text, seconds


def _advice(reply: Reply, credential: Credential | None) -> str:
    """Say what the user can do when the token server refuses."""
    if reply.status not in (401, 403):
        return ""
    return f"the login of {credential} was refused" if credential else "there is no login for it"
