"""Which tags a run sets. Pure: a version or a revision and the tags that exist in, tag names out.

Permanent tags (a version, `sha-`, and the content tag `src-`) never get another digest; moving tags (`latest`) are set
last.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from buildtasks.image import Known
from buildtasks.revision import Revision
from buildtasks.version import Version, as_tag, newest

CONTENT = "src-"
HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The tags that a run sets: permanent ones are never overwritten, moving ones are set last; a note says why."""

    permanent: tuple[str, ...] = ()
    moving: tuple[str, ...] = ()
    note: str = ""


def content_tag(fingerprint: str) -> str:
    """Return the tag that names an image by its inputs: `src-` and twelve hex digits."""
    return f"{CONTENT}{fingerprint[:12]}"


def is_content_tag(tag: str) -> bool:
    """Tell whether a tag is a content tag or that of the record beside it; listings hide both."""
    digits, _, _ = tag.removeprefix(CONTENT).partition(".")
    return tag.startswith(CONTENT) and len(digits) == 12 and HEX.issuperset(digits)


def release_tags(version: Version, *, latest: str, known: Iterable[Known]) -> Wanted:
    """Return the tags of a release: the version for ever, and `latest` when the rule lets it move.

    `latest` is `newest` (only forward, never to a pre-release), `always` or `never`.
    """
    moves, why = latest_moves(version, latest, [name for one in known for name in one.names])
    return Wanted((as_tag(version),), ("latest",) if moves else (), why)


def latest_moves(version: Version, rule: str, names: Iterable[str]) -> tuple[bool, str]:
    """Decide whether `latest` moves to `version` among the tags that exist, and say why."""
    if rule != "newest":
        return rule == "always", f"latest {'moves' if rule == 'always' else 'stays'}: {rule}"
    if version.prerelease:
        return False, f"latest stays: {version} is a pre-release"
    top = newest(names)
    if top and top > version:
        return False, f"latest stays: {version} is lower than {top}"
    return True, f"latest moves: {version} is the newest version"


def revision_tags(revision: Revision, moving: tuple[str, ...]) -> Wanted:
    """Return the tags of a push without a version: `sha-` of the commit, unless the checkout differs from it."""
    if not revision.commit or revision.dirty:
        why = "uncommitted changes" if revision.commit else "no commit"
        return Wanted((), moving, f"no sha- tag: {why}")
    return Wanted((f"sha-{revision.short}",), moving)
