"""The tasks `sandbox.up`, `sandbox.down` and `sandbox.status`."""

from __future__ import annotations

import shlex
from functools import partial

import invoke.tasks
from invoke.collection import Collection
from invoke.context import Context

import sandbox
from sandbox.lifecycle import Status

task = partial(invoke.tasks.task, auto_shortflags=False)


@task()
def up(c: Context) -> None:
    """Start an engine and a registry; print their variables.

    A Docker with buildx that works is used as it is. `eval "$(./inv sandbox.up)"` sets the variables in a shell.
    """
    for line in exports(sandbox.up()):
        print(line)


@task(help={"clean": "Also remove the images, the build cache and the registry's data."})
def down(c: Context, *, clean: bool = False) -> None:
    """Stop what `sandbox.up` started here; packages stay."""
    stopped = sandbox.down(clean=clean)
    for place in stopped:
        print(f"stopped {place.home}")
    if not stopped:
        print("no sandbox was running")


@task()
def status(c: Context) -> None:
    """Tell what runs, and where the logs are."""
    found = sandbox.status()
    for one in found:
        print("\n".join(lines(one)))
    if not found:
        print("no sandbox was started here: inv sandbox.up")


def exports(running: sandbox.Sandbox) -> list[str]:
    """Write the variables of a sandbox as lines for a shell; PATH grows in front of what it is there."""
    values = running.environ({})
    values.pop("PATH")
    written = [f"export {name}={shlex.quote(value)}" for name, value in values.items()]
    return [*written, f'export PATH={shlex.quote(running.path)}:"$PATH"']


def lines(one: Status) -> list[str]:
    """Describe one sandbox: its engine, its registry, its base image and its logs."""
    known = one.sandbox
    name = "the machine's own Docker" if known and not known.private else f"{one.place.suite}, {one.place.store} store"
    host, serving = (known.docker_host, known.registry) if known else ("", "")
    return [
        name,
        f"  engine    {one.engine} {host}".rstrip(),
        f"  registry  {one.registry} {serving}".rstrip(),
        *([f"  base      busybox:stable, {known.base}"] if known else []),
        f"  logs      {one.place.home}/*.log",
    ]


ns = Collection("sandbox", up, down, status)
