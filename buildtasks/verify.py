"""Run each service's test command inside its built image, before anything is pushed.

`docker run --rm IMAGE COMMAND` (https://docs.docker.com/reference/cli/docker/container/run/); the exit code decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from invoke.context import Context

from buildtasks import shell
from buildtasks.pipeline import Failure
from buildtasks.plan import Step


def argv(step: Step) -> list[str]:
    """Return the command line of a step's test: no entrypoint in between, nothing left behind."""
    first, *rest = step.service.test
    return ["docker", "run", "--rm", "--entrypoint", first, str(step.content), *rest]


def tested(c: Context, steps: Sequence[Step], *, jobs: int) -> tuple[Failure, ...]:
    """Run the tests of all steps that have one, at most `jobs` at once; return those that failed."""
    with ThreadPoolExecutor(jobs) as pool:
        found = pool.map(lambda step: _failure(c, step), [step for step in steps if step.service.test])
        return tuple(failure for failure in found if failure)


def _failure(c: Context, step: Step) -> Failure | None:
    answer = shell.read(c, argv(step))
    if answer.ok:
        return None
    said = "\n".join(f"  {line}" for line in [*answer.stdout.splitlines(), *answer.stderr.splitlines()][-12:])
    return Failure(step.service.name, "test", f"exit code {answer.exited}\n{said}")
