"""What git says of the checkout: commit, branch, tags, dirty, commit date, origin.

A folder without git, or without a commit, is no error: the revision is then empty. Facts come from one `git log` and
one `git status` (https://git-scm.com/docs/git-log, https://git-scm.com/docs/git-status).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from invoke.context import Context

from buildtasks import shell
from buildtasks.errors import ConfigError

# Configuration may print a check of the signature in front, or hide refs: here all is said.
LOG = (
    *("git", "log", "-1", "--no-show-signature", "--decorate=full", "--decorate-refs=HEAD"),
    *("--decorate-refs=refs/heads/*", "--decorate-refs=refs/tags/*"),
    *("--date=format-local:%Y-%m-%dT%H:%M:%SZ", "--format=%H%n%cd%n%D"),
)


@dataclass(frozen=True, slots=True)
class Revision:
    """One state of the checkout; empty texts where git knows nothing.

    `commit` is the full hash, `date` the commit date as RFC 3339 in UTC, `tags` all tags on the commit, `source` the
    web address of the origin.
    """

    commit: str = ""
    branch: str = ""
    tags: tuple[str, ...] = ()
    dirty: bool = False
    date: str = ""
    source: str = ""

    @property
    def short(self) -> str:
        """Return the first seven digits of the commit, as `sha-` tags use them."""
        return self.commit[:7]

    @property
    def tag(self) -> str | None:
        """Return the first tag on the commit, if any."""
        return self.tags[0] if self.tags else None


def read(c: Context, root: Path) -> Revision:
    """Ask git about the checkout at `root`.

    Raises:
        ConfigError: git will not read a checkout of another user; its message says what allows it.
    """
    log = shell.read(c, LOG, cwd=root, env={"TZ": "UTC", "LC_ALL": "C"})
    if "dubious ownership" in log.stderr:
        raise ConfigError(f"{root}: git refuses: {log.stderr.strip().removeprefix('fatal: ')}")
    if not log.ok:
        return Revision()
    commit, date, decoration = (*log.stdout.splitlines(), "", "", "")[:3]
    status = shell.read(c, ["git", "status", "--porcelain=v2", "--untracked-files=normal", "--", "."], cwd=root)
    remote = shell.read(c, ["git", "config", "--get", "remote.origin.url"], cwd=root)
    return Revision(
        commit=commit,
        branch=_branch(decoration),
        tags=_tags(decoration),
        dirty=bool(status.stdout.strip()) or not status.ok,
        date=date,
        source=web_address(remote.stdout.strip()),
    )


def _branch(decoration: str) -> str:
    return next(_names(decoration, "HEAD -> refs/heads/"), "")


def _tags(decoration: str) -> tuple[str, ...]:
    return tuple(sorted(_names(decoration, "tag: refs/tags/")))


def _names(decoration: str, kind: str) -> Iterator[str]:
    # A name may hold a comma, but no blank.
    return (part.removeprefix(kind) for part in decoration.split(", ") if part.startswith(kind))


def web_address(remote: str) -> str:
    """Return the web address of a git remote without user or password; empty for a path on this machine.

    The port of an http address stays, that of ssh says nothing about the web.
    """
    web = re.fullmatch(r"(https?://)(?:[^/]*@)?([^/@]+/.+?)(?:\.git)?/?", remote)
    if web:
        return web.group(1) + web.group(2)
    found = re.fullmatch(r"[\w.-]+@([\w.-]+):(?!//)/*(.+?)(?:\.git)?/?", remote) or re.fullmatch(
        r"(?:ssh|git)://(?:[^/]*@)?([^/:@]+)(?::\d*)?/+(.+?)(?:\.git)?/?", remote
    )
    return f"https://{found.group(1)}/{found.group(2)}" if found else ""
