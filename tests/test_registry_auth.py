"""Logins: what is asked, what is sent where, and above all what is not.

The gate stands before the real registry and lets through what a token or a password allows, as distribution does.
Hosts off this machine are played by a transport that is only a function.
"""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import cases
import faults
import pytest
from faults import Asked, Say, Ticking

from buildtasks.credentials import Credential
from buildtasks.errors import ConfigError, NotFound, RegistryError, Unauthorized
from buildtasks.reference import Repository
from buildtasks.registry import MEDIA_TYPES, Descriptor, Manifest, Registry, host
from buildtasks.registry.challenge import (
    Challenge,
    format_scope,
    parse_challenges,
    parse_scope,
    pick,
    scope_of,
)
from buildtasks.registry.manifest import digest_of
from buildtasks.registry.transport import Call, Reply, Transport

SECRET = "s3cr3t:with/colon"
MILOU = Credential("milou", SECRET, source="config.json")
IDENTITY = Credential("milou", identity_token=SECRET, source="config.json")
MANIFEST = Manifest.of(b'{"config": {}, "layers": [], "mark": 1}', MEDIA_TYPES[1])


def basic(username: str, secret: str) -> str:
    """Write the header of a user and password."""
    return "Basic " + base64.b64encode(f"{username}:{secret}".encode()).decode()


@dataclass
class Gate:
    """A registry that wants tokens, and its token server at `/token`; behind it, the real registry.

    `realm` is where the challenge leads. `grants` are the actions that the token server gives at most.
    """

    real: str
    realm: str = ""
    grants: frozenset[str] = frozenset({"pull", "push", "delete"})
    lifetime: dict[str, object] = field(default_factory=lambda: {"expires_in": 300})
    tokens: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    oauth: int = 200
    user: str = basic("milou", SECRET)

    def rule(self, asked: Asked) -> Say:
        """Answer as the token server or as the registry."""
        return self.token(asked) if asked.path == "/token" else self.registry(asked)

    def registry(self, asked: Asked) -> Say:
        """Let a request through whose token allows it."""
        wanted = self.wanted(asked)
        granted = self.tokens.get(asked.authorization.removeprefix("Bearer "), set())
        if all((name, action) in granted for name, actions in wanted for action in actions.split(",")):
            return faults.forward(self.real)(replace(asked, headers=asked.headers | {"authorization": ""}))
        realm = self.realm or f"http://{asked.headers['host']}/token"
        scope = " ".join(f"{name}:{actions}" for name, actions in wanted)
        return Say(401, {"WWW-Authenticate": f'Bearer realm="{realm}",service="gate",scope="{scope}"'})

    def wanted(self, asked: Asked) -> list[tuple[str, str]]:
        """Return the scopes that distribution 2.8 wants for a request."""
        name = (
            "repository:"
            + asked.path.removeprefix("/v2/").split("/manifests/")[0].split("/tags/")[0].split("/blobs/")[0]
        )
        action = {"GET": "pull", "HEAD": "pull", "DELETE": "delete"}.get(asked.method, "pull,push")
        return [(name, action), *((f"repository:{source}", "pull") for source in asked.query.get("from", []))]

    def token(self, asked: Asked) -> Say:
        """Make a token for the actions that are granted."""
        form = asked.query if asked.method == "GET" else parse_qs(asked.body.decode())
        if asked.method == "POST" and (self.oauth != 200 or form["refresh_token"] != [SECRET]):
            return Say(self.oauth if self.oauth != 200 else 401)
        if asked.method == "GET" and asked.authorization not in (self.user, ""):
            return Say(401, body=b'{"details": "incorrect username or password"}')
        scope = " ".join(form.get("scope", []))
        known = asked.authorization or asked.method == "POST"
        allowed = self.grants if known else {"pull"}
        text = uuid.uuid4().hex
        self.tokens[text] = {(name, action) for name, action in parse_scope(scope) if action in allowed}
        name = "access_token" if asked.method == "POST" else "token"
        return Say(200, body=json.dumps({name: text, **self.lifetime}).encode())


