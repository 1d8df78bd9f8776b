"""How fingerprints and plans grow with services and files: times, and the exponent of each series (1 is linear).

python bench/growth.py
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from figures import best
from fingerprints import BASES
from monorepo import make

from buildtasks import fingerprint, plan
from buildtasks.image import Known
from buildtasks.inputs import Scope
from buildtasks.reference import Repository
from buildtasks.revision import Revision
from buildtasks.settings import Service
from buildtasks.tags import Wanted
from buildtasks.version import Version

SERVICES = (1, 10, 100, 1_000)
FILES = (1_000, 10_000, 50_000, 200_000)


def main() -> None:
    """Print both series."""
    show("services, 20 files each", SERVICES, lambda count: _seconds(count, 20 * count))
    show("files in 10 services", FILES, lambda count: _seconds(10, count))


def show(title: str, sizes: tuple[int, ...], seconds: Callable[[int], float]) -> None:
    """Print one series with the exponent between its ends: the slope over the logarithms."""
    times = [seconds(size) for size in sizes]
    for size, took in zip(sizes, times, strict=True):
        print(f"{title:28} {size:8}  {took:8.4f} s  {1e6 * took / size:8.1f} us each")
    slopes = [
        math.log(times[-1] / took) / math.log(sizes[-1] / size)
        for size, took in zip(sizes, times, strict=True)
        if size != sizes[-1]
    ]
    print(f"{title:28} exponent {max(slopes[1:]):.2f}   (wanted: at most 1.1)")


def _seconds(services: int, files: int) -> float:
    with tempfile.TemporaryDirectory() as name:
        root, store = Path(name) / "project", Path(name) / "store"
        make(root, services=services, files=files, size=200, repository="localhost/bench")
        time.sleep(2.5)  # younger files are read again, since a second write could look the same
        folders = sorted((root / "services").iterdir())
        found = [
            Service(one.name, str(one), str(one / "Dockerfile"), Repository("localhost", one.name)) for one in folders
        ]
        return best(lambda: _planned(found, store), 3)


def _planned(services: list[Service], store: Path) -> plan.Plan:
    return plan.make(
        services,
        Wanted(("1.0.0",), ("latest",)),
        version=Version.parse("1.0.0"),
        revision=Revision(),
        fingerprints=fingerprint.of(services, Scope(BASES, {}, store)),
        known={one.name: Known() for one in services},
    )


if __name__ == "__main__":
    main()
