"""What the engine, the registry and a folder say, asked without a line of the code under test.

Digests are computed here from the bytes that the registry serves; the engine is asked through its own command.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conftest import Scratch

KINDS = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in (
        "oci.image.index.v1",
        "oci.image.manifest.v1",
        "docker.distribution.manifest.list.v2",
        "docker.distribution.manifest.v2",
    )
)


PLAIN = tuple(kind for kind in KINDS.split(", ") if ".manifest.v" in kind)
"""The types of a manifest of one image."""


@dataclass(frozen=True)
class Served:
    """A manifest as a registry serves it: its bytes, their digest, its media type."""

    content: bytes
    digest: str
    media_type: str

    @property
    def json(self) -> Any:
        """The manifest as values."""
        return json.loads(self.content)


def get(path: str, accept: str = "*/*") -> tuple[bytes, str] | None:
    """Get `host/path` of a registry, the body and its type; None for 404."""
    host, _, rest = path.partition("/")
    request = urllib.request.Request(f"http://{host}/v2/{rest}", headers={"Accept": accept})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read(), answer.headers["Content-Type"]
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 404:
                return None
            raise


def manifest(repository: str, identifier: str) -> Served | None:
    """Return the manifest under a tag or digest, None when it is not there."""
    found = get(f"{repository}/manifests/{identifier}", KINDS)
    return Served(found[0], f"sha256:{hashlib.sha256(found[0]).hexdigest()}", found[1]) if found else None


def digest(repository: str, tag: str) -> str | None:
    """Return the digest of what a tag serves, None when it is not there."""
    found = manifest(repository, tag)
    return found.digest if found else None


def config(repository: str, identifier: str) -> Any:
    """Return the config of the plain manifest under a tag or digest."""
    found = manifest(repository, identifier)
    assert found, f"{repository}: no {identifier}"
    blob = get(f"{repository}/blobs/{found.json['config']['digest']}")
    assert blob
    return json.loads(blob[0])


def tags(repository: str) -> set[str]:
    """Return all tags of a repository; none when it is not there."""
    found = get(f"{repository}/tags/list")
    return set(json.loads(found[0]).get("tags") or ()) if found else set()


def public_tags(repository: str) -> set[str]:
    """Return the tags of a repository that people see."""
    return {tag for tag in tags(repository) if not tag.startswith("src-")}


def registry(scratch: Scratch) -> dict[str, str | None]:
    """Return every reference of a project in its registry, and its digest."""
    host, _, name = scratch.prefix.partition("/")
    found = get(f"{host}/_catalog?n=100&last={name}")
    assert found
    repositories = [f"{host}/{path}" for path in json.loads(found[0])["repositories"] if path.startswith(f"{name}/")]
    return {f"{one}:{tag}": digest(one, tag) for one in repositories for tag in tags(one)}


def docker(*words: str) -> str:
    """Run docker and return what it prints."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=True, timeout=120)
    return done.stdout.strip()


def engine(scratch: Scratch) -> dict[str, str]:
    """Return every reference of a project in the engine, and its image id."""
    lines = docker("images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").splitlines()
    found = dict(line.split() for line in lines)
    return {name: image for name, image in found.items() if name.startswith(f"{scratch.prefix}/")}


def forget(scratch: Scratch) -> None:
    """Take all images of a project out of the engine, as on a machine that never had them."""
    names = docker("images", "--digests", "--format", "{{.Repository}} {{.ID}}").splitlines()
    ours = {image for repository, image in map(str.split, names) if repository.startswith(f"{scratch.prefix}/")}
    if ours:
        docker("rmi", "--force", *ours)


def inside(reference: str, *words: str) -> str:
    """Run a command in a container of an image and return what it prints."""
    first, *rest = words
    return docker("run", "--rm", "--entrypoint", first, reference, *rest)


def files(root: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return everything below a folder: mode, time of change in ns, content; without git's own folder."""
    return {
        str(path.relative_to(root)): (
            path.lstat().st_mode,
            path.lstat().st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in root.rglob("*")
        if ".git" not in path.relative_to(root).parts
    }