class Behind:
    """A client behind a gate."""

    def __init__(
        self, server: faults.Server, credential: Credential | None, token_servers: dict[str, str] | None = None
    ) -> None:
        self.server, self.time = server, Ticking()
        self.repository = Repository(server.host, f"auth/{uuid.uuid4().hex[:12]}")
        transport = Transport(clock=self.time.clock, environ={})
        self.registry = Registry(server.host, credential, transport=transport, token_servers=token_servers)

    def tokens(self) -> list[list[str]]:
        """The scopes of each token that was asked for, of one or the other form."""
        asked = [asked for asked in self.server.asked if asked.path == "/token"]
        return [one.query.get("scope", []) or parse_qs(one.body.decode()).get("scope", []) for one in asked]

    def refused(self) -> int:
        """How many requests came to the registry without a header."""
        return sum(1 for asked in self.server.asked if asked.path != "/token" and not asked.authorization)


@pytest.fixture
def gate(registry: str) -> Gate:
    """Return a gate before the real registry."""
    return Gate(registry)


@pytest.fixture
def behind(gate: Gate) -> Iterator[Behind]:
    """Return a client with a login behind the gate."""
    with faults.serve(gate.rule) as server:
        yield Behind(server, MILOU)


# Tokens


def test_all_verbs_work_with_tokens(behind: Behind, registry: str) -> None:
    it = behind.registry
    source, target = behind.repository, Repository(behind.repository.registry, f"{behind.repository.path}/b")
    config = it.upload(source, b"{}")
    image = Manifest.of(
        json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MEDIA_TYPES[1],
                "config": {"mediaType": "x/y", "digest": config.digest, "size": 2},
                "layers": [],
            }
        ).encode()
    )
    assert it.put(source.tag("1.0.0"), image) == image.digest
    assert it.tags(source) == ("1.0.0",)
    assert it.get(source.tag("1.0.0")) == image
    assert it.mount(target, config.digest, source)
    assert it.blob(target, config.digest) == b"{}"
    it.delete_manifest(source.at(image.digest))
    assert it.head(source.tag("1.0.0")) is None
    name = f"repository:{source.path}"
    assert behind.tokens() == [
        [f"{name}:pull"],
        [f"{name}:pull,push"],
        [f"{name}:pull", f"{name}/b:pull,push"],
        [f"{name}:delete,pull,push"],
    ]
    assert behind.refused() == 1


def test_the_first_refusal_teaches_how_to_log_in(behind: Behind) -> None:
    for _ in range(5):
        assert behind.registry.head(behind.repository.tag("x")) is None
    manifests = f"HEAD /v2/{behind.repository.path}/manifests/x"
    token = f"GET /token?service=gate&scope=repository%3A{behind.repository.path.replace('/', '%2F')}%3Apull"
    assert behind.server.lines() == [manifests, token, *[manifests] * 5]


@pytest.mark.parametrize(
    ("lifetime", "lasts"),
    [
        ({"expires_in": 300}, 290),
        ({"expires_in": 30}, 25),
        ({}, 50),
        ({"expires_in": None}, 50),
        ({"expires_in": "90"}, 80),
    ],
    ids=["300", "30", "none", "null", "text"],
)
def test_a_token_is_kept_until_it_ends(behind: Behind, gate: Gate, lifetime: dict[str, object], lasts: float) -> None:
    gate.lifetime = lifetime
    behind.registry.head(behind.repository.tag("x"))
    behind.time.sleep(lasts)
    behind.registry.head(behind.repository.tag("x"))
    assert len(behind.tokens()) == 1
    behind.time.sleep(6)
    behind.registry.head(behind.repository.tag("x"))
    assert len(behind.tokens()) == 2
    assert behind.refused() == 1


def test_a_token_that_ended_early_is_replaced_once(behind: Behind, gate: Gate) -> None:
    behind.registry.head(behind.repository.tag("x"))
    gate.tokens.clear()
    assert behind.registry.head(behind.repository.tag("x")) is None
    assert len(behind.tokens()) == 2


def test_a_token_that_ended_on_amazons_public_registry_is_replaced(behind: Behind, gate: Gate) -> None:
    body = b'{"errors": [{"code": "DENIED", "message": "Your Authorization Token is invalid."}]}'
    real = gate.registry

    def registry(asked: Asked) -> Say:
        ended = asked.authorization and asked.authorization.removeprefix("Bearer ") not in gate.tokens
        return Say(400, body=body) if ended else real(asked)

    gate.registry = registry  # type: ignore[method-assign]
    behind.registry.tags(behind.repository)
    gate.tokens.clear()
    assert behind.registry.tags(behind.repository) == ()
    assert len(behind.tokens()) == 2


def test_a_wider_token_serves_a_narrower_call(behind: Behind) -> None:
    with pytest.raises(NotFound):
        behind.registry.delete_manifest(behind.repository.at(MANIFEST.digest))
    behind.registry.tags(behind.repository)
    behind.registry.upload(behind.repository, b"{}")
    assert len(behind.tokens()) == 1


