"""Labels of an image: the OCI keys, and our own under one prefix.

OCI keys: https://github.com/opencontainers/image-spec/blob/main/annotations.md#pre-defined-annotation-keys. Everything
comes from the commit, nothing from the clock, so that the same inputs give the same labels. The version is not among
them: it lives in the tag, so that tested bytes and released bytes can be the same.
"""

from __future__ import annotations

from buildtasks.revision import Revision
from buildtasks.settings import Service

FINGERPRINT = "dev.buildtasks.fingerprint"
SERVICE = "dev.buildtasks.service"
DIRTY = "dev.buildtasks.dirty"
OCI = "org.opencontainers.image"


def of(service: Service, revision: Revision, fingerprint: str) -> dict[str, str]:
    """Return the labels of a service built at a revision; the service's own settings win over the OCI keys."""
    facts = {
        f"{OCI}.title": service.name,
        f"{OCI}.source": revision.source,
        f"{OCI}.revision": revision.commit,
        f"{OCI}.created": revision.date,
    }
    ours = {FINGERPRINT: fingerprint, SERVICE: service.name, DIRTY: "true" if revision.dirty else ""}
    told = {**facts, **service.labels, **ours}
    return {name: value for name, value in told.items() if value}
