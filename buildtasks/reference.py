"""Names of images: what a text such as `ghcr.io/milou-sh/backend:1.2.0@sha256:...` means.

Text goes in through `parse`, and comes out through `str` (canonical: `docker.io/library/busybox`) or
`familiar` (as Docker shows it: `busybox`). The values are pure: nothing here asks a registry.

Grammar and normalisation are those of distribution/reference (reference.go, regexp.go, normalize.go):
https://github.com/distribution/reference/blob/main/reference.go
Digests are checked as in the OCI image specification, "Digests":
https://github.com/opencontainers/image-spec/blob/main/descriptor.md#digests
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import total_ordering
from typing import NamedTuple

from buildtasks.errors import InvalidReference

HUB = "docker.io"
LONGEST_PATH = 255
LONGEST_TAG = 128

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = rf"{_PART}(?:/{_PART})*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(rf"(?:({_HOST})/)?({_PATH})(?::({_TAG}))?(?:@({_DIGEST}))?")

# Hex digits per algorithm that go-digest registers; of these OCI names sha256 and sha512.
_HEX_DIGITS = {"sha256": 64, "sha384": 96, "sha512": 128}


class Parts(NamedTuple):
    """The parts of a reference as written; `domain` is empty when the text has none."""

    domain: str
    path: str
    tag: str | None
    digest: str | None


@dataclass(frozen=True, slots=True, order=True)
class Repository:
    """Where images of a name live: registry (`docker.io`, `localhost:5000`) and path (`library/busybox`)."""

    registry: str
    path: str

    @classmethod
    def parse(cls, text: str) -> Repository:
        """Read a repository name; Docker Hub and `library/` may be left out.

        Raises:
            InvalidReference: the text breaks the grammar, or has a tag or a digest.
        """
        parts = _normalize(text)
        if parts.tag or parts.digest:
            raise InvalidReference(f"{text!r}: a repository has no tag or digest: drop {_suffix(parts)!r}")
        return cls(parts.domain, parts.path)

    @property
    def familiar(self) -> str:
        """The name as Docker shows it: without `docker.io/` and, for official images, `library/`.

        It parses back to this repository: where the short form would mean another one, the name stays whole.
        """
        official = self.path.removeprefix("library/")
        short = self.path if "/" in official else official
        first, slash, _ = short.partition("/")
        means_other = is_image_id(short) or (slash and _looks_like_host(first))
        return str(self) if self.registry != HUB or means_other else short

    @property
    def host(self) -> str:
        """The host, with its port if any, that speaks the registry API for this repository."""
        return "registry-1.docker.io" if self.registry == HUB else self.registry

    def tag(self, tag: str) -> Reference:
        """Name one tag of the repository.

        Raises:
            InvalidReference: the text is not a tag.
        """
        if not is_tag(tag):
            raise InvalidReference(f"{self.familiar}: {_why_not_tag(tag)}")
        return Reference(self, tag, None)

    def at(self, digest: str) -> Reference:
        """Name one digest of the repository.

        Raises:
            InvalidReference: the text is not a digest of a known algorithm.
        """
        if why := _why_not_digest(digest):
            raise InvalidReference(f"{self.familiar}: {why}")
        return Reference(self, None, digest)

    def __str__(self) -> str:
        return f"{self.registry}/{self.path}"


# Written out because `order=True` compares None with text, which raises TypeError.
@total_ordering
@dataclass(frozen=True, slots=True)
class Reference:
    """A repository with a tag, a digest, both or neither."""

    repository: Repository
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a reference; Docker Hub, `library/`, the tag and the digest may be left out.

        Raises:
            InvalidReference: the text breaks the grammar; the message names the part.
        """
        domain, path, tag, digest = _normalize(text)
        return cls(Repository(domain, path), tag, digest)

    @property
    def familiar(self) -> str:
        """The reference as Docker shows it."""
        return self.repository.familiar + _suffix(self)

    @property
    def identifier(self) -> str:
        """The digest, else the tag, else `latest`: the last part of a manifest's URL."""
        return self.digest or self.tag or "latest"

    @property
    def resolved(self) -> Reference:
        """The reference that Docker pulls for this one: the digest alone, else the tag, else `latest`."""
        return Reference(self.repository, None if self.digest else self.identifier, self.digest)

    def __lt__(self, other: Reference) -> bool:
        if not isinstance(other, Reference):
            return NotImplemented
        return self._key < other._key

    @property
    def _key(self) -> tuple[Repository, str, str]:
        return self.repository, self.tag or "", self.digest or ""

    def __str__(self) -> str:
        return f"{self.repository}{_suffix(self)}"


def is_tag(text: str) -> bool:
    """Tell whether a text is a tag: 1 to 128 of `A-Z a-z 0-9 _ . -`, the first neither `.` nor `-`."""
    return re.fullmatch(_TAG, text) is not None


def is_digest(text: str) -> bool:
    """Tell whether a text is a digest: a known algorithm, `:`, and its number of lower case hex digits."""
    return not _why_not_digest(text)


def is_image_id(text: str) -> bool:
    """Tell whether a text is a bare image id: 64 lower case hex digits, which Docker refuses as a name."""
    return re.fullmatch(r"[a-f0-9]{64}", text) is not None


