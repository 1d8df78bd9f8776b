"""What a registry has of a project's services, as values for the plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

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
        found = pool.map(lambda one: _known(registries, *one), asked.values())
        return dict(zip(asked, found, strict=True))


def _known(registries: Registries, repository: Repository, tags: Iterable[str]) -> Known:
    """Ask for one repository: each tag once, each image once whatever number of tags it has."""
    registry = registries.of(repository)
    tops = {tag: registry.head(repository.tag(tag)) for tag in tags}
    there = {tag: top.digest for tag, top in tops.items() if top}
    images = {digest: describe(registries, repository.at(digest)) for digest in set(there.values())}
    return Known({tag: images[digest] for tag, digest in there.items()}, registry.tags(repository))


def look(registries: Registries, reference: Reference) -> Found | None:
    """Return the image behind a reference, None when it does not exist.

    Raises:
        RegistryError: the registry cannot tell.
    """
    top = registries.of(reference.repository).head(reference)
    return describe(registries, reference.repository.at(top.digest)) if top else None
