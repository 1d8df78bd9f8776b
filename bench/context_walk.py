"""Compare listing a build context with os.walk and docker-py: seconds, and times os.walk.

    python bench/context_walk.py [FILES] [FOLDERS]      default 50000 files in 3000 folders

Each line is the best of five. `paths` lists, `walk` also looks at each entry. docker-py is the matcher of the
package `docker`, which many tools use; its answer for the same folder and patterns is not always the same.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from docker.utils.build import exclude_paths

from buildtasks.context import paths, walk

FEW = ["**/*.pyc", "node_modules", "dist/"]
MANY = [
    *("**/.git", "**/.gitignore", "**/.venv", "**/__pycache__", "**/*.pyc", "**/*.pyo", "**/.DS_Store"),
    *("**/node_modules", "**/npm-debug.log", "**/*.log", "**/*.tmp", "**/.env*", "**/secrets.*.yaml"),
    *("**/bin", "**/obj", "**/.vscode", "**/.idea", "**/*.swp", "**/*~", "**/[Dd]ebug", "**/?cache"),
    *("docs/**", "dist", "build", "coverage", "*.md", "LICENSE", "docker-compose*", "**/Dockerfile*"),
    *("folder1*/sub?/*.bin", "folder2/**/*.bin", "**/folder3*/*.txt", "**/charts/*/values.yaml"),
    *("!README.md", "!folder2/sub1", "!**/keep.bin", "folder9*/sub[1-3]", "!folder9*/sub2/*.py", "**/*.orig"),
    "**/test-results",
]
ENDINGS = ("py", "txt", "bin", "pyc", "json", "md", "log", "ts")


def main() -> None:
    """Print the table."""
    files, folders = (int(text) for text in [*sys.argv[1:], "50000", "3000"][:2])
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        grow(root, files, folders)
        base = best(lambda: sum(len(found) for _, _, found in os.walk(root)))
        print(f"{files} files in {folders} folders\n{'os.walk':32} {base:7.3f} s")
        show("os.walk and os.lstat of each", best(lambda: looked_at(root)), base)
        for patterns in ([], FEW, MANY):
            title = f"{len(patterns)} patterns"
            (root / ".dockerignore").write_text("\n".join(patterns))
            show(f"paths, {title}", best(lambda: sum(1 for _ in paths(root))), base)
            show(f"walk, {title}", best(lambda: sum(1 for _ in walk(root))), base)
            show(f"docker-py, {title}", best(partial(kept_by_docker_py, name, patterns), 1), base)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory, docker-py's too: {peak:.0f} MB")


def grow(root: Path, files: int, folders: int) -> None:
    """Make `folders` folders, three deep, that hold `files` empty files."""
    places = []
    for number in range(folders):
        place = root / f"folder{number % 100}" / f"sub{number // 100 % 5}" / f"leaf{number}"
        places.append([place.parent.parent, place.parent, place][number % 3])
        place.mkdir(parents=True)
    for number in range(files):
        (places[number % folders] / f"file-{number}.{ENDINGS[number % 8]}").touch()


def best(action: Callable[[], int], times: int = 5) -> float:
    """Give the shortest of some runs, in seconds."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def looked_at(root: Path) -> int:
    """Walk a tree and look at each entry: the least that anything does which knows modes and sizes."""
    count = 0
    for place, folders, files in os.walk(root):
        for name in [*folders, *files]:
            os.lstat(f"{place}/{name}")
            count += 1
    return count


def kept_by_docker_py(root: str, patterns: list[str]) -> int:
    """Count what docker-py sends."""
    return len(exclude_paths(root, patterns))


def show(title: str, seconds: float, base: float) -> None:
    """Print one line of the table."""
    print(f"{title:32} {seconds:7.3f} s {seconds / base:7.1f} x os.walk")


if __name__ == "__main__":
    main()