def is_registry(text: str) -> bool:
    """Tell whether a text can be the registry of a name: a host name or address, with or without a port."""
    return re.fullmatch(_HOST, text) is not None


def is_loopback(host: str) -> bool:
    """Tell whether a registry host, with or without a port, is `localhost`, in 127.0.0.0/8 or [::1]."""
    if not is_registry(host):
        return False
    name = re.sub(r":[0-9]+$", "", host) if not host.endswith("]") else host
    return name.lower() == "localhost" or _is_loopback_address(name.strip("[]"))


def clean_tag(text: str) -> str:
    """Make a valid tag of any text, such as a branch name; `_` when nothing of it can stay.

    The replacement is docker/metadata-action's: each run of other characters becomes one `-`. In front, where
    the grammar wants a letter, a digit or `_`, dots and dashes are dropped; the end is cut at 128 characters.
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).lstrip(".-")[:LONGEST_TAG] or "_"


def split(text: str) -> Parts:
    """Take a reference apart by the grammar alone: no default registry, no `library/`.

    Raises:
        InvalidReference: the text breaks the grammar; the message names the part.
    """
    return _split(text, text)


def _split(text: str, written: str) -> Parts:
    match = _REFERENCE.fullmatch(text)
    if not match:
        raise InvalidReference(f"{written!r}: {_why_not_reference(written)}")
    parts = Parts(match[1] or "", match[2], match[3], match[4])
    if len(parts.path) > LONGEST_PATH:
        raise InvalidReference(
            f"{written!r}: the repository name has {len(parts.path)} characters: {LONGEST_PATH} are allowed"
        )
    if parts.digest and (why := _why_not_digest(parts.digest)):
        raise InvalidReference(f"{written!r}: {why}")
    return parts


def _normalize(text: str) -> Parts:
    if is_image_id(text):
        raise InvalidReference(f"{text!r}: 64 hex digits are an image id: a name needs anything else")
    first, slash, rest = text.partition("/")
    domain, path = (first, rest) if slash and _looks_like_host(first) else (HUB, text)
    if domain == "index.docker.io":
        domain = HUB
    if domain == HUB and "/" not in path:
        path = f"library/{path}"
    return _split(f"{domain}/{path}", text)


def _looks_like_host(first: str) -> bool:
    """Tell whether the part before the first `/` is a registry: a path cannot have upper case letters."""
    return first == "localhost" or "." in first or ":" in first or first != first.lower()


def _suffix(parts: Parts | Reference) -> str:
    return (f":{parts.tag}" if parts.tag else "") + (f"@{parts.digest}" if parts.digest else "")


def _is_loopback_address(text: str) -> bool:
    from ipaddress import ip_address  # costs 3 ms, and `inv --list` never asks

    try:
        return ip_address(text).is_loopback
    except ValueError:
        return False


def _why_not_tag(tag: str) -> str:
    allowed = "1 to 128 of A-Z a-z 0-9 _ . - and the first neither . nor -"
    return f"tag {tag!r}: {allowed}" + (f": did you mean {clean_tag(tag)!r}?" if tag else "")


def _why_not_digest(digest: str) -> str:
    """Say what is wrong with a digest; nothing when it is right."""
    algorithm, _, digits = digest.partition(":")
    wanted = _HEX_DIGITS.get(algorithm)
    if not digits or not (wanted or re.fullmatch(_DIGEST, digest)):
        return f"digest {digest!r}: an algorithm, a colon and hex digits, such as sha256:9f86..."
    if not wanted:
        return f"digest {digest!r}: unknown algorithm {algorithm!r}: use one of {', '.join(_HEX_DIGITS)}"
    if len(digits) != wanted:
        return f"digest {digest!r}: {algorithm} has {wanted} hex digits: here are {len(digits)}"
    if not re.fullmatch(r"[a-f0-9]+", digits):
        return f"digest {digest!r}: only hex digits, in lower case"
    return ""


def _why_not_reference(text: str) -> str:
    if not text:
        return "the name is empty: a reference looks like registry/name:tag"
    if "://" in text:
        return f"a reference has no scheme: did you mean {text.partition('://')[2]!r}?"
    if text.split() != [text]:
        return "a reference has no white space"
    name, at, digest = text.partition("@")
    if at and (why := _why_not_digest(digest)):
        return why
    colon = name.rfind(":")
    if colon > name.rfind("/") and not name.startswith("["):
        if not is_tag(name[colon + 1 :]):
            return _why_not_tag(name[colon + 1 :])
        name = name[:colon]
    return _why_not_name(name)


def _why_not_name(name: str) -> str:
    first, slash, rest = name.partition("/")
    domain, path = (first, rest) if slash and _looks_like_host(first) else ("", name)
    if domain and not is_registry(domain):
        return f"registry {domain!r}: a host name, an IPv4 address or an [IPv6 address], and perhaps :port"
    if re.fullmatch(_PATH, path.lower()):
        return f"repository names are lower case: did you mean {name.lower()!r}?"
    part = next((part for part in path.split("/") if not re.fullmatch(_PART, part)), path)
    if not part:
        return "a part of the name is empty: look at its start, at its end and between two slashes"
    return f"{part!r}: letters a-z and digits, joined by one of . _ __ or by dashes"
