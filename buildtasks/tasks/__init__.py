"""The namespaces put together; each module is a namespace of its own and can be composed alone."""

from __future__ import annotations

from invoke.collection import Collection

from buildtasks.defaults import DEFAULTS
from buildtasks.tasks import build, cache, push, registry, release

ns = Collection(build, push, release, registry, cache)
ns.configure({"buildtasks": dict(DEFAULTS)})
