"""What git says, asked of real repositories."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from conftest import Scratch
from hypothesis import given
from hypothesis import strategies as st
from invoked import LEAVES_PIPES, context
from invoked import collected as collected

from buildtasks.errors import ConfigError
from buildtasks.revision import Revision, read, web_address

pytestmark = LEAVES_PIPES


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scratch:
    """Return a committed repository on branch main, out of reach of this machine's git configuration."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", os.fspath(tmp_path))
    root = tmp_path / "checkout"
    root.mkdir()
    scratch = Scratch(root, "unused")
    scratch.write("a", "1")
    scratch.commit()
    return scratch


def of(scratch: Scratch, folder: str = ".") -> Revision:
    return read(context(scratch.root), scratch.root / folder)


def test_a_commit(checkout: Scratch) -> None:
    found = of(checkout)
    assert re.fullmatch("[0-9a-f]{40}", found.commit)
    assert found == Revision(commit=found.commit, branch="main", date="2026-01-02T03:04:05Z")
    assert (found.short, found.tag) == (found.commit[:7], None)


def test_no_git_is_no_error(checkout: Scratch, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    assert read(context(tmp_path), tmp_path / "plain") == Revision()


def test_git_is_not_installed(checkout: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("bash", "sh"):
        (checkout.root.parent / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("PATH", os.fspath(checkout.root.parent))
    assert of(checkout) == Revision()


def test_no_commits(checkout: Scratch) -> None:
    checkout.git("init", "-q", "fresh")
    assert of(checkout, "fresh") == Revision()


def test_detached(checkout: Scratch) -> None:
    checkout.git("checkout", "-q", "--detach")
    found = of(checkout)
    assert found.commit
    assert (found.branch, found.tags) == ("", ())


def test_tags_of_this_commit_in_order(checkout: Scratch) -> None:
    checkout.git("tag", "old")
    checkout.write("a", "2")
    checkout.commit()
    checkout.git("tag", "v1.0.0")
    checkout.git("tag", "-a", "-m", "x", "1.0.0")
    found = of(checkout)
    assert (found.tags, found.tag) == (("1.0.0", "v1.0.0"), "1.0.0")


@pytest.mark.parametrize("name", ["feature/x", "a,b", "v1, x".replace(" ", ""), "tag:x".replace(":", "-"), "grün"])
def test_names_with_signs(checkout: Scratch, name: str) -> None:
    checkout.git("checkout", "-q", "-b", name)
    checkout.git("tag", f"t{name}")
    checkout.git("branch", "other")
    found = of(checkout)
    assert (found.branch, found.tags) == (name, (f"t{name}",))


@pytest.mark.parametrize(
    "setting",
    [("log.excludeDecoration", "refs/tags/*"), ("log.showSignature", "true"), ("log.date", "relative")],
    ids=lambda setting: setting[0],
)
def test_the_configuration_of_git_does_not_show(checkout: Scratch, setting: tuple[str, str]) -> None:
    checkout.git("tag", "one")
    before = of(checkout)
    checkout.git("config", *setting)
    assert of(checkout) == before
    assert before.tags == ("one",)


def test_dirty(checkout: Scratch) -> None:
    assert not of(checkout).dirty
    new = checkout.write("new", "")
    assert of(checkout).dirty
    new.unlink()
    assert not of(checkout).dirty
    checkout.write("a", "2")
    assert of(checkout).dirty
    checkout.git("add", "-A")
    assert of(checkout).dirty
    checkout.commit()
    (checkout.root / "a").unlink()
    assert of(checkout).dirty


def test_what_git_ignores_is_not_dirty(checkout: Scratch) -> None:
    checkout.write(".gitignore", "*.log\n")
    checkout.commit()
    checkout.write("x.log", "")
    assert not of(checkout).dirty


def test_a_project_below_the_top_looks_at_itself(checkout: Scratch) -> None:
    checkout.write("sub/x", "1")
    checkout.commit()
    checkout.write("a", "changed beside it")
    assert (of(checkout, "sub").dirty, of(checkout, "sub").branch) == (False, "main")
    checkout.write("sub/x", "2")
    assert of(checkout, "sub").dirty


def test_dates_are_utc(checkout: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    who = {"GIT_COMMITTER_DATE": "2026-03-04T01:00:00+0200"}
    import subprocess

    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t", "commit", "-q", "--allow-empty", "-m", "x"],
        cwd=checkout.root,
        env={**os.environ, **who},
        check=True,
    )
    assert of(checkout).date == "2026-03-03T23:00:00Z"


def test_another_users_checkout_is_an_error_that_helps(checkout: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(ConfigError, match=r"git refuses: detected dubious ownership.*\n(.*\n)*.*safe\.directory"):
        of(checkout)


def test_a_dry_run_asks_all_the_same(checkout: Scratch) -> None:
    assert read(context(checkout.root, dry=True), checkout.root) == of(checkout)


def test_the_origin(checkout: Scratch) -> None:
    checkout.git("remote", "add", "origin", "https://user:secret@github.com/a/b.git")
    assert of(checkout).source == "https://github.com/a/b"


@pytest.mark.parametrize(
    "remote, address",
    [
        ("git@github.com:a/b.git", "https://github.com/a/b"),
        ("git@github.com:a/b", "https://github.com/a/b"),
        ("git@github.com:a/b.git/", "https://github.com/a/b"),
        ("me@git.example.org:/srv/a/b.git", "https://git.example.org/srv/a/b"),
        ("git@gitlab.com:a/b/c/d.git", "https://gitlab.com/a/b/c/d"),
        ("ssh://git@github.com/a/b.git", "https://github.com/a/b"),
        ("ssh://git@git.example.org:2222/a/b.git", "https://git.example.org/a/b"),
        ("ssh://git.example.org/a/b", "https://git.example.org/a/b"),
        ("git://git.example.org/a/b.git", "https://git.example.org/a/b"),
        ("https://github.com/a/b", "https://github.com/a/b"),
        ("https://github.com/a/b.git", "https://github.com/a/b"),
        ("https://github.com/a/b.github.io", "https://github.com/a/b.github.io"),
        ("https://github.com/a/b/", "https://github.com/a/b"),
        ("https://token@github.com/a/b.git", "https://github.com/a/b"),
        ("https://user:secret@github.com/a/b.git", "https://github.com/a/b"),
        ("https://user:se@cret@github.com/a/b.git", "https://github.com/a/b"),
        ("https://user:secret@git.example.org:8443/a/b.git", "https://git.example.org:8443/a/b"),
        ("http://git.local:3000/a/b.git", "http://git.local:3000/a/b"),
        ("/srv/git/b.git", ""),
        ("../b.git", ""),
        ("file:///srv/git/b.git", ""),
        ("C:\\git\\b", ""),
        ("https://github.com", ""),
        ("", ""),
    ],
)
def test_web_addresses(remote: str, address: str) -> None:
    assert web_address(remote) == address


@given(
    st.sampled_from(["https://", "http://", "ssh://"]),
    st.text(st.characters(exclude_characters="/\n", exclude_categories=["Cs"]), max_size=12),
)
def test_no_user_or_password_stays(scheme: str, secret: str) -> None:
    assert web_address(f"{scheme}user:{secret}@example.org/a/b.git").partition("//")[2] == "example.org/a/b"
