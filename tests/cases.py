"""Tables of other projects' tests, in ../shared/cases beside the repository; read where they are at hand.

A clone elsewhere does not have them: there a test over a table says so and passes, and in CI (environment
variable CI) it fails. `pytest_terminal_summary` is for conftest.py: it tells the absence when a run ends.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Case = dict[str, Any]

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "cases"


def load(name: str) -> list[Case]:
    """Return the cases of one table, such as `reference_distribution`; none where the tables are not at hand.

    In CI their absence fails the test.
    """
    if not FOLDER.is_dir():
        if os.environ.get("CI", "").lower() not in ("", "0", "false"):
            pytest.fail(f"{name}: {absence()}", pytrace=False)
        print(f"{name}: {absence()}")
        return []
    table = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    cases: list[Case] = table["cases"]
    assert len(cases) == table["count"] > 0, f"{name}: {len(cases)} cases, but {table['count']} announced"
    return cases


def check(name: str, answer: Callable[[Case], object], expected: Callable[[Case], object]) -> None:
    """Compare `answer` with `expected` for every case of a table; the failure lists every difference."""
    cases = load(name)
    wrong = [
        f"{case['id']} {case['input']!r}: {got!r}, not {want!r}"
        for case in cases
        if (got := answer(case)) != (want := expected(case))
    ]
    print(f"{name}: {len(cases)} cases, {len(wrong)} differ")
    assert not wrong, "\n".join([f"{name}: {len(wrong)} of {len(cases)} differ", *wrong])


def absence() -> str:
    """Say that the tables are not at hand."""
    return f"shared tables not at hand, their cases did not run: no folder {FOLDER}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end of a test run that the tables are not at hand."""
    if not FOLDER.is_dir():
        terminalreporter.write_line(absence(), yellow=True)
