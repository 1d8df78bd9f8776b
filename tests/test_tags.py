"""Which tags a run sets: tables of decisions, and the laws of `latest`."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildtasks.image import Known
from buildtasks.reference import Repository
from buildtasks.revision import Revision
from buildtasks.tags import Wanted, content_tag, is_content_tag, latest_moves, release_tags, revision_tags
from buildtasks.version import Version

COMMIT = "9c68c4a0123456789abcdef0123456789abcdef0"


@given(st.text("0123456789abcdef", min_size=64, max_size=64))
def test_a_content_tag_is_a_tag_and_known_as_one(fingerprint: str) -> None:
    tag = content_tag(fingerprint)
    assert tag == f"src-{fingerprint[:12]}"
    assert Repository("localhost:5000", "app").tag(tag).tag == tag
    assert is_content_tag(tag)
    assert is_content_tag(f"{tag}.inputs")


@pytest.mark.parametrize(
    "tag, hidden",
    [
        ("src-0123456789ab", True),
        ("src-0123456789ab.inputs", True),
        ("src-0123456789a", False),
        ("src-0123456789abc", False),
        ("src-0123456789aB", False),
        ("src-0123456789ag", False),
        ("src-", False),
        ("0123456789ab", False),
        ("SRC-0123456789ab", False),
        ("src-src-012345678", False),
        ("latest", False),
        ("", False),
    ],
)
def test_what_listings_hide(tag: str, hidden: bool) -> None:
    assert is_content_tag(tag) is hidden


@pytest.mark.parametrize(
    "version, rule, names, moves, why",
    [
        ("1.0.0", "newest", [], True, "latest moves: 1.0.0 is the newest version"),
        ("1.0.0", "newest", ["latest", "src-0123456789ab", "sha-9c68c4a", "main"], True, "is the newest"),
        ("1.0.0", "newest", ["1.0.0"], True, "is the newest"),
        ("1.0.0", "newest", ["v1.0.1"], False, "latest stays: 1.0.0 is lower than 1.0.1"),
        ("1.9.0", "newest", ["1.10.0"], False, "lower than 1.10.0"),
        ("1.10.0", "newest", ["1.9.0", "1.2.0"], True, "is the newest"),
        ("1.0.0", "newest", ["2.0.0-rc.1"], True, "is the newest"),
        ("2.0.0-rc.1", "newest", [], False, "latest stays: 2.0.0-rc.1 is a pre-release"),
        ("2.0.0-rc.1", "newest", ["1.0.0"], False, "is a pre-release"),
        ("1.0.0", "always", ["2.0.0"], True, "latest moves: always"),
        ("1.0.0-rc.1", "always", ["2.0.0"], True, "latest moves: always"),
        ("1.0.0", "never", [], False, "latest stays: never"),
        ("1.0.0", "newest", ["1.2", "2", "9"], True, "is the newest"),
    ],
)
def test_whether_latest_moves(version: str, rule: str, names: list[str], moves: bool, why: str) -> None:
    found, words = latest_moves(Version.parse(version), rule, names)
    assert (found, why in words) == (moves, True), words


@given(st.lists(st.tuples(*[st.integers(0, 12)] * 3), min_size=1, max_size=8))
def test_latest_ends_on_the_highest_in_any_order_of_releases(versions: list[tuple[int, int, int]]) -> None:
    names: list[str] = []
    latest = None
    for parts in versions:
        version = Version.parse(".".join(map(str, parts)))
        if latest_moves(version, "newest", names)[0]:
            latest = parts
        names.append(str(version))
    assert latest == max(versions)


def test_the_tags_of_a_release() -> None:
    known = [Known(names=("1.0.0",)), Known(names=("3.0.0",))]
    version = Version.parse("2.0.0+build.5")
    assert release_tags(version, latest="newest", known=known) == Wanted(
        ("2.0.0-build.5",), (), "latest stays: 2.0.0+build.5 is lower than 3.0.0"
    )
    assert release_tags(version, latest="newest", known=known[:1]).moving == ("latest",)
    assert release_tags(version, latest="newest", known=[]).moving == ("latest",)


def test_the_tags_of_a_push() -> None:
    clean = Revision(commit=COMMIT)
    assert revision_tags(clean, ()) == Wanted(("sha-9c68c4a",), ())
    assert revision_tags(clean, ("latest",)) == Wanted(("sha-9c68c4a",), ("latest",))
    assert revision_tags(replace(clean, dirty=True), ()) == Wanted((), (), "no sha- tag: uncommitted changes")
    assert revision_tags(Revision(), ("latest",)) == Wanted((), ("latest",), "no sha- tag: no commit")
    assert re.fullmatch(r"[0-9a-f]{7}", clean.short)
