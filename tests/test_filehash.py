"""The memory of file hashes: worth time and nothing else, whatever happens to the files or to the memory itself."""

from __future__ import annotations

import errno
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildtasks import filehash
from buildtasks.context import Entry, walk
from buildtasks.errors import ContextError
from buildtasks.filehash import Changed, Memory
from buildtasks.fingerprint import of
from buildtasks.inputs import Scope
from buildtasks.reference import Repository
from buildtasks.settings import Service

MINUTE = 60_000_000_000
ROOT = Path(__file__).resolve().parents[1]


def later() -> SimpleNamespace:
    """Return a clock that is a minute ahead: files count as settled at once, since ctime cannot be set back."""
    return SimpleNamespace(time_ns=lambda: time.time_ns() + MINUTE)


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything be remembered at once; tests wait for a tick of the file system's clock before they edit."""
    monkeypatch.setattr(filehash, "time", later())


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a context with two files and a folder, the second file in it."""
    root = tmp_path / "tree"
    (root / "sub").mkdir(parents=True)
    (root / "a").write_bytes(b"first")
    (root / "sub/b").write_bytes(b"other")
    return root


def fingerprint(root: Path, store: Path | None) -> str:
    """Return the fingerprint of a service whose Dockerfile lies beside its context."""
    dockerfile = root.with_name("Dockerfile")
    dockerfile.write_bytes(b"FROM scratch\nCOPY . /\n")
    service = Service("app", str(root), str(dockerfile), Repository("localhost:5000", "app"))
    found = of([service], Scope({}, {}, store))["app"]
    assert found.unknown == ()
    return found.value


def tick(root: Path) -> None:
    """Wait until the file system's clock has moved on (some milliseconds)."""
    probe = root.with_name("probe")
    probe.touch()
    before = probe.stat().st_ctime_ns
    while probe.stat().st_ctime_ns == before:
        probe.touch()


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Count the files whose content is read."""
    read: list[str] = []
    real = filehash._digest

    def counted(root: bytes, entry: Entry) -> str:
        read.append(entry.path)
        return real(root, entry)

    monkeypatch.setattr(filehash, "_digest", counted)
    return read


# Edits. Each takes the tree and a source of chance, and does nothing when there is nothing to do it to.

Edit = Callable[[Path, random.Random], None]


def files(root: Path) -> list[Path]:
    """Return the regular files; the ignore file is for one edit alone, which knows what Docker takes."""
    found = (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    return sorted(path for path in found if path.name != ".dockerignore")


def some(root: Path, chance: random.Random) -> Path | None:
    found = files(root)
    return chance.choice(found) if found else None


def same_size_and_time(root: Path, chance: random.Random) -> None:
    """Change a byte in place and put the old times back: only ctime tells."""
    if (path := some(root, chance)) and path.stat().st_size:
        old = path.stat()
        with path.open("r+b") as stream:
            stream.seek(chance.randrange(old.st_size))
            stream.write(bytes([chance.randrange(256)]))
        os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
        assert (path.stat().st_size, path.stat().st_mtime_ns) == (old.st_size, old.st_mtime_ns)


def same_second(root: Path, chance: random.Random) -> None:
    """Change content of the same size within the same second of mtime."""
    if path := some(root, chance):
        old = path.stat()
        path.write_bytes(chance.randbytes(old.st_size))
        os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns // 10**9 * 10**9 + chance.randrange(10**9)))


def swap(root: Path, chance: random.Random) -> None:
    """Let two files take each other's names, with the same times."""
    one, two = some(root, chance), some(root, chance)
    if one and two and one != two:
        for path in (one, two):
            os.utime(path, ns=(5 * 10**9, 5 * 10**9))
        spare = root / "spare"
        one.rename(spare)
        two.rename(one)
        spare.rename(two)


def replaced(root: Path, chance: random.Random) -> None:
    """Put a new file in place of one, of the same size and mtime."""
    if path := some(root, chance):
        old = path.stat()
        path.unlink()
        path.write_bytes(chance.randbytes(old.st_size))
        os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))


