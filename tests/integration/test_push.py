"""`inv push`: content under a permanent tag, of the commit or of a version, and what is refused."""

from __future__ import annotations

import subprocess

import witness
from conftest import Scratch


def app(scratch: Scratch, content: str = "first") -> str:
    """Write and commit a service; return its repository."""
    scratch.write("services/app/Dockerfile", f"FROM busybox:stable\nRUN echo {content} > /which\n")
    scratch.commit()
    return f"{scratch.prefix}/app"


def head(scratch: Scratch) -> str:
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=scratch.root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_clean_commit_is_the_tag(scratch: Scratch) -> None:
    repository = app(scratch)
    tag = f"sha-{head(scratch)[:7]}"
    said = scratch.inv("push", "--json")
    assert said.code == 0, said.err
    assert said.json["images"][0]["tags"] == [tag]
    assert witness.public_tags(repository) == {tag}
    digest = witness.digest(repository, tag)
    again = scratch.inv("push", "--json", "--latest")
    assert again.code == 0, again.err
    assert again.json["images"][0]["moved"] == [{"tag": "latest", "from": None, "to": digest}]
    assert witness.registry(scratch) == dict.fromkeys(
        (f"{repository}:{one}" for one in witness.tags(repository)), digest
    ) | {name: seen for name, seen in witness.registry(scratch).items() if name.endswith(".inputs")}
    assert scratch.inv("push", "--json", "--latest").json["images"][0]["action"] == "skip"


def test_uncommitted_changes_get_no_permanent_tag(scratch: Scratch) -> None:
    repository = app(scratch)
    scratch.write("services/app/Dockerfile", "FROM busybox:stable\nRUN echo dirty > /which\n")
    said = scratch.inv("push")
    assert said.code == 0, said.err
    assert "no sha- tag: uncommitted changes" in said.out
    assert witness.public_tags(repository) == set()
    content = {tag for tag in witness.tags(repository) if not tag.endswith(".inputs")}
    assert len(content) == 1
    assert witness.config(repository, content.pop())["config"]["Labels"]["dev.buildtasks.dirty"] == "true"
    shutil_free = scratch.inv("push", "--latest", "--json")
    assert shutil_free.code == 0, shutil_free.err
    assert witness.public_tags(repository) == {"latest"}


def test_no_commit_gets_no_permanent_tag(scratch: Scratch) -> None:
    scratch.write("services/app/Dockerfile", "FROM busybox:stable\n")
    said = scratch.inv("push", "--dry")
    assert said.code == 0, said.err
    assert "no sha- tag: no commit" in said.out


def test_a_version_is_a_permanent_tag_and_latest_stays(scratch: Scratch) -> None:
    repository = app(scratch)
    said = scratch.inv("push", "--version", "v2.0.0-beta.1", "--json")
    assert said.code == 0, said.err
    assert said.json["images"][0]["tags"] == ["2.0.0-beta.1"]
    assert witness.public_tags(repository) == {"2.0.0-beta.1"}


def test_a_permanent_tag_with_other_content_is_refused_before_anything_is_built(scratch: Scratch) -> None:
    repository = app(scratch)
    assert scratch.inv("push", "--version", "1.0.0").code == 0
    registry, engine = witness.registry(scratch), witness.engine(scratch)
    logs = sorted(scratch.state.glob("logs/*"))
    app(scratch, "second")
    said = scratch.inv("push", "--version", "1.0.0")
    assert said.code == 3
    lines = [line for line in said.err.splitlines() if not line.startswith("base ")]
    assert lines == [
        f"{repository}:1.0.0 exists with other content ({witness.digest(repository, '1.0.0')})",
        "a version never changes: take a new version",
    ]
    assert (witness.registry(scratch), witness.engine(scratch)) == (registry, engine)
    assert sorted(scratch.state.glob("logs/*")) == logs
