"""The build context against its judge: what BuildKit copies by `COPY . /` out of random trees and patterns.

`--context-cases N` sets the number of random cases (50), `--context-seed S` where they start: case I of seed S is case
0 of seed S+I. A difference is shrunk to the fewest patterns and entries that still show it, and printed.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import socket
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest

from buildtasks.context import walk
from buildtasks.errors import ConfigError

BATCH = 25
DOCKERFILE = "FROM scratch\nCOPY . /\n"

Row = tuple[str, str, int, str | None]  # path, kind, mode, target of a link
TAR_KINDS = {
    tarfile.DIRTYPE: "dir",
    tarfile.SYMTYPE: "symlink",
    tarfile.FIFOTYPE: "fifo",
    tarfile.CHRTYPE: "char",
    tarfile.BLKTYPE: "block",
}

PLAIN = ["a", "b", "ab", "foo", "bar", "src", "lib", "a.py", "b.py", "x.txt", "Makefile", "README.md", "x.pyc", "2"]
HIDDEN = [".env", ".git", ".dockerignore.bak", "..a", "...", "-", "~", "_"]
NASTY = ["x y", "#h", "!n", "a[b]", "a*b", "a?b", "a\\b", "^a", "a-b", "a+b", "(x)", "{y}", "$z", "a|b", "d.d"]
STRANGE = [
    "é",
    "日本",
    "😀",
    "\ufffd",
    "\udcff",
    "\udce2\udc82x",
    "n\nl",
    " l",
    "t ",
    "\ufeffm",
    "*",
    "**",
    "[",
    "]",
    "\t",
]
WHOLE = ["*", "**", "*.*", "*/*", "*/**", "**/*", "***", ".*", "**/.*", ".", "/", "..", "?", "**/**", "", "#c", " # c"]
WHOLE += ["**/*.py", "*.py", "**b", "a**", "a**b", "**/a/**", "**/a/*", "[a-f]*", "[^a]*", "[!a]*", "[a-f]/**", "?*/b"]
WHOLE += ["[[:alpha:]]*", "[\\]a]*", "[^/]*b", "[+-9]*", "a/../b", "./a", "//a", "a//b", "/ !a", "*[a-z]", "a[^x]b"]
WHOLE += ["[*]*", "[a*b]", "[?]", "\\d", "\\a", "\\*", "a\\*b", "\\!n", "\\#h", "^a", "a^*", "\\Qa*\\E", "\\x61", "a]"]
WHOLE += [
    "a|b",
    "*|a",
    "*a|b/c",
    "a{2}*",
    "*.{py,txt}",
    "{a,b}*",
    "a{1,2}*",
    "?{2}",
    "a{,2}*",
    "[a-b]{2}",
    "*a{0}b",
    "*||",
]
REFUSED = [
    "!",
    "[",
    "a[",
    "a\\",
    "[b-a]",
    "[]a]",
    "[a-]",
    "! ",
    "!/",
    "\\y",
    "[[:x:]]",
    "*/[",
    "![b-a]",
    "[z-a]*",
    "*{2}",
    "a{2,1}*",
    "*a*[",
    "a*[x-]",
    "a*[]a]",
    "a*\\",
    "*a*[b-a]",
    "a{1001}?",
    "**/{3}",
    "a\tb",
]


@dataclass(frozen=True)
class Made:
    """One entry to make; `target` is of a link."""

    path: str
    kind: str
    mode: int = 0o644
    target: str = ""


@dataclass(frozen=True)
class Case:
    """A tree and the lines of its ignore file; `own`: it is the Dockerfile's own ignore file."""

    tree: tuple[Made, ...]
    lines: tuple[str, ...]
    newline: str = "\n"
    own: bool = False

    @property
    def content(self) -> bytes:
        """The ignore file."""
        return self.newline.join(self.lines).encode("utf-8", "surrogateescape")

    def __str__(self) -> str:
        tree = "\n".join(f"  {made.kind:8}{made.mode:5o} {made.path!r} {made.target}" for made in self.tree)
        return f"{'own ' if self.own else ''}ignore file {self.content!r}\n{tree}"


def case_of(seed: int) -> Case:
    """Invent a case; the same one for the same seed."""
    chance = random.Random(seed)
    names = PLAIN + (HIDDEN + NASTY) * chance.choice([0, 0, 1]) + STRANGE * chance.choice([0, 0, 0, 1])
    tree = tuple(grown(chance, "", 0, names))
    paths = [made.path for made in tree] or ["a"]
    refused = chance.random() < 0.04
    lines = [line_of(chance, paths, refused) for _ in range(chance.choice([1, 1, 2, 2, 3, 4, 5, 6, 8, 12]))]
    if chance.random() < 0.03:
        lines[0] = "\ufeff" + lines[0]
    return Case(tree, tuple(lines), chance.choice(["\n", "\n", "\n", "\r\n"]), chance.random() < 0.1)


