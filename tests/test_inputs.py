"""The inputs of a build, read from files and settings: which there are, with which values, and what is not known."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import pytest

from buildtasks import filehash
from buildtasks import inputs as module
from buildtasks.errors import ConfigError, ContextError
from buildtasks.filehash import Changed
from buildtasks.inputs import (
    CHANGING,
    UNKNOWN,
    Input,
    Scope,
    base_images,
    digest,
    dockerfile_text,
    files,
    gather,
    listing,
    settled,
)
from buildtasks.reference import Repository
from buildtasks.revision import Revision
from buildtasks.settings import Service
from buildtasks.version import Version

NOTHING = Scope({}, {}, None)
SHA = "sha256:" + "a" * 64
COMMIT = "0123456789" * 4


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """Return a service with a small context."""
    root = tmp_path / "context"
    (root / "sub").mkdir(parents=True)
    (root / "sub").chmod(0o755)
    (root / "a").write_bytes(b"A")
    (root / "a").chmod(0o664)
    (root / "sub/run").write_bytes(b"R")
    (root / "sub/run").chmod(0o755)
    (root / "link").symlink_to("sub/run")
    (tmp_path / "Dockerfile").write_bytes(b"FROM scratch\n")
    return Service("app", str(root), str(tmp_path / "Dockerfile"), Repository("localhost:5000", "app"))


def hashed(text: str) -> str:
    return sha256(text.encode()).hexdigest()


LISTED = [
    ("a", f"file 0644 {hashed('A')}"),
    ("link", "symlink sub/run"),
    ("sub", "dir 0755"),
    ("sub/run", f"file 0755 {hashed('R')}"),
]


def test_the_listing_of_a_context(service: Service) -> None:
    found = listing(Path(service.context), None, NOTHING)
    assert found == LISTED
    text = "".join(f"{path}\0{value}\0" for path, value in LISTED)
    assert digest(found) == hashed(text)


def test_special_files_count_by_kind_and_mode(service: Service) -> None:
    os.mkfifo(Path(service.context, "pipe"), 0o600)
    Path(service.context, "pipe").chmod(0o620)
    assert ("pipe", "fifo 0600") in listing(Path(service.context), None, NOTHING)


def test_all_inputs_of_a_service(service: Service, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "Dockerfile").write_bytes(b"FROM busybox:stable\r\nCOPY --from=ghcr.io/x/y /a /b\nFROM $NONE\n")
    whole = replace(
        service,
        target="t",
        network="none",
        args={"A": "1"},
        labels={"L": "2"},
        platforms=("linux/amd64",),
        needs=("db",),
        contexts={
            "lib": str(tmp_path / "lib"),
            "img": "docker-image://alpine:3",
            "src": f"https://example.org/x.git#{COMMIT}",
            "mov": "https://example.org/x.git#main",
        },
    )
    found = gather(whole, Scope({"busybox:stable": SHA, "alpine:3": SHA}, {"db": "f" * 64}, None))
    assert sorted(found) == sorted(
        [
            Input("dockerfile", "", sha256((tmp_path / "Dockerfile").read_bytes()).hexdigest()),
            Input("target", "", "t"),
            Input("network", "", "none"),
            Input("platform", "linux/amd64", ""),
            Input("arg", "A", "1"),
            Input("label", "L", "2"),
            Input("need", "db", "f" * 64),
            Input("base", "busybox:stable", SHA),
            Input("base", "alpine:3", SHA),
            Input("base", "ghcr.io/x/y", UNKNOWN),
            Input("base", "$NONE", UNKNOWN),
            Input("context", "", digest(LISTED)),
            Input("context", "lib", hashed("")),
            Input("context", "img", "docker-image://alpine:3"),
            Input("context", "src", f"https://example.org/x.git#{COMMIT}"),
            Input("context", "mov", UNKNOWN),
        ]
    )


@pytest.mark.parametrize(
    "address, known",
    [
        (f"https://example.org/x.git#{COMMIT}", True),
        (f"https://example.org/x.git#{COMMIT}:sub/folder", True),
        (f"git@example.org:you/x.git#{COMMIT}", True),
        (f"ssh://git@example.org/x.git#{COMMIT}", True),
        (f"github.com/you/x#{COMMIT}", True),
        ("https://example.org/x.git", False),
        ("https://example.org/x.git#main", False),
        ("https://example.org/x.git#v1.0.0", False),
        (f"https://example.org/x.git#{COMMIT[:7]}", False),
        (f"https://example.org/x.git#{COMMIT}0", False),
        (f"https://example.org/x.git#refs/heads/{COMMIT}", False),
        (f"https://example.org/{COMMIT}/x.tar.gz", False),
    ],
)
def test_remote_contexts_are_known_by_their_commit(service: Service, address: str, known: bool) -> None:
    remote = replace(service, context=address, dockerfile="Dockerfile")
    contexts = [one for one in gather(remote, NOTHING) if one.kind == "context"]
    assert contexts == [Input("context", address, address if known else UNKNOWN)]
    named = gather(replace(service, contexts={"n": address}), NOTHING)
    assert Input("context", "n", address if known else UNKNOWN) in named


def test_files_of_named_contexts_carry_its_name(service: Service, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/x").write_bytes(b"")
    (tmp_path / "lib/x").chmod(0o600)
    found = list(files(replace(service, contexts={"lib": str(tmp_path / "lib")}), NOTHING))
    assert found == [
        *(Input("file", path, value) for path, value in LISTED),
        Input("file", "lib:x", f"file 0600 {hashed('')}"),
    ]


def test_needs_and_named_contexts_are_no_base_images(service: Service, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_bytes(
        b"FROM db AS one\nFROM lib\nFROM busybox\nFROM docker.io/library/img:latest\n"
    )
    one = replace(service, needs=("db",), contexts={"lib": str(tmp_path), "img": "docker-image://alpine:3"})
    assert base_images(one).images == ("alpine:3", "busybox")


def test_only_package_files_count_in_mode_dependencies(service: Service, tmp_path: Path) -> None:
    for name in ("package.json", "sub/requirements-dev.txt", "Package.json", "package.json.bak", "x.gradle"):
        Path(service.context, name).write_bytes(b"")
    scope = replace(NOTHING, mode="dependencies")
    assert [path for path, _ in listing(Path(service.context), None, scope)] == [
        "package.json",
        "sub/requirements-dev.txt",
        "x.gradle",
    ]
    assert Input("mode", "", "dependencies") in gather(service, scope)
    assert not [one for one in gather(service, NOTHING) if one.kind == "mode"]


def test_dependencies_and_content_share_a_memory(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A memory that one mode kept must not answer for the other."""
    # A minute ahead, so that files that were just written are remembered.
    monkeypatch.setattr(filehash, "time", SimpleNamespace(time_ns=lambda: time.time_ns() + 60_000_000_000))
    for mode in ("content", "dependencies", "content", "dependencies"):
        with_store = gather(service, Scope({}, {}, tmp_path / "store", mode))
        assert with_store == gather(service, Scope({}, {}, None, mode))