def copied_over(root: Path, chance: random.Random) -> None:
    one, two = some(root, chance), some(root, chance)
    if one and two and one != two:
        shutil.copy2(one, root / "spare")
        (root / "spare").replace(two)


def chmod(root: Path, chance: random.Random) -> None:
    if path := some(root, chance):
        path.chmod(chance.choice([0o600, 0o644, 0o664, 0o755, 0o4755]))


def renamed(root: Path, chance: random.Random) -> None:
    if (path := some(root, chance)) and not (target := path.with_name(chance.choice("abcd"))).is_dir():
        path.rename(target)


def to_link(root: Path, chance: random.Random) -> None:
    if path := some(root, chance):
        path.unlink()
        path.symlink_to(chance.choice("abcd"))


def link_to(root: Path, chance: random.Random) -> None:
    """Turn a link to a file of the same content, or give it another target of the same length."""
    links = sorted(path for path in root.rglob("*") if path.is_symlink())
    if links:
        path = chance.choice(links)
        path.unlink()
        path.symlink_to(chance.choice("abcd"))


def to_folder(root: Path, chance: random.Random) -> None:
    if path := some(root, chance):
        path.unlink()
        path.mkdir()
        (path / "a").write_bytes(chance.randbytes(3))


def hard_link(root: Path, chance: random.Random) -> None:
    target = root / chance.choice("abcd")
    if (path := some(root, chance)) and not os.path.lexists(target):
        os.link(path, target)


def deleted(root: Path, chance: random.Random) -> None:
    if path := some(root, chance):
        path.unlink()


def touched(root: Path, chance: random.Random) -> None:
    if path := some(root, chance):
        os.utime(path, ns=(chance.randrange(10**18), chance.randrange(10**18)))


def created(root: Path, chance: random.Random) -> None:
    target = root / chance.choice("abcd")
    if not os.path.lexists(target):
        target.write_bytes(chance.randbytes(chance.choice([0, 1, 5])))


def empty_folder(root: Path, chance: random.Random) -> None:
    target = root / chance.choice("abcd")
    if not os.path.lexists(target):
        target.mkdir(mode=chance.choice([0o755, 0o700]))


def truncated(root: Path, chance: random.Random) -> None:
    if path := some(root, chance):
        path.write_bytes(path.read_bytes()[:-1] + chance.choice([b"", b"x", b"xy"]))


def ignored(root: Path, chance: random.Random) -> None:
    """Change which files are let through."""
    (root / ".dockerignore").write_text(chance.choice(["a\n", "b\n", "*\n!a\n", "sub\n"]))


def nothing(root: Path, chance: random.Random) -> None:
    """Leave everything as it is, so that what is remembered is used."""


EDITS: list[Edit] = [
    *(same_size_and_time, same_size_and_time, same_second, swap, replaced, copied_over, chmod, renamed, to_link),
    *(link_to, to_folder, hard_link, deleted, touched, created, empty_folder, truncated, ignored, nothing),
]


