"""What a registry has of a project's services, as values for the plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from buildtasks.image import Found, Known
from buildtasks.reference import Reference, Repository
from buildtasks.registry.inspect import describe
from buildtasks.registry.pool import Registries

AT_ONCE = 16


def published(registries: Registries, asked: Mapping[str, tuple[Repository, Iterable[str]]]) -> dict[str, Known]:
    """Return, for each service, the images under the asked tags and the names of all tags.

    Raises:
        RegistryError: any answer but yes and 404; an unknown answer is never read as "is not there".
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        names = {key: pool.submit(_names, registries, repository) for key, (repository, _) in asked.items()}
        images = {
            key: {tag: pool.submit(look, registries, repository.tag(tag)) for tag in tags}
            for key, (repository, tags) in asked.items()
        }
        return {key: Known(_there(images[key]), names[key].result()) for key in asked}


def _names(registries: Registries, repository: Repository) -> tuple[str, ...]:
    return registries.of(repository).tags(repository)


def _there(asked: Mapping[str, Future[Found | None]]) -> dict[str, Found]:
    found = {tag: future.result() for tag, future in asked.items()}
    return {tag: image for tag, image in found.items() if image is not None}


def look(registries: Registries, reference: Reference) -> Found | None:
    """Return the image behind a reference, None when it does not exist.

    Raises:
        RegistryError: the registry cannot tell.
    """
    top = registries.of(reference.repository).head(reference)
    return describe(registries, reference.repository.at(top.digest)) if top else None
