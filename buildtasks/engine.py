"""The local Docker Engine through the docker SDK: images of our services, and which of them are in use.

API: https://docs.docker.com/reference/api/engine/. Only images that carry our service label are ever looked at.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from invoke.context import Context

from buildtasks import labels, shell
from buildtasks.errors import EngineError
from buildtasks.image import Found, Known
from buildtasks.reference import Reference, Repository
from buildtasks.settings import Service

if TYPE_CHECKING:
    from docker import DockerClient

ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class LocalImage:
    """An image in the engine: id, references, created (UTC), size in bytes, fingerprint, containers that use it.

    `references` are all its tags, also those outside the service's `repository`; `digest` is that of its manifest
    where the image store keeps it.
    """

    service: str
    repository: Repository
    image_id: str
    references: tuple[str, ...]
    created: datetime
    size: int
    fingerprint: str | None
    used_by: tuple[str, ...]
    digest: str | None = None


@contextmanager
def connected(c: Context) -> Iterator[DockerClient]:
    """Give a client of the engine that the docker command would use: DOCKER_HOST, else the current context.

    Raises:
        EngineError: the engine is missing, down or refuses.
    """
    import docker
    from docker.errors import APIError, DockerException
    from requests.exceptions import RequestException

    try:
        client = docker.from_env() if os.environ.get("DOCKER_HOST") else docker.DockerClient(base_url=_host(c))
        with closing(client):
            yield client
    except APIError as error:
        raise EngineError(f"the Docker Engine refused: {error.explanation or error}") from error
    except (DockerException, RequestException) as error:
        raise EngineError(f"the Docker Engine does not answer: {_reason(error)}") from error


def _host(c: Context) -> str | None:
    answer = shell.read(c, ["docker", "context", "inspect", "--format", "{{json .Endpoints.docker.Host}}"])
    return json.loads(answer.stdout) if answer.ok and answer.stdout.strip() else None


def _reason(error: BaseException) -> str:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return str(error)


def images(client: DockerClient, services: Iterable[Service]) -> tuple[LocalImage, ...]:
    """Return the local images of the services, newest first."""
    names = {service.repository: service.name for service in services}
    users = _users(client)
    found = (_image(summary, names, users) for summary in _listed(client))
    by_name = sorted((image for image in found if image), key=lambda image: (image.service, image.image_id))
    return tuple(sorted(by_name, key=lambda image: image.created, reverse=True))


def _listed(client: DockerClient) -> list[dict[str, Any]]:
    """List the images with our label; again when one vanishes meanwhile, for which engine 26 fails the whole list."""
    from docker.errors import NotFound

    for _ in range(ATTEMPTS - 1):
        with suppress(NotFound):
            return _labelled(client)
    return _labelled(client)


def _labelled(client: DockerClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.api.images(filters={"label": [labels.SERVICE]})
    return found


def as_json(image: LocalImage) -> dict[str, Any]:
    """Return a local image as the documented JSON object."""
    return {
        "service": image.service,
        "image_id": image.image_id,
        "references": list(image.references),
        "created": image.created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "size": image.size,
        "in_use": bool(image.used_by),
        "fingerprint": image.fingerprint,
    }


def _image(
    summary: Mapping[str, Any], names: Mapping[Repository, str], users: Mapping[str, tuple[str, ...]]
) -> LocalImage | None:
    tags, digests = _references(summary, "RepoTags"), _references(summary, "RepoDigests")
    owners = {reference.repository for reference in (*tags, *digests)} & set(names)
    if not owners:
        return None
    told: Mapping[str, str] = summary.get("Labels") or {}
    repository = min(owners, key=lambda one: (names[one] != told.get(labels.SERVICE), names[one]))
    return LocalImage(
        service=names[repository],
        repository=repository,
        image_id=summary["Id"],
        references=tuple(str(reference) for reference in tags if not reference.digest),
        created=datetime.fromtimestamp(summary["Created"], timezone.utc),
        size=summary["Size"],
        fingerprint=told.get(labels.FINGERPRINT),
        used_by=users.get(summary["Id"], ()),
        digest=next((one.digest for one in digests if one.repository == repository), None),
    )


def _references(summary: Mapping[str, Any], key: str) -> tuple[Reference, ...]:
    """Return the names of an image; engines before 25 call it `<none>:<none>` when it has none."""
    return tuple(Reference.parse(name) for name in summary.get(key) or () if not name.startswith("<none>"))


def _users(client: DockerClient) -> dict[str, tuple[str, ...]]:
    users: dict[str, tuple[str, ...]] = {}
    for container in client.api.containers(all=True):
        # A container that is just being removed has no name.
        name = next(iter(container.get("Names") or ()), container["Id"][:12])
        users[container["ImageID"]] = (*users.get(container["ImageID"], ()), name.lstrip("/"))
    return users


def known(found: Iterable[LocalImage]) -> dict[str, Known]:
    """Return, for each service, what the engine has under its repository's tags, as values for the plan."""
    tables: dict[str, dict[str, Found]] = {}
    for image in found:
        for reference in map(Reference.parse, image.references):
            if reference.repository == image.repository:
                tables.setdefault(image.service, {})[reference.identifier] = Found(image.digest, image.fingerprint)
    return {service: Known(images, tuple(images)) for service, images in tables.items()}
