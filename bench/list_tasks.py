"""User CPU of `inv --list` with our namespaces against the same with one empty task (with none, invoke fails).

python bench/list_tasks.py [ROUNDS]        default 20
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from figures import line, run

EMPTY = """\
from invoke import Collection, task

@task
def nothing(c):
    pass

ns = Collection(nothing)
"""
LIST = [sys.executable, "-m", "invoke", "--list"]


def main() -> None:
    """Print the ratio."""
    rounds = int([*sys.argv[1:], "20"][0])
    with tempfile.TemporaryDirectory() as name:
        empty, ours = Path(name) / "empty", Path(name) / "ours"
        for folder, text in ((empty, EMPTY), (ours, "from buildtasks import ns\n")):
            folder.mkdir()
            (folder / "tasks.py").write_text(text)
        pairs = [(run(LIST, ours).user, run(LIST, empty).user) for _ in range(rounds + 1)][1:]
    mean_ours, mean_empty = (sum(side) / rounds for side in zip(*pairs, strict=True))
    line("inv --list, mean user CPU", mean_ours, mean_empty, "at most 1.25")


if __name__ == "__main__":
    main()
