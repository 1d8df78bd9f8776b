"""A proof that docs/fingerprint.md is complete: fingerprints computed from that page alone.

The second program knows the standard library and the page; no ignore files and no Dockerfile parser. It must agree with
`inv build.plan --json`.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from conftest import ROOT, Scratch

from buildtasks.inputs import DEPENDENCIES

PAGE = (ROOT / "docs/fingerprint.md").read_text(encoding="utf-8")
PINNED = "busybox@sha256:" + "1f" * 32


@dataclass(frozen=True)
class Known:
    """What the page wants to know of a service; `named` are folders by the names of named contexts."""

    folder: Path
    target: str = ""
    network: str = ""
    platforms: Sequence[str] = ("linux/amd64",)
    args: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    bases: Mapping[str, str] = field(default_factory=dict)
    named: Mapping[str, Path] = field(default_factory=dict)
    addresses: Mapping[str, str] = field(default_factory=dict)
    needs: Mapping[str, str] = field(default_factory=dict)
    counted: Sequence[str] = ()


def fingerprint(one: Known) -> str:
    """Compute a fingerprint as the page says; `counted` are the patterns of mode `dependencies`."""
    inputs = [
        ("dockerfile", "", sha256((one.folder / "Dockerfile").read_bytes())),
        ("target", "", one.target),
        ("network", "", one.network),
        *(("platform", name, "") for name in one.platforms),
        *(("arg", name, value) for name, value in one.args.items()),
        *(("label", name, value) for name, value in one.labels.items()),
        *(("base", name, value) for name, value in one.bases.items()),
        *(("need", name, value) for name, value in one.needs.items()),
        *(("context", name, value) for name, value in one.addresses.items()),
        *(("context", name, listed(path, one.counted)) for name, path in {"": one.folder, **one.named}.items()),
        *([("mode", "", "dependencies")] if one.counted else []),
    ]
    whole = b"buildtasks fingerprint 1\n"
    for parts in sorted([part.encode() for part in each] for each in inputs):
        for part in parts:
            whole += len(part).to_bytes(8, "big") + part
    return sha256(whole)


def listed(folder: Path, counted: Sequence[str]) -> str:
    """Compute the digest of a folder's entries."""
    found = b""
    for path, value in entries(os.fsencode(folder), b""):
        name = os.fsdecode(path.rpartition(b"/")[2])
        if not counted or any(fnmatchcase(name, pattern) for pattern in counted):
            found += path + b"\0" + value + b"\0"
    return sha256(found)


