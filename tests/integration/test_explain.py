"""`inv build.explain` and the reasons of a plan: what changed since the image that is there, on any machine."""

from __future__ import annotations

import json
import os
import shutil
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import witness
from conftest import Said, Scratch

OCI = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture
def app(scratch: Scratch) -> Scratch:
    """Return a committed project with one service that builds at once."""
    scratch.write("services/app/Dockerfile", "FROM scratch\nARG A\nCOPY . /\n")
    for name in ("kept", "edited", "gone", "moved"):
        scratch.write(f"services/app/{name}", name)
    settings(scratch, "args: {A: '1', B: '2'}")
    return scratch


def settings(scratch: Scratch, *lines: str, top: str = "") -> None:
    own = "".join(f"      {line}\n" for line in lines)
    head = f"buildtasks:\n  repository: {scratch.prefix}/{{service}}\n{top}"
    scratch.write("invoke.yaml", f"{head}  services:\n    app:\n{own}")
    scratch.commit()


def clone(scratch: Scratch, folder: Path) -> Scratch:
    """Return the same project as another machine has it: another folder, nothing remembered, no images."""
    shutil.copytree(scratch.root, folder, symlinks=True)
    witness.forget(scratch)
    env = {f"XDG_{kind}_HOME": f"{folder}.{kind.lower()}" for kind in ("CACHE", "STATE")}
    return replace(scratch, root=folder, env=env)


def done(said: Said) -> Said:
    assert said.code == 0, said.err
    return said


def explained(scratch: Scratch, *words: str) -> dict[tuple[str, str], tuple[str | None, str | None]]:
    said = done(scratch.inv("build.explain", "--service", "app", "--json", *words)).json
    assert set(said) == {"service", "fingerprint", "against", "changed"}
    assert said["service"] == "app"
    assert said["against"] in (None, f"{scratch.prefix}/app:latest")
    return {(one["input"], one["name"]): (one["was"], one["is"]) for one in said["changed"]}


def of_file(text: str, mode: str = "0644") -> str:
    return f"file {mode} {sha256(text.encode()).hexdigest()}"


def edit(scratch: Scratch) -> None:
    root = scratch.root / "services/app"
    scratch.write("services/app/edited", "EDITED")
    (root / "gone").unlink()
    (root / "moved").rename(root / "there")
    scratch.write("services/app/new", "new", 0o755)


EDITED = {
    ("file", "edited"): (of_file("edited"), of_file("EDITED")),
    ("file", "gone"): (of_file("gone"), None),
    ("file", "moved"): (of_file("moved"), None),
    ("file", "there"): (None, of_file("moved")),
    ("file", "new"): (None, of_file("new", "0755")),
}


def test_a_second_clone_knows_what_changed_since_the_release(app: Scratch, tmp_path: Path) -> None:
    done(app.inv("release"))
    other = clone(app, tmp_path / "elsewhere")
    assert explained(other) == {}
    assert "built from the same inputs as" in done(other.inv("build.explain", "--service", "app")).out
    edit(other)
    settings(other, "args: {A: '2', C: '3'}", "labels: {l: x}")
    found = explained(other)
    assert found == {
        **EDITED,
        ("arg", "A"): ("1", "2"),
        ("arg", "B"): ("2", None),
        ("arg", "C"): (None, "3"),
        ("label", "l"): (None, "x"),
    }
    told = done(other.inv("build.explain", "--service", "app")).out
    assert told.startswith(f"app: 9 inputs differ from {app.prefix}/app:latest\n")
    rows = {tuple(line.split()[:3]) for line in told.splitlines()[1:]}
    assert {("added", "file", "new"), ("removed", "file", "gone"), ("changed", "arg", "A")} <= rows
    plan = done(other.inv("build.plan", "--version", "2.0.0", "--json")).json["steps"][0]
    assert plan["action"] == "build"
    assert plan["reason"].startswith("5 files changed: edited, gone, moved, ...; arg A changed; arg B is gone;")
    reason = done(other.inv("build", "--dry", "--json")).json["steps"][0]["reason"]
    assert reason == "not in the engine yet", "an engine that has nothing has nothing to compare with"


