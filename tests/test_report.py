"""Reports: the JSON as the design writes it down, tables that line up, sizes, and files."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildtasks.errors import ConfigError
from buildtasks.pipeline import Failure, Result
from buildtasks.plan import Action, Move, Plan, Step
from buildtasks.publish import Change
from buildtasks.reference import Repository
from buildtasks.report import (
    Report,
    check_writable,
    document,
    made,
    plan_json,
    plan_table,
    report_table,
    revision_json,
    short,
    size,
    table,
    write,
)
from buildtasks.revision import Revision
from buildtasks.settings import Service
from buildtasks.version import Version

NEW, OLD = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
REVISION = Revision("c" * 40, "main", ("1.0.0", "v1"), True, "2026-01-02T03:04:05Z", "https://github.com/a/b")


def step(name: str, action: Action, digest: str | None = None) -> Step:
    repository = Repository("localhost:5000", name)
    service = Service(name, "/x", "/x/Dockerfile", repository, platforms=("linux/amd64", "linux/arm64"))
    tags = (repository.tag("1.0.0"),), (Move(repository.tag("latest"), OLD),)
    return Step(service, action, "why", "1" * 64, digest, *tags, repository.tag("src-111111111111"))


API, WEB = step("api", Action.BUILD), step("web", Action.REUSE, NEW)
PLAN = Plan(Version.parse("1.0.0"), REVISION, (API, WEB), ("latest moves",))
TOLD_REVISION = {"commit": "c" * 40, "branch": "main", "tag": "1.0.0", "dirty": True}


def test_a_plan_as_json() -> None:
    told = plan_json(PLAN)
    assert told == {
        "version": "1.0.0",
        "revision": TOLD_REVISION,
        "steps": [
            {
                "service": name,
                "repository": f"localhost:5000/{name}",
                "action": action,
                "reason": "why",
                "fingerprint": "1" * 64,
                "digest": digest,
                "permanent": [f"localhost:5000/{name}:1.0.0"],
                "moving": [f"localhost:5000/{name}:latest"],
            }
            for name, action, digest in (("api", "build", None), ("web", "reuse", NEW))
        ],
    }
    assert json.loads(document(told)) == told
    assert list(told) == ["version", "revision", "steps"]


def done() -> Report:
    changes = [
        Change("api", API.permanent[0], None, OLD, False),
        Change("web", WEB.moving[0].reference, OLD, NEW, True),
    ]
    return made(PLAN, [Result(API, None, NEW, 1.23456, None)], digests={"api": OLD, "web": NEW}, changes=changes)


def test_a_published_report_as_json() -> None:
    told = done().as_json()
    assert told == {
        "version": "1.0.0",
        "revision": TOLD_REVISION,
        "images": [
            {
                "service": "api",
                "repository": "localhost:5000/api",
                "action": "build",
                "digest": OLD,
                "platforms": ["linux/amd64", "linux/arm64"],
                "tags": ["1.0.0", "latest"],
                "moved": [{"tag": "1.0.0", "from": None, "to": OLD}],
                "seconds": 1.235,
            },
            {
                "service": "web",
                "repository": "localhost:5000/web",
                "action": "reuse",
                "digest": NEW,
                "platforms": ["linux/amd64", "linux/arm64"],
                "tags": ["1.0.0", "latest"],
                "moved": [{"tag": "latest", "from": OLD, "to": NEW}],
                "seconds": 0.0,
            },
        ],
        "failed": [],
    }
    assert json.loads(document(told)) == told


def test_a_failed_report_names_no_tag() -> None:
    failed = [Failure("api", "build", "exit code 1\n  grün")]
    report = made(replace(PLAN, version=None), [Result(API, "x", None, 2.0, None)], failed=failed)
    told = report.as_json()
    assert told["version"] is None
    assert told["failed"] == [{"service": "api", "step": "build", "error": "exit code 1\n  grün"}]
    assert [image["tags"] for image in told["images"]] == [[], []]
    assert [image["digest"] for image in told["images"]] == [None, NEW]
    assert "grün" in document(told)


def test_nothing_known_of_a_revision_is_null() -> None:
    assert revision_json(Revision()) == {"commit": None, "branch": None, "tag": None, "dirty": False}


def test_what_to_pull() -> None:
    api, web = done().images
    assert web.reference == f"localhost:5000/web@{NEW}"
    assert replace(api, digest=None).reference == "localhost:5000/api:1.0.0"
    assert replace(api, digest=None, tags=()).reference == "localhost:5000/api"


def test_a_plan_as_a_table() -> None:
    assert plan_table(PLAN) == (
        "service  action  reason  tags\n"
        "api      build   why     1.0.0, latest (bbbbbbbbbbbb -> to be built)\n"
        "web      reuse   why     1.0.0, latest (bbbbbbbbbbbb -> aaaaaaaaaaaa)\n"
        "latest moves"
    )
    bare = replace(API, permanent=(), moving=(Move(API.moving[0].reference, None),))
    assert plan_table(replace(PLAN, steps=(bare,))).splitlines()[1].endswith("  latest (new -> to be built)")
    assert plan_table(replace(PLAN, steps=(replace(bare, moving=()),))).splitlines()[1].endswith("  -")


def test_a_report_as_a_table() -> None:
    lines = report_table(done()).splitlines()
    assert lines[0].split() == ["service", "action", "tags", "digest", "seconds"]
    assert lines[1].split() == ["api", "build", "1.0.0,", "latest", OLD, "1.2"]
    assert lines[-1] == "latest moves"


CELLS = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=9)


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=5))
def test_columns_line_up(rows: list[tuple[str, str, str]]) -> None:
    lines = table(("a", "bb", "c"), rows).split("\n")
    assert len(lines) == len(rows) + 1
    starts = [lines[0].index("bb"), lines[0].rindex("c")]
    for row, line in zip(rows, lines[1:], strict=True):
        assert [line[: starts[0] - 2].rstrip(), line[starts[0] : starts[1] - 2].rstrip(), line[starts[1] :]] == [*row]
    assert all(line == line.rstrip() for line in lines)


@pytest.mark.parametrize(
    "count, told",
    [
        (0, "0 B"),
        (1, "1 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1049, "1.0 kB"),
        (1051, "1.1 kB"),
        (999_949, "999.9 kB"),
        (999_960, "1.0 MB"),
        (1_000_000, "1.0 MB"),
        (1_500_000_000, "1.5 GB"),
        (999_990_000_000, "1.0 TB"),
        (12_345_000_000_000, "12.3 TB"),
        (1_234_000_000_000_000, "1234.0 TB"),
    ],
)
def test_sizes(count: int, told: str) -> None:
    assert size(count) == told


@given(st.integers(0, 10**15 - 10**12))
def test_sizes_have_at_most_three_digits_before_the_point(count: int) -> None:
    assert re.fullmatch(r"\d{1,3} B|\d{1,3}\.\d (kB|MB|GB|TB)", size(count))


def test_short_digests() -> None:
    assert (short(NEW), short(None)) == ("a" * 12, "to be built")


def test_a_report_file(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    check_writable(file)
    assert not file.exists()
    write(done(), file)
    text = file.read_text(encoding="utf-8")
    assert json.loads(text) == done().as_json()
    assert text.endswith("}\n")
    check_writable(file)
    assert file.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("name", ["", "gone/report.json", "tasks.py/report.json"])
def test_a_file_that_cannot_be_written_is_said_first(tmp_path: Path, name: str) -> None:
    (tmp_path / "tasks.py").touch()
    path = tmp_path / name
    with pytest.raises(ConfigError, match=rf"^--report {re.escape(os.fspath(path))}: "):
        check_writable(path)