def test_threads_that_need_one_token_fetch_it_once(behind: Behind) -> None:
    with ThreadPoolExecutor(12) as threads:
        found = list(threads.map(lambda _: behind.registry.head(behind.repository.tag("x")), range(48)))
    assert found == [None] * 48
    assert len(behind.tokens()) == 1


def test_without_a_login_what_everybody_may_read_is_read(gate: Gate) -> None:
    with faults.serve(gate.rule) as server:
        it = Behind(server, None)
        assert it.registry.tags(it.repository) == ()
        with pytest.raises(Unauthorized, match=r"there is no login for 127\.0\.0\.1:\d+: run `docker login 127"):
            it.registry.put(it.repository.tag("x"), MANIFEST)
    assert all(not asked.authorization.startswith("Basic") for asked in server.asked)


def test_a_login_is_looked_up_once_and_only_when_it_is_wanted(gate: Gate, registry: str) -> None:
    found: list[str] = []

    def find() -> Credential | None:
        found.append("asked")
        return MILOU

    plain = Registry(registry, find=find)
    assert plain.tags(Repository(registry, "auth/none")) == ()
    assert found == []
    with faults.serve(gate.rule) as server:
        it = Registry(server.host, find=find)
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda n: it.tags(Repository(server.host, f"auth/none{n}")), range(8)))
    assert found == ["asked"]


# Refusals


def test_a_refusal_that_stays_is_an_error_not_a_loop(behind: Behind, gate: Gate) -> None:
    gate.grants = frozenset()
    for _ in range(2):
        with pytest.raises(
            Unauthorized, match=r": 401: Unauthorized\nthe login of milou \(config\.json\) was refused: run"
        ):
            behind.registry.tags(behind.repository)
    assert len(behind.server.asked) <= 10


@pytest.mark.parametrize(
    ("credential", "verb", "tokens"),
    [(MILOU, "read", 2), (MILOU, "change", 1), (None, "read", 1), (None, "change", 1)],
)
def test_how_often_a_refusal_is_answered(gate: Gate, credential: Credential | None, verb: str, tokens: int) -> None:
    def rule(asked: Asked) -> Say:
        challenge = f'Bearer realm="http://{asked.headers["host"]}/token"'
        return gate.token(asked) if asked.path == "/token" else Say(401, {"WWW-Authenticate": challenge})

    with faults.serve(rule) as server:
        it = Behind(server, credential)
        ref = it.repository.tag("x")
        with pytest.raises(Unauthorized):
            it.registry.head(ref) if verb == "read" else it.registry.put(ref, MANIFEST)
    assert len(it.tokens()) == tokens
    assert len(server.asked) == 2 * tokens + 1


def test_a_scope_that_only_the_registry_knows_is_asked_for() -> None:
    def rule(asked: Asked) -> Say:
        if asked.path == "/token":
            return Say(200, body=b'{"token": "t"}')
        challenge = f'Bearer realm="http://{asked.headers["host"]}/token",scope="*"'
        return page() if asked.authorization else Say(401, {"WWW-Authenticate": challenge})

    with faults.serve(rule) as server:
        it = Behind(server, MILOU)
        assert it.registry.tags(it.repository) == ()
    assert it.tokens() == [["*", f"repository:{it.repository.path}:pull"]]


def test_a_registry_that_refuses_everything_is_asked_twice() -> None:
    challenge = 'Basic realm="x"'
    with faults.serve(lambda _asked: Say(401, {"WWW-Authenticate": challenge})) as server:
        it = Behind(server, MILOU)
        with pytest.raises(Unauthorized):
            it.registry.tags(it.repository)
    assert [asked.authorization for asked in server.asked] == ["", basic("milou", SECRET)]


def test_a_wrong_password_is_an_error_that_says_whose(gate: Gate) -> None:
    with faults.serve(gate.rule) as server:
        it = Behind(server, Credential("milou", "wr0ng-password", source="config.json"))
        with pytest.raises(Unauthorized) as caught:
            it.registry.head(it.repository.tag("x"))
    said = str(caught.value.message)
    assert said.startswith(f"GET {server.host}/token: 401: incorrect username or password\n")
    assert "milou (config.json)" in said
    assert "wr0ng" not in said
    assert len(server.asked) == 2


