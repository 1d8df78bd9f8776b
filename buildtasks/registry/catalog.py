"""The tags of a project's repositories, newest first, with what each image is.

A tag costs one HEAD; each digest one manifest and one config, whatever number of tags it has. `created` is the
config's (https://github.com/opencontainers/image-spec/blob/main/config.md#properties), `size` the bytes of config and
layers that a pull transfers, of an index over all its platforms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from buildtasks.image import Found
from buildtasks.reference import Reference, Repository
from buildtasks.registry.inspect import describe
from buildtasks.registry.pool import Registries

AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Tagged:
    """One tag of a service and the image behind it."""

    service: str
    reference: Reference
    image: Found


def catalog(
    registries: Registries, repositories: Mapping[str, Repository], *, hidden: Callable[[str], bool]
) -> tuple[Tagged, ...]:
    """Return the tags of each service that are not hidden, by service, newest first.

    Raises:
        RegistryError: a tag or its image cannot be read.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        listed = pool.map(lambda one: _references(registries, one, hidden), repositories.values())
        wanted = [(name, ref) for name, refs in zip(repositories, listed, strict=True) for ref in refs]
        digests = list(pool.map(lambda one: _pinned(registries, one[1]), wanted))
        distinct = list({one for one in digests if one})
        images = dict(zip(distinct, pool.map(lambda one: describe(registries, one), distinct), strict=True))
    # A tag that was deleted since the list was read has no digest.
    found = [Tagged(name, ref, images[one]) for (name, ref), one in zip(wanted, digests, strict=True) if one]
    return tuple(_newest_first(found))


def _references(registries: Registries, repository: Repository, hidden: Callable[[str], bool]) -> list[Reference]:
    names = registries.of(repository).tags(repository)
    return [repository.tag(name) for name in names if not hidden(name)]


def _pinned(registries: Registries, reference: Reference) -> Reference | None:
    top = registries.of(reference.repository).head(reference)
    return reference.repository.at(top.digest) if top else None


def _newest_first(found: Iterable[Tagged]) -> list[Tagged]:
    by_name = sorted(found, key=lambda one: str(one.reference.tag))
    by_age = sorted(by_name, key=lambda one: one.image.created or "", reverse=True)
    return sorted(by_age, key=lambda one: one.service)
