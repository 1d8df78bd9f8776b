"""What tests need that run commands through invoke in this process: a real Context, and peace from its pipes.

invoke leaves the pipes of a finished command to the garbage collector (`Local` in invoke/runners.py never closes them),
which is a ResourceWarning at a time of the collector's choosing, and so an error in a test that has no part in it.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from invoke.config import Config
from invoke.context import Context

LEAVES_PIPES = [
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.usefixtures("collected"),
]


@pytest.fixture(scope="module")
def collected() -> Iterator[None]:
    """Collect garbage when the tests of a module are done, while their filters hold."""
    yield
    gc.collect()


def configuration(root: Path) -> Config:
    """Return the configuration of a folder without that of this machine's user."""
    nowhere = os.fspath(root / "nowhere" / "invoke")
    return Config(project_location=root, system_prefix=nowhere, user_prefix=nowhere)


def context(root: Path, **run: Any) -> Context:
    """Return a Context for a folder; `run` are settings of invoke's `run` section."""
    config = configuration(root)
    config.load_overrides({"run": run})
    return Context(config)