def test_forbidden_is_an_error_that_asks_for_permissions() -> None:
    def rule(asked: Asked) -> Say:
        if not asked.authorization:
            return Say(401, {"WWW-Authenticate": 'Basic realm="x"'})
        return Say(403, body=b'{"errors": [{"code": "DENIED", "message": "permission_denied: write_package"}]}')

    with faults.serve(rule) as server:
        it = Behind(server, MILOU)
        with pytest.raises(Unauthorized, match=r": 403 DENIED: permission_denied: .*\n.* may not do this: ") as caught:
            it.registry.put(it.repository.tag("x"), MANIFEST)
    assert caught.value.status == 403
    assert SECRET not in str(caught.value.message)


@pytest.mark.parametrize(
    "challenge", ["", "Negotiate", 'Digest realm="x"', "Bearer", 'Bearer realm="', 'Bearer realm="x"']
)
def test_a_challenge_that_nobody_can_answer_is_an_error(challenge: str) -> None:
    with faults.serve(lambda _asked: Say(401, {"WWW-Authenticate": challenge} if challenge else {})) as server:
        it = Behind(server, MILOU)
        with pytest.raises(RegistryError):
            it.registry.tags(it.repository)
    assert all(not asked.authorization for asked in server.asked)


def test_bearer_is_preferred_to_basic(gate: Gate) -> None:
    def rule(asked: Asked) -> Say:
        say = gate.rule(asked)
        bearer = say.headers.get("WWW-Authenticate")
        return replace(say, headers={"WWW-Authenticate": ['Basic realm="x"', str(bearer)]}) if bearer else say

    with faults.serve(rule) as server:
        it = Behind(server, MILOU)
        assert it.registry.tags(it.repository) == ()
    assert server.asked[-1].authorization.startswith("Bearer ")


@pytest.mark.parametrize(
    "say",
    [
        Say(200, {"Content-Type": "text/html"}, b"<html>"),
        Say(200, body=b"{}"),
        Say(200, body=b'"text"'),
        Say(200, body=b'{"token": "a b"}'),
        Say(200, body=b'{"token": "a\\r\\nX-Evil: 1"}'),
        Say(200, body=b'{"token": "abc", "expires_in": "soon"}'),
        Say(200, body=b" " * (2 * 2**20)),
        Say(302, {"Location": "http://127.0.0.2:1/"}),
        Say(403),
        Say(500),
    ],
)
def test_a_token_server_that_gives_no_token_is_an_error(gate: Gate, say: Say) -> None:
    with faults.serve(lambda asked: say if asked.path == "/token" else gate.rule(asked)) as server:
        it = Behind(server, MILOU)
        with pytest.raises(RegistryError) as caught:
            it.registry.tags(it.repository)
    assert len(server.asked) == 2
    assert SECRET not in str(caught.value.message)
    assert "scope" not in str(caught.value.message)


def test_a_token_server_in_trouble_is_asked_again(gate: Gate) -> None:
    troubled = faults.in_turn(Say(503, {"Retry-After": "4"}), Say(429), then=gate.token)
    with faults.serve(lambda asked: troubled(asked) if asked.path == "/token" else gate.rule(asked)) as server:
        it = Behind(server, MILOU)
        assert it.registry.tags(it.repository) == ()
    assert it.time.slept[0] == 4
    assert len(it.tokens()) == 3


# Identity and registry tokens


def test_an_identity_token_is_exchanged(gate: Gate) -> None:
    with faults.serve(gate.rule) as server:
        it = Behind(server, IDENTITY)
        assert it.registry.tags(it.repository) == ()
    asked = server.asked[1]
    assert (asked.method, asked.target, asked.authorization) == ("POST", "/token", "")
    assert parse_qs(asked.body.decode()) == {
        "grant_type": ["refresh_token"],
        "service": ["gate"],
        "client_id": ["buildtasks"],
        "scope": [f"repository:{it.repository.path}:pull"],
        "refresh_token": [SECRET],
    }


@pytest.mark.parametrize("status", [404, 405])
def test_a_server_without_the_newer_form_gets_the_older(gate: Gate, status: int) -> None:
    gate.oauth = status
    with faults.serve(gate.rule) as server:
        it = Behind(server, IDENTITY)
        assert it.registry.tags(it.repository) == ()
    assert [asked.method for asked in server.asked[1:3]] == ["POST", "GET"]
    assert server.asked[2].authorization == basic("milou", SECRET)


