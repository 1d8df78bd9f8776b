"""The build context without an engine: tables of other projects, own tables, laws, and a real file system."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import cases
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildtasks.context import Entry, Patterns, ignore_file, location, paths, walk
from buildtasks.context.glob import Pattern
from buildtasks.context.goregexp import MalformedError, to_python
from buildtasks.context.ignorefile import clean, pattern_lines
from buildtasks.context.walk import stamp_of
from buildtasks.errors import ConfigError, ContextError


def grow(root: Path, *names: str, ignore: str | None = None) -> Path:
    """Make a tree: `a/` is a folder, `a -> b` a link, all else a file that holds its own path."""
    root.mkdir(exist_ok=True)
    for name in names:
        link, arrow, target = name.partition(" -> ")
        path = root / link
        path.parent.mkdir(parents=True, exist_ok=True)
        if arrow:
            path.symlink_to(target)
        elif name.endswith("/"):
            path.mkdir(exist_ok=True)
        else:
            path.write_text(name, errors="surrogateescape")
    if ignore is not None:
        (root / ".dockerignore").write_text(ignore)
    return root


def sent(root: Path, dockerfile: Path | None = None) -> list[str]:
    """List what is sent, with a slash behind folders; .dockerignore itself left out."""
    found = [entry.path + "/" * (entry.kind == "dir") for entry in walk(root, dockerfile=dockerfile)]
    return [path for path in found if path != ".dockerignore"]


def refusal(patterns: str, *names: str) -> str | None:
    """Give the error for an ignore file in a folder that holds `names`, if there is one."""
    with tempfile.TemporaryDirectory() as folder:
        root = grow(Path(folder), *names, ignore=patterns)
        try:
            list(walk(root))
        except ConfigError as error:
            return str(error).removeprefix(f"{root}/")
    return None


# Other projects' tables.


def test_reader_table() -> None:
    for case in cases.load("dockerignore_reader"):
        content = case["content"].encode("utf-8", "surrogateescape")
        assert [text for _, text in pattern_lines(content, "")] == case["patterns"], case["id"]


def test_matcher_table() -> None:
    for case in cases.load("dockerignore_patternmatcher"):
        try:
            answer = Patterns.parse("\n".join(case["patterns"])).excludes(case["path"])
        except ConfigError:
            assert case["error"], case
        else:
            assert (answer, None) == (case["matched"], case["error"]), case


def test_tree_table(tmp_path: Path) -> None:
    for case in cases.load("dockerignore_suite_trees"):
        root = tmp_path / case["id"]
        for made in case["tree"]:
            path = root / made["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(exist_ok=True) if made["type"] == "dir" else path.write_text(made["content"])
        try:
            found = walk(root, dockerfile=root / case.get("dockerfile", "Dockerfile"))
            rows = sorted(entry.path + "/" * (entry.kind == "dir") for entry in found)
        except ConfigError:
            assert not case["expect"]["ok"], case["id"]
        else:
            assert rows == sorted(case["expect"].get("entries", ["refused"])), case["id"]


# What an ignore file lets through.

TREE = ("a.py", "docs/", "docs/a.md", "docs/b.md", "src/lib/x.c", "src/lib/x.o", "src/main.c", "src/test/t.c")
RULES = {
    "nothing": (
        "",
        "a.py docs/ docs/a.md docs/b.md src/ src/lib/ src/lib/x.c src/lib/x.o src/main.c src/test/ src/test/t.c",
    ),
    "everything": ("*", ""),
    "everything, deep": ("**", ""),
    "folder": ("src", "a.py docs/ docs/a.md docs/b.md"),
    "folder, odd spelling": (" /./src//lib/../ ", "a.py docs/ docs/a.md docs/b.md"),
    "trimmed again behind its slash": (
        "/ src\n/ !src/lib\na.py",
        "docs/ docs/a.md docs/b.md src/ src/lib/ src/lib/x.c src/lib/x.o",
    ),
    "content, not the folder": ("docs/**\nsrc", "a.py docs/"),
    "exception brings parents": ("*\n!src/lib/x.c", "src/ src/lib/ src/lib/x.c"),
    "exception anywhere": ("*\n!**/*.c", "src/ src/lib/ src/lib/x.c src/main.c src/test/ src/test/t.c"),
    "exception without effect": ("docs\nsrc\n!src/none/x.c", "a.py"),
    "exception first": ("!docs\ndocs\nsrc", "a.py"),
    "deeper exclusion outlives a wider exception": (
        "src/lib\n!src\ndocs\na.py",
        "src/ src/main.c src/test/ src/test/t.c",
    ),
    "exclude, keep, exclude": (
        "*\n!src\nsrc/lib\n!src/lib/x.o",
        "src/ src/lib/ src/lib/x.o src/main.c src/test/ src/test/t.c",
    ),
    "one level": ("*/*\n!*/lib", "a.py docs/ src/ src/lib/ src/lib/x.c src/lib/x.o"),
    "class": ("*/[am]*\nsrc/*/", "a.py docs/ docs/b.md src/"),
    "negated class": ("[^s]*\nsrc/lib\nsrc/test", "src/ src/main.c"),
    "question marks": ("a???\nsrc", "docs/ docs/a.md docs/b.md"),
    "any depth, between": ("src/**/*.c\ndocs\na.py", "src/ src/lib/ src/lib/x.o src/test/"),
    "only a comment": (
        "#src\n\n  \n",
        "a.py docs/ docs/a.md docs/b.md src/ src/lib/ src/lib/x.c src/lib/x.o src/main.c src/test/ src/test/t.c",
    ),
    "bar is an alternative": ("x*|docs\nsrc", "a.py"),
    "bar is looked for anywhere": ("q*|y\nsrc", "docs/ docs/a.md docs/b.md"),
    "exception with a bar": ("*\n!q*|b.md", "docs/ docs/b.md"),
    "braces repeat": ("[c-s]{4}\nsrc", "a.py"),
}


@pytest.mark.parametrize("patterns, expected", RULES.values(), ids=RULES.keys())
def test_rules(tmp_path: Path, patterns: str, expected: str) -> None:
    root = grow(tmp_path / "context", *TREE, ignore=patterns)
    assert sent(root) == expected.split()


REFUSED = {
    "lone !": ("a\n!", 2),
    "! of the root": ("!/", 1),
    "open class": ("[", 1),
    "open class behind a name": ("\n\na[", 3),
    "empty class": ("a[]", 1),
    "class ends in -": ("[a-]", 1),
    "open negated class": ("[^]", 1),
    "escape of nothing": ("a\\", 1),
    "wrong behind a dot": ("!?*[", 1),
    "wrong behind a class": ("![^a]*[", 1),
    "open negated class, not asked": ("![^]", 1),
    "class upside down": ("x\n[b-a]", 2),
    "no such escape": ("\\y*", 1),
    "no such class": ("[[:x:]]*", 1),
    "repeated repetition": ("*{2}", 1),
    "too many repetitions": ("a{1001}*", 1),
    "control character": ("x\na\tb", 2),
    "long line": ("a\n" + "b" * 65536, 2),
}


@pytest.mark.parametrize(
    "pattern, path, excluded",
    [
        ("a**/b", "ab", True),
        ("a**/b", "ax/c/b", True),
        ("a/**/b", "ab", False),
        ("a/**/b", "a/b", True),
        ("**a/b", "xa/b", True),
        ("**/a/b", "xa/b", False),
        ("**/a/b", "a/b", True),
        ("a**", "ab/c", True),
        ("a/**", "a", False),
        ("*/a/**", "x/a", False),
        ("*/a/**", "x/a/b/c", True),
        ("**/b", "\udcff/b", True),
        ("**/b", "b\n/b", True),
        ("x\n\ufeff*.c", "a.c", True),
        ("x\n\ufeffa.c", "a.c", False),
        ("x\n\ufeffa.c", "\ufeffa.c", True),
        ("[a/b]c", "ac", True),
        ("x[^a]c", "x/c", True),
        ("[*]c", "^^]c", True),
        ("[*]c", "*c", False),
        ("a*[x/?", "ab^", True),
        ("a\\*b", "a*b", True),
        ("a{2}", "a{2}", True),
        ("^a", "^a", True),
        ("^a*", "^a", False),
    ],
)
def test_pattern(pattern: str, path: str, excluded: bool) -> None:
    assert Patterns.parse(pattern).excludes(path) == excluded


def test_a_folder_with_odd_names_is_asked_plainly(tmp_path: Path) -> None:
    root = grow(tmp_path / "context", "\udcff", "a.c", "b.c", "d/x", ignore="**/a.c\n*b.c\nd/**")
    assert sent(root) == ["d/", "\udcff"]


@pytest.mark.parametrize("patterns, line", REFUSED.values(), ids=REFUSED.keys())
def test_refused(patterns: str, line: int) -> None:
    assert (refusal(patterns, "file") or "").startswith(f".dockerignore:{line}: ")


@pytest.mark.parametrize(
    "patterns",
    ["*\n[b-a]", "![b-a]", "*\n*a*[", "b" * 65535, "é\na\tb", "*a*[x-]", "#[", "a]"],
    ids=[
        "never asked",
        "nothing to bring back",
        "open behind a star",
        "longest line",
        "encoded",
        "lax",
        "comment",
        "]",
    ],
)
def test_taken(patterns: str) -> None:
    assert refusal(patterns, "file") is None


def test_asked_again_below_a_kept_folder() -> None:
    """A pattern that does not compile is asked below a folder that a later exception keeps."""
    patterns = "**/*\n!**/m/r\n[b-a]\n!?"
    assert refusal(patterns, "m/n") is None
    assert (refusal(patterns, "m/m/r") or "").startswith(".dockerignore:3: ")


@pytest.mark.parametrize(
    "path, cleaned",
    [
        *[("", "."), (".", "."), ("/", "/"), ("//", "/"), ("a/..", "."), ("../a", "../a"), ("/..", "/"), ("a/", "a")],
        *[("./a/./b", "a/b"), ("a//b", "a/b"), ("../../a/../b", "../../b"), ("/../a/", "/a"), ("a/../..", "..")],
    ],
)
def test_clean(path: str, cleaned: str) -> None:
    assert clean(path) == cleaned


@pytest.mark.parametrize(
    "expression, matching, others",
    [
        (r"^\d\w\s$", "1a ", "aa "),
        (r"^[\d_-]*$", "1_-2", "a"),
        (r"^[[:alpha:]][[:^alpha:]]$", "a1", "aa"),
        (r"^[^a]$", "\n", "a"),
        (r"^\D[\W]\S$", "a-b", "1-b"),
        (r"^a$", "a", "a\n"),
        (r"^.$", "é", "\n"),
        (r"^\x41\101\Q*.\E\z", "AA*.", "AAx."),
        (r"^\Qa{2}b$", "a{2}b$", "aab"),
        (r"^a{2,}b{0}$", "aaa", "a"),
        (r"^a{,2}$", "a{,2}", "a"),
        (r"^a|b$", "xb", "xa"),
        (r"^[]a-]$", "]", "b"),
        (r"^(.*/)?x$", "a/b/x", "ax"),
        (r"^[a&&b||+--d~~[]$", "~", "e"),
        (r"^\a\f\t\n\r\v$", "\a\f\t\n\r\v", ""),
        (r"^a\b.$", "a-", "ab"),
    ],
)
def test_go_expression(expression: str, matching: str, others: str) -> None:
    compiled = re.compile(to_python(expression), re.ASCII)
    assert compiled.search(matching)
    assert not compiled.search(others)


@pytest.mark.parametrize(
    "expression", [r"\y", r"\pL", r"\8", r"\é", "[a", "[b-a]", "^a|*", "a{2}{3}", "a{3,2}", r"\C", "[[:x:]]"]
)
def test_go_expression_refused(expression: str) -> None:
    with pytest.raises(MalformedError):
        to_python(expression)


# Which ignore file counts.

IGNORES: dict[str, tuple[tuple[str, ...], str | None]] = {
    "none": ((), None),
    "of the context": (("context/.dockerignore",), "context/.dockerignore"),
    "of the Dockerfile": (("context/.dockerignore", "Dockerfile.dockerignore"), "Dockerfile.dockerignore"),
    "folder": (("context/.dockerignore/",), None),
    "folder of the Dockerfile": (("context/.dockerignore", "Dockerfile.dockerignore/"), "context/.dockerignore"),
    "link": (("context/.dockerignore -> sub/x", "context/sub/x"), "context/sub/x"),
    "link through a linked folder": (
        ("context/.dockerignore -> l/x", "context/l -> sub", "context/sub/x"),
        "context/sub/x",
    ),
    "link from the root": (("context/.dockerignore -> sub/l", "context/sub/l -> /x", "context/x"), "context/x"),
    "link out of the context": (("context/.dockerignore -> ../x", "x"), None),
    "link out and in again": (("context/.dockerignore -> ../../x", "context/x"), "context/x"),
    "dangling link": (("context/.dockerignore -> x",), None),
    "loop": (("context/.dockerignore -> .dockerignore",), None),
    "dockerfile": (("Dockerfile -> x", "Dockerfile.dockerignore"), "Dockerfile.dockerignore"),
    "small letters": (("dockerfile", "dockerfile.dockerignore"), "dockerfile.dockerignore"),
    "both": (("Dockerfile", "dockerfile", "dockerfile.dockerignore"), None),
    "small letters, other name": (("dockerfile", "Dockerfile.dockerignore"), None),
}


@pytest.mark.parametrize("names, expected", IGNORES.values(), ids=IGNORES.keys())
def test_ignore_file(tmp_path: Path, names: tuple[str, ...], expected: str | None) -> None:
    grow(tmp_path, "context/", *names)
    found = ignore_file(tmp_path / "context", tmp_path / "Dockerfile")
    assert found == (tmp_path / expected if expected else None)


def test_named_context_has_no_dockerfile(tmp_path: Path) -> None:
    root = grow(tmp_path, "a", "b", "Dockerfile.dockerignore", ignore="b")
    (root / "Dockerfile.dockerignore").write_text("a")
    assert sent(root) == ["Dockerfile.dockerignore", "a"]
    assert sent(root, root / "Dockerfile") == ["Dockerfile.dockerignore", "b"]


def test_empty_ignore_file_of_the_dockerfile_counts(tmp_path: Path) -> None:
    root = grow(tmp_path, "a", ignore="a")
    (root / "x.dockerignore").touch()
    assert sent(root, root / "x") == ["a", "x.dockerignore"]


# The file system.


def test_entries(tmp_path: Path) -> None:
    root = grow(tmp_path, "dir/sub/", "dir/file", "link -> dir", "loop -> loop", "gone -> /nowhere/at all")
    (root / "dir/file").chmod(0o4751)
    (root / "dir/sub").chmod(0o1700)
    os.mkfifo(root / "pipe", 0o600)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(root / "sock"))
    found = {entry.path: entry for entry in walk(root)}
    assert {path: (entry.kind, entry.target) for path, entry in found.items()} == {
        "dir": ("dir", None),
        "dir/file": ("file", None),
        "dir/sub": ("dir", None),
        "gone": ("symlink", "/nowhere/at all"),
        "link": ("symlink", "dir"),
        "loop": ("symlink", "loop"),
        "pipe": ("fifo", None),
        "sock": ("socket", None),
    }
    entry, status = found["dir/file"], (root / "dir/file").stat()
    assert entry[2:4] == (0o4751, len("dir/file"))
    assert entry.stamp == stamp_of(status)
    assert (found["dir/sub"].mode, found["dir"].size, found["link"].size) == (0o1700, 0, 0)


def test_devices(tmp_path: Path) -> None:
    """Devices need root: elsewhere this asks for those of the machine."""
    devices = {entry.path: entry for entry in (found for found in walk(Path("/dev")) if "/" not in found.path)}
    assert (devices["null"].kind, devices["null"].target) == ("char", "1:3")


def test_links_are_never_entered(tmp_path: Path) -> None:
    root = grow(tmp_path, "dir/main.py", "link -> dir", ignore="*\n!link/main.py\n!**/main.py")
    assert sent(root) == ["dir/", "dir/main.py"]


def test_order_is_that_of_bytes(tmp_path: Path) -> None:
    names = ["a", "a-b", "a.b", "a/x", "B", "\udcff", "é", "\uffff", "😀", "n\nl", "\udc80x"]
    root = grow(tmp_path / "context", *(f"{name}/" for name in names if "/" not in name), "a/x")
    found = [entry.path for entry in walk(root)]
    assert sorted(found) == sorted(names)
    assert found == sorted(names, key=lambda name: [os.fsencode(part) for part in name.split("/")])


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    """Docker compares bytes where a pattern has no wildcard, and sees U+FFFD where it has one."""
    root = grow(tmp_path / "context", "caf\udce9", "caf\udce9s", "\ufffdx")
    (root / ".dockerignore").write_bytes(b"caf\xe9\n[\xff]x\n*\xe9s")
    assert sent(root) == ["caf\udce9"]


def test_newlines_stop_double_stars(tmp_path: Path) -> None:
    root = grow(tmp_path / "context", "a\nb/x.c", "a/x.c", "a/\n.c", ignore="**/*.c")
    assert sent(root) == ["a/", "a\nb/", "a\nb/x.c"]


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_locale_does_not_matter(tmp_path: Path, locale: str) -> None:
    root = grow(tmp_path / "context", "é/x", "é/y", "\udcff -> é", "a\udcff", "z", ignore="é/x\n*\ufffdz\n")
    code = """if True:
        import os, sys
        from pathlib import Path
        from buildtasks.context import location, walk
        root = Path(sys.argv[1])
        for entry in walk(root):
            text = open(location(os.fsencode(root), entry.path), "rb").read() if entry.kind == "file" else None
            print(ascii((entry, text)))
    """
    env = {
        **os.environ,
        "LC_ALL": locale,
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run([sys.executable, "-c", code, root], env=env, capture_output=True, text=True, check=False)
    assert not done.stderr
    opened = [
        (e, Path(os.fsdecode(location(os.fsencode(root), e.path))).read_bytes() if e.kind == "file" else None)
        for e in walk(root)
    ]
    assert done.stdout.splitlines() == [ascii(row) for row in opened]


def test_context_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file: not a folder"):
        walk(tmp_path / "file")
    with pytest.raises(ConfigError, match=r"none: no such folder"):
        walk(tmp_path / "none")


def test_context_may_be_a_link(tmp_path: Path) -> None:
    grow(tmp_path, "context/a", "link -> context")
    assert sent(tmp_path / "link") == ["a"]


def test_what_vanishes_is_absent(tmp_path: Path) -> None:
    root = grow(tmp_path / "context", "a", "b/x", "c", "d/x", "e -> a")
    found: Iterator[Entry] = walk(root)
    assert next(found).path == "a"
    shutil.rmtree(root / "b")
    (root / "c").unlink()
    (root / "e").unlink()
    assert next(found).path == "d"
    shutil.rmtree(root / "d")
    assert not list(found)


def forbid(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make a folder unreadable, also for root."""
    scandir = os.scandir

    def guarded(path: str) -> object:
        if path == str(folder):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)


