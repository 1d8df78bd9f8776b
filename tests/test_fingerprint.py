"""The fingerprint: laws of its encoding, what counts and what does not, and that it is the same everywhere."""

from __future__ import annotations

import gc
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildtasks import fingerprint as module
from buildtasks.fingerprint import Fingerprint, encode, fingerprint, of
from buildtasks.inputs import CHANGING, UNKNOWN, Input, Scope, settled, unknown
from buildtasks.reference import Repository
from buildtasks.revision import Revision
from buildtasks.settings import Service
from buildtasks.version import Version

ROOT = Path(__file__).resolve().parents[1]
SHA = "sha256:" + "a" * 64
BASES = {"busybox:stable": SHA}
DOCKERFILE = b"FROM busybox:stable\nCOPY . /\n"

TEXT = st.text(st.characters(codec=None) | st.sampled_from("a\0\x01\udcff"), max_size=4)
INPUTS = st.lists(st.builds(Input, TEXT, TEXT, TEXT), max_size=5)


def by_hand(inputs: Iterable[Input]) -> str:
    """Hash inputs as docs/fingerprint.md says, with the standard library alone."""
    rows = sorted(tuple(part.encode("utf-8", "surrogateescape") for part in one) for one in inputs)
    whole = b"buildtasks fingerprint 1\n"
    for row in rows:
        for part in row:
            whole += bytes.fromhex(f"{len(part):016x}") + part
    return sha256(whole).hexdigest()


def encodable(inputs: Iterable[Input]) -> bool:
    """Tell whether all parts are text or come from the file system; no other lone surrogate can."""
    return not any(
        "\ud800" <= c <= "\udc7f" or "\udd00" <= c <= "\udfff" for one in inputs for part in one for c in part
    )


def test_the_encoding_by_hand() -> None:
    inputs = [Input("dockerfile", "", "11"), Input("arg", "é", "\udcff"), Input("arg", "A", "\0\n")]
    assert encode(inputs) == by_hand(inputs)
    whole = (
        b"buildtasks fingerprint 1\n"
        b"\0\0\0\0\0\0\0\3arg" b"\0\0\0\0\0\0\0\1A" b"\0\0\0\0\0\0\0\2\0\n"
        b"\0\0\0\0\0\0\0\3arg" b"\0\0\0\0\0\0\0\2\xc3\xa9" b"\0\0\0\0\0\0\0\1\xff"
        b"\0\0\0\0\0\0\0\x0adockerfile" b"\0\0\0\0\0\0\0\0" b"\0\0\0\0\0\0\0\00211"
    )  # fmt: skip
    assert encode(inputs) == sha256(whole).hexdigest()
    # Written down: a change of this value makes every image of every user be built again.
    assert encode([]) == "e934c4adac16f91f7f057c696c344eb706072713f4bf54261cf52031d90eb001"


@given(INPUTS, INPUTS)
def test_only_the_same_inputs_encode_alike(one: list[Input], two: list[Input]) -> None:
    if encodable(one) and encodable(two):
        assert (encode(one) == encode(two)) == (sorted(one) == sorted(two))


@given(INPUTS, st.randoms())
def test_order_does_not_count(inputs: list[Input], chance: random.Random) -> None:
    if encodable(inputs):
        mixed = chance.sample(inputs, len(inputs))
        assert encode(mixed) == encode(inputs) == by_hand(inputs)


@given(st.lists(st.text("ab\0", min_size=0, max_size=3), min_size=6, max_size=6), st.integers(0, 4), st.integers(1, 3))
def test_moving_bytes_into_the_next_part_counts(parts: list[str], at: int, count: int) -> None:
    moved = list(parts)
    moved[at], moved[at + 1] = parts[at][:-count], parts[at][-count:] + parts[at + 1]
    one, two = ([Input(*texts[:3]), Input(*texts[3:])] for texts in (parts, moved))
    assert (encode(one) == encode(two)) == (sorted(one) == sorted(two))


def test_an_input_twice_is_not_the_input_once() -> None:
    one = Input("platform", "linux/amd64", "")
    assert len({encode([]), encode([one]), encode([one, one])}) == 3


# What counts.


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """Return a service with one of everything."""
    return made(tmp_path / "one")