@pytest.mark.parametrize("status", [400, 401, 403, 503])
def test_an_identity_token_that_is_refused_is_an_error(gate: Gate, status: int) -> None:
    gate.oauth = status
    with faults.serve(gate.rule) as server:
        it = Behind(server, IDENTITY)
        with pytest.raises(RegistryError, match=rf"^POST {server.host}/token: {status}: ") as caught:
            it.registry.tags(it.repository)
    assert SECRET not in str(caught.value.message)
    assert len(server.asked) == 2


def test_a_registry_token_is_sent_as_it_is(gate: Gate) -> None:
    with faults.serve(gate.rule) as server:
        it = Behind(server, Credential(registry_token="given", source="config.json"))
        gate.tokens["given"] = {(f"repository:{it.repository.path}", "pull")}
        assert it.registry.tags(it.repository) == ()
        with pytest.raises(Unauthorized, match=r"a token \(config\.json\) was refused"):
            it.registry.put(it.repository.tag("x"), MANIFEST)
    assert it.tokens() == []


# Where logins must not go


def test_a_token_server_on_another_host_does_not_see_the_password(gate: Gate) -> None:
    with faults.serve(gate.rule, "127.0.0.2") as foreign, faults.serve(gate.rule) as server:
        gate.realm = f"{foreign.url}/token"
        it = Behind(server, MILOU)
        assert it.registry.tags(it.repository) == ()
        with pytest.raises(Unauthorized, match=r"milou \(config\.json\) was not sent to 127\.0\.0\.2, a token server"):
            it.registry.put(it.repository.tag("x"), MANIFEST)
        identity = Behind(server, IDENTITY)
        assert identity.registry.tags(identity.repository) == ()
        assert all(asked.method == "GET" and not asked.authorization for asked in foreign.asked)
        trusting = Behind(server, MILOU, token_servers={server.host: "127.0.0.2"})
        assert not trusting.registry.mount(trusting.repository, MANIFEST.digest, it.repository)
    assert foreign.asked[-1].authorization == basic("milou", SECRET)


@pytest.mark.parametrize(
    "credential", [MILOU, IDENTITY, Credential(registry_token=SECRET)], ids=["user", "identity", "token"]
)
@pytest.mark.parametrize("scheme", ["basic", "bearer"])
def test_a_redirect_to_another_host_takes_no_login_along(gate: Gate, credential: Credential, scheme: str) -> None:
    def rule(asked: Asked) -> Say:
        if asked.path == "/token":
            return gate.token(asked)
        if not asked.authorization:
            return Say(401, {"WWW-Authenticate": 'Basic realm="x"'}) if scheme == "basic" else gate.registry(asked)
        return Say(307, {"Location": f"{storage.url}/data"})

    with faults.serve(lambda _asked: Say(200, body=b"{}"), "127.0.0.2") as storage, faults.serve(rule) as server:
        it = Behind(server, credential)
        digest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        if scheme == "bearer" or credential is MILOU:
            assert it.registry.blob(it.repository, digest) == b"{}"
            assert b"".join(it.registry.stream_blob(it.repository, digest)) == b"{}"
            assert len(storage.asked) == 2
        else:
            with pytest.raises(Unauthorized):
                it.registry.blob(it.repository, digest)
    assert all("authorization" not in asked.headers and "cookie" not in asked.headers for asked in storage.asked)


def test_another_host_gets_no_login_by_asking_for_it() -> None:
    challenge = {"WWW-Authenticate": 'Basic realm="x"'}
    with faults.serve(lambda _asked: Say(401, challenge), "127.0.0.2") as storage:  # noqa: SIM117
        with faults.serve(lambda _asked: Say(302, {"Location": f"{storage.url}/data"})) as server:
            it = Behind(server, MILOU)
            with pytest.raises(Unauthorized, match=rf"^GET {storage.host}/data: 401: Unauthorized$"):
                it.registry.tags(it.repository)
    assert all(not asked.authorization for asked in [*storage.asked, *server.asked])


def test_a_redirect_there_and_back_brings_no_login(behind: Behind, gate: Gate) -> None:
    def registry(asked: Asked) -> Say:
        if asked.authorization and "back" not in asked.query:
            return Say(302, {"Location": f"{mirror.url}{asked.path}"})
        return Say(200, body=b'{"tags": ["a"]}') if "back" in asked.query else Gate.registry(gate, asked)

    gate.registry = registry  # type: ignore[method-assign]
    back = lambda asked: Say(302, {"Location": f"{behind.server.url}{asked.path}?back=1"})  # noqa: E731
    with faults.serve(back, "127.0.0.2") as mirror:
        assert behind.registry.tags(behind.repository) == ("a",)
    assert [asked.authorization for asked in mirror.asked] == [""]
    returned = [asked for asked in behind.server.asked if "back" in asked.query]
    assert [bool(asked.authorization) for asked in returned] == [False]