@pytest.mark.parametrize("text", ["{version}", "{revision}", "x-{version}-{revision}", "plain"])
def test_arguments_are_filled_in(service: Service, text: str) -> None:
    one = replace(service, args={"A": text})
    found = settled(one, Version.parse("1.2.0"), Revision(commit=COMMIT))
    wanted = text.replace("{version}", "1.2.0").replace("{revision}", COMMIT)
    assert found.args == {"A": wanted}
    assert found.labels == one.labels


def test_an_argument_that_wants_a_missing_version(service: Service) -> None:
    with pytest.raises(ConfigError, match=r"services\.app\.args\.A"):
        settled(replace(service, args={"A": "{version}"}), None, Revision())


def test_dockerfile_text(service: Service) -> None:
    Path(service.dockerfile).write_bytes(b"FROM scratch\r\n# \xff\n")
    assert dockerfile_text(service) == "FROM scratch\r\n# \udcff\n"
    assert dockerfile_text(replace(service, context="https://example.org/x.git")) == ""
    Path(service.dockerfile).unlink()
    with pytest.raises(ContextError, match="Dockerfile: No such file or directory"):
        dockerfile_text(service)


# Files that change while they are read.


def failing(times: int) -> Callable[[], str]:
    left = iter(range(times))

    def read() -> str:
        if next(left, None) is not None:
            raise Changed("a")
        return "digest"

    return read


@pytest.mark.parametrize("times, answer", [(0, "digest"), (1, "digest"), (2, "digest"), (3, CHANGING), (9, CHANGING)])
def test_what_changes_is_read_again_and_then_not_known(times: int, answer: str) -> None:
    assert module._attempt(failing(times)) == answer


def test_a_writer_that_never_stops(service: Service) -> None:
    """Whatever the writer does, the answer is a digest of one state or that it is not known; never an error."""
    stop, path = threading.Event(), Path(service.context, "a")
    spare = path.with_name("z")

    def write() -> None:
        while not stop.is_set():
            path.write_bytes(os.urandom(2000))
            spare.write_bytes(b"x")
            spare.unlink()

    path.write_bytes(b"x" * 2_000_000)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(30):
            (found,) = (one for one in gather(service, NOTHING) if one.kind == "context")
            assert found.value == CHANGING or len(found.value) == 64
    finally:
        stop.set()
        writer.join()


def test_a_context_that_is_no_folder(service: Service) -> None:
    for context in (service.dockerfile, f"{service.context}/none"):
        with pytest.raises(ConfigError, match=r"not a folder|no such folder"):
            gather(replace(service, context=context), NOTHING)