def made(folder: Path, order: Callable[[list[str]], Iterable[str]] = list) -> Service:
    context, named = folder / "context", folder / "lib"
    for path in order(["context/a", "context/sub/b", "lib/c", "context/z"]):
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path)
        file.chmod(0o644)
    (context / "link").symlink_to("a")
    (context / "empty").mkdir()
    for made_folder in (context, context / "sub", context / "empty", named):
        made_folder.chmod(0o755)
    (folder / "Dockerfile").write_bytes(DOCKERFILE)
    return Service(
        "app",
        str(context),
        str(folder / "Dockerfile"),
        Repository("localhost:5000", "app"),
        target="final",
        args={"A": "1", "B": ""},
        labels={"l": "1"},
        platforms=("linux/amd64",),
        secrets=("id=token,env=TOKEN",),
        ssh=("default",),
        contexts={"lib": str(named)},
        network="none",
        test=("true",),
    )


def value(service: Service, bases: dict[str, str] = BASES, mode: str = "content") -> str:
    found = of([service], Scope(bases, {}, None, mode))["app"]
    assert found.unknown == ()
    return found.value


def _write(name: str, content: bytes, folder: Path) -> None:
    (folder / name).write_bytes(content)


def write(name: str, content: bytes) -> Callable[[Path], None]:
    return partial(_write, name, content)


def chmod(name: str, mode: int) -> Callable[[Path], None]:
    return lambda folder: (folder / name).chmod(mode)


def relink(folder: Path) -> None:
    (folder / "context/link").unlink()
    (folder / "context/link").symlink_to("b")


SETTINGS: dict[str, dict[str, Any]] = {
    "arg-value": {"args": {"A": "2", "B": ""}},
    "arg-name": {"args": {"C": "1", "B": ""}},
    "arg-gone": {"args": {"A": "1"}},
    "args-swapped": {"args": {"A": "", "B": "1"}},
    "target": {"target": "other"},
    "no-target": {"target": ""},
    "platform": {"platforms": ("linux/arm64",)},
    "one-more-platform": {"platforms": ("linux/amd64", "linux/arm64")},
    "label": {"labels": {"l": "2"}},
    "label-new": {"labels": {"l": "1", "m": ""}},
    "label-that-was-an-arg": {"labels": {"l": "1", "B": ""}, "args": {"A": "1"}},
    "network": {"network": "host"},
    "no-named-context": {"contexts": {}},
    "pinned-remote-context": {"contexts": {"lib": f"https://example.org/x.git#{'a' * 40}"}},
}


@pytest.mark.parametrize("change", SETTINGS.values(), ids=SETTINGS.keys())
def test_settings_that_count(service: Service, change: dict[str, Any]) -> None:
    assert value(replace(service, **change)) != value(service)