def test_netrc_and_cookies_stay_out_of_it(gate: Gate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login other password wrong\n", encoding="utf-8")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))

    def rule(asked: Asked) -> Say:
        say = gate.rule(asked)
        return replace(say, headers={**say.headers, "Set-Cookie": "sid=1"})

    with faults.serve(rule) as server:
        it = Behind(server, MILOU)
        it.registry.tags(it.repository)
        it.registry.tags(it.repository)
    headers = [asked.authorization.partition(" ")[0] for asked in server.asked]
    assert headers == ["", "Basic", "Bearer", "Bearer"]
    assert all("cookie" not in asked.headers for asked in server.asked)


# Hosts off this machine


class Played(Transport):
    """A transport that is only a function; remembers its calls."""

    def __init__(self, answer: Callable[[Call], Reply]) -> None:
        super().__init__(clock=Ticking().clock, environ={})
        self.answer, self.calls = answer, list[Call]()

    def send(self, call: Call) -> Reply:
        """Answer by the function."""
        self.calls.append(call)
        return self.answer(call)


def playing(realm: str) -> Played:
    """Play a registry that leads to a token server, and every token server."""

    def answer(call: Call) -> Reply:
        if "/v2/a/" not in call.url:
            return Reply(call.method, call.url, 200, {}, b'{"token": "t"}')
        if call.authorization != "Bearer t":
            challenge = f'Bearer realm="{realm}",service="s"' if realm else 'Basic realm="x"'
            return Reply(call.method, call.url, 401, {"WWW-Authenticate": challenge})
        return Reply(call.method, call.url, 200, {}, b'{"tags": ["x"]}')

    return Played(answer)


@pytest.mark.parametrize(
    ("host", "realm", "sent"),
    [
        ("registry.example", "https://registry.example/token", True),
        ("registry.example:5000", "https://registry.example/token", True),
        ("registry.example", "https://REGISTRY.example:8443/token?a=b", True),
        ("docker.io", "https://auth.docker.io/token", True),
        ("registry.gitlab.com", "https://gitlab.com/jwt/auth", True),
        ("mine.example", "https://login.mine.example/token", True),
        ("registry.example", "https://auth.docker.io/token", False),
        ("docker.io", "https://auth.docker.io.evil.example/token", False),
        ("registry.example", "https://registry.example.evil/token", False),
        ("registry.example", "https://registry.example@evil.example/token", False),
        ("registry.example", "https://evil.example/registry.example/token", False),
        ("registry.example", "https://gitlab.com/jwt/auth", False),
    ],
)
def test_which_token_servers_see_the_password(host: str, realm: str, sent: bool) -> None:
    transport = playing(realm)
    registry = Registry(host, MILOU, transport=transport, token_servers={"mine.example": "login.mine.example"})
    assert registry.tags(Repository(host, "a")) == ("x",)
    asked = [call for call in transport.calls if "/v2/a/" not in call.url]
    assert [call.authorization for call in asked] == [basic("milou", SECRET) if sent else None]
    assert parse_qs(urlsplit(asked[0].url).query)["scope"] == ["repository:a:pull"]


@pytest.mark.parametrize(
    "realm",
    [
        "http://registry.example/token",
        "http://127.0.0.1/token",
        "http://10.0.0.1/token",
        "ftp://registry.example/",
        "/token",
        "x",
    ],
)
def test_a_token_server_without_tls_is_not_asked_at_all(realm: str) -> None:
    transport = playing(realm)
    with pytest.raises(RegistryError, match=r"its login challenge names no token server that may be asked \(https\)"):
        Registry("registry.example", MILOU, transport=transport).tags(Repository("registry.example", "a"))
    assert [call.authorization for call in transport.calls] == [None]


@pytest.mark.parametrize("realm", ["", "http://registry.example/token", "https://registry.example/token"])
def test_plain_http_off_this_machine_never_gets_a_login(realm: str) -> None:
    transport = playing(realm)
    registry = Registry("registry.example", MILOU, transport=transport, plain_http=True)
    for _ in range(2):
        with pytest.raises(Unauthorized, match="over plain http no login is sent: give the registry TLS"):
            registry.tags(Repository("registry.example", "a"))
    sent = [(call.url, call.authorization) for call in transport.calls]
    assert sent == [("http://registry.example/v2/a/tags/list", None)] * 2


def test_docker_hub_is_asked_at_its_api() -> None:
    transport = playing("https://auth.docker.io/token")
    Registry("docker.io", transport=transport).tags(Repository("docker.io", "a"))
    assert transport.calls[0].url == "https://registry-1.docker.io/v2/a/tags/list"


# Challenges and scopes


def test_challenges_of_other_clients() -> None:
    wrong = []
    for case in cases.load("auth_challenge"):
        if "expect" not in case:
            continue
        try:
            parsed = parse_challenges(", ".join(case["headers"]))
            got = [{"scheme": one.scheme, "params": one.params} for one in parsed]
        except ValueError:
            got = None
        if got != case["expect"]:
            wrong.append((case["id"], case["headers"], got, case["expect"]))
    assert not wrong


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Bearer realm = "x" , service = "y"', [Challenge("bearer", {"realm": "x", "service": "y"})]),
        ('Negotiate, Basic realm="x"', [Challenge("negotiate"), Challenge("basic", {"realm": "x"})]),
        ("Basic, Bearer realm=x", [Challenge("basic"), Challenge("bearer", {"realm": "x"})]),
        (" , ,Basic ,", [Challenge("basic")]),
    ],
)
def test_challenges_with_blanks_and_several_in_a_line(header: str, expected: list[Challenge]) -> None:
    assert parse_challenges(header) == expected


