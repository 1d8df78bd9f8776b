"""What the engine says of its images, as values: owners, tags, digests, users; with engines of several ages."""

from __future__ import annotations

import gc
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any, cast

import docker.errors
import pytest
from docker import DockerClient
from invoke.context import Context

from buildtasks import engine
from buildtasks.errors import EngineError
from buildtasks.image import Found
from buildtasks.reference import Repository
from buildtasks.settings import Service

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
PRINT = "f" * 64
OURS = {"dev.buildtasks.service": "app", "dev.buildtasks.fingerprint": PRINT}


def service(name: str, repository: str = "") -> Service:
    return Service(name, "/context", "/context/Dockerfile", Repository.parse(repository or f"example.org/{name}"))


def summary(**more: Any) -> dict[str, Any]:
    """Return an entry of GET /images/json."""
    return {"Id": A, "RepoTags": [], "RepoDigests": [], "Created": 0, "Size": 5, "Labels": OURS, **more}


class Api:
    """An engine's answers; a list of images fails as often as it is told to."""

    def __init__(self, images: list[dict[str, Any]], containers: list[dict[str, Any]], failures: int) -> None:
        self._images, self._containers, self.failures = images, containers, failures

    def images(self, filters: dict[str, Any]) -> list[dict[str, Any]]:
        assert filters == {"label": ["dev.buildtasks.service"]}
        self.failures -= 1
        if self.failures >= 0:
            raise docker.errors.NotFound("failed to calculate size of image: content not found")
        return self._images

    def containers(self, all: bool) -> list[dict[str, Any]]:
        assert all
        return self._containers


def client(*images: dict[str, Any], containers: list[dict[str, Any]] | None = None, failures: int = 0) -> DockerClient:
    return cast(DockerClient, SimpleNamespace(api=Api(list(images), containers or [], failures)))


def test_an_image_with_a_tag_of_ours() -> None:
    (found,) = engine.images(
        client(
            summary(RepoTags=["example.org/app:src-1", "example.org/app:latest"], RepoDigests=[f"example.org/app@{B}"]),
            containers=[{"Id": "c" * 64, "ImageID": A, "Names": ["/running"]}],
        ),
        [service("app")],
    )
    assert (found.service, found.image_id, found.digest, found.fingerprint, found.used_by) == (
        *("app", A, B, PRINT),
        ("running",),
    )
    assert found.references == ("example.org/app:src-1", "example.org/app:latest")
    assert found.created == datetime(1970, 1, 1, tzinfo=timezone.utc)
    assert engine.as_json(found)["created"] == "1970-01-01T00:00:00Z"
    assert engine.known([found])["app"].images == {
        "src-1": Found(B, PRINT),
        "latest": Found(B, PRINT),
    }


@pytest.mark.parametrize(
    "names",
    [
        {"RepoTags": ["example.org/other:1"]},
        {"RepoTags": ["example.org/app2:1"]},
        {"RepoTags": ["other.org/app:1"], "RepoDigests": [f"other.org/app@{B}"]},
        {"RepoTags": None, "RepoDigests": None},
        {"RepoTags": ["<none>:<none>"], "RepoDigests": ["<none>@<none>"]},
    ],
    ids=["other", "longer name", "other registry", "no names", "old engine's no name"],
)
def test_what_is_not_ours(names: dict[str, Any]) -> None:
    assert engine.images(client(summary(**names)), [service("app")]) == ()


def test_a_foreign_name_of_our_image_says_nothing_of_us() -> None:
    (found,) = engine.images(
        client(
            summary(
                RepoTags=["elsewhere.org/app:src-1", "example.org/app:latest"],
                RepoDigests=[f"elsewhere.org/app@{A}", f"example.org/app@{B}"],
            )
        ),
        [service("app")],
    )
    assert found.digest == B
    assert set(found.references) == {"elsewhere.org/app:src-1", "example.org/app:latest"}
    assert set(engine.known([found])["app"].images) == {"latest"}


def test_names_without_a_tag_are_no_tags() -> None:
    (found,) = engine.images(
        client(summary(RepoTags=[f"example.org/app@{B}"], RepoDigests=[f"example.org/app@{B}"])), [service("app")]
    )
    assert (found.references, found.digest) == ((), B)
    assert engine.known([found]) == {}


def test_hub_names_are_short_in_the_engine() -> None:
    (found,) = engine.images(client(summary(RepoTags=["you/app:1"])), [service("app", "docker.io/you/app")])
    assert set(engine.known([found])["app"].images) == {"1"}


def test_the_label_decides_between_two_services() -> None:
    tags = ["example.org/alpha:1", "example.org/app:1"]
    (found,) = engine.images(client(summary(RepoTags=tags)), [service("alpha"), service("app")])
    assert found.service == "app"
    assert set(engine.known([found])) == {"app"}


def test_an_image_without_our_fingerprint() -> None:
    (found,) = engine.images(client(summary(RepoTags=["example.org/app:1"], Labels=None)), [service("app")])
    assert (found.fingerprint, found.digest, found.used_by) == (None, None, ())
    assert engine.known([found])["app"].images["1"] == Found(None)


def test_newest_first() -> None:
    images = [summary(Id=f"sha256:{n}", RepoTags=[f"example.org/app:{n}"], Created=n) for n in (1, 3, 2)]
    found = engine.images(client(*images), [service("app")])
    assert [one.image_id for one in found] == ["sha256:3", "sha256:2", "sha256:1"]


def test_a_container_without_a_name_counts() -> None:
    containers: list[dict[str, Any]] = [
        {"Id": "0123456789abcdef", "ImageID": A, "Names": []},
        {"Id": "1", "ImageID": A, "Names": None},
        {"Id": "2", "ImageID": B, "Names": ["/other"]},
    ]
    (found,) = engine.images(client(summary(RepoTags=["example.org/app:1"]), containers=containers), [service("app")])
    assert found.used_by == ("0123456789ab", "1")


def test_an_image_that_vanishes_while_the_list_is_made() -> None:
    found = engine.images(client(summary(RepoTags=["example.org/app:1"]), failures=2), [service("app")])
    assert len(found) == 1
    with pytest.raises(docker.errors.NotFound):
        engine.images(client(failures=99), [service("app")])


# The docker SDK leaves a socket open that it cannot connect.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("host", ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:1", "nonsense://x"])
def test_no_engine(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(EngineError, match="the Docker Engine does not answer: ") as caught, engine.connected(Context()):
        pass
    assert "\n" not in str(caught.value)
    del caught
    gc.collect()


def test_an_error_of_the_engine_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []
    monkeypatch.setenv("DOCKER_HOST", "unix:///x")
    monkeypatch.setattr("docker.from_env", lambda: SimpleNamespace(close=lambda: closed.append(True)))
    with (
        pytest.raises(EngineError, match=r"^the Docker Engine refused: no such thing$"),
        engine.connected(Context()),
    ):
        raise docker.errors.APIError("500", explanation="no such thing")
    assert closed == [True]