EDITS: dict[str, Callable[[Path], None]] = {
    "dockerfile-comment": write("Dockerfile", b"# x\n" + DOCKERFILE),
    "dockerfile-crlf": write("Dockerfile", DOCKERFILE.replace(b"\n", b"\r\n")),
    "dockerfile-bytes": write("Dockerfile", DOCKERFILE + b"# \xff\n"),
    "content": write("context/a", b"context/A"),
    "new-file": write("context/new", b""),
    "newline-at-the-end": write("context/a", b"context/a\n"),
    "removed-file": lambda folder: (folder / "context/z").unlink(),
    "renamed-file": lambda folder: os.rename(folder / "context/z", folder / "context/y"),
    "empty-folder-gone": lambda folder: (folder / "context/empty").rmdir(),
    "link-target": relink,
    "chmod-600": chmod("context/a", 0o600),
    "chmod-755": chmod("context/a", 0o755),
    "setuid": chmod("context/a", 0o4644),
    "sticky-folder": chmod("context/sub", 0o1755),
    "folder-mode": chmod("context/sub", 0o700),
    "named-context": write("lib/c", b"other"),
    "named-context-new": write("lib/d", b""),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_edits_that_count(tmp_path: Path, service: Service, edit: Callable[[Path], None]) -> None:
    before = value(service)
    edit(tmp_path / "one")
    assert value(service) != before


def test_crlf_and_lone_bytes_of_a_dockerfile_all_differ(tmp_path: Path, service: Service) -> None:
    found = set()
    for content in (b"", b"\n", b"\r\n", b"\xff", b"\xfe", b"\xc3\xbf", b"\xed\xb3\xbf"):
        Path(service.dockerfile).write_bytes(DOCKERFILE + b"# " + content)
        found.add(value(service))
    assert len(found) == 7


def test_base_images_and_needs_count(service: Service) -> None:
    moved = value(service, {"busybox:stable": "sha256:" + "b" * 64})
    assert moved != value(service)
    other = replace(service, name="lib", contexts={})
    top = replace(service, needs=("lib",))
    found = [of([top, one], Scope(BASES, {}, None)) for one in (other, replace(other, target="x"))]
    assert found[0]["lib"] != found[1]["lib"]
    assert found[0]["app"] != found[1]["app"]


def chown(folder: Path) -> None:
    if os.geteuid() == 0:
        os.chown(folder / "context/a", 4711, 4712)


def hard_link(folder: Path) -> None:
    (folder / "context/z").unlink()
    (folder / "outside").write_text("context/z")
    os.link(folder / "outside", folder / "context/z")
    (folder / "context/z").chmod(0o644)


NO_EDITS: dict[str, Callable[[Path], None]] = {
    "mtime": lambda folder: os.utime(folder / "context/a", (1, 1)),
    "folder-mtime": lambda folder: os.utime(folder / "context/sub", (1, 1)),
    "owner": chown,
    "hard-link": hard_link,
    "umask-002": chmod("context/a", 0o664),
    "umask-002-folder": chmod("context/sub", 0o775),
    "written-again": write("context/a", b"context/a"),
    "beside-the-context": write("other", b"x"),
}


@pytest.mark.parametrize("edit", NO_EDITS.values(), ids=NO_EDITS.keys())
def test_edits_that_do_not_count(tmp_path: Path, service: Service, edit: Callable[[Path], None]) -> None:
    before = value(service)
    edit(tmp_path / "one")
    assert value(service) == before


NO_SETTINGS: dict[str, dict[str, Any]] = {
    "secret": {"secrets": ("id=token,env=OTHER",)},
    "ssh": {"ssh": ()},
    "test": {"test": ("false",)},
    "repository": {"repository": Repository("ghcr.io", "you/app")},
    "order-of-args": {"args": {"B": "", "A": "1"}},
}


@pytest.mark.parametrize("change", NO_SETTINGS.values(), ids=NO_SETTINGS.keys())
def test_settings_that_do_not_count(service: Service, change: dict[str, Any]) -> None:
    assert value(replace(service, **change)) == value(service)


def test_values_of_secrets_do_not_count(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "one")
    before = value(service)
    monkeypatch.setenv("TOKEN", "two")
    assert value(service) == before


def test_order_of_platforms_does_not_count(service: Service) -> None:
    both = ("linux/amd64", "linux/arm64")
    assert value(replace(service, platforms=both)) == value(replace(service, platforms=both[::-1]))


def test_dependencies_count_package_files_alone(tmp_path: Path, service: Service) -> None:
    before = value(service, mode="dependencies")
    assert before != value(service)
    (tmp_path / "one/context/a").write_text("other")
    assert value(service, mode="dependencies") == before
    (tmp_path / "one/context/sub/package-lock.json").write_text("{}")
    after = value(service, mode="dependencies")
    assert after != before
    (tmp_path / "one/context/sub/package-lock.json").write_text("{ }")
    assert value(service, mode="dependencies") != after


# The same everywhere.


def test_another_checkout_gives_the_same(tmp_path: Path, service: Service) -> None:
    other = made(tmp_path / "a/longer päth", order=lambda paths: reversed(paths))
    assert value(other) == value(service)
    moved = tmp_path / "moved"
    shutil.copytree(tmp_path / "one", moved, symlinks=True)
    place = replace(
        service,
        context=str(moved / "context"),
        dockerfile=str(moved / "Dockerfile"),
        contexts={"lib": str(moved / "lib")},
    )
    assert value(place) == value(service)


def test_a_memory_of_another_place_makes_no_difference(tmp_path: Path, service: Service) -> None:
    assert of([service], Scope(BASES, {}, tmp_path / "store"))["app"].value == value(service)


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8", "en_US.ISO-8859-1"])
def test_another_locale_gives_the_same(tmp_path: Path, service: Service, locale: str) -> None:
    for name in ("é", "日本", os.fsdecode(b"\xff\xfe"), "e\u0301"):
        (tmp_path / "one/context" / name).write_text("x")
        (tmp_path / "one/context" / f"{name}.link").symlink_to(name)
    script = (
        "import sys; sys.path.insert(0, 'tests'); from pathlib import Path; import test_fingerprint as t;"
        f"service = t.again(Path({str(tmp_path / 'one')!r}));"
        "print(t.value(service))"
    )
    env = {**os.environ, "LC_ALL": locale, "LANG": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    env.pop("PYTHONIOENCODING", None)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == value(service)


def again(folder: Path) -> Service:
    """Describe the service that `made` made, without making it."""
    return Service(
        "app",
        str(folder / "context"),
        str(folder / "Dockerfile"),
        Repository("localhost:5000", "app"),
        target="final",
        args={"A": "1", "B": ""},
        labels={"l": "1"},
        platforms=("linux/amd64",),
        contexts={"lib": str(folder / "lib")},
        network="none",
    )


# The version.


@pytest.mark.parametrize("arg, counts", [("{version}", True), ("v{version}-x", True), ("1", False)])
def test_the_version_counts_where_an_argument_uses_it(service: Service, arg: str, counts: bool) -> None:
    one = replace(service, args={"V": arg})
    found = {value(settled(one, Version.parse(text), Revision(commit="c" * 40))) for text in ("1.0.0", "2.0.0")}
    assert len(found) == (2 if counts else 1)


@pytest.mark.parametrize("arg, counts", [("{revision}", True), ("1", False)])
def test_the_revision_counts_where_an_argument_uses_it(service: Service, arg: str, counts: bool) -> None:
    one = replace(service, args={"R": arg})
    found = {value(settled(one, None, Revision(commit=digit * 40))) for digit in "cd"}
    assert len(found) == (2 if counts else 1)


# What is not known.


def test_what_is_not_known_gives_a_fingerprint_that_no_image_has(service: Service) -> None:
    found = [of([service], Scope({}, {}, None))["app"] for _ in range(2)]
    assert found[0].value != found[1].value
    assert {one.unknown for one in found} == {("base busybox:stable",)}
    blind = Fingerprint(found[0].value)
    assert blind.unknown == ()


def test_not_knowing_goes_on_to_what_needs_it(service: Service) -> None:
    top = replace(service, name="top", needs=("app",), contexts={})
    Path(top.dockerfile).write_bytes(b"FROM scratch\n")
    low = replace(service, contexts={"lib": "https://example.org/lib.git#main"})
    high = replace(service, name="high", needs=("top",), contexts={})
    found = of([high, top, low], Scope(BASES, {}, None))
    assert {name: one.unknown for name, one in found.items()} == {
        "app": ("context lib",),
        "top": ("need app",),
        "high": ("need top",),
    }


@pytest.mark.parametrize("kind", ["arg", "label", "target", "network", "platform", "dockerfile", "need"])
def test_a_setting_that_reads_unknown_is_known(kind: str) -> None:
    assert unknown([Input(kind, "X", UNKNOWN)]) == ()


def test_what_is_not_known_in_words() -> None:
    found = unknown([Input("base", "x", UNKNOWN), Input("context", "", CHANGING), Input("context", "lib", CHANGING)])
    assert found == (
        "base x",
        "context, whose files keep changing",
        "context lib, whose files keep changing",
    )


def test_fingerprint_of_known_inputs_is_their_encoding() -> None:
    inputs = [Input("arg", "A", "1")]
    assert fingerprint(inputs) == Fingerprint(encode(inputs))
    assert fingerprint(inputs, ("need x",)).value != encode(inputs)


def test_the_garbage_collector_is_on_again(service: Service) -> None:
    assert gc.isenabled()
    of([service], Scope(BASES, {}, None))
    assert gc.isenabled()
    with pytest.raises(KeyError):
        of([replace(service, needs=("none",))], Scope(BASES, {}, None))
    assert gc.isenabled()
    gc.disable()
    try:
        of([service], Scope(BASES, {}, None))
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_encoding_has_a_version() -> None:
    assert module.ENCODING == "buildtasks fingerprint 1"
