"""Who we are at a registry: the user and secret that Docker would use, else those of the environment.

In this order, the first that knows the registry wins:

    DOCKER_AUTH_CONFIG   JSON in the form of config.json, `auths` only
    config.json          in $DOCKER_CONFIG, else ~/.docker: `credHelpers`, else `credsStore`, else `auths`
    environment          docker.io: DOCKERHUB_USERNAME, DOCKERHUB_TOKEN; ghcr.io: GITHUB_USERNAME or
                         GITHUB_ACTOR, GITHUB_TOKEN; $CI_REGISTRY: CI_REGISTRY_USER, CI_REGISTRY_PASSWORD

Docker's own files come first because buildx pushes with them: what we read and what it writes is then the work
of one user, and a GITHUB_TOKEN that is set for something else does not get in the way of a `docker login`.
Variables without a registry of their own are not read: they would go to whatever registry is asked next.

Sources: docker/cli, cli/config (https://github.com/docker/cli/tree/master/cli/config) and the helpers'
protocol (https://github.com/docker/docker-credential-helpers#development).
"""

from __future__ import annotations

import binascii
import json
import re
import shutil
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from buildtasks import shell
from buildtasks.errors import CommandFailed, ConfigError
from buildtasks.shell import Answer

Read = Callable[..., Answer]
"""How a helper is asked: `partial(shell.read, c)`, called with an argv and `env`."""

HUB = ("https://index.docker.io/v1/", "docker.io", "index.docker.io", "registry-1.docker.io")
"""What Docker Hub is called in config files; the first is what Docker writes and asks helpers for."""

VARIABLES: dict[str, tuple[tuple[str, ...], str]] = {
    HUB[0]: (("DOCKERHUB_USERNAME",), "DOCKERHUB_TOKEN"),
    "ghcr.io": (("GITHUB_USERNAME", "GITHUB_ACTOR"), "GITHUB_TOKEN"),
}
"""Per registry: the variables for its user, the first that is set, and the one for its secret."""

ABSENT = "credentials not found in native keychain"
TOKEN_USER = "<token>"


@dataclass(frozen=True, slots=True)
class Credential:
    """User and secret, or a token in place of them, and where they were found; secrets are in no text of it.

    `identity_token` is exchanged for registry tokens, `registry_token` is sent as it is.
    """

    username: str = ""
    secret: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)
    source: str = field(default="", compare=False)

    def __bool__(self) -> bool:
        return bool(self.username or self.secret or self.identity_token or self.registry_token)

    def __str__(self) -> str:
        return (self.username or "a token") + (f" ({self.source})" if self.source else "")


def find(name: str, *, environ: Mapping[str, str], read: Read | None = None) -> Credential | None:
    """Find the credential for a registry, such as `ghcr.io`; None when there is none.

    `name` may go on with a repository, for files that have entries of their own for some (as podman's).

    Raises:
        ConfigError: a file or variable cannot be understood, or names a helper that is not installed.
        CommandFailed: the helper fails.
    """
    variable = environ.get("DOCKER_AUTH_CONFIG", "")
    file = Path(environ.get("DOCKER_CONFIG") or Path(environ.get("HOME") or Path.home(), ".docker"), "config.json")
    return (
        _entry(_parse(variable, "DOCKER_AUTH_CONFIG"), name, "DOCKER_AUTH_CONFIG")
        or _stored(_parse(_text(file), str(file)), name, str(file), environ, read or _read_alone)
        or _environment(_server(name), environ)
    )


def hostname(name: str) -> str:
    """Return host and port of a registry that may be written as a URL, as Docker does."""
    _scheme, found, rest = name.partition("://")
    host = rest.partition("/")[0] if found else ""
    if not host:
        return name.partition("/")[0]
    if host.count(":") > 1 and not host.startswith("["):
        address, _, port = host.rpartition(":")
        return f"[{address}]:{port}"
    return host


def lookup_order(name: str) -> list[str]:
    """Return the keys a registry or repository may have in a file, the closest first."""
    if "://" in name:
        name = hostname(name)
    parts = name.split("/")
    names = ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]
    return [*names[:-1], *(HUB if names[-1] in HUB else names[-1:])]


def helper_of(config: Mapping[str, Any], name: str) -> str | None:
    """Return the credential helper that a config file names for a registry: its own, else the one for all."""
    helpers = config.get("credHelpers") or {}
    key = _match(helpers, name)
    named = config.get("credsStore") if key is None else helpers[key]
    return str(named) if named else None


def _server(name: str) -> str:
    """Return what Docker calls the registry of a name, in files and to helpers."""
    host = hostname(name)
    return HUB[0] if host in HUB else host


def _match(keys: Iterable[str], name: str) -> str | None:
    """Return the key of a file that stands for a registry or repository; None when there is none."""
    keys = list(keys)
    for wanted in lookup_order(name):
        if wanted in keys:
            return wanted
        for key in keys:
            if _registry_of(key) == wanted:
                return key
    return None