def test_what_was_only_built_here_is_compared_too(app: Scratch) -> None:
    done(app.inv("build"))
    assert explained(app) == {}
    edit(app)
    assert explained(app) == EDITED
    assert done(app.inv("build", "--dry", "--json")).json["steps"][0]["reason"].startswith("5 files changed: ")


def test_nothing_is_there_yet(app: Scratch) -> None:
    said = done(app.inv("build.explain", "--service", "app", "--json")).json
    assert (said["against"], said["changed"]) == (None, [])
    assert len(said["fingerprint"]) == 64
    assert done(app.inv("build.explain", "--service", "app")).out == "app: nothing is published or built yet\n"


def test_an_image_without_a_record(app: Scratch) -> None:
    """`latest` was pushed by somebody else, without our labels."""
    (app.root / "foreign").write_text("FROM scratch\nCOPY invoke.yaml /\n")
    name = f"{app.prefix}/app:latest"
    witness.docker(
        "buildx", "build", "--provenance=false", "--push", "--tag", name, "-f", f"{app.root}/foreign", str(app.root)
    )
    for words in ([], ["--json"]):
        said = app.inv("build.explain", "--service", "app", *words)
        assert (said.code, said.out) == (1, "")
        assert said.err == f"{name} has no record of its inputs: it was not built by these tasks\n"


def test_a_record_that_the_registry_lost(app: Scratch, tmp_path: Path) -> None:
    done(app.inv("release"))
    other = clone(app, tmp_path / "elsewhere")
    repository = f"{app.prefix}/app"
    (tag,) = (tag for tag in witness.tags(repository) if tag.endswith(".inputs"))
    served = witness.manifest(repository, tag)
    assert served
    host, _, path = repository.partition("/")
    url = f"http://{host}/v2/{path}/manifests/{served.digest}"
    urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=10).close()
    other.write("services/app/edited", "other")
    said = other.inv("build.explain", "--service", "app")
    assert said.code == 1
    assert f"{repository}:latest has no record of its inputs" in said.err
    plan = done(other.inv("build.plan", "--version", "2.0.0", "--json")).json["steps"][0]
    assert (plan["action"], plan["reason"]) == ("build", "inputs changed")


def test_wrong_use(app: Scratch) -> None:
    said = app.inv("build.explain")
    assert (said.code, said.out) == (2, "")
    assert "--service is missing: which one? (known: app)" in said.err
    assert app.inv("build.explain", "--service", "ap").code == 2


def test_a_name_that_is_not_utf8_and_one_with_a_line_feed(app: Scratch) -> None:
    done(app.inv("build"))
    for name in (b"/\xff", b"/n\nl"):
        Path(os.fsdecode(os.fsencode(app.root / "services/app") + name)).write_bytes(b"x")
    env = {"PYTHONIOENCODING": "utf-8:strict"}
    said = done(app.inv("build.explain", "--service", "app", "--json", env=env))
    assert {one["name"] for one in said.json["changed"]} == {"\udcff", "n\nl"}
    table = done(app.inv("build.explain", "--service", "app", env=env)).out
    assert len(table.splitlines()) == 4
    assert r"\udcff" in table
    assert r"n\nl" in table
    assert r"2 files changed: n\nl, \udcff" in done(app.inv("build", "--dry", env=env)).out
    # Newer BuildKits refuse a context with such a name; then the reason is told.
    built = app.inv("build", env=env)
    assert built.code == 0 or "invalid UTF-8" in built.err


# Base images.


@pytest.fixture
def base(registry: str) -> Iterator[str]:
    """Return a repository for base images in the real registry; its manifests go afterwards."""
    repository = f"{registry}/b{uuid.uuid4().hex[:12]}/base"
    yield repository
    host, _, path = repository.partition("/")
    for digest in {witness.digest(repository, tag) for tag in witness.tags(repository)}:
        url = f"http://{host}/v2/{path}/manifests/{digest}"
        urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=10).close()
    left = witness.docker("images", "--format", "{{.Repository}}:{{.Tag}}").splitlines()
    for name in (name for name in left if name.startswith(f"{repository}:")):
        witness.docker("rmi", "-f", name)


