"""The docker client: which one, with which configuration, and whether an engine answers it.

In: the environment and the machine's `docker`. Out: a configuration folder of ours, and answers. A private
engine that the environment already points to does not count as the machine's own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

from sandbox.place import MARK, Place
from sandbox.state import Sandbox

SECONDS = 15.0


def usable() -> bool:
    """Tell whether the machine's own Docker answers and has buildx."""
    questions = (("buildx", "version"), ("version", "--format", "{{.Server.Version}}"))
    with suppress(OSError, subprocess.SubprocessError):
        for words in questions:
            subprocess.run(["docker", *words], env=own_environment(), capture_output=True, check=True, timeout=SECONDS)
        return True
    return False


def own_environment() -> dict[str, str]:
    """Return the environment without the variables that `sandbox.up` told a shell to set."""
    ours = MARK in os.environ.get("DOCKER_HOST", "")
    return {key: value for key, value in os.environ.items() if not (ours and key in ("DOCKER_HOST", "DOCKER_CONFIG"))}


def configure(place: Place, buildx: Path) -> Path:
    """Make a configuration folder without credentials; link the buildx plugin when there is one."""
    folder = place.home / "docker"
    plugin = folder / "cli-plugins/docker-buildx"
    plugin.parent.mkdir(parents=True, exist_ok=True)
    if not (plugin.exists() and plugin.samefile(buildx)):
        plugin.unlink(missing_ok=True)
        if buildx.exists():
            plugin.symlink_to(buildx)
    (folder / "config.json").write_text("{}\n")
    return folder


def shared(place: Place, registry: str) -> Sandbox:
    """Describe the machine's own engine: the one that its variables or its current context name."""
    docker, environ = shutil.which("docker") or "docker", own_environment()
    context = subprocess.run(
        [docker, "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"],
        env=environ, capture_output=True, text=True, check=False, timeout=SECONDS,
    )  # fmt: skip
    user = Path(environ.get("DOCKER_CONFIG") or "~/.docker").expanduser()
    return Sandbox(
        docker_host=environ.get("DOCKER_HOST") or context.stdout.strip(),
        docker_config=str(configure(place, user / "cli-plugins/docker-buildx")),
        docker=docker,
        registry=registry,
        private=False,
    )


def call(
    sandbox: Sandbox, *words: str, seconds: float = SECONDS, data: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run the client against a sandbox; a client that is missing or too slow counts as one that failed."""
    try:
        return subprocess.run(
            [sandbox.docker, *words], env={**os.environ, **sandbox.environ()}, input=data,
            stdin=None if data else subprocess.DEVNULL, capture_output=True, check=False, timeout=seconds,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(words, 1, b"", str(error).encode())


def succeeds(sandbox: Sandbox, *words: str, seconds: float = SECONDS) -> bool:
    """Tell whether a call of the client ends with 0."""
    return call(sandbox, *words, seconds=seconds).returncode == 0
