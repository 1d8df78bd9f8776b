"""Make a monorepo to measure with: services of small text files in folders, with a Dockerfile and a .dockerignore each.

The content is pseudo-random with a fixed seed, so every run measures the same tree.
"""

from __future__ import annotations

import random
from pathlib import Path

WORDS = [
    "image",
    "layer",
    "tag",
    "digest",
    "manifest",
    "build",
    "cache",
    "push",
    "release",
    "registry",
    "context",
    "plan",
]
IGNORE = "*.log\n**/__pycache__\nnode_modules\n"
DOCKERFILE = "FROM busybox:stable\nCOPY . /app\n"


def make(root: Path, *, services: int, files: int, size: int, repository: str) -> None:
    """Write a project of `services` services with `files` files of about `size` bytes each in all."""
    source = random.Random(1)
    root.mkdir(parents=True, exist_ok=True)
    (root / "tasks.py").write_text("from buildtasks import ns\n")
    (root / "VERSION").write_text("1.0.0\n")
    (root / "invoke.yaml").write_text(
        f"buildtasks:\n  repository: {repository}/{{service}}\n  platforms: linux/amd64\n  state: .state\n"
    )
    block = " ".join(source.choice(WORDS) for _ in range(20_000))
    for number in range(services):
        _service(root / "services" / f"s{number:04}", files // services, size, block, source)


def _service(folder: Path, files: int, size: int, block: str, source: random.Random) -> None:
    folder.mkdir(parents=True)
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / ".dockerignore").write_text(IGNORE)
    for number in range(files):
        below = folder / f"d{number // 50 % 10}" / f"e{number // 500}"
        if number % 50 == 0:
            below.mkdir(parents=True, exist_ok=True)
        start = source.randrange(len(block) - size) if size < len(block) else 0
        (below / f"f{number:05}.txt").write_text(f"{folder.name} {number}\n" + block[start : start + size])
