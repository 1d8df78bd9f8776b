"""The defaults of the `buildtasks` section, alone here so that listing tasks loads nothing else."""

from __future__ import annotations

from collections.abc import Mapping

# Leaves only: a default mapping or list would clash with what users may write there (AmbiguousMergeError).
DEFAULTS: Mapping[str, str | int | None] = {
    "repository": "",
    "platforms": "",
    "latest": "newest",
    "bases": "registry",
    "fingerprint": "content",
    "builder": "",
    "jobs": None,
    "keep": "3",
    "version_file": "VERSION",
    "state": "",
}