def entries(folder: bytes, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield path and value of each entry, folder by folder."""
    for name in sorted(os.listdir(folder)):
        place = folder + b"/" + name
        mode = os.lstat(place).st_mode
        told = b"%04o" % (stat.S_IMODE(mode) & 0o7755)
        if stat.S_ISLNK(mode):
            yield prefix + name, b"symlink " + os.readlink(place)
        elif stat.S_ISREG(mode):
            yield prefix + name, b"file " + told + b" " + sha256(Path(os.fsdecode(place)).read_bytes()).encode()
        elif stat.S_ISFIFO(mode):
            yield prefix + name, b"fifo " + told
        else:
            yield prefix + name, b"dir " + told
            yield from entries(place, prefix + name + b"/")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def tree(scratch: Scratch) -> Scratch:
    """Return a project whose contexts hold every kind of entry that can be made without rights, and odd names."""
    scratch.write("services/low/Dockerfile", "FROM scratch\nCOPY . /\n")
    scratch.write("services/low/a/z", "in the folder\n", 0o640)
    scratch.write("services/low/a.txt", "beside the folder\n", 0o664)
    scratch.write("services/low/a-b", "before the dot\n", 0o755)
    scratch.write("services/low/tool", "#!/bin/sh\n", 0o4775)
    scratch.write("services/low/größe", "a name that is not ASCII\n", 0o600)
    scratch.write("services/low/large", "0123456789abcdef" * 100_000)
    low = scratch.root / "services/low"
    (low / "empty").mkdir(mode=0o700)
    (low / "a/up").symlink_to("../a.txt")
    (low / "gone").symlink_to("/nowhere/größe")
    (low / "loop").symlink_to(".")
    os.mkfifo(low / "pipe", 0o622)
    with suppress(OSError):  # macOS takes no such name
        Path(os.fsdecode(os.fsencode(low) + b"/not \xff utf-8")).write_bytes(b"\x00\xff")
    scratch.write("services/high/Dockerfile", f"FROM low\nCOPY --from=protos . /\nCOPY --from={PINNED} . /\n")
    scratch.write("services/high/package.json", "{}\n")
    scratch.write("services/high/web/requirements-dev.txt", "x\n")
    scratch.write("services/high/web/index.html", "x\n")
    scratch.write("shared/protos/one.proto", "x\n")
    scratch.write("shared/protos/sub/go.mod", "x\n")
    scratch.write(
        "invoke.yaml",
        f"""\
buildtasks:
  repository: {scratch.prefix}/{{service}}
  platforms: linux/amd64
  labels: {{vendor: You, who: project}}
  services:
    low: {{}}
    high:
      target: last
      network: none
      platforms: [linux/arm64, linux/amd64]
      args: {{LONG: "a b=c größe", EMPTY: "", VERSION: "v{{version}}"}}
      labels: {{who: service}}
      contexts:
        protos: shared/protos
        tools: docker-image://{PINNED}
        remote: https://example.org/you/x.git#{"0a" * 20}:sub
      needs: [low]
""",
    )
    return scratch


def planned(project: Scratch, **env: str) -> dict[str, str]:
    """Return the fingerprints that buildtasks computes."""
    said = project.inv("build.plan", "--version", "1.2.0", "--json", env=env)
    assert said.code == 0, said.err
    return {step["service"]: step["fingerprint"] for step in said.json["steps"]}


def told(project: Scratch, counted: Sequence[str]) -> dict[str, str]:
    """Return the fingerprints that the page gives."""
    services, labels = project.root / "services", {"vendor": "You", "who": "project"}
    low = fingerprint(Known(services / "low", labels=labels, counted=counted))
    high = Known(
        folder=services / "high",
        target="last",
        network="none",
        platforms=["linux/arm64", "linux/amd64"],
        args={"LONG": "a b=c größe", "EMPTY": "", "VERSION": "v1.2.0"},
        labels={**labels, "who": "service"},
        bases={PINNED: PINNED.partition("@")[2]},
        named={"protos": project.root / "shared/protos"},
        addresses={
            "tools": f"docker-image://{PINNED}",
            "remote": f"https://example.org/you/x.git#{'0a' * 20}:sub",
        },
        needs={"low": low},
        counted=counted,
    )
    return {"low": low, "high": fingerprint(high)}


def test_the_page_gives_the_same_fingerprints(tree: Scratch) -> None:
    assert planned(tree) == told(tree, ())


def test_the_page_gives_the_same_fingerprints_of_dependencies(tree: Scratch) -> None:
    assert planned(tree, INVOKE_BUILDTASKS_FINGERPRINT="dependencies") == told(tree, patterns())


def patterns() -> list[str]:
    """Return the patterns that the page lists."""
    table = PAGE.partition("| For | Patterns |")[2].partition("\n## ")[0]
    return re.findall(r"`([^`]+)`", table)


def test_the_page_lists_every_pattern() -> None:
    assert sorted(patterns()) == sorted(DEPENDENCIES)


def test_the_example_of_the_page(scratch: Scratch) -> None:
    scratch.write("services/hello/Dockerfile", "FROM scratch\nCOPY hello.txt /\n")
    scratch.write("services/hello/hello.txt", "hello\n")
    scratch.write("invoke.yaml", f"buildtasks:\n  repository: {scratch.prefix}/{{service}}\n  platforms: linux/amd64\n")
    found = planned(scratch)["hello"]
    folder = scratch.root / "services/hello"
    assert found == fingerprint(Known(folder))
    shown = re.findall(r"\b[0-9a-f]{64}\b", PAGE.partition("## An example")[2])
    files = [sha256((folder / name).read_bytes()) for name in ("Dockerfile", "hello.txt")]
    assert shown == [*files, listed(folder, ()), files[0], found]