def _registry_of(key: str) -> str:
    """Return the registry that a key names; a path that is no API version makes it a repository's key."""
    path = "" if "://" in key else key.partition("/")[2].strip("/")
    return hostname(key) if path in ("", "v1", "v2") else key


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from None


def _parse(text: str, where: str) -> dict[str, Any]:
    """Parse a config file; the oldest form is nothing but the content of `auths`."""
    if not text.strip():
        return {}
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{where}: not JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise ConfigError(f"{where}: not a JSON object")
    oldest = parsed and all(isinstance(entry, dict) and "auth" in entry for entry in parsed.values())
    config: dict[str, Any] = {"auths": parsed} if oldest else parsed
    for name in ("auths", "credHelpers"):
        if not isinstance(config.get(name) or {}, dict):
            raise ConfigError(f"{where}: {name}: not a JSON object")
    return config


def _stored(
    config: Mapping[str, Any], name: str, where: str, environ: Mapping[str, str], read: Read
) -> Credential | None:
    """Look into a config file: a helper, where one is named, is asked in place of the file's own entries."""
    helper = helper_of(config, name)
    return _entry(config, name, where) if helper is None else _ask(helper, name, where, environ, read)


def _entry(config: Mapping[str, Any], name: str, where: str) -> Credential | None:
    """Return what `auths` holds for a registry; Docker writes an empty entry when a helper has the secret."""
    auths = config.get("auths") or {}
    key = _match(auths, name)
    if key is None:
        return None
    return replace(decode(auths[key] or {}, f"{where}: auths.{key}"), source=where) or None


def decode(entry: Mapping[str, Any], where: str) -> Credential:
    """Read one entry of `auths`; `auth` is base64 of `user:password` and counts more than the fields beside
    it.

    Raises:
        ConfigError: the entry cannot be understood; starts with `where`.
    """
    names = ("auth", "username", "password", "identitytoken", "registrytoken")
    if not isinstance(entry, dict) or not all(isinstance(entry.get(name, ""), str) for name in names):
        raise ConfigError(f"{where}: not an object with texts")
    auth, username, secret, identity, registry = (entry.get(name, "") for name in names)
    if auth:
        username, secret = _pair(auth, where)
    return Credential(username, secret, identity, registry)


def _pair(auth: str, where: str) -> tuple[str, str]:
    try:
        username, colon, secret = b64decode(auth, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        username = colon = secret = ""
    if not username or not colon:
        raise ConfigError(f"{where}.auth: must be base64 of username:password")
    return username, secret.strip("\0")


def _ask(helper: str, name: str, where: str, environ: Mapping[str, str], read: Read) -> Credential | None:
    """Ask a credential helper, the way its protocol wants: `get`, with the server on standard input."""
    program = f"docker-credential-{helper}"
    if not re.fullmatch(r"[\w.-]+", helper) or not shutil.which(program, path=environ.get("PATH")):
        raise ConfigError(f"{where}: credential helper {program} is not installed: install it, or remove its line")
    # The server goes by environment, because invoke's own feeding of standard input takes 10 ms per character.
    script = 'printf %s "$BUILDTASKS_SERVER" | "$0" get'
    answer = read(["sh", "-c", script, program], env={**environ, "BUILDTASKS_SERVER": _server(name)})
    said = (answer.stdout + answer.stderr).strip()
    if not answer.ok and ABSENT in said:
        return None
    if not answer.ok:
        raise CommandFailed([program, "get"], answer.exited, said, hint=f"{where} names this helper")
    return _helped(answer.stdout, program)


def _helped(text: str, program: str) -> Credential | None:
    """Read a helper's answer."""
    try:
        said = json.loads(text)
        username, secret = str(said.get("Username") or ""), str(said.get("Secret") or "")
    except (ValueError, AttributeError):
        raise ConfigError(f"{program}: answered something else than JSON") from None
    if username == TOKEN_USER:
        return Credential(identity_token=secret, source=program)
    return Credential(username, secret, source=program) or None


def _environment(server: str, environ: Mapping[str, str]) -> Credential | None:
    """Return what the variables for one registry hold."""
    gitlab = (("CI_REGISTRY_USER",), "CI_REGISTRY_PASSWORD") if server == environ.get("CI_REGISTRY") else None
    users, variable = VARIABLES.get(server) or gitlab or ((), "")
    username = next((environ[user] for user in users if environ.get(user)), "")
    secret = environ.get(variable, "")
    return Credential(username, secret, source=variable) if username and secret else None


def _read_alone(argv: Sequence[str], *, env: Mapping[str, str]) -> Answer:
    """Ask a helper for a caller that is no task, and so has no context."""
    from invoke.context import Context

    return shell.read(Context(), argv, env=env)