def test_the_challenge_to_answer() -> None:
    basic_, bearer, other = Challenge("basic"), Challenge("bearer", {"realm": "x"}), Challenge("digest")
    assert pick([other, basic_, bearer]) is bearer
    assert pick([bearer, Challenge("bearer", {"realm": "y"})]) is bearer
    assert pick([other, basic_]) is basic_
    assert pick([other]) is None


def test_scopes() -> None:
    text = "repository:host:5000/a:pull,push registry:catalog:* repository:b:pull *"
    assert format_scope(parse_scope(text)) == [
        "*",
        "registry:catalog:*",
        "repository:b:pull",
        "repository:host:5000/a:pull,push",
    ]
    assert scope_of("a/b", "push", "pull") == parse_scope("repository:a/b:pull,push")
    assert parse_scope("") == frozenset()


# TLS


@dataclass(frozen=True)
class Authority:
    """A private authority, with a server's and a client's certificate of it, as files in a folder."""

    folder: Path

    def make(self) -> Authority:
        """Make the files with openssl."""
        self._run(
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=ca"
        )
        for name, extension in (("server", "subjectAltName=IP:127.0.0.1"), ("client", "extendedKeyUsage=clientAuth")):
            (self.folder / f"{name}.ext").write_text(extension, encoding="utf-8")
            self._run(
                "req",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-keyout",
                f"{name}.key",
                "-out",
                f"{name}.csr",
                "-subj",
                f"/CN={name}",
            )
            signing = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", f"{name}.ext")
            self._run("x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{name}.crt")
        return self

    def _run(self, *args: str) -> None:
        subprocess.run(["openssl", *args], cwd=self.folder, check=True, capture_output=True)

    def context(self, *, client: bool = False) -> ssl.SSLContext:
        """Return what a server needs; with `client`, it wants the client's certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "server.crt", self.folder / "server.key")
        if client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.folder / "ca.crt")
        return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return a private authority."""
    return Authority(tmp_path_factory.mktemp("ca")).make()


def over_tls(host: str, home: Path) -> Registry:
    """Return a client whose home has a `certs.d` of its own."""
    return Registry(host, transport=Transport(clock=Ticking().clock, environ={"HOME": str(home)}))


def page(*names: str) -> Say:
    """Answer with some tags."""
    return Say(200, body=json.dumps({"tags": names}).encode())


def tags(_asked: Asked) -> Say:
    """Answer with one tag."""
    return page("x")


def test_tls_on_the_loopback_is_found_when_plain_http_fails(authority: Authority, tmp_path: Path) -> None:
    with faults.serve(tags, tls=authority.context()) as server:
        registry = over_tls(server.host, tmp_path)
        for _ in range(2):
            assert registry.tags(Repository(server.host, "a")) == ("x",)
    assert server.lines() == ["GET /v2/a/tags/list"] * 2


