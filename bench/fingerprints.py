"""Fingerprints of a monorepo against a bare walk (warm) and against `tar c | sha256sum` (cold, page cache warm).

python bench/fingerprints.py [SERVICES FILES BYTES]        default 20 50000 6000 (300 MB)
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from figures import in_turns, line, peak
from monorepo import make

from buildtasks import fingerprint
from buildtasks.inputs import Scope
from buildtasks.reference import Repository
from buildtasks.settings import Service

BASES = {"busybox:stable": "sha256:0"}


def main() -> None:
    """Print the ratios."""
    count, files, size = (int(text) for text in [*sys.argv[1:], *("20", "50000", "6000")[len(sys.argv) - 1 :]])
    with tempfile.TemporaryDirectory() as name:
        root, store = Path(name) / "project", Path(name) / "store"
        make(root, services=count, files=files, size=size, repository="localhost/bench")
        time.sleep(2.5)  # younger files are read again, since a second write could look the same
        services = list(_services(root))
        walked = bare(root / "services")
        print(f"{count} services, {walked} entries")

        def cold() -> None:
            shutil.rmtree(store, ignore_errors=True)
            fingerprint.of(services, Scope(BASES, {}, store))

        archive = f"tar c -C {root} services | sha256sum"
        line(
            "cold",
            *in_turns(cold, lambda: subprocess.run(archive, shell=True, check=True, capture_output=True), 3),
            "at most 1.3",
        )
        warm = in_turns(lambda: fingerprint.of(services, Scope(BASES, {}, store)), lambda: bare(root / "services"), 9)
        line("warm, against scandir and lstat", *warm, "at most 2")
        print(f"peak memory of this process {peak() / 1e6:.0f} MB")


def bare(folder: Path | str) -> int:
    """Walk a tree and look at each entry, and nothing else."""
    count = 0
    with os.scandir(folder) as found:
        for entry in found:
            os.lstat(entry.path)
            count += 1 + (bare(entry.path) if entry.is_dir(follow_symlinks=False) else 0)
    return count


def _services(root: Path) -> list[Service]:
    folders = sorted((root / "services").iterdir())
    return [Service(one.name, str(one), str(one / "Dockerfile"), Repository("localhost", one.name)) for one in folders]


if __name__ == "__main__":
    main()
