"""Why a context is large: its weight by file and by folder, and the .dockerignore lines that would help. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from buildtasks.context.walk import Entry

# What builds and tools leave behind and an image hardly ever needs; folders and files by their names.
LEFTOVERS = (
    *(".git", ".hg", ".svn", ".idea", ".vscode", ".DS_Store", ".terraform", ".cache"),
    *("node_modules", "bower_components", ".next", ".nuxt", ".gradle", "target"),
    *("__pycache__", ".venv", "venv", ".tox", ".nox", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis"),
    *("coverage", "htmlcov", ".coverage"),
)


@dataclass(frozen=True, slots=True)
class Weight:
    """A file, a folder or an ignore line, with the number of files and the bytes that it stands for."""

    name: str
    files: int
    bytes: int


def heaviest_files(entries: Iterable[Entry], most: int) -> tuple[Weight, ...]:
    """Return the largest files, largest first."""
    files = sorted((one for one in entries if one.kind == "file"), key=lambda one: (-one.size, one.path))
    return tuple(Weight(one.path, 1, one.size) for one in files[:most])


def heaviest_folders(entries: Iterable[Entry], most: int) -> tuple[Weight, ...]:
    """Return the folders with the most bytes below them, largest first; a folder counts for all above it too."""
    sums: dict[str, list[int]] = {}
    for one in entries:
        folder = one.path
        while one.kind == "file" and "/" in folder:
            folder = folder.rpartition("/")[0]
            total = sums.setdefault(folder, [0, 0])
            total[0] += 1
            total[1] += one.size
    return _sorted(sums)[:most]


def advice(entries: Iterable[Entry]) -> tuple[Weight, ...]:
    """Return ignore lines for what tools leave behind, with what each would save, largest first."""
    sums: dict[str, list[int]] = {}
    for one in entries:
        found = next((name for name in one.path.split("/") if name in LEFTOVERS), None)
        if found and one.kind == "file":
            total = sums.setdefault(f"**/{found}", [0, 0])
            total[0] += 1
            total[1] += one.size
    return _sorted(sums)


def _sorted(sums: dict[str, list[int]]) -> tuple[Weight, ...]:
    weights = [Weight(name, files, size) for name, (files, size) in sums.items()]
    return tuple(sorted(weights, key=lambda one: (-one.bytes, one.name)))


def total(entries: Sequence[Entry]) -> Weight:
    """Return what is sent in all."""
    files = [one for one in entries if one.kind == "file"]
    return Weight(".", len(files), sum(one.size for one in files))
