"""Why a context is large: sums by file and folder, and the ignore lines that really save what they promise."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildtasks.context import walk
from buildtasks.context.summary import LEFTOVERS, Weight, advice, heaviest_files, heaviest_folders, total
from buildtasks.context.walk import STAMP, Entry

EMPTY = bytes(STAMP.size)


def entry(path: str, size: int = 0, kind: str = "file") -> Entry:
    return Entry(path, kind, 0o644, size, None, EMPTY)


TREE = [
    entry("a", 5),
    entry("b", 7),
    entry("c", 5),
    entry("d", 0, "dir"),
    entry("d/e", 0, "dir"),
    entry("d/e/f", 100),
    entry("d/g", 10),
    entry("d/link", 0, "symlink"),
    entry("z", 0, "dir"),
]


def test_the_largest_files_first_and_names_decide_between_equals() -> None:
    assert heaviest_files(TREE, 4) == (
        Weight("d/e/f", 1, 100),
        Weight("d/g", 1, 10),
        Weight("b", 1, 7),
        Weight("a", 1, 5),
    )
    assert heaviest_files([], 4) == ()


def test_a_folder_counts_for_all_above_it() -> None:
    assert heaviest_folders(TREE, 9) == (Weight("d", 2, 110), Weight("d/e", 1, 100))
    assert heaviest_folders(TREE, 1) == (Weight("d", 2, 110),)


def test_what_is_sent_in_all() -> None:
    assert total(TREE) == Weight(".", 5, 127)
    assert total([]) == Weight(".", 0, 0)


@pytest.mark.parametrize(
    "paths, lines",
    [
        (["a", "src/b"], []),
        ([".git/HEAD", ".git/objects/x"], [Weight("**/.git", 2, 20)]),
        (["web/node_modules/x/y", "node_modules/z"], [Weight("**/node_modules", 2, 20)]),
        (["node_modules/x/.git/y"], [Weight("**/node_modules", 1, 10)]),
        ([".coverage", "sub/.DS_Store"], [Weight("**/.DS_Store", 1, 10), Weight("**/.coverage", 1, 10)]),
        (["my.git/x", "node_modules2/x", "gitx"], []),
    ],
)
def test_lines_for_the_ignore_file(paths: list[str], lines: list[Weight]) -> None:
    assert list(advice([entry(path, 10) for path in paths])) == lines


NAMES = st.sampled_from(["a", "src", "node_modules", ".git", "__pycache__", "target"])


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.lists(NAMES, min_size=1, max_size=3).map("/".join), st.integers(0, 50), max_size=8))
def test_the_lines_save_what_they_promise(sizes: dict[str, int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for path, size in sizes.items():
            file = root / path / "file"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"x" * size)
        before = list(walk(root))
        lines = advice(before)
        (root / ".dockerignore").write_text("".join(f"{line.name}\n" for line in lines))
        after = total([one for one in walk(root) if one.path != ".dockerignore"])
        assert after.bytes == total(before).bytes - sum(line.bytes for line in lines)
        assert after.files == total(before).files - sum(line.files for line in lines)
        assert advice(walk(root)) == ()


def test_leftovers_are_names() -> None:
    assert len(set(LEFTOVERS)) == len(LEFTOVERS)
    assert not [name for name in LEFTOVERS if "/" in name or "*" in name]