@pytest.mark.parametrize("remembered", [True, False], ids=["remembered", "fresh"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=st.lists(st.tuples(st.sampled_from(EDITS), st.integers(0, 2**32)), min_size=1, max_size=8))
def test_any_edits_give_the_same_fingerprint_with_and_without_memory(
    monkeypatch: pytest.MonkeyPatch, remembered: bool, edits: list[tuple[Edit, int]]
) -> None:
    with tempfile.TemporaryDirectory() as base, monkeypatch.context() as patch:
        root, store = Path(base, "tree"), Path(base, "store")
        (root / "sub").mkdir(parents=True)
        for name in ("a", "b", "sub/a"):
            (root / name).write_bytes(name[-1:].encode() * 5)
        if remembered:
            patch.setattr(filehash, "time", later())
        assert fingerprint(root, store) == fingerprint(root, None)
        for edit, seed in edits:
            if remembered:
                tick(root)
            edit(root, random.Random(seed))
            assert fingerprint(root, store) == fingerprint(root, None), edit.__name__


@pytest.mark.usefixtures("settled")
def test_what_has_not_changed_is_not_read_again(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint(tree, tmp_path / "store")
    read = forbid_reading(monkeypatch)
    assert fingerprint(tree, tmp_path / "store") == before
    assert read == []
    tick(tree)
    (tree / "a").write_bytes(b"FIRST")
    assert fingerprint(tree, tmp_path / "store") != before
    assert read == ["a"]


def test_fresh_files_are_not_remembered(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fingerprint(tree, tmp_path / "store")
    read = forbid_reading(monkeypatch)
    fingerprint(tree, tmp_path / "store")
    assert read == ["a", "sub/b"]


def test_an_old_mtime_makes_no_file_old(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As tar and `cp -p` leave it: only ctime says that the file is new."""
    for path in (tree / "a", tree / "sub/b"):
        os.utime(path, (1, 1))
    fingerprint(tree, tmp_path / "store")
    read = forbid_reading(monkeypatch)
    fingerprint(tree, tmp_path / "store")
    assert read == ["a", "sub/b"]


def test_one_fresh_entry_keeps_the_whole_from_being_vouched_for(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The edit comes within the same tick of the clock as the first reading, so no time tells it."""
    store, edge = tmp_path / "store", SimpleNamespace(now=0)
    monkeypatch.setattr(filehash, "time", SimpleNamespace(time_ns=lambda: edge.now))
    tick(tree)
    (tree / "sub/b").write_bytes(b"fresh")
    edge.now = (tree / "sub/b").stat().st_ctime_ns + filehash.RACY_NS
    fingerprint(tree, store)
    read = forbid_reading(monkeypatch)
    fingerprint(tree, store)
    assert read == ["sub/b"], "the boundary itself is still racy; what was old is remembered"
    edge.now += 1
    fingerprint(tree, store)
    read.clear()
    fingerprint(tree, store)
    assert read == []


def memories(store: Path) -> list[Path]:
    return sorted(store.iterdir())


@pytest.mark.usefixtures("settled")
def test_every_flipped_byte_of_a_memory_is_noticed(tree: Path, tmp_path: Path) -> None:
    store, right = tmp_path / "store", fingerprint(tree, None)
    assert fingerprint(tree, store) == right
    (file,) = memories(store)
    whole = file.read_bytes()
    for at in range(len(whole)):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :])
        assert fingerprint(tree, store) == right, at
    assert file.read_bytes() == whole, "a broken memory is replaced by a good one"


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("keep", [0, 1, 19, 20, 51, 52, 100, -1, -9])
def test_a_cut_memory_changes_nothing(tree: Path, tmp_path: Path, keep: int) -> None:
    store, right = tmp_path / "store", fingerprint(tree, None)
    fingerprint(tree, store)
    (file,) = memories(store)
    file.write_bytes(file.read_bytes()[:keep])
    assert fingerprint(tree, store) == right


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 500, b"buildtasks hashes 3\n" + b"\0" * 64, bytes(range(256)) * 4],
    ids=["empty", "zeros", "head-alone", "other"],
)
def test_foreign_bytes_are_no_memory(tree: Path, tmp_path: Path, content: bytes) -> None:
    store, right = tmp_path / "store", fingerprint(tree, None)
    fingerprint(tree, store)
    (file,) = memories(store)
    file.write_bytes(content)
    assert fingerprint(tree, store) == right


@pytest.mark.usefixtures("settled")
def test_an_older_memory_of_the_same_context_is_dropped(tree: Path, tmp_path: Path) -> None:
    """Right checksum, other version: its body may mean anything."""
    store, right = tmp_path / "store", fingerprint(tree, None)
    fingerprint(tree, store)
    (file,) = memories(store)
    whole = bytearray(file.read_bytes())
    whole[len(filehash.MAGIC) - 2 : len(filehash.MAGIC) - 1] = b"2"
    file.write_bytes(whole)
    assert filehash._read(file) == b""
    assert fingerprint(tree, store) == right