def grown(chance: random.Random, folder: str, depth: int, names: Sequence[str]) -> Iterator[Made]:
    """Invent the content of a folder."""
    for name in chance.sample(names, chance.choice([0, 1, 2, 3, 4, 5] if depth else [2, 3, 4, 5, 6, 7])):
        path = folder + name
        kind = chance.choices(["file", "dir", "symlink", "fifo"], [55, 45 if depth < 3 else 5, 10, 2])[0]
        if kind == "symlink":
            target = chance.choice([".", "..", name, "nowhere", "/etc", "../a", "\udcff", *names[:6]])
            yield Made(path, kind, 0o777, target)
        elif kind == "dir":
            yield Made(path, kind, chance.choice([0o755, 0o755, 0o700, 0o775, 0o1777, 0o2755, 0o555]))
            yield from grown(chance, f"{path}/", depth + 1, names)
        else:
            yield Made(path, kind, chance.choice([0o644, 0o644, 0o755, 0o600, 0o666, 0o4755, 0o2755, 0o1644, 0o400]))


def line_of(chance: random.Random, paths: Sequence[str], refused: bool) -> str:
    """Invent a line: a pattern made of a path that exists, or one of the tables."""
    if refused and chance.random() < 0.3:
        return chance.choice(REFUSED)
    line = chance.choice(WHOLE) if chance.random() < 0.3 else bent(chance, chance.choice(paths))
    if chance.random() < 0.4:
        line = chance.choice(["!", "!", "!", "! ", "!/", "!!"]) + line
    return chance.choice(["{}"] * 12 + ["{}/", " {} ", "{}\t", "/{}", "./{}", "{}/.", "//{}"]).format(line)


def bent(chance: random.Random, path: str) -> str:
    """Bend a path to a pattern that may match it."""
    parts = path.split("/")
    for place, part in enumerate(parts):
        if chance.random() < 0.35:
            parts[place] = chance.choice(
                [blurred(chance, part), "*", "**", "?" * len(part), f"*{part[-2:]}", part[:1] + "*"]
            )
    parts = parts[chance.choice([0, 0, 0, 0, 1]) :] or ["*"]
    parts = parts[: chance.choice([1, 2, 3, 9, 9])]
    parts = ["**", *parts] if chance.random() < 0.25 else parts
    parts = [*parts, chance.choice(["*", "**", "..", "b", "*.py"])] if chance.random() < 0.2 else parts
    return "/".join(parts)


def blurred(chance: random.Random, part: str) -> str:
    """Put a class, an escape or a wildcard in the place of one character."""
    place = chance.randrange(len(part))
    char = part[place]
    other = chance.choice(
        ["?", "*", "**", f"[{char}]", f"[^{char}]", f"[a-{char}]", f"\\{char}", "[^x]", "[0-z]", f"[\\{char}]"]
    )
    return part[:place] + other + part[place + 1 :]


def make(case: Case, root: Path) -> None:
    """Make the tree; folders get their modes last."""
    root.mkdir()
    for made in case.tree:
        path = root / made.path
        if made.kind == "dir":
            path.mkdir()
        elif made.kind == "symlink":
            path.symlink_to(made.target)
        elif made.kind == "fifo":
            os.mkfifo(path)
        else:
            path.write_text(made.path, errors="surrogateescape")
    (root.with_suffix(".Dockerfile")).write_text(DOCKERFILE)
    ignore = root.with_suffix(".Dockerfile.dockerignore") if case.own else root / ".dockerignore"
    ignore.write_bytes(case.content)
    for made in reversed(case.tree):
        if made.kind != "symlink":
            (root / made.path).chmod(made.mode)


FOREIGN = re.compile("[\udc80-\udcff]")


def ours(root: Path) -> list[Row] | str:
    """Tell what we say BuildKit gets, or that it refuses."""
    try:
        rows = [(e.path, e.kind, e.mode, e.target) for e in walk(root, dockerfile=root.with_suffix(".Dockerfile"))]
    except ConfigError:
        return "refused"
    foreign = any(FOREIGN.search(f"{path}{target}") for path, _, _, target in rows)
    return "refused" if foreign and not takes_any_bytes() else rows