def test_a_server_that_wants_tls_is_probed_until_plain_http_has_worked(monkeypatch: pytest.MonkeyPatch) -> None:
    probed: list[str] = []

    def probe(place: str) -> bool:
        probed.append(place)
        return len(probed) > 1

    monkeypatch.setattr(host, "speaks_tls", probe)
    with faults.serve(faults.in_turn(Say(400), page("x"), Say(400))) as server:
        registry = Registry(server.host)
        for status in (400, 200, 400):
            if status == 200:
                registry.tags(Repository(server.host, "a"))
            else:
                with pytest.raises(RegistryError):
                    registry.tags(Repository(server.host, "a"))
    assert probed == [server.host]
    played = Played(lambda call: Reply(call.method, call.url, 200 if "https" in call.url else 400, {}, b'{"tags": []}'))
    assert Registry("localhost:5", transport=played).tags(Repository("localhost:5", "a")) == ()
    assert [call.url for call in played.calls] == [
        f"{scheme}://localhost:5/v2/a/tags/list" for scheme in ("http", "https")
    ]


def test_the_private_authority_of_a_host_is_trusted_and_no_other(authority: Authority, tmp_path: Path) -> None:
    with faults.serve(tags, tls=authority.context()) as server:
        folder = tmp_path / ".config/docker/certs.d" / server.host
        folder.mkdir(parents=True)
        (folder / "ca.crt").write_bytes((authority.folder / "ca.crt").read_bytes())
        assert over_tls(server.host, tmp_path).tags(Repository(server.host, "a")) == ("x",)
        (folder / "ca.crt").write_text("nonsense", encoding="utf-8")
        with pytest.raises(ConfigError, match=r"certs\.d/.*/ca\.crt: not a certificate: "):
            over_tls(server.host, tmp_path).tags(Repository(server.host, "a"))
        stranger = Authority(tmp_path).make()
        (folder / "ca.crt").write_bytes((stranger.folder / "ca.crt").read_bytes())
        with pytest.raises(
            RegistryError, match=r": TLS: .*\na private authority belongs into /etc/docker/certs\.d/127"
        ):
            over_tls(server.host, tmp_path).tags(Repository(server.host, "a"))


def test_a_client_certificate_is_shown_to_its_host(authority: Authority, tmp_path: Path) -> None:
    with faults.serve(tags, tls=authority.context(client=True)) as server:
        folder = tmp_path / ".docker/certs.d" / server.host
        folder.mkdir(parents=True)
        (folder / "client.cert").write_bytes((authority.folder / "client.crt").read_bytes())
        (folder / "client.key").write_bytes((authority.folder / "client.key").read_bytes())
        assert over_tls(server.host, tmp_path).tags(Repository(server.host, "a")) == ("x",)
        with pytest.raises(RegistryError):
            over_tls(server.host, tmp_path / "other").tags(Repository(server.host, "a"))


def test_a_repository_that_only_a_push_can_see_is_read_with_a_wider_token(behind: Behind, gate: Gate) -> None:
    real = gate.registry

    def hub(asked: Asked) -> Say:
        name = f"repository:{behind.repository.path}"
        granted = gate.tokens.get(asked.authorization.removeprefix("Bearer "), set())
        blank = replace(asked, headers={**asked.headers, "authorization": ""})
        return real(asked if (name, "push") in granted else blank)

    gate.registry = hub  # type: ignore[method-assign]
    for _ in range(3):
        assert behind.registry.head(behind.repository.tag("x")) is None
    name = f"repository:{behind.repository.path}"
    assert behind.tokens() == [[f"{name}:pull"], [f"{name}:pull,push"]]


def test_a_stream_is_not_sent_twice(behind: Behind, gate: Gate) -> None:
    real = gate.registry

    def registry(asked: Asked) -> Say:
        if asked.method == "PUT":
            gate.tokens.clear()
        return real(asked)

    gate.registry = registry  # type: ignore[method-assign]
    blob = Descriptor("", digest_of(b"ab"), 2)
    with pytest.raises(RegistryError, match="the upload broke: its content must be read again from the start"):
        behind.registry.upload_stream(behind.repository, blob, iter([b"a", b"b"]))
    assert [asked.method for asked in behind.server.asked if "uploads" in asked.path] == ["POST", "POST", "PUT"]


def test_an_empty_stream_is_an_empty_blob(behind: Behind) -> None:
    empty = Descriptor("", digest_of(b""), 0)
    behind.registry.upload_stream(behind.repository, empty, [])
    assert behind.registry.blob(behind.repository, empty.digest) == b""