def push_base(base: str, folder: Path, text: str) -> str:
    """Give the base image other content; return its digest."""
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY content /base\n")
    (folder / "content").write_text(text)
    # A tag of its own for each content, so that what the moved tag leaves is found again and removed.
    tags = ("--tag", f"{base}:1", "--tag", f"{base}:{text}")
    witness.docker("buildx", "build", "--provenance=false", "--push", *tags, str(folder))
    found = witness.digest(base, "1")
    assert found
    return found


def test_a_base_image_that_moved(app: Scratch, base: str, tmp_path: Path) -> None:
    first = push_base(base, tmp_path / "base", "one")
    app.write("services/app/Dockerfile", f"FROM {base}:1\nCOPY . /\n")
    app.write("services/app/.dockerignore", "Dockerfile\n")
    done(app.inv("release"))
    assert explained(app) == {}
    second = push_base(base, tmp_path / "base", "two")
    assert first != second
    changed = explained(app)
    assert list(changed.values()) == [(first, second)]
    ((kind, name),) = changed
    assert (kind, name.split()[0]) == ("base", f"{base}:1")
    step = done(app.inv("build.plan", "--version", "2.0.0", "--json")).json["steps"][0]
    assert step["action"] == "build"
    assert step["reason"] == f"base {name} moved"
    done(app.inv("release", "--version", "2.0.0"))
    layers = [witness.config(f"{app.prefix}/app", tag)["rootfs"]["diff_ids"] for tag in ("1.0.0", "2.0.0")]
    assert layers[0][0] != layers[1][0], "the new base is below the new image"


def test_a_base_image_that_nobody_knows(app: Scratch) -> None:
    app.write("services/app/Dockerfile", "FROM 127.0.0.1:1/x/base:1\nCOPY . /\n")
    fingerprints = set()
    for _ in range(2):
        said = done(app.inv("build.plan", "--json"))
        (step,) = said.json["steps"]
        assert step["action"] == "build"
        assert step["reason"].startswith("not known: base 127.0.0.1:1/x/base:1")
        assert "base 127.0.0.1:1/x/base:1: " in said.err
        fingerprints.add(step["fingerprint"])
    assert len(fingerprints) == 2
    settings(app, "args: {A: '1'}", top="  bases: pinned\n")
    said = done(app.inv("build.plan", "--json"))
    assert (said.json["steps"][0]["reason"], said.err) == ("not in the registry yet", "")


@pytest.mark.parametrize(
    "dockerfile, lines, words",
    [
        ("FROM $NONE\n", [], "not known: base $NONE"),
        ("FROM scratch\n", ["contexts: {lib: 'https://example.org/x.git#main'}"], "not known: context lib"),
    ],
)
def test_other_things_that_nobody_knows(app: Scratch, dockerfile: str, lines: list[str], words: str) -> None:
    app.write("services/app/Dockerfile", dockerfile)
    settings(app, "args: {A: unknown}", *lines)
    steps: list[dict[str, Any]] = [done(app.inv("build.plan", "--json")).json["steps"][0] for _ in range(2)]
    assert [one["reason"] for one in steps] == [words] * 2
    assert steps[0]["fingerprint"] != steps[1]["fingerprint"]
    said = app.inv("build", "--dry", "--json")
    assert json.loads(said.out)["steps"][0]["action"] == "build"


def test_what_is_not_known_is_built_each_time_and_explained(app: Scratch) -> None:
    settings(app, "contexts: {lib: 'https://example.org/x.git#main'}")
    for _ in range(2):
        assert [one["action"] for one in done(app.inv("build", "--json")).json["images"]] == ["build"]
    said = app.inv("build.explain", "--service", "app")
    assert (said.code, said.out) == (1, "")
    assert said.err == "app: not known: context lib; it is always built\n"