@pytest.mark.usefixtures("settled")
def test_a_folder_in_place_of_a_memory(tree: Path, tmp_path: Path) -> None:
    store, right = tmp_path / "store", fingerprint(tree, None)
    fingerprint(tree, store)
    (file,) = memories(store)
    file.unlink()
    file.mkdir()
    assert fingerprint(tree, store) == right
    assert memories(store) == [file], "the new memory that could not take its place is gone"


def test_no_folder_can_be_made_for_memories(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    right = fingerprint(tree, None)
    for store in (tmp_path / "file", tmp_path / "file/hashes", Path("/proc/nothing/here")):
        assert fingerprint(tree, store) == right


@pytest.mark.parametrize("broken", ["mkstemp", "fdopen", "replace"])
def test_a_memory_that_cannot_be_written(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    store, right = tmp_path / "store", fingerprint(tree, None)

    def fails(*args: object, **named: object) -> None:
        if broken == "fdopen":
            os.close(args[0])  # type: ignore[arg-type]
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(tempfile if broken == "mkstemp" else os, broken, fails)
        assert fingerprint(tree, store) == right
    assert memories(store) == []


def remembered_fingerprints(root: Path, store: Path, times: int) -> set[str]:
    """Hash a tree some times with memory; runs in a process of its own."""
    setattr(filehash, "time", later())  # noqa: B010
    dockerfile = root.with_name("Dockerfile")
    service = Service("app", str(root), str(dockerfile), Repository("localhost:5000", "app"))
    return {of([service], Scope({}, {}, store))["app"].value for _ in range(times)}


def test_processes_that_share_a_store(tree: Path, tmp_path: Path) -> None:
    store, chance = tmp_path / "store", random.Random(4)
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        for _ in range(6):
            right = fingerprint(tree, None)
            found = pool.starmap(remembered_fingerprints, [(tree, store, 10)] * 3)
            assert set().union(*found) == {right}
            tick(tree)
            for edit in (same_size_and_time, swap, created):
                edit(tree, chance)
        pool.close()
        pool.join()
    assert len(memories(store)) == 1, "no half-written file is left"


@pytest.mark.usefixtures("settled")
def test_services_of_one_folder_with_their_own_ignore_files_remember_apart(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    services = []
    for name, line in (("one", "a\n"), ("two", "sub\n")):
        (tmp_path / f"{name}.Dockerfile").write_bytes(b"FROM scratch\nCOPY . /\n")
        (tmp_path / f"{name}.Dockerfile.dockerignore").write_text(line)
        place = str(tmp_path / f"{name}.Dockerfile")
        services.append(Service(name, str(tree), place, Repository("localhost:5000", name)))
    first = of(services, Scope({}, {}, store))
    read = forbid_reading(monkeypatch)
    assert of(services, Scope({}, {}, store)) == first
    assert read == []


@pytest.mark.usefixtures("settled")
def test_the_store_is_bounded(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "store"
    store.mkdir()
    for number in range(3):
        (store / f"old{number}").write_bytes(b"x" * 400)
        os.utime(store / f"old{number}", (1000 + number, 1000 + number))
    monkeypatch.setattr(filehash, "MOST_BYTES", 1200)
    fingerprint(tree, store)
    left = {path.name for path in store.iterdir()}
    assert "old2" in left
    assert "old0" not in left
    assert sum(path.stat().st_size for path in store.iterdir()) <= 1200
    read = forbid_reading(monkeypatch)
    fingerprint(tree, store)
    assert read == []


def vanish(path: Path) -> None:
    path.unlink()


def become_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def become_link(path: Path) -> None:
    path.rename(path.with_name("z"))
    path.symlink_to("z")


def become_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def become_other(path: Path) -> None:
    old = path.stat()
    path.with_name("z").write_bytes(b"x" * old.st_size)
    os.utime(path.with_name("z"), ns=(old.st_atime_ns, old.st_mtime_ns))
    path.with_name("z").replace(path)


def grow(path: Path) -> None:
    with path.open("ab") as stream:
        stream.write(b"more")


def parent_links_elsewhere(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))
    shutil.copytree(path.parent.with_name("elsewhere"), path.parent.with_name("copy"))
    path.parent.symlink_to("copy")


def lose_parent(path: Path) -> None:
    shutil.rmtree(path.parent)


@pytest.mark.parametrize(
    "edit",
    [vanish, become_folder, become_link, become_pipe, become_other, grow, parent_links_elsewhere, lose_parent],
)
def test_a_file_that_is_not_what_the_walk_saw(tree: Path, edit: Callable[[Path], None]) -> None:
    entries = list(walk(tree))
    tick(tree)
    edit(tree / "sub/b")
    with pytest.raises(Changed, match=r"^sub/b$"):
        Memory(tree, None).digests(entries)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE, errno.EIO])
@pytest.mark.parametrize("call", ["open", "read"])
def test_a_file_that_cannot_be_read_is_named(
    tree: Path, monkeypatch: pytest.MonkeyPatch, number: int, call: str
) -> None:
    entries = list(walk(tree))

    def fails(*args: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fails)
        with pytest.raises(ContextError) as caught:
            Memory(tree, None).digests(entries)
    assert str(caught.value) == f"{tree}/a: {os.strerror(number)}"


def test_who_may_not_read_is_told_which_file_cannot_be_read() -> None:
    base = Path(tempfile.mkdtemp(prefix="buildtasks-"))
    try:
        base.chmod(0o755)
        (base / "open").write_bytes(b"x")
        (base / "shut").write_bytes(b"x")
        (base / "shut").chmod(0)
        script = (
            "import os, sys; from pathlib import Path;"
            "from buildtasks.context import walk; from buildtasks.filehash import Memory;"
            f"os.geteuid() or os.setuid(65534); root = Path({str(base)!r});"
            "print(Memory(root, None).digests(list(walk(root))))"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60, cwd=ROOT
        )
        assert f"{base}/shut: Permission denied" in done.stderr
    finally:
        shutil.rmtree(base)


@pytest.mark.parametrize("size", [0, 1, filehash.CHUNK - 1, filehash.CHUNK, filehash.CHUNK + 1, 3 * filehash.CHUNK])
def test_short_reads_give_the_right_hash(tree: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    content = random.Random(size).randbytes(size)
    (tree / "a").write_bytes(content)
    entries, real = [one for one in walk(tree) if one.path == "a"], os.read
    assert Memory(tree, None).digests(entries) == [sha256(content).hexdigest()]
    monkeypatch.setattr(os, "read", lambda handle, count: real(handle, min(count, 99_991)))
    assert Memory(tree, None).digests(entries) == [sha256(content).hexdigest()]


def test_many_files_are_read_in_the_right_order(tmp_path: Path) -> None:
    root = tmp_path / "many"
    root.mkdir()
    for number in range(800):
        (root / f"{number:04}").write_text(str(number))
    found = Memory(root, None).digests(list(walk(root)))
    assert found == [sha256(str(number).encode()).hexdigest() for number in range(len(found))]


def test_a_large_file_is_streamed(tmp_path: Path) -> None:
    root = tmp_path / "large"
    root.mkdir()
    with (root / "hole").open("wb") as stream:
        stream.truncate(400_000_000)
    script = (
        "import resource; from pathlib import Path;"
        "from buildtasks.context import walk; from buildtasks.filehash import Memory;"
        f"root = Path({str(root)!r});"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "Memory(root, None).digests(list(walk(root)));"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60, cwd=ROOT
    )
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * unit < 32 * filehash.CHUNK
