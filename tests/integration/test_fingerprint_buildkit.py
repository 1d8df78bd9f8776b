"""The digest of a context against its judge: it differs exactly when BuildKit does not take `COPY . /` from its cache.

A tree is built, then the same tree with some edits in another folder; BuildKit's progress tells whether the step was
CACHED. `--cache-cases N` sets the number of cases (25). Write permission of group and others is left alone: there the
digest is meant to be coarser, so that umask 022 and 002 agree.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from buildtasks.inputs import Scope, digest, listing

Edit = Callable[[Path, random.Random], None]
SCOPE = Scope({}, {}, None)


def tree(root: Path, chance: random.Random, mark: str) -> None:
    """Make a tree whose content no cache has seen; the same for the same chance and mark."""
    root.mkdir(mode=0o755)
    root.chmod(0o755)
    for folder in ("src", "src/lib", "doc", "empty"):
        (root / folder).mkdir()
        (root / folder).chmod(chance.choice([0o755, 0o755, 0o700]))
    for path in ("a", "b", "ab", "src/a", "src/b", "src/lib/a", "doc/a.txt", "x.log"):
        put(root / path, f"{mark}{chance.randbytes(4).hex()}".encode(), chance.choice([0o644, 0o755, 0o600]))
    put(root / "same1", mark.encode())
    put(root / "same2", mark.encode())
    (root / "link").symlink_to(chance.choice(["a", "src", "none"]))
    put(root / ".dockerignore", b"*.log\n.dockerignore\n")


def put(path: Path, content: bytes, mode: int = 0o644) -> None:
    path.write_bytes(content)
    path.chmod(mode)


def regular(root: Path, chance: random.Random, *, sent: bool = True) -> Path:
    found = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    return chance.choice(sorted(path for path in found if (path.suffix != ".log") == sent and path.name[0] != "."))


def folder(root: Path, chance: random.Random) -> Path:
    return chance.choice(sorted(path for path in root.rglob("*") if path.is_dir() and not path.is_symlink()))


def free(root: Path, chance: random.Random) -> Path:
    return chance.choice([root, folder(root, chance)]) / f"new{chance.randrange(1000)}"


def byte(root: Path, chance: random.Random) -> None:
    path = regular(root, chance)
    content = bytearray(path.read_bytes())
    if content:
        content[chance.randrange(len(content))] ^= 1
        path.write_bytes(content)


def appended(root: Path, chance: random.Random) -> None:
    path = regular(root, chance)
    path.write_bytes(path.read_bytes() + b"\n")


def emptied(root: Path, chance: random.Random) -> None:
    regular(root, chance).write_bytes(b"")


def swapped_content(root: Path, chance: random.Random) -> None:
    one, two = regular(root, chance), regular(root, chance)
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)


def swapped_names(root: Path, chance: random.Random) -> None:
    one, two = regular(root, chance), regular(root, chance)
    if one != two:
        one.rename(root / "spare")
        two.rename(one)
        (root / "spare").rename(two)


def shifted(root: Path, chance: random.Random) -> None:
    """Move the last byte of a file into the next one."""
    one, two = (root / name for name in chance.choice([("a", "ab"), ("ab", "b"), ("same1", "same2")]))
    if one.is_file() and two.is_file() and one.read_bytes():
        last = one.read_bytes()[-1:]
        one.write_bytes(one.read_bytes()[:-1])
        two.write_bytes(last + two.read_bytes())


def name_to_content(root: Path, chance: random.Random) -> None:
    path = regular(root, chance)
    target = path.with_name(f"{path.name}x")
    if not target.exists():
        path.rename(target)
        target.write_bytes(target.read_bytes()[1:])


def renamed(root: Path, chance: random.Random) -> None:
    regular(root, chance).rename(free(root, chance))


def other_case(root: Path, chance: random.Random) -> None:
    path = regular(root, chance)
    path.rename(path.with_name(path.name.swapcase()))


def removed(root: Path, chance: random.Random) -> None:
    regular(root, chance).unlink()


def added(root: Path, chance: random.Random) -> None:
    put(free(root, chance), chance.choice([b"", b"x"]))


def added_folder(root: Path, chance: random.Random) -> None:
    target = free(root, chance)
    target.mkdir()
    target.chmod(0o755)


def removed_folder(root: Path, chance: random.Random) -> None:
    if (root / "empty").is_dir() and not list((root / "empty").iterdir()):
        (root / "empty").rmdir()


def mode(root: Path, chance: random.Random) -> None:
    regular(root, chance).chmod(chance.choice([0o600, 0o640, 0o644, 0o744, 0o755, 0o4755, 0o2755, 0o400]))


def folder_mode(root: Path, chance: random.Random) -> None:
    folder(root, chance).chmod(chance.choice([0o700, 0o755, 0o1755, 0o2755, 0o750]))


def root_mode(root: Path, chance: random.Random) -> None:
    root.chmod(0o700)


def to_link(root: Path, chance: random.Random) -> None:
    path = regular(root, chance)
    path.unlink()
    path.symlink_to(chance.choice(["a", "none", "../a"]))


def link_target(root: Path, chance: random.Random) -> None:
    if (root / "link").is_symlink():
        (root / "link").unlink()
        (root / "link").symlink_to(chance.choice(["a", "b", "src", "none", "./a"]))


def link_to_file(root: Path, chance: random.Random) -> None:
    """Put the text of a link into a file of its name."""
    if (root / "link").is_symlink():
        target = os.readlink(root / "link")
        (root / "link").unlink()
        put(root / "link", target.encode(), 0o777)


def to_folder(root: Path, chance: random.Random) -> None:
    path = regular(root, chance)
    path.unlink()
    path.mkdir()
    path.chmod(0o755)


def hard_linked(root: Path, chance: random.Random) -> None:
    if (root / "same1").is_file() and (root / "same2").is_file():
        (root / "same2").unlink()
        os.link(root / "same1", root / "same2")


def hard_link_added(root: Path, chance: random.Random) -> None:
    os.link(regular(root, chance), free(root, chance))


def hard_link_to_ignored(root: Path, chance: random.Random) -> None:
    os.link(regular(root, chance, sent=False), free(root, chance))


def pipe(root: Path, chance: random.Random) -> None:
    target = free(root, chance)
    os.mkfifo(target)
    target.chmod(0o644)


def times(root: Path, chance: random.Random) -> None:
    for path in root.rglob("*"):
        os.utime(path, (chance.randrange(10**9), chance.randrange(10**9)), follow_symlinks=False)


def owner(root: Path, chance: random.Random) -> None:
    if os.geteuid() == 0:
        path = regular(root, chance)
        before = path.stat().st_mode
        os.chown(path, 4711, 4712)
        path.chmod(before & 0o7777)


def written_again(root: Path, chance: random.Random) -> None:
    path = regular(root, chance)
    content, before = path.read_bytes(), path.stat().st_mode
    path.unlink()
    put(path, content, before & 0o7777)


def ignored_content(root: Path, chance: random.Random) -> None:
    put(regular(root, chance, sent=False), chance.randbytes(9))


def ignored_added(root: Path, chance: random.Random) -> None:
    put(free(root, chance).with_suffix(""), b"")
    put(root / f"{chance.randrange(99)}.log", b"x")


def only_ignored_added(root: Path, chance: random.Random) -> None:
    put(root / f"{chance.randrange(99)}.log", b"x")


def ignore_comment(root: Path, chance: random.Random) -> None:
    put(root / ".dockerignore", b"# comment\n" + (root / ".dockerignore").read_bytes())


def ignore_more(root: Path, chance: random.Random) -> None:
    put(
        root / ".dockerignore",
        b"*.log\n.dockerignore\n" + chance.choice([b"src/lib\n", b"none\n", b"doc/*\n", b"!x.log\n"]),
    )


def ignore_sent(root: Path, chance: random.Random) -> None:
    put(root / ".dockerignore", b"*.log\n")


EDITS: tuple[Edit, ...] = (
    *(byte, appended, emptied, swapped_content, swapped_names, shifted, name_to_content, renamed, other_case, removed),
    *(added, added_folder, removed_folder, mode, folder_mode, root_mode, to_link, link_target, link_to_file, to_folder),
    *(hard_linked, hard_link_added, hard_link_to_ignored, pipe, times, owner, written_again, ignored_content),
    *(ignored_added, only_ignored_added, ignore_comment, ignore_more, ignore_sent),
)
NO_DIFFERENCE: tuple[Edit, ...] = (
    root_mode,
    hard_linked,
    times,
    owner,
    written_again,
    ignored_content,
    only_ignored_added,
    ignore_comment,
)


def cached(dockerfile: Path, context: Path) -> bool:
    """Build without keeping a result; tell whether the one step came from the cache."""
    words = ["docker", "buildx", "build", "--progress=plain", "--output=type=cacheonly", "--file", str(dockerfile)]
    done = subprocess.run([*words, str(context)], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    step = re.search(r"^(#\d+) \[1/1\] COPY \. /$", done.stderr, re.M)
    assert step, done.stderr
    return re.search(rf"^{step[1]} CACHED$", done.stderr, re.M) is not None


def differs(folder: Path, seed: int, edits: list[Edit]) -> tuple[bool, bool]:
    """Apply edits to a copy of a tree; tell whether our digest differs, and whether BuildKit built again."""
    mark, place = uuid.uuid4().hex, folder / f"case{seed}"
    place.mkdir()
    (place / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    # BuildKit updates what it has from the last folder of the same name, and then gets modes and links wrong.
    roots = (place / f"{mark}-before", place / f"{mark}-after")
    for root in roots:
        tree(root, random.Random(seed), mark)
    assert digest(listing(roots[0], None, SCOPE)) == digest(listing(roots[1], None, SCOPE))
    chance = random.Random(seed)
    for edit in edits:
        edit(roots[1], chance)
    ours = [digest(listing(root, place / "Dockerfile", SCOPE)) for root in roots]
    assert not cached(place / "Dockerfile", roots[0]), "the content was not new"
    return ours[0] != ours[1], not cached(place / "Dockerfile", roots[1])


@pytest.mark.usefixtures("sandbox")
def test_the_digest_differs_exactly_when_buildkit_builds_again(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    count = request.config.getoption("--cache-cases", default=25)
    wrong, outcomes = [], {True: 0, False: 0}
    for seed in range(count):
        chance = random.Random(seed)
        # Every kind alone in turn; half of those that make no difference, else chance would give too few of them.
        kinds = EDITS if seed % 2 else NO_DIFFERENCE
        edits = [kinds[seed // 2 % len(kinds)]]
        if seed >= 2 * len(EDITS):
            edits = [chance.choice(EDITS) for _ in range(chance.randint(1, 3))]
        ours, theirs = differs(tmp_path, seed, edits)
        outcomes[theirs] += 1
        if ours != theirs:
            names = ", ".join(edit.__name__ for edit in edits)
            wrong.append(f"case {seed} ({names}): ours {'differs' if ours else 'is the same'}, BuildKit's not")
    print(f"{count} cases: {outcomes[True]} built again, {outcomes[False]} from the cache, {len(wrong)} wrong")
    assert not wrong, "\n".join(wrong)
    assert count < 4 or min(outcomes.values()) > 0


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("before, after", [(0o644, 0o664), (0o755, 0o775), (0o755, 0o777)])
def test_only_write_permission_of_others_is_left_out(tmp_path: Path, before: int, after: int) -> None:
    """The one difference on purpose: BuildKit builds again for another umask, a fingerprint is the same."""
    mark = uuid.uuid4().hex
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    found = []
    for name, bits in ((f"{mark}-one", before), (f"{mark}-two", after)):
        (tmp_path / name).mkdir()
        put(tmp_path / name / "a", mark.encode(), bits)
        found.append((digest(listing(tmp_path / name, None, SCOPE)), cached(tmp_path / "Dockerfile", tmp_path / name)))
    assert found[0] == found[1]
    assert not found[1][1]