def test_folder_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = grow(tmp_path / "context", "a", "b/x")
    forbid(monkeypatch, root / "b")
    with pytest.raises(ContextError, match=r"context/b: Permission denied") as caught:
        list(walk(root))
    assert caught.value.code == 1


@pytest.mark.parametrize("patterns", ["b", "*\n!a", "b\n!b/x", "*\n!a\n!**/x"])
def test_excluded_folder_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patterns: str) -> None:
    root = grow(tmp_path / "context", "a", "b/x", ignore=patterns)
    forbid(monkeypatch, root / "b")
    assert sent(root) == ["a"]


def test_ignore_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ContextError, match="x: No such file"):
        Patterns.read(tmp_path / "x")


@pytest.mark.parametrize(
    "patterns, entered",
    [
        ("*", ""),
        ("*\n!**/*.c", "docs src src/lib src/test"),
        ("*\n!src/lib/x.c", "src src/lib"),
        ("*\n!src/l*", "src src/lib"),
        ("*\n!src/x*", "src"),
        ("*\n!src/*", "src src/lib src/test"),
        ("src\n!src/lib/*.c", "docs src src/lib"),
        ("src\n!docs/a.md", "docs"),
        ("src/lib", "docs src src/test"),
    ],
)
def test_what_is_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patterns: str, entered: str) -> None:
    root = grow(tmp_path / "context", *TREE, ignore=patterns)
    seen: list[str] = []
    scandir = os.scandir

    def noting(path: str) -> object:
        seen.append(os.path.relpath(path, root))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", noting)
    list(paths(root))
    assert seen[1:] == entered.split()


