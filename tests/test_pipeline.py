"""The order of work: needs first, a bounded number at once, failures that stay where they are. No engine here."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildtasks.errors import BuildtasksError, CommandFailed
from buildtasks.pipeline import Result, Watched, failure_text, local_references, scheduled
from buildtasks.plan import Action, Step
from buildtasks.reference import Repository
from buildtasks.settings import Service


def step(name: str) -> Step:
    repository = Repository("localhost:5000", name)
    service = Service(name, "/x", "/x/Dockerfile", repository)
    return Step(service, Action.BUILD, "why", "1" * 64, None, (), (), repository.tag("src-111111111111"))


class Site:
    """Work that records who ran when, and fails where it is told to."""

    def __init__(self, needs: Mapping[str, set[str]], failing: frozenset[str] = frozenset(), pause: float = 0) -> None:
        self.needs, self.failing, self.pause = needs, failing, pause
        self.ended: list[str] = []
        self.now = self.most = 0
        self.lock = threading.Lock()

    def work(self, name: str) -> Result:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            assert self.needs[name] <= set(self.ended), f"{name} ran before what it needs"
        time.sleep(self.pause)
        with self.lock:
            self.now -= 1
            self.ended.append(name)
        return Result(step(name), "broken" if name in self.failing else None, None, 1.0, None)

    def run(self, jobs: int) -> dict[str, str | None]:
        results = scheduled(self.needs, self.work, self.skipped, jobs=jobs)
        names = [one.step.service.name for one in results]
        assert names == sorted(self.needs)
        return {one.step.service.name: one.error for one in results}

    def skipped(self, name: str, why: str) -> Result:
        return Result(step(name), why, None, 0.0, None)


def test_nothing_to_do() -> None:
    assert Site({}).run(1) == {}


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_so_many_at_once_and_no_more(jobs: int) -> None:
    site = Site({name: set() for name in "fedcba"}, pause=0.03)
    assert set(site.run(jobs).values()) == {None}
    assert site.most == jobs


def test_a_need_does_not_hold_up_others() -> None:
    """`c` waits for `a` alone, so it is done before the slow `b`."""
    site = Site({"a": set(), "b": set(), "c": {"a"}})

    def work(name: str) -> Result:
        if name == "b":
            deadline = time.monotonic() + 5
            while "c" not in site.ended and time.monotonic() < deadline:
                time.sleep(0.005)
            assert "c" in site.ended
        return site.work(name)

    assert len(scheduled(site.needs, work, site.skipped, jobs=2)) == 3


def test_a_failure_stops_only_what_needs_it() -> None:
    needs = {"a": set[str](), "b": {"a"}, "c": {"b"}, "d": set[str](), "e": {"d"}}
    site = Site(needs, frozenset({"a"}))
    assert site.run(2) == {
        "a": "broken",
        "b": "not tried: it needs a, which failed",
        "c": "not tried: it needs b, which failed",
        "d": None,
        "e": None,
    }
    assert sorted(site.ended) == ["a", "d", "e"]


GRAPHS = st.integers(0, 7).flatmap(
    lambda size: st.tuples(*[st.sets(st.integers(0, max(0, index - 1))) for index in range(size)])
)


@settings(max_examples=60, deadline=None)
@given(GRAPHS, st.sets(st.integers(0, 6)), st.integers(1, 4))
def test_any_graph(graph: tuple[set[int], ...], broken: set[int], jobs: int) -> None:
    needs = {str(index): {str(need) for need in wanted if need < index} for index, wanted in enumerate(graph)}
    site = Site(needs, frozenset(map(str, broken)))
    errors = site.run(jobs)
    assert site.most <= jobs
    for name, error in errors.items():
        reached = not any(errors[need] for need in needs[name])
        assert (name in site.ended) == reached
        assert bool(error) == (not reached or name in site.failing)


@pytest.mark.parametrize("jobs", [1, 3])
def test_an_exception_comes_out(jobs: int) -> None:
    def work(name: str) -> Result:
        if name == "a":
            raise RuntimeError("a bug")
        return Result(step(name), None, None, 0.0, None)

    needs = {"a": set[str](), "b": {"a"}, "c": set[str]()}
    with pytest.raises(RuntimeError, match="a bug"):
        scheduled(needs, work, lambda name, why: Result(step(name), why, None, 0.0, None), jobs=jobs)


def test_a_watched_log_holds_everything_and_tells_steps() -> None:
    log, told = io.StringIO(), list[str]()
    watched = Watched(log, told.append)
    text = "#1 [1/2] FROM a\n#2 [2/2] RUN make\n#2 0.1 [x] output\n#3 exporting to image\n"
    for at in range(0, len(text), 7):
        watched.write(text[at : at + 7])
    watched.flush()
    assert log.getvalue() == text
    assert told == ["[1/2] FROM a", "[2/2] RUN make", "exporting to image"]


def test_a_failure_shows_the_end_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    log.write_text("".join(f"line {number}\n" for number in range(30)), encoding="utf-8")
    told = failure_text(CommandFailed(["docker", "x"], 1, "a\nb"), log).splitlines()
    assert told[0] == "docker x: exit code 1"
    assert told[1:-1] == [f"  line {number}" for number in range(18, 30)]
    assert told[-1].endswith(str(log))
    assert str(tmp_path / "none") in failure_text(BuildtasksError("no"), tmp_path / "none")


def test_local_names() -> None:
    assert [str(one) for one in local_references(step("web"))] == [
        "localhost:5000/web:src-111111111111",
        "localhost:5000/web:latest",
    ]
