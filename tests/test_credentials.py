"""Logins: the tables of docker/cli, go-containerregistry, containers/image and docker-py, and our own order."""

from __future__ import annotations

import base64
import gc
import json
import os
import shlex
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cases
import pytest
from invoke.context import Context

from buildtasks import credentials, shell
from buildtasks.credentials import Credential, hostname, lookup_order
from buildtasks.errors import BuildtasksError, CommandFailed, ConfigError, InvalidReference
from buildtasks.reference import Repository

pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Collect what invoke leaves of each command, its open pipes, before another test meets their warning."""
    yield
    gc.collect()


# Cases that another client answers otherwise, and why we do not follow it.
ELSEWHERE = {
    "cfg098": "regclient looks into `auths` before the helper for all; docker, and so buildx, asks only the helper",
}


class Home:
    """A home folder with Docker's config, and credential helpers that note what they are asked."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin = folder, folder / "bin"
        self.bin.mkdir(parents=True)
        self.environ = {"HOME": str(folder), "PATH": f"{self.bin}:{os.environ['PATH']}"}

    def config(self, content: object) -> None:
        """Write ~/.docker/config.json."""
        text = content if isinstance(content, str) else json.dumps(content)
        (self.folder / ".docker").mkdir(exist_ok=True)
        (self.folder / ".docker/config.json").write_text(text, encoding="utf-8")

    def helper(self, name: str, answers: dict[str, dict[str, str]] | None = None) -> None:
        """Install a helper with its answers per server; a server it does not know is not found."""
        lines = ["#!/bin/sh", "server=$(cat)", f'echo "$1 $server" >> {shlex.quote(str(self.asked_file(name)))}']
        for server, answer in (answers or {}).items():
            told = answer.get("$fail")
            say = f"printf %s {shlex.quote(told or json.dumps(answer))}; exit {1 if told else 0}"
            lines.append(f'if [ "$server" = {shlex.quote(server)} ]; then {say}; fi')
        lines.append("echo 'credentials not found in native keychain'; exit 1")
        program = self.bin / f"docker-credential-{name}"
        program.write_text("\n".join(lines) + "\n", encoding="utf-8")
        program.chmod(0o755)

    def asked_file(self, name: str) -> Path:
        """Return where a helper notes what it is asked."""
        return self.folder / f"asked-{name}"

    def asked(self, name: str) -> list[str]:
        """Return what a helper was asked."""
        file = self.asked_file(name)
        return file.read_text(encoding="utf-8").splitlines() if file.exists() else []

    def find(self, name: str) -> Credential | None:
        """Find a login in this home."""
        return credentials.find(name, environ=self.environ)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Return an empty home folder."""
    return Home(tmp_path / "home")


def entry(username: str, secret: str) -> dict[str, str]:
    """Write an entry of `auths`."""
    return {"auth": base64.b64encode(f"{username}:{secret}".encode()).decode()}


# The tables of others


def written(found: Credential | None) -> dict[str, str]:
    """Write a credential as the tables do."""
    if found is None:
        return {}
    fields = {
        "username": found.username,
        "password": found.secret,
        "identitytoken": found.identity_token,
        "registrytoken": found.registry_token,
    }
    return {name: value for name, value in fields.items() if value}


def looked_up(case: dict[str, Any], folder: Path) -> object:
    """Answer a case with a config: the credential, or None for an error; and the helper that was asked."""
    home = Home(folder)
    if case["config"] is not None:
        home.config(case["config"])
    home.environ |= case.get("env", {})
    for name in named_helpers(case["config"]) | set(case.get("helper_answers", {})):
        home.helper(name, case.get("helper_answers", {}).get(name))
    try:
        answer: object = written(home.find(case.get("registry", Repository.parse(case.get("image", "x")).registry)))
    except BuildtasksError:
        answer = None
    asked = [name for name in named_helpers(case["config"]) if home.asked(name)]
    return answer, (asked[0] if asked else None) if "helper" in case else "not told"


def named_helpers(config: str | None) -> set[str]:
    """Return the helpers a config names, as far as a program can be called that."""
    try:
        parsed = json.loads(config or "{}")
    except ValueError:
        return set()
    names = {*parsed.get("credHelpers", {}).values(), parsed.get("credsStore", "")}
    return {name for name in names if name and "#" not in name}


def parts(case: dict[str, Any], folder: Path) -> object:
    """Answer a case of one of the smaller questions."""
    try:
        match case["op"]:
            case "hostname":
                return hostname(case["input"])
            case "lookup_order":
                hub = set(credentials.HUB) - {"docker.io"}
                return [key for key in lookup_order(case["input"]) if key not in hub]
            case "decode_entry":
                return written(credentials.decode(json.loads(case["entry"]), "config.json"))
            case "which_helper":
                return credentials.helper_of(json.loads(case["config"]), case["registry"])
            case "split_registry":
                repository = Repository.parse(case["input"])
                return [repository.registry, repository.familiar.removeprefix(f"{repository.registry}/")]
    except (ConfigError, InvalidReference):
        return None
    return looked_up(case, folder)


@pytest.mark.parametrize("table", ["docker_config_auth", "docker_config_auth_docker_py"])
def test_logins_are_found_as_other_clients_find_them(table: str, tmp_path: Path) -> None:
    wrong = []
    for case in cases.load(table):
        expected: object = case["expect"]
        folder = tmp_path / case["id"]
        if case.get("op", "credentials") == "credentials":
            got: object = looked_up(case, folder)
            expected = (expected, case.get("helper", "not told"))
        else:
            got = parts(case, folder)
        if isinstance(expected, dict):
            expected = {name: value for name, value in expected.items() if name != "auth"}
        if (got == expected) == (case["id"] in ELSEWHERE):
            wrong.append((case["id"], got, expected))
    assert not wrong


# Our own order, and what the tables leave out


def test_the_first_source_that_knows_the_registry_wins(home: Home) -> None:
    home.environ |= {"GITHUB_TOKEN": "from-environment", "GITHUB_ACTOR": "actor"}
    assert home.find("ghcr.io") == Credential("actor", "from-environment")
    home.config({"auths": {"ghcr.io": entry("file", "b")}})
    assert home.find("ghcr.io") == Credential("file", "b")
    home.config({"auths": {"ghcr.io": entry("file", "b")}, "credsStore": "all"})
    home.helper("all", {"ghcr.io": {"Username": "all", "Secret": "c"}})
    assert home.find("ghcr.io") == Credential("all", "c")
    home.config({"credHelpers": {"ghcr.io": "own"}, "credsStore": "all"})
    home.helper("own", {"ghcr.io": {"Username": "own", "Secret": "d"}})
    assert home.find("ghcr.io") == Credential("own", "d")
    home.environ["DOCKER_AUTH_CONFIG"] = json.dumps({"auths": {"ghcr.io": entry("variable", "e")}})
    assert home.find("ghcr.io") == Credential("variable", "e")


def test_a_login_says_where_it_is_from(home: Home) -> None:
    home.config({"auths": {"a.example": entry("milou", "s3cret")}, "credHelpers": {"b.example": "own"}})
    home.helper("own", {"b.example": {"Username": "<token>", "Secret": "s3cret"}})
    home.environ |= {"GITHUB_TOKEN": "s3cret", "GITHUB_USERNAME": "milou"}
    found = [home.find(name) for name in ("a.example", "b.example", "ghcr.io")]
    assert [str(one) for one in found] == [
        f"milou ({home.folder}/.docker/config.json)",
        "a token (docker-credential-own)",
        "milou (GITHUB_TOKEN)",
    ]
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize(
    ("variables", "registry", "expected"),
    [
        ({"GITHUB_TOKEN": "t", "GITHUB_USERNAME": "u", "GITHUB_ACTOR": "a"}, "ghcr.io", Credential("u", "t")),
        ({"GITHUB_TOKEN": "t", "GITHUB_ACTOR": "a"}, "ghcr.io", Credential("a", "t")),
        ({"GITHUB_TOKEN": "t", "GITHUB_ACTOR": "a"}, "docker.io", None),
        ({"GITHUB_TOKEN": "", "GITHUB_ACTOR": "a"}, "ghcr.io", None),
        ({"GITHUB_TOKEN": "t"}, "ghcr.io", None),
        ({"DOCKERHUB_TOKEN": "t", "DOCKERHUB_USERNAME": "u"}, "docker.io", Credential("u", "t")),
        ({"DOCKERHUB_TOKEN": "t", "DOCKERHUB_USERNAME": "u"}, "ghcr.io", None),
        (
            {"CI_REGISTRY": "r.example:5050", "CI_REGISTRY_USER": "u", "CI_REGISTRY_PASSWORD": "t"},
            "r.example:5050",
            Credential("u", "t"),
        ),
        ({"CI_REGISTRY": "r.example", "CI_REGISTRY_USER": "u", "CI_REGISTRY_PASSWORD": "t"}, "s.example", None),
        ({}, "ghcr.io", None),
    ],
)
def test_variables_are_for_one_registry_only(
    home: Home, variables: dict[str, str], registry: str, expected: Credential | None
) -> None:
    home.environ |= variables
    assert home.find(registry) == expected


def test_docker_config_is_a_folder(home: Home, tmp_path: Path) -> None:
    home.config({"auths": {"a.example": entry("home", "x")}})
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text(json.dumps({"auths": {"a.example": entry("other", "x")}}), encoding="utf-8")
    home.environ["DOCKER_CONFIG"] = str(other)
    assert home.find("a.example") == Credential("other", "x")
    home.environ["DOCKER_CONFIG"] = str(tmp_path / "none")
    assert home.find("a.example") is None


def test_trailing_nulls_and_colons_of_a_password(home: Home) -> None:
    home.config({"auths": {"a.example": entry("milou", "pass:word\0\0")}})
    assert home.find("a.example") == Credential("milou", "pass:word")


def test_a_repositorys_own_entry_is_not_the_registrys(home: Home) -> None:
    home.config({"auths": {"a.example/team": entry("team", "x"), "https://b.example/v2/": entry("all", "x")}})
    assert home.find("a.example") is None
    assert home.find("a.example/team/app") == Credential("team", "x")
    assert home.find("b.example/team") == Credential("all", "x")


def test_an_empty_entry_is_no_login(home: Home) -> None:
    home.config({"auths": {"ghcr.io": {}}})
    assert home.find("ghcr.io") is None
    home.environ |= {"GITHUB_TOKEN": "t", "GITHUB_ACTOR": "a"}
    assert home.find("ghcr.io") == Credential("a", "t")


def test_a_helper_is_asked_by_the_name_docker_uses(home: Home) -> None:
    home.config({"credsStore": "all"})
    home.helper("all", {"https://index.docker.io/v1/": {"Username": "u", "Secret": "s"}})
    for name in ("docker.io", "index.docker.io", "registry-1.docker.io"):
        assert home.find(name) == Credential("u", "s")
    assert home.find("localhost:5000") is None
    assert home.asked("all") == [*["get https://index.docker.io/v1/"] * 3, "get localhost:5000"]


def test_what_is_asked_and_answered_is_nothing_to_the_shell(home: Home) -> None:
    secret = "a b'c\"d$(id)`id`\\n%s;|&*"
    home.config({"credsStore": "all"})
    home.helper("all", {"a.example$(id)": {"Username": "u v", "Secret": secret}})
    assert home.find("a.example$(id)") == Credential("u v", secret)


def test_a_helper_is_asked_through_a_tasks_context(home: Home) -> None:
    home.config({"credsStore": "all"})
    home.helper("all", {"a.example": {"Username": "u", "Secret": "s"}})
    read = partial(shell.read, Context())
    assert credentials.find("a.example", environ=home.environ, read=read) == Credential("u", "s")


def test_a_helper_prints_nothing_to_the_terminal(home: Home, capfd: pytest.CaptureFixture[str]) -> None:
    home.config({"credsStore": "all"})
    home.helper("all", {"a.example": {"Username": "u", "Secret": "s3cret"}, "b.example": {"$fail": "no keychain"}})
    home.find("a.example")
    with pytest.raises(
        CommandFailed, match=r"^docker-credential-all get: exit code 1\n  no keychain\n.*names this helper"
    ):
        home.find("b.example")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["missing", "../../bin/sh", "a b", "$(id)"])
def test_a_helper_that_is_not_installed_is_named(home: Home, name: str) -> None:
    home.config({"credsStore": name})
    with pytest.raises(ConfigError) as caught:
        home.find("a.example")
    assert f"config.json: credential helper docker-credential-{name} is not installed" in str(caught.value.message)
    assert caught.value.code == 2


@pytest.mark.parametrize("answer", ["", "text", "[]", "null", '"x"'])
def test_a_helper_that_answers_nonsense_is_an_error(home: Home, answer: str) -> None:
    home.config({"credsStore": "all"})
    program = home.bin / "docker-credential-all"
    program.write_text(f"#!/bin/sh\ncat > /dev/null\nprintf %s {shlex.quote(answer)}\n", encoding="utf-8")
    program.chmod(0o755)
    with pytest.raises(ConfigError, match="docker-credential-all: answered something else than JSON"):
        home.find("a.example")


def test_a_helper_with_an_empty_answer_has_no_login(home: Home) -> None:
    home.config({"credsStore": "all"})
    home.helper("all", {"a.example": {"ServerURL": "", "Username": "", "Secret": ""}})
    assert home.find("a.example") is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "config.json: not JSON: "),
        ("[]", "config.json: not a JSON object"),
        ('{"auths": []}', None),
        ('{"auths": "x"}', "config.json: auths: not a JSON object"),
        ('{"credHelpers": ["x"]}', "config.json: credHelpers: not a JSON object"),
        ('{"auths": {"a.example": []}}', None),
        ('{"auths": {"a.example": ["x"]}}', "config.json: auths.a.example: not an object with texts"),
        ('{"auths": {"a.example": {"auth": 5}}}', "config.json: auths.a.example: not an object with texts"),
        ('{"auths": {"a.example": {"auth": "s3cr3t!"}}}', "auths.a.example.auth: must be base64 of username:password"),
        (
            '{"auths": {"a.example": {"auth": "bWls!b3U6cw=="}}}',
            "auths.a.example.auth: must be base64 of username:password",
        ),
        ('{"auths": {"a.example": {"auth": "/w=="}}}', "auths.a.example.auth: must be base64 of username:password"),
        ('{"auths": {"a.example": {"auth": "OnM="}}}', "auths.a.example.auth: must be base64 of username:password"),
        ('{"auths": {"a.example": null}, "credHelpers": null}', None),
    ],
)
def test_a_config_that_cannot_be_understood_is_an_error(home: Home, content: str, said: str | None) -> None:
    home.config(content)
    if said is None:
        assert home.find("a.example") is None
        return
    with pytest.raises(ConfigError) as caught:
        home.find("a.example")
    assert said in str(caught.value.message)
    assert "s3cr3t" not in str(caught.value.message)


def test_a_broken_entry_of_another_registry_does_no_harm(home: Home) -> None:
    home.config({"auths": {"broken.example": {"auth": "?"}, "a.example": entry("milou", "x")}})
    assert home.find("a.example") == Credential("milou", "x")


def test_a_config_that_cannot_be_read_is_an_error(home: Home) -> None:
    (home.folder / ".docker/config.json").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"config\.json: cannot be read: "):
        home.find("a.example")


def test_a_variable_that_cannot_be_understood_is_named(home: Home) -> None:
    home.environ["DOCKER_AUTH_CONFIG"] = "{"
    with pytest.raises(ConfigError, match=r"^DOCKER_AUTH_CONFIG: not JSON: "):
        home.find("a.example")