@cache
def takes_any_bytes() -> bool:
    """Tell whether this BuildKit takes names and link targets that are not UTF-8: newer ones refuse the context."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "context"
        root.mkdir()
        root.with_suffix(".Dockerfile").write_text(DOCKERFILE)
        (root / "link").symlink_to("\udcff")
        return not build([root])


def theirs(archive: Path) -> list[Row] | str:
    """Tell what BuildKit got."""
    if not archive.exists() or not archive.stat().st_size:
        return "refused"
    with tarfile.open(archive, errors="surrogateescape") as tar:
        return [
            (m.name, TAR_KINDS.get(m.type, "file"), m.mode & 0o7777, m.linkname if m.issym() else None) for m in tar
        ]


def build(roots: Sequence[Path]) -> str:
    """Build contexts in one call of bake, each to an archive beside it; the output of a call that failed."""
    targets = {
        root.name: {
            "context": str(root),
            "dockerfile": str(root.with_suffix(".Dockerfile")),
            "output": [f"type=tar,dest={root.with_suffix('.tar')}"],
        }
        for root in roots
    }
    file = json.dumps({"group": {"default": {"targets": list(targets)}}, "target": targets})
    argv = ["docker", "buildx", "bake", "--progress=plain", "-f", "-"]
    done = subprocess.run(argv, input=file, capture_output=True, text=True, cwd=roots[0].parent, errors="replace")
    return done.stderr if done.returncode else ""


def answers(cases: Sequence[Case], folder: Path) -> Iterator[tuple[Case, list[Row] | str, list[Row] | str]]:
    """Yield each case with our answer and BuildKit's; what we say is refused is built alone."""
    roots = [folder / f"case{number}" for number in range(len(cases))]
    for case, root in zip(cases, roots, strict=True):
        make(case, root)
    said = [ours(root) for root in roots]
    together = [root for root, rows in zip(roots, said, strict=True) if rows != "refused"]
    alone = [root for root in roots if root not in together]
    if together and build(together):
        alone = roots
    for root in alone:
        root.with_suffix(".tar").unlink(missing_ok=True)
        build([root])
    for case, root, rows in zip(cases, roots, said, strict=True):
        yield case, rows, theirs(root.with_suffix(".tar"))


def differs(case: Case) -> bool:
    """Tell whether we and BuildKit disagree about one case."""
    with tempfile.TemporaryDirectory() as folder:
        return any(mine != right for _, mine, right in answers([case], Path(folder)))


def shrunk(case: Case) -> Case:
    """Take lines and entries away as long as we disagree."""
    for place in reversed(range(len(case.lines))):
        less = replace(case, lines=case.lines[:place] + case.lines[place + 1 :])
        case = less if differs(less) else case
    for made in reversed(case.tree):
        less = replace(
            case, tree=tuple(m for m in case.tree if m.path != made.path and not m.path.startswith(f"{made.path}/"))
        )
        case = less if differs(less) else case
    return case


def story(case: Case) -> str:
    """Tell the difference in a shrunk case."""
    with tempfile.TemporaryDirectory() as folder:
        ((_, mine, right),) = answers([case], Path(folder))
        log = build([Path(folder) / "case0"])
    if isinstance(mine, str) or isinstance(right, str):
        return f"{case}\nwe say {mine}\nBuildKit {right} {log[-600:]}"
    ordered = "" if sorted(mine) != sorted(right) else f"\nother order: {mine} {right}"
    only = [
        *(f"only we: {row}" for row in mine if row not in right),
        *(f"only BuildKit: {row}" for row in right if row not in mine),
    ]
    return "\n".join([str(case), *only]) + ordered


def option(config: pytest.Config, name: str, default: int) -> int:
    """Read a number from the command line, where the option is there."""
    return int(config.getoption(name, default=default) or default)


