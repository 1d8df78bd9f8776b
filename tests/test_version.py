"""Versions: SemVer's own examples, the VERSION file, and the laws of precedence (SemVer 2.0, section 11)."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from buildtasks.errors import ConfigError, InvalidVersion
from buildtasks.reference import is_tag
from buildtasks.version import PARTS, Version, as_tag, bump, newest, read, write

# fmt: off
# The examples of the regular expression that https://semver.org suggests: https://regex101.com/r/vkijKf/1/
GOOD = [
    "0.0.4", "1.2.3", "10.20.30", "1.1.2-prerelease+meta", "1.1.2+meta", "1.1.2+meta-valid",
    "1.0.0-alpha", "1.0.0-beta", "1.0.0-alpha.beta", "1.0.0-alpha.beta.1", "1.0.0-alpha.1",
    "1.0.0-alpha0.valid", "1.0.0-alpha.0valid",
    "1.0.0-alpha-a.b-c-somethinglong+build.1-aef.1-its-okay", "1.0.0-rc.1+build.1",
    "2.0.0-rc.1+build.123", "1.2.3-beta", "10.2.3-DEV-SNAPSHOT", "1.2.3-SNAPSHOT-123", "1.0.0",
    "2.0.0", "1.1.7", "2.0.0+build.1848", "2.0.1-alpha.1227", "1.0.0-alpha+beta",
    "1.2.3----RC-SNAPSHOT.12.9.1--.12+788", "1.2.3----R-S.12.9.1--.12+meta",
    "1.2.3----RC-SNAPSHOT.12.9.1--.12", "1.0.0+0.build.1-rc.10000aaa-kk-0.1",
    "99999999999999999999999.999999999999999999.99999999999999999", "1.0.0-0A.is.legal",
]
BAD = [
    "1", "1.2", "1.2.3-0123", "1.2.3-0123.0123", "1.1.2+.123", "+invalid", "-invalid",
    "-invalid+invalid", "-invalid.01", "alpha", "alpha.beta", "alpha.beta.1", "alpha.1",
    "alpha+beta", "alpha_beta", "alpha.", "alpha..", "beta", "1.0.0-alpha_beta", "-alpha.",
    "1.0.0-alpha..", "1.0.0-alpha..1", "1.0.0-alpha...1", "1.0.0-alpha....1", "1.0.0-alpha.....1",
    "1.0.0-alpha......1", "1.0.0-alpha.......1", "01.1.1", "1.01.1", "1.1.01", "1.2", "1.2.3.DEV",
    "1.2-SNAPSHOT", "1.2.31.2.3----RC-SNAPSHOT.12.09.1--..12+788", "1.2-RC-SNAPSHOT",
    "-1.0.3-gamma+b7718", "+justmeta", "9.8.7+meta+meta", "9.8.7-whatever+meta+meta",
    "99999999999999999999999.999999999999999999.99999999999999999----RC-SNAPSHOT.12.09.1------..12",
]
# fmt: on


@pytest.mark.parametrize("text", GOOD)
def test_good_versions_come_back_as_they_were(text: str) -> None:
    assert str(Version.parse(text)) == text
    assert str(Version.parse(f"v{text}")) == text


@pytest.mark.parametrize("text", BAD)
def test_bad_versions_are_refused(text: str) -> None:
    with pytest.raises(InvalidVersion, match="not a version") as caught:
        Version.parse(text)
    assert repr(text) in str(caught.value)
    assert caught.value.code == 2


@pytest.mark.parametrize(
    "text, hint",
    [
        pytest.param("1.2", "did you mean 1.2.0?", id="two-numbers"),
        pytest.param("v1", "did you mean 1.0.0?", id="one-number"),
        pytest.param("1.2-rc.1", "did you mean 1.2.0-rc.1?", id="two-numbers-prerelease"),
        pytest.param("01.2.03", "numbers have no leading zeros: did you mean 1.2.3?", id="leading-zeros"),
        pytest.param("2026.01", "numbers have no leading zeros: did you mean 2026.1.0?", id="calendar"),
        pytest.param("1.0.0-rc.01+001", "no leading zeros: did you mean 1.0.0-rc.1+001?", id="zeros-in-prerelease"),
        pytest.param("1.0.0-00", "numbers have no leading zeros: did you mean 1.0.0-0?", id="zeros-only"),
        pytest.param("V1.2.0", "did you mean 1.2.0?", id="upper-case-v"),
        pytest.param("vv1.2.0", "did you mean 1.2.0?", id="two-v"),
        pytest.param(" 1.2.0 ", "did you mean 1.2.0?", id="spaces"),
        pytest.param("1.2.0\n", "did you mean 1.2.0?", id="newline"),
        pytest.param("1.2.0rc1", "did you mean 1.2.0-rc.1?", id="pep-440"),
        pytest.param("1.2.0.4", "three numbers, such as 1.2.0", id="four-numbers"),
        pytest.param("", "three numbers, such as 1.2.0", id="empty"),
        pytest.param("latest", "three numbers, such as 1.2.0", id="word"),
        pytest.param("1.2.٣", "three numbers, such as 1.2.0", id="digits-of-another-script"),
        pytest.param("1.0." + "1" * 5000, "5004 characters: at most 255 are read", id="too-long"),
    ],
)
def test_refusals_have_a_hint(text: str, hint: str) -> None:
    with pytest.raises(InvalidVersion) as caught:
        Version.parse(text)
    assert hint in str(caught.value)


def test_parts() -> None:
    version = Version.parse("v1.20.300-rc.1")
    assert (version.major, version.minor, version.patch, version.prerelease) == (1, 20, 300, True)
    assert not Version.parse("1.2.0+rc.1").prerelease


def test_build_metadata_does_not_count() -> None:
    one, other = Version.parse("1.0.0+a"), Version.parse("1.0.0+b")
    assert one == other
    assert hash(one) == hash(other)
    assert str(one) != str(other)
    assert not one < other


def test_the_example_of_section_11() -> None:
    order = "1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0"
    versions = [Version.parse(text) for text in [*order.split(), "1.0.9", "1.0.10", "1.2.0", "2.0.0"]]
    assert all(low < high for low, high in itertools.combinations(versions, 2))


@pytest.mark.parametrize(
    "tags, highest",
    [
        ([], None),
        (["latest", "1", "1.2", "src-0123456789ab", "sha-9c68c4a", "1.3.0-rc.1"], None),
        (["1.2.0", "1.10.0", "1.9.9", "2.0.0-rc.1", "3", "3.0", "latest"], "1.10.0"),
        (["1.1.0", "v1.2.0"], "1.2.0"),
        (["1.1.0", "01.2.0", "1.2.0 ", "V9.0.0", "backend-9.0.0"], "1.1.0"),
        (["18446744073709551616.0.0", "18446744073709551617.0.0"], "18446744073709551617.0.0"),
    ],
    ids=["none", "no-version", "numbers-not-text", "v", "exactly-a-version", "over-64-bits"],
)
def test_newest(tags: list[str], highest: str | None) -> None:
    found = newest(iter(tags))
    assert (str(found) if found else None) == highest


@pytest.mark.parametrize(
    "text, part, following",
    [
        ("1.2.3", "major", "2.0.0"),
        ("1.2.3", "minor", "1.3.0"),
        ("1.2.3", "patch", "1.2.4"),
        ("1.2.0", "pre", "1.2.1-rc.1"),
        ("1.2.1-rc.1", "pre", "1.2.1-rc.2"),
        ("1.2.1-rc.9", "pre", "1.2.1-rc.10"),
        ("1.2.1-beta.2", "pre", "1.2.1-beta.3"),
        ("1.2.1-alpha", "pre", "1.2.1-alpha.1"),
        ("1.2.1-rc1", "pre", "1.2.1-rc2"),
        ("1.2.1-rc9", "pre", "1.2.1-rc9.1"),
        ("1.3.0-rc.1", "minor", "1.3.0"),
        ("1.3.0-rc.1", "patch", "1.3.0"),
        ("1.3.0-rc.1", "major", "2.0.0"),
        ("1.3.1-rc.1", "minor", "1.4.0"),
        ("2.0.0-rc.1", "major", "2.0.0"),
        ("1.2.3+a", "patch", "1.2.4"),
        ("1.2.1-rc.1+a", "pre", "1.2.1-rc.2"),
    ],
)
def test_bump(text: str, part: str, following: str) -> None:
    assert str(bump(Version.parse(text), part)) == following


@pytest.mark.parametrize("part", ["", "prerelease", "build", "Minor"])
def test_bump_refuses_other_parts(part: str) -> None:
    with pytest.raises(ConfigError, match=r"no such part of a version: '.*': use major, minor, patch or pre"):
        bump(Version.parse("1.2.0"), part)


def test_as_tag() -> None:
    assert as_tag(Version.parse("v1.2.0-rc.1+linux.5")) == "1.2.0-rc.1-linux.5"
    longest = "1.2.0-" + "a" * 122
    assert as_tag(Version.parse(longest)) == longest
    with pytest.raises(InvalidVersion, match="129 characters: a tag has at most 128"):
        as_tag(Version.parse(longest + "a"))


@pytest.mark.parametrize(
    "content",
    [b"1.2.0", b"1.2.0\n", b"1.2.0\r\n", b"v1.2.0\n", b"\xef\xbb\xbf1.2.0\n"],
    ids=["no-newline", "newline", "crlf", "v", "bom"],
)
def test_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "VERSION"
    path.write_bytes(content)
    assert str(read(path)) == "1.2.0"


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "not a version: '': three numbers"),
        (b"\n", "not a version: '': three numbers"),
        (b"1.2\n", "not a version: '1.2': did you mean 1.2.0?"),
        (b"1.2.0 \n", "not a version: '1.2.0 ': did you mean 1.2.0?"),
        (b"1.2.0\n1.3.0\n", "not a version: more than one line"),
        (b"1.2.0\n\n", "not a version: more than one line"),
        ("1.2.0\n".encode("utf-16"), "not a version: save it as UTF-8"),
    ],
    ids=["empty", "blank", "two-numbers", "space", "two-lines", "blank-line", "utf-16"],
)
def test_read_refuses(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "VERSION"
    path.write_bytes(content)
    with pytest.raises(InvalidVersion) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_read_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="VERSION: No such file or directory: write the version there"):
        read(tmp_path / "VERSION")


def test_write_replaces_the_file_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "VERSION"
    path.write_bytes(b"1.1.0\r\n")
    path.chmod(0o640)
    write(path, Version.parse("v1.2.0"))
    assert path.read_bytes() == b"1.2.0\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [entry.name for entry in tmp_path.iterdir()] == ["VERSION"]


def test_write_makes_the_file_and_follows_a_link(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("VERSION")
    write(link, Version.parse("1.2.0"))
    assert link.is_symlink()
    assert (tmp_path / "VERSION").read_bytes() == b"1.2.0\n"


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "VERSION"
    path.write_bytes(b"1.1.0\n")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match=r"VERSION: No space left on device: the version 1\.2\.0 is not"):
        write(path, Version.parse("1.2.0"))
    assert path.read_bytes() == b"1.1.0\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["VERSION"]


def test_write_into_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory"):
        write(tmp_path / "none" / "VERSION", Version.parse("1.2.0"))


NUMBER = st.integers(0, 12) | st.integers(0, 10**30)
WORD = st.from_regex(r"[0-9]{0,2}[A-Za-z-][0-9A-Za-z-]{0,3}", fullmatch=True)
PRERELEASE = st.lists(NUMBER.map(str) | WORD, min_size=1, max_size=3)
BUILD = st.just("") | st.from_regex(r"\+[0-9A-Za-z-]{1,4}", fullmatch=True)
VERSION = st.tuples(NUMBER, NUMBER, NUMBER, st.just([]) | PRERELEASE, BUILD)
Fields = tuple[int, int, int, list[str], str]


def text_of(fields: Fields) -> str:
    major, minor, patch, prerelease, build = fields
    return f"{major}.{minor}.{patch}" + ("-" + ".".join(prerelease) if prerelease else "") + build


def precedence(fields: Fields) -> object:
    """Section 11: a release after its pre-releases; numbers before words; more identifiers after fewer."""
    major, minor, patch, prerelease, _ = fields
    identifiers = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in prerelease]
    return major, minor, patch, not prerelease, identifiers


@given(VERSION)
def test_parse_undoes_str(fields: Fields) -> None:
    text = text_of(fields)
    assert str(Version.parse(text)) == text
    assert Version.parse(str(Version.parse(f"v{text}"))) == Version.parse(text)


@given(st.lists(VERSION, min_size=2, max_size=6))
@example([(1, 0, 0, ["1"], ""), (1, 0, 0, ["1", "0"], ""), (1, 0, 0, ["-"], ""), (1, 0, 0, [], "")])
def test_order_is_section_11(many: list[Fields]) -> None:
    ours = sorted(many, key=lambda fields: Version.parse(text_of(fields)))
    assert ours == sorted(many, key=precedence)  # type: ignore[arg-type]
    assert (Version.parse(text_of(many[0])) == Version.parse(text_of(many[1]))) is (
        precedence(many[0]) == precedence(many[1])
    )


@given(VERSION, st.sampled_from(PARTS))
def test_bump_goes_forward(fields: Fields, part: str) -> None:
    version = Version.parse(text_of(fields))
    following = bump(version, part)
    assert following > version
    assert following.prerelease is (part == "pre")


@given(VERSION)
def test_as_tag_is_a_tag_or_refused(fields: Fields) -> None:
    text = text_of(fields)
    if len(text) <= 128:
        assert is_tag(as_tag(Version.parse(text)))
    else:
        with pytest.raises(InvalidVersion):
            as_tag(Version.parse(text))


@given(st.text("0123.v-+rc ", max_size=12))
def test_a_hint_is_a_version(text: str) -> None:
    try:
        Version.parse(text)
    except InvalidVersion as error:
        _, found, hint = str(error).partition("did you mean ")
        assert not found or str(Version.parse(hint[:-1])) == hint[:-1]
