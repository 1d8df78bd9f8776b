"""Carry out the builds of a Plan: in `needs` order, a bounded number at once, one log and one result per service.

One failure does not cancel the others; only services that need the failed one are not tried. Base images are built
from by the digests that the fingerprints hold: left to itself, BuildKit takes an older one that the engine has.
"""

from __future__ import annotations

import shlex
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TextIO, TypeVar

from invoke.context import Context

from buildtasks import buildx, inputs, labels, shell
from buildtasks.errors import BuildtasksError, CommandFailed, ConfigError
from buildtasks.plan import Action, Plan, Step
from buildtasks.progress import Progress
from buildtasks.reference import Reference, is_digest
from buildtasks.revision import Revision
from buildtasks.settings import Project, Service

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Options:
    """How to build: flags of one run, and the digests of base images as written that the fingerprints hold."""

    jobs: int
    pull: bool = False
    no_cache: bool = False
    bases: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one step: an error or none, the digest where the image store knows it, seconds, the log file."""

    step: Step
    error: str | None
    digest: str | None
    seconds: float
    log: Path | None


@dataclass(frozen=True, slots=True)
class Failure:
    """One service that failed, in which step, and why."""

    service: str
    step: str
    error: str


def build(c: Context, plan: Plan, project: Project, options: Options, progress: Progress) -> tuple[Result, ...]:
    """Build every step of the plan that needs it and load the images into the engine."""
    steps = {step.service.name: step for step in plan.to_build()}
    folder = logs_folder(project)
    sources = {step.service.name: step.source for step in plan.steps}

    def one(name: str) -> Result:
        return _build_one(c, steps[name], plan.revision, project, options, sources, folder, progress)

    needs = {name: set(step.service.needs) & set(steps) for name, step in steps.items()}
    return scheduled(needs, one, lambda name, why: Result(steps[name], why, None, 0.0, None), jobs=options.jobs)


def scheduled(
    needs: Mapping[str, Iterable[str]],
    work: Callable[[str], Result],
    skipped: Callable[[str, str], Result],
    *,
    jobs: int,
) -> tuple[Result, ...]:
    """Run `work` for each name, needed names first, at most `jobs` at once; results in order of the names.

    `skipped` makes the result of a name whose need failed, from the name and the reason.
    """
    order = TopologicalSorter(needs)
    order.prepare()
    done: dict[str, Result] = {}
    with ThreadPoolExecutor(jobs) as pool:
        running: dict[Future[Result], str] = {}
        try:
            while order.is_active():
                for name in order.get_ready():
                    broken = [need for need in needs[name] if done[need].error]
                    if broken:
                        done[name] = skipped(name, f"not tried: it needs {broken[0]}, which failed")
                        order.done(name)
                    else:
                        running[pool.submit(work, name)] = name
                for future in wait(running, return_when=FIRST_COMPLETED).done if running else ():
                    name = running.pop(future)
                    done[name] = future.result()
                    order.done(name)
        except BaseException:
            # Ctrl-C or a bug: what waits in the queue must not start any more.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return tuple(done[name] for name in sorted(done))


def logs_folder(project: Project) -> Path:
    """Make the folder for the logs of this run, `logs/<UTC time>` under the project's state folder.

    Raises:
        ConfigError: it cannot be made.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    try:
        parent = project.state / "logs"
        parent.mkdir(parents=True, exist_ok=True)
        (project.state / ".gitignore").write_text("*\n", encoding="utf-8")
        return Path(tempfile.mkdtemp(prefix=f"{stamp}-", dir=parent))
    except OSError as error:
        raise ConfigError(f"{project.state}: {error.strerror}: logs and journals go there") from error