# Laws.

NAMES = ["a", "b", "ab", "ba", "a.b", "é", "a|b", "\udcff", "a\nb"]
PATHS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map("/".join)
PIECES = [
    "a",
    "b",
    "/",
    "/",
    "*",
    "**",
    "**/",
    "?",
    "[a-b]",
    "[^a]",
    ".",
    "!",
    "\\a",
    "é",
    "|",
    "{2}",
    "[b-a]",
    "\ufffd",
]
LINES = st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join)
TEXTS = st.lists(st.tuples(st.sampled_from(["", "", "!"]), LINES).map("".join), max_size=6).map("\n".join)


def parents(path: str) -> list[str]:
    """List a path and its parents, outermost first."""
    return list(accumulate(path.split("/"), "{}/{}".format))


def plainly(patterns: tuple[Pattern, ...], path: str) -> bool:
    """Ask pattern by pattern, from the outermost folder on; what matched a parent matches."""
    matched = [False] * len(patterns)
    excluded = False
    for part in parents(path):
        excluded = False
        for number, pattern in enumerate(patterns):
            if not matched[number] and pattern.keeps == excluded:
                matched[number] = bool(pattern.matches(part))
            if matched[number]:
                excluded = not pattern.keeps
    return excluded


def outcome(text: str, path: str, plain: bool) -> bool | str:
    """Give the answer for a path, or that the patterns are refused."""
    try:
        patterns = Patterns.parse(text)
        return plainly(patterns.patterns, path) if plain else patterns.excludes(path)
    except ConfigError:
        return "refused"


@settings(max_examples=1500)
@given(TEXTS, PATHS)
def test_levels_say_what_patterns_say_one_by_one(text: str, path: str) -> None:
    assert outcome(text, path, plain=False) == outcome(text, path, plain=True)


@settings(max_examples=150, deadline=None)
@given(TEXTS, st.lists(PATHS, max_size=8))
def test_walk_finds_what_is_not_excluded_and_its_parents(text: str, names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = grow(Path(folder) / "context", *(f"{name}/" for name in names))
        (root / ".dockerignore").write_text(text)
        everything = {part for name in [*names, ".dockerignore"] for part in parents(name)}
        answers = {path: outcome(text, path, plain=True) for path in everything}
        if "refused" in answers.values():
            return
        kept = {part for path, excluded in answers.items() if not excluded for part in parents(path)}
        found = [entry.path for entry in walk(root)]
        assert found == sorted(kept, key=lambda name: [os.fsencode(part) for part in name.split("/")])
        assert list(paths(root)) == found


@given(st.text(alphabet="./ab", max_size=12))
def test_clean_is_stable(path: str) -> None:
    assert clean(clean(path)) == clean(path)
    assert os.path.normpath(path).replace("//", "/") == clean(path)