@pytest.mark.usefixtures("sandbox")
def test_random_contexts(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    count, seed = option(request.config, "--context-cases", 50), option(request.config, "--context-seed", 1)
    refused = kept = 0
    wrong: list[str] = []
    for start in range(seed, seed + count, BATCH):
        folder = tmp_path / str(start)
        folder.mkdir()
        cases = [case_of(number) for number in range(start, min(start + BATCH, seed + count))]
        for number, (case, mine, right) in enumerate(answers(cases, folder), start):
            refused += right == "refused"
            kept += 0 < len(right) < len(case.tree)
            if mine != right and len(wrong) < 5:
                wrong.append(f"seed {number}: {story(shrunk(case))}")
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{count} contexts from seed {seed}: {kept} partly excluded, {refused} refused, {len(wrong)} differ")
    # Names that are not UTF-8 would be too much for pytest-xdist.
    assert not wrong, ascii("\n\n".join(wrong)).replace("\\n", "\n")


LINE = "#" * 65532
FACTS: dict[str, dict[str, str]] = {
    "folder as ignore file": {"context/.dockerignore/": ""},
    "link": {"context/.dockerignore": "-> d/x", "context/d/x": "a"},
    "link through a linked folder": {"context/.dockerignore": "-> l/x", "context/l": "-> d", "context/d/x": "a"},
    "link from the root": {"context/.dockerignore": "-> d/l", "context/d/l": "-> /x", "context/x": "a"},
    "link out of the context": {"context/.dockerignore": "-> ../x", "x": "a"},
    "link out and in again": {"context/.dockerignore": "-> ../../x", "context/x": "a"},
    "dangling link": {"context/.dockerignore": "-> x"},
    "own": {"context/.dockerignore": "a", "Dockerfile.dockerignore": "b"},
    "own, empty": {"context/.dockerignore": "a", "Dockerfile.dockerignore": ""},
    "own, folder": {"context/.dockerignore": "a", "Dockerfile.dockerignore/": ""},
    "own, link": {"context/.dockerignore": "a", "Dockerfile.dockerignore": "-> d/x", "d/x": "b"},
    "own, dangling link": {"context/.dockerignore": "a", "Dockerfile.dockerignore": "-> x"},
    "Dockerfile is a link": {"Dockerfile": "-> d/x", "d/x": DOCKERFILE, "d/x.dockerignore": "a"},
    "dockerfile": {"dockerfile": DOCKERFILE, "dockerfile.dockerignore": "a", "Dockerfile.dockerignore": "b"},
    "dockerfile, other ignore file": {"dockerfile": DOCKERFILE, "Dockerfile.dockerignore": "b"},
    "longest line": {"context/.dockerignore": f"{LINE}###\na"},
    "longest line behind a mark": {"context/.dockerignore": f"\ufeff{LINE}\na"},
    "too long line": {"context/.dockerignore": f"{LINE}####\na"},
    "too long line behind a mark": {"context/.dockerignore": f"\ufeff{LINE}#\na"},
    "never asked": {"context/.dockerignore": "*\n[b-a]"},
    "nothing to bring back": {"context/.dockerignore": "![b-a]"},
    "asked": {"context/.dockerignore": "[b-a]\n*"},
    "control character": {"context/.dockerignore": "a\tb"},
    "control character, encoded": {"context/.dockerignore": "a\tb\n\u00e9"},
}


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("files", FACTS.values(), ids=FACTS.keys())
def test_facts(tmp_path: Path, files: dict[str, str]) -> None:
    usual = {"context/a": "a", "context/b": "b", **({} if "dockerfile" in files else {"Dockerfile": DOCKERFILE})}
    for name, text in {**usual, **files}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("-> "):
            path.symlink_to(text.removeprefix("-> "))
        elif name.endswith("/"):
            path.mkdir()
        else:
            path.write_text(text, encoding="utf-8")
    compare(tmp_path)


@pytest.mark.usefixtures("sandbox")
def test_special_files(tmp_path: Path) -> None:
    """FIFOs are copied as such; a socket arrives as an empty file."""
    root = tmp_path / "context"
    root.mkdir()
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    os.mkfifo(root / "pipe", 0o640)
    (root / "file").touch(0o640)
    os.link(root / "file", root / "same")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(root / "sock"))
    kinds = [kind for _, kind, *_ in compare(tmp_path)]
    assert kinds == ["file", "fifo", "file", "socket"]


def compare(folder: Path) -> list[Row]:
    """Build the folder `context` with the `Dockerfile` beside it, and compare; our answer if it is not a refusal."""
    archive, dockerfile = folder / "out.tar", folder / "Dockerfile"
    argv = ["docker", "buildx", "build", "--progress=plain", f"--output=type=tar,dest={archive}", "-f", str(dockerfile)]
    done = subprocess.run(
        [*argv, str(folder / "context")], capture_output=True, text=True, errors="replace", check=False
    )
    try:
        mine = [(e.path, e.kind, e.mode, e.target) for e in walk(folder / "context", dockerfile=dockerfile)]
    except ConfigError:
        assert done.returncode, done.stderr
        return []
    assert done.returncode == 0, done.stderr
    arrived = [(path, "file" if kind == "socket" else kind, *rest) for path, kind, *rest in mine]
    assert arrived == theirs(archive)
    return mine


@pytest.mark.usefixtures("sandbox")
def test_named_context(tmp_path: Path) -> None:
    """A named context has its own .dockerignore, and no ignore file of a Dockerfile."""
    root = tmp_path / "named"
    root.mkdir()
    for name, text in {"a": "", "b": "", ".dockerignore": "a", "Dockerfile.dockerignore": "b"}.items():
        (root / name).write_text(text)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY --from=named . /\n")
    (tmp_path / "empty").mkdir()
    archive = tmp_path / "out.tar"
    argv = ["docker", "buildx", "build", f"--build-context=named={root}", f"--output=type=tar,dest={archive}"]
    subprocess.run([*argv, f"-f={tmp_path}/Dockerfile", f"{tmp_path}/empty"], capture_output=True, check=True)
    assert theirs(archive) == [(e.path, e.kind, e.mode, e.target) for e in walk(root)]