def _build_one(
    c: Context,
    step: Step,
    revision: Revision,
    project: Project,
    options: Options,
    sources: Mapping[str, Reference],
    folder: Path,
    progress: Progress,
) -> Result:
    service, since, log = step.service, time.monotonic(), folder / f"{step.service.name}.log"
    wanted = buildx.Build(
        service=service,
        references=local_references(step),
        metadata=folder / f"{service.name}.json",
        args=service.args,
        labels=labels.of(service, revision, step.fingerprint),
        contexts=contexts(service, options.bases, sources),
        builder=project.builder,
        # With --pull, BuildKit asks the registry for every image, also for the need that was just built here.
        pull=options.pull and not service.needs,
        no_cache=options.no_cache,
    )
    progress.started(service.name)
    digest, error = None, None
    try:
        with log.open("w", encoding="utf-8", errors="replace") as stream:
            watched = Watched(stream, lambda line: progress.step(service.name, line))
            digest = buildx.build(c, wanted, root=project.root, log=watched).digest
    except (BuildtasksError, OSError, ValueError) as failure:
        error = failure_text(failure, log)
    progress.ended(service.name, "failed" if error else "built")
    return Result(step, error, digest, time.monotonic() - since, log)


def contexts(service: Service, bases: Mapping[str, str], sources: Mapping[str, Reference]) -> dict[str, str]:
    """Return the named contexts of a build: the service's own, its needs, and its base images by their digests.

    `bases` maps images as written to their digests, or to other words where none is known; `sources` services to
    where their images are.
    """
    pinned = {image: _pinned(image, bases.get(image, "")) for image in inputs.base_images(service).images}
    own = {name: pinned.get(text.removeprefix(inputs.IMAGE)) or text for name, text in service.contexts.items()}
    needs = {name: f"{inputs.IMAGE}{sources[name]}" for name in service.needs}
    return {**{image: context for image, context in pinned.items() if context}, **own, **needs}


def _pinned(image: str, digest: str) -> str:
    """Return an image by digest as a context; nothing where none is known or where it is written already."""
    if not is_digest(digest) or Reference.parse(image).digest:
        return ""
    return f"{inputs.IMAGE}{Reference.parse(image).repository.at(digest)}"


def pull(c: Context, plan: Plan, *, jobs: int) -> tuple[Failure, ...]:
    """Bring in the images that a plan does not build and name them as a build would; return those that failed.

    An image that is in the engine may have lost `latest` to a build in between.
    """
    steps = [step for step in plan.steps if step.action is not Action.BUILD]
    with ThreadPoolExecutor(jobs) as pool:
        return tuple(failure for failure in pool.map(lambda step: _pull(c, step), steps) if failure)


def _pull(c: Context, step: Step) -> Failure | None:
    try:
        if step.action is Action.REUSE:
            shell.run(c, ["docker", "pull", "--quiet", str(step.source)], log=shell.NOWHERE)
        for reference in local_references(step):
            if reference != step.source:
                shell.run(c, ["docker", "tag", str(step.source), str(reference)], log=shell.NOWHERE)
    except CommandFailed as error:
        return Failure(step.service.name, "pull", str(error))
    return None


def local_references(step: Step) -> tuple[Reference, Reference]:
    """Return the names that an image has in the engine: its content tag, and `latest` for compose files."""
    return step.content, step.service.repository.tag("latest")


class Watched:
    """A stream that writes a log and tells each build step that passes by."""

    def __init__(self, log: TextIO, tell: Callable[[str], None]) -> None:
        self._log, self._tell, self._rest = log, tell, ""

    def write(self, text: str, /) -> None:
        """Write to the log; whole lines are looked at for steps."""
        self._log.write(text)
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            step = buildx.current_step(line)
            if step:
                self._tell(step)

    def flush(self) -> None:
        """Flush the log."""
        self._log.flush()


def failure_text(error: Exception, log: Path, lines: int = 12) -> str:
    """Return what failed, the last lines of the log and the path of the whole, which starts with the command."""
    first = str(error).partition("\n")[0]
    if isinstance(error, CommandFailed):
        first = f"{shlex.join(error.argv[:3])}: exit code {error.exited}"
    tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:] if log.exists() else []
    return "\n".join([first, *(f"  {line}" for line in tail), f"  whole log: {log}"])
