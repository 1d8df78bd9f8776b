"""All tags of a repository, over as many pages as the registry makes of them.

Specs: OCI distribution-spec 1.1, "Listing Tags"
(https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-tags), and RFC 8288
(https://www.rfc-editor.org/rfc/rfc8288#section-3). Real servers send relative and absolute links, an unquoted
`rel=next`, a link on the last page, `null` for none, the same tag twice, unsorted lists, or cut the list
without a link. So: ask without `n` first, follow links, and where a page without one may be cut, ask what
comes after it.
"""

from __future__ import annotations

import json
import re
from urllib.parse import urlencode

from buildtasks.reference import Repository, is_tag
from buildtasks.registry.challenge import scope_of
from buildtasks.registry.failure import broken
from buildtasks.registry.host import PULL, Host
from buildtasks.registry.transport import Call, Reply

MOST_PAGES = 2000
LIKELY_PAGE = 50
"""Servers cut at 50, 100 or 1000: a page whose length is no multiple of this was not cut."""

NOT_UNDERSTOOD = (400, 404, 405, 501)
"""Answers to a page that nobody offered, from servers that know no `last`."""

_LINK = re.compile(r'<([^>]*)>((?:\s*;\s*[^\s=;,"]+\s*(?:=\s*(?:"[^"]*"|[^\s";,]*))?)*)')
_REL = re.compile(r';\s*rel\s*=\s*(?:"([^"]*)"|([^\s";,]*))', re.IGNORECASE)


def tags(host: Host, repository: Repository) -> tuple[str, ...]:
    """Return all tags, sorted; none when the repository is not there."""
    first = url = host.url(repository, "tags/list")
    found: set[str] = set()
    asked: set[str] = set()
    guessed, length = False, 0
    while url:
        if url in asked or len(asked) == MOST_PAGES:
            raise broken("GET", url, f"the list of tags does not end: {len(asked)} pages so far")
        reply = host.ask(Call("GET", url), scope_of(repository.path, *PULL))
        if (reply.status == 404 and not asked) or (guessed and reply.status in NOT_UNDERSTOOD):
            break
        asked.add(url)
        names = _names(host.expect(reply, 200))
        link = next_link(reply.headers.get("Link", ""))
        guessed = not link and _may_be_cut(names, found, length)
        found.update(names)
        length = len(names)
        url = host.inside(reply, link) if link else f"{first}?{_after(names)}" if guessed else ""
    return tuple(sorted(filter(is_tag, found)))


def _may_be_cut(names: list[str], before: set[str], length: int) -> bool:
    """Tell whether more may follow a page without a link: it is new, and as long as pages are."""
    full = len(names) == length if length else len(names) % LIKELY_PAGE == 0
    return full and not before.issuperset(names)


def _after(names: list[str]) -> str:
    return urlencode({"n": len(names), "last": names[-1]})


def next_link(header: str) -> str | None:
    """Return the URL of the next page from a `Link` header; None when it has none."""
    for url, parameters in _LINK.findall(header):
        for quoted, bare in _REL.findall(parameters):
            if "next" in (quoted or bare).lower().split():
                return str(url)
    return None


def _names(reply: Reply) -> list[str]:
    """Read one page; there are servers with `null` in the list, or in place of it."""
    try:
        listed = json.loads(reply.body)["tags"] or []
    except (ValueError, TypeError, KeyError):
        listed = None
    if not isinstance(listed, list):
        raise broken(reply.method, reply.url, "it answers with something that is no list of tags")
    return [name for name in listed if isinstance(name, str)]
