"""Bring the sandbox up, tell how it is, take it down.

In: a place. Out: a `Sandbox`. A Docker that works is used as it is; else the machine gets a private one. The
order is registry, engine, base image, since the engine knows the registry as a mirror and the base image goes
into both.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from sandbox import base, client, engine, machine, packages, registry, state
from sandbox import place as places
from sandbox.machine import Machine
from sandbox.messages import SandboxError, say
from sandbox.place import Place
from sandbox.state import Sandbox

NOTHING = (
    "no Docker here: `docker buildx version` and `docker version` must both answer. "
    "Install Docker Engine with its buildx plugin and start it, or use Debian or Ubuntu as root, "
    "where the sandbox gets an engine by itself"
)


def up(wanted: Place | None = None) -> Sandbox:
    """Return a sandbox that runs; start what is missing.

    Calling it again, or from many processes, is harmless.

    Raises:
        SandboxError: this machine has no Docker and cannot get one, or a daemon did not start.
    """
    chosen = wanted or places.choose()
    own = places.system(chosen.packages.parent)
    for candidate in [chosen] if chosen.forced else [own, chosen]:
        if running := _running(candidate):
            return running
    place = chosen if chosen.forced or not client.usable() else own
    with state.locked(place.home):
        return _running(place) or _start(place)


def _running(place: Place) -> Sandbox | None:
    """Return the sandbox when all of it answers: one request and one call of the client."""
    known = state.load(place.home)
    daemons = [registry.daemon(place.home), *([engine.daemon(place)] if place.private else [])]
    if known is None or not all(daemon.pid() for daemon in daemons):
        return None
    return known if base.present(known) else None


def _start(place: Place) -> Sandbox:
    host = machine.read()
    if place.private and (host is None or os.geteuid() != 0):
        raise SandboxError(NOTHING)
    if host is not None:
        _fetch(place, host)
    serving = registry.start(place.home, registry.program(place.packages / packages.REGISTRY.name))
    sandbox = _private(place, host, serving) if place.private and host else client.shared(place, serving)
    sandbox = replace(sandbox, base=base.ensure(place, sandbox, host))
    state.save(place.home, sandbox)
    return sandbox


def _fetch(place: Place, host: Machine) -> None:
    parcels = [packages.REGISTRY, *packages.busyboxes(host)]
    if place.private:
        parcels.append(packages.engine(host, place.suite))
    with state.locked(place.packages):
        packages.fetch(place.packages, host, place.suite, parcels)


def _private(place: Place, host: Machine, serving: str) -> Sandbox:
    """Start the private engine, with a client configuration that is not the user's."""
    root = _root(place, host)
    config = client.configure(place, root / "usr/libexec/docker/cli-plugins/docker-buildx")
    if warning := engine.start(place, root, serving):
        say(warning)
    return Sandbox(
        docker_host=f"unix://{place.socket}",
        docker_config=str(config),
        docker=str(root / "usr/bin/docker"),
        registry=serving,
        private=True,
        suite=place.suite,
        store=place.store,
    )


def _root(place: Place, host: Machine | None) -> Path:
    return place.packages / (packages.engine(host, place.suite).name if host else f"engine-{place.suite}")


@dataclass(frozen=True, slots=True)
class Status:
    """One sandbox as it is now."""

    place: Place
    sandbox: Sandbox | None
    engine: str
    registry: str


def status(root: Path = places.ROOT) -> list[Status]:
    """Look at each sandbox that was started in this repository."""
    return [_look(place) for place in places.existing(root)]


def _look(place: Place) -> Status:
    known = state.load(place.home)
    living = known is not None and client.succeeds(known, "version", "--format", "{{.Server.Version}}")
    healthy = known is not None and registry.answers(known.registry)
    return Status(
        place,
        known,
        _words(known, living, engine.daemon(place).pid()),
        _words(known, healthy, registry.daemon(place.home).pid()),
    )


def _words(known: Sandbox | None, answers: bool, pid: int | None) -> str:
    process = f", pid {pid}" if pid else ""
    if answers:
        return f"running{process}"
    return f"not answering{process}" if pid else "dead" if known else "stopped"


def down(wanted: Place | None = None, *, clean: bool = False) -> list[Place]:
    """Stop one sandbox, or each of this repository; return those that ran.

    `clean` also removes images and the registry's data. Packages stay: the next start needs no network.
    """
    return [place for place in ([wanted] if wanted else places.existing()) if _stop(place, clean)]


def _stop(place: Place, clean: bool) -> bool:
    with state.locked(place.home):
        pids = (engine.daemon(place).pid(), registry.daemon(place.home).pid())
        ran = state.load(place.home) is not None or any(pids)
        state.forget(place.home)
        if place.private:
            engine.stop(place, _root(place, machine.read()))
        registry.daemon(place.home).stop()
        if clean:
            for name in ("data", "registry"):
                shutil.rmtree(place.home / name, ignore_errors=True)
            for name in ("base", "registry.json"):
                (place.home / name).unlink(missing_ok=True)
    return ran
