"""This repository's own tasks: the demo, the checks, and the image namespaces that it develops."""

from __future__ import annotations

from invoke.collection import Collection

from buildtasks.tasks import build, cache, push, registry, release
from sandbox.tasks import ns as sandbox

ns = Collection(build, push, release, registry, cache, sandbox)
