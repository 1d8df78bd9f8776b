"""Labels of images: what they say, and what they must not depend on."""

from __future__ import annotations

from dataclasses import replace

from buildtasks import labels
from buildtasks.reference import Repository
from buildtasks.revision import Revision
from buildtasks.settings import Service

WEB = Service("web", "/web", "/web/Dockerfile", Repository("localhost:5000", "web"))
REVISION = Revision("c" * 40, "main", ("1.0.0",), False, "2026-01-02T03:04:05Z", "https://github.com/a/b")


def test_labels_of_a_commit() -> None:
    assert labels.of(WEB, REVISION, "f" * 64) == {
        "org.opencontainers.image.title": "web",
        "org.opencontainers.image.source": "https://github.com/a/b",
        "org.opencontainers.image.revision": "c" * 40,
        "org.opencontainers.image.created": "2026-01-02T03:04:05Z",
        "dev.buildtasks.fingerprint": "f" * 64,
        "dev.buildtasks.service": "web",
    }


def test_what_is_not_known_is_left_out() -> None:
    assert labels.of(WEB, Revision(), "f") == {
        "org.opencontainers.image.title": "web",
        "dev.buildtasks.fingerprint": "f",
        "dev.buildtasks.service": "web",
    }


def test_dirty_is_said() -> None:
    assert labels.of(WEB, replace(REVISION, dirty=True), "f")["dev.buildtasks.dirty"] == "true"


def test_own_labels_win_over_facts_and_never_over_ours() -> None:
    own = {"org.opencontainers.image.title": "Shop", "team": "core", "dev.buildtasks.fingerprint": "x", "empty": ""}
    found = labels.of(replace(WEB, labels=own), REVISION, "f")
    assert (found["org.opencontainers.image.title"], found["team"], found["dev.buildtasks.fingerprint"]) == (
        "Shop",
        "core",
        "f",
    )


def test_branch_and_tag_do_not_count() -> None:
    elsewhere = replace(REVISION, branch="other", tags=("2.0.0",))
    assert labels.of(WEB, elsewhere, "f") == labels.of(WEB, REVISION, "f")
