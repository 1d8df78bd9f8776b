"""`docker buildx`: the command lines (pure) and the calls.

Reference: https://docs.docker.com/reference/cli/docker/buildx/build/. Attestations are off unless asked for, so that
one platform gives one plain manifest whose digest says what was built; buildx 0.13 and newer are supported.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from invoke.context import Context

from buildtasks import shell
from buildtasks.errors import ConfigError, EngineError
from buildtasks.reference import Reference
from buildtasks.settings import Service

OLDEST = (0, 13)


@dataclass(frozen=True, slots=True)
class Build:
    """One decided call of buildx: a service with its filled-in values.

    `contexts` maps names to what buildx takes, `metadata` is the file that buildx writes its answer to.
    """

    service: Service
    references: tuple[Reference, ...]
    metadata: Path
    args: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    contexts: Mapping[str, str] = field(default_factory=dict)
    builder: str = ""
    pull: bool = False
    no_cache: bool = False


@dataclass(frozen=True, slots=True)
class Built:
    """What buildx answered: digests of the manifest (or index) and of the image config, where it tells them."""

    digest: str | None
    config: str | None


def argv(build: Build) -> list[str]:
    """Return the command line of a build that loads the image into the engine."""
    service = build.service
    words = ["docker", "buildx", "build", "--progress=plain", "--load", "--provenance=false", "--sbom=false"]
    words += ["--file", service.dockerfile, "--metadata-file", str(build.metadata)]
    words += _option("--builder", build.builder) + _option("--target", service.target)
    words += _option("--network", service.network) + _option("--platform", ",".join(service.platforms))
    words += ["--pull"] * build.pull + ["--no-cache"] * build.no_cache
    for flag, table in (("--build-arg", build.args), ("--label", build.labels), ("--build-context", build.contexts)):
        words += [word for name, value in sorted(table.items()) for word in (flag, f"{name}={value}")]
    for flag, items in (("--secret", service.secrets), ("--ssh", service.ssh), ("--tag", build.references)):
        words += [word for item in items for word in (flag, str(item))]
    return [*words, service.context]


def _option(flag: str, value: str) -> list[str]:
    return [flag, value] if value else []


def build(c: Context, wanted: Build, *, root: Path, log: shell.Writer) -> Built:
    """Build one image and load it into the engine; what buildx prints goes to `log`.

    Raises:
        CommandFailed: the build failed.
    """
    shell.run(c, argv(wanted), cwd=root, log=log)
    if shell.dry(c):
        return Built(None, None)
    return parse_metadata(json.loads(wanted.metadata.read_text(encoding="utf-8")))


def parse_metadata(metadata: Mapping[str, Any]) -> Built:
    """Read buildx's metadata file (https://docs.docker.com/reference/cli/docker/buildx/build/#metadata-file)."""
    return Built(metadata.get("containerimage.digest"), metadata.get("containerimage.config.digest"))


def check(c: Context) -> tuple[int, int]:
    """Return the version of buildx and make sure that a daemon answers.

    Raises:
        EngineError: docker or buildx is missing or too old, or no daemon answers; says what to do.
    """
    answer = shell.read(c, ["docker", "buildx", "version"])
    found = re.search(r"v?(\d+)\.(\d+)\.\d+", answer.stdout)
    if answer.exited == 127:
        raise EngineError("docker is not installed: https://docs.docker.com/engine/install/")
    if not answer.ok or not found:
        raise EngineError("docker buildx is not installed: https://github.com/docker/buildx#installing")
    version = (int(found.group(1)), int(found.group(2)))
    if version < OLDEST:
        raise EngineError(f"buildx {found.group(0)} is too old: {OLDEST[0]}.{OLDEST[1]} or newer is needed")
    platform(c)
    return version


def platform(c: Context) -> str:
    """Return the platform of the engine, `os/arch`, which a build without a platform gives.

    Raises:
        EngineError: docker is missing or no daemon answers.
    """
    answer = shell.read(c, ["docker", "version", "--format", "{{.Server.Os}}/{{.Server.Arch}}"])
    if answer.exited == 127:
        raise EngineError("docker is not installed: https://docs.docker.com/engine/install/")
    if not answer.ok:
        said = (answer.stderr.strip() or "no answer").splitlines()[-1]
        raise EngineError(f"the Docker daemon does not answer: {said}")
    return answer.stdout.strip()


def check_platforms(c: Context, builder: str, wanted: Iterable[str]) -> None:
    """Make sure that the builder can run programs of the wanted platforms.

    Raises:
        ConfigError: it lacks one; says what it has.
        EngineError: the builder does not exist or does not answer.
    """
    answer = shell.read(c, ["docker", "buildx", "inspect", *([builder] if builder else [])])
    if not answer.ok:
        raise EngineError(f"docker buildx inspect {builder}: {answer.stderr.strip().splitlines()[-1]}")
    known = {word.strip(" *") for line in re.findall(r"Platforms:(.*)", answer.stdout) for word in line.split(",")}
    lacking = sorted(set(wanted) - known - {one.rpartition("/v")[0] for one in known})
    if lacking:
        raise ConfigError(f"the builder cannot run {', '.join(lacking)}: it has {', '.join(sorted(known))}")


def current_step(line: str) -> str | None:
    """Return the step that a line of buildx's plain progress announces, such as `[2/4] RUN make`, if it does."""
    found = re.match(r"#\d+ (\[.+?\] \S.*|exporting to .*|loading .*)$", line.rstrip())
    return found.group(1) if found else None
