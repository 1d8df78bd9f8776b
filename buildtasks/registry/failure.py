"""Errors of the HTTP API, as sentences: `METHOD host/path: status CODE: message`, then what to do.

A registry's error body is `{"errors": [{"code", "message", "detail"}]}` (OCI distribution-spec 1.1, "Error
Codes", https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#error-codes), but proxies,
token servers and vendors send anything else, so nothing is assumed. No query string and no secret gets into a
message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from buildtasks.errors import NotFound, RegistryError, Unauthorized
from buildtasks.registry.origin import shown

if TYPE_CHECKING:
    from buildtasks.registry.transport import Reply

LONGEST = 300
ADVICE = {
    405: "this registry does not allow it",
    413: "the registry, or a proxy before it, allows no upload of this size",
    429: "too many requests: wait, or log in for a higher limit",
}


def failure(reply: Reply, advice: str = "") -> RegistryError:
    """Make the error for an answer that is not the wanted one; `advice` says what the user can do."""
    codes, said = _said(reply.body)
    status = reply.status
    kind = {401: Unauthorized, 403: Unauthorized, 404: NotFound}.get(status, RegistryError)
    words = [f"{reply.method} {shown(reply.url)}", " ".join([str(status), *codes]), said or _phrase(status)]
    advice = advice or ADVICE.get(status, "") or _later(status)
    return kind(": ".join(words) + (f"\n{advice}" if advice else ""), status=status, codes=codes)


def broken(method: str, url: str, what: str) -> RegistryError:
    """Make the error for an answer that is missing, or that breaks the protocol."""
    return RegistryError(f"{method} {shown(url)}: {what}")


def codes_of(body: bytes) -> tuple[str, ...]:
    """Return the registry's own error codes, such as `MANIFEST_UNKNOWN`; none in a body of another kind."""
    return _said(body)[0]


def clean(text: str) -> str:
    """Make a foreign text fit for a message: one short line, no control characters, queries or tokens."""
    text = re.sub(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}", r"\1 ***", text)
    text = re.sub(r"(\bhttps?://[^\s?\"']*)\?[^\s\"']*", r"\1", text)
    text = " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _said(body: bytes) -> tuple[tuple[str, ...], str]:
    """Read codes and message out of an error body."""
    try:
        parsed = json.loads(body)
    except ValueError:
        return (), _plain(body)
    entries = parsed.get("errors") if isinstance(parsed, dict) else None
    found = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    codes = tuple(clean(str(entry["code"])) for entry in found if entry.get("code"))
    texts = [text for entry in found for text in _texts(entry)] or list(_texts(parsed))
    return codes, clean("; ".join(dict.fromkeys(texts)))


def _texts(entry: Any) -> Iterator[str]:
    """Return the sentence of one error object, whatever its server calls it."""
    for name in ("message", "error_description", "details", "detail", "error"):
        text = entry.get(name) if isinstance(entry, dict) else None
        if isinstance(text, str) and text.strip():
            yield text
            return


def _plain(body: bytes) -> str:
    text = body[:2000].decode("utf-8", "replace").strip()
    return "an HTML page" if text.startswith("<") else clean(text)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "unknown status"


def _later(status: int) -> str:
    return "the registry has trouble: try again later" if status >= 500 else ""
