"""How a test command meets its image, and how builds are scheduled; without an engine."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from invoke.context import Context

from buildtasks import pipeline, verify
from buildtasks.errors import CommandFailed
from buildtasks.pipeline import Result
from buildtasks.plan import Action, Step
from buildtasks.reference import Repository
from buildtasks.settings import Service
from buildtasks.shell import Answer

A = "sha256:" + "a" * 64
REPOSITORY = Repository.parse("example.org/app")


def step(*test: str, name: str = "app") -> Step:
    service = Service(name, "/context", "/context/Dockerfile", Repository.parse(f"example.org/{name}"), test=test)
    content = service.repository.tag("src-ffffffffffff")
    return Step(service, Action.BUILD, "", "f" * 64, None, (), (), content)


def test_the_command_is_the_entrypoint() -> None:
    assert verify.argv(step("sh", "-c", "exit 0")) == [
        *("docker", "run", "--rm", "--entrypoint", "sh"),
        *("example.org/app:src-ffffffffffff", "-c", "exit 0"),
    ]


def test_all_tests_run_and_all_failures_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(c: Context, argv: list[str], **more: object) -> Answer:
        code = int(argv[-1])
        return Answer(code, "\n".join(f"line {n}" for n in range(30)), "the reason\n")

    monkeypatch.setattr("buildtasks.shell.read", read)
    steps = [step("exit", "0", name="fine"), step(name="none"), step("exit", "3", name="bad"), step("exit", "9")]
    failed = verify.tested(Context(), steps, jobs=2)
    assert [(one.service, one.step) for one in failed] == [("bad", "test"), ("app", "test")]
    first, *tail = failed[0].error.splitlines()
    assert (first, tail[-1], len(tail)) == ("exit code 3", "  the reason", 12)
    assert verify.tested(Context(), [], jobs=1) == ()


def result(name: str, error: str | None = None) -> Result:
    return Result(step(name=name), error, None, 0.0, None)


def test_needs_come_first_and_jobs_are_bounded() -> None:
    needs = {"d": ["b", "c"], "b": ["a"], "c": ["a"], "a": [], "e": [], "f": []}
    lock, at_once, most, order = threading.Lock(), 0, 0, list[str]()

    def work(name: str) -> Result:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.02)
        with lock:
            at_once -= 1
            order.append(name)
        return result(name)

    found = pipeline.scheduled(needs, work, result, jobs=2)
    assert [one.step.service.name for one in found] == ["a", "b", "c", "d", "e", "f"]
    assert most == 2
    for name, wanted in needs.items():
        assert all(order.index(need) < order.index(name) for need in wanted)


def test_only_what_needs_a_failed_one_is_not_tried() -> None:
    needs = {"top": ["middle"], "middle": ["bad"], "bad": [], "fine": [], "on-fine": ["fine"]}
    tried: list[str] = []

    def work(name: str) -> Result:
        tried.append(name)
        return result(name, "broken" if name == "bad" else None)

    found = {one.step.service.name: one.error for one in pipeline.scheduled(needs, work, result, jobs=1)}
    assert sorted(tried) == ["bad", "fine", "on-fine"]
    assert found == {
        "bad": "broken",
        "fine": None,
        "middle": "not tried: it needs bad, which failed",
        "on-fine": None,
        "top": "not tried: it needs middle, which failed",
    }


def test_nothing_to_schedule() -> None:
    assert pipeline.scheduled({}, result, result, jobs=3) == ()


def test_contexts_pin_the_bases(tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    lines = ["FROM busybox:1 AS site", "FROM nginx", f"FROM other@{A}", "FROM local", "FROM linked"]
    file.write_text("\n".join([*lines, "COPY --from=site / /"]))
    service = Service(
        name="app",
        context=str(tmp_path),
        dockerfile=str(file),
        repository=REPOSITORY,
        needs=("nginx",),
        contexts={"linked": "docker-image://example.org/x:1", "folder": "/some/where"},
    )
    bases = {"busybox:1": A, "example.org/x:1": A, f"other@{A}": A, "local": "", "nginx": A}
    found = pipeline.contexts(service, bases, {"nginx": REPOSITORY.tag("src-1"), "unused": REPOSITORY.tag("src-2")})
    found.pop("example.org/x:1")
    assert found == {
        "busybox:1": f"docker-image://docker.io/library/busybox@{A}",
        "folder": "/some/where",
        "linked": f"docker-image://example.org/x@{A}",
        "nginx": "docker-image://example.org/app:src-1",
    }
    assert pipeline.contexts(replace(service, contexts={}), {"busybox:1": "by name"}, {"nginx": REPOSITORY.at(A)}) == {
        "nginx": f"docker-image://example.org/app@{A}"
    }


def test_steps_are_told_from_whole_lines(tmp_path: Path) -> None:
    told: list[str] = []
    with (tmp_path / "log").open("w") as file:
        stream = pipeline.Watched(file, told.append)
        for text in ("#5 [2/4] RUN", " make\n#6 0.1 noise", "\n", "#7 [3/4] COPY a b"):
            stream.write(text)
        stream.flush()
    assert told == ["[2/4] RUN make"]
    assert (tmp_path / "log").read_text() == "#5 [2/4] RUN make\n#6 0.1 noise\n#7 [3/4] COPY a b"


def test_a_failure_has_a_short_head_and_the_end_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("".join(f"line {n}\n" for n in range(40)))
    error = CommandFailed(["docker", "buildx", "build", *["--label=long"] * 50], 17, "noise")
    lines = pipeline.failure_text(error, log).splitlines()
    assert (lines[0], lines[1], lines[-2], lines[-1]) == (
        *("docker buildx build: exit code 17", "  line 28", "  line 39"),
        f"  whole log: {log}",
    )
    assert pipeline.failure_text(OSError("disk full"), tmp_path / "none").splitlines()[0] == "disk full"
