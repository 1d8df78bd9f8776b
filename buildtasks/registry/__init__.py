"""Registries over their HTTP API: what is published under which tag, and the changes to that.

`Registries` is the door: `Registries().of(repository).head(repository.tag("1.2.0"))`.
"""

from __future__ import annotations

from buildtasks.registry.client import Registry
from buildtasks.registry.manifest import MEDIA_TYPES, Descriptor, Manifest
from buildtasks.registry.pool import Registries

__all__ = ["MEDIA_TYPES", "Descriptor", "Manifest", "Registries", "Registry"]
