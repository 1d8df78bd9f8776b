"""Services of a compose or bake file, as the settings that invoke.yaml would hold for them.

`docker buildx bake --print` resolves the file (https://docs.docker.com/build/bake/reference/); here its targets are
only renamed: `target:` contexts become needs, and where no template is configured tags give the repository.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from invoke.context import Context

from buildtasks import shell
from buildtasks.errors import ConfigError, InvalidReference
from buildtasks.reference import Reference

SAME = ("context", "dockerfile", "target", "args", "labels", "platforms", "network", "contexts")
RENAMED = {"secret": "secrets", "ssh": "ssh"}
UNSUPPORTED = ("dockerfile-inline", "extra-hosts", "entitlements")


def settings(c: Context, path: Path, where: str, root: Path, *, tags: bool) -> dict[str, dict[str, Any]]:
    """Return the settings of each service of a compose or bake file; with `tags` their tags give the repository.

    Raises:
        ConfigError: docker cannot read the file, or it holds what a service here cannot have.
    """
    answer = shell.read(c, ["docker", "buildx", "bake", "-f", os.fspath(path), "--print"], cwd=root)
    if not answer.ok:
        said = answer.stderr.strip().splitlines() or ["docker buildx bake --print failed"]
        raise ConfigError(f"{where}: {said[-1].removeprefix('ERROR: ')}")
    targets: dict[str, Any] = json.loads(answer.stdout).get("target", {})
    return {name: _target(target, targets, f"{where}.{name}", tags) for name, target in targets.items()}


def _target(target: Mapping[str, Any], names: Collection[str], where: str, tags: bool) -> dict[str, Any]:
    for key in UNSUPPORTED:
        if target.get(key):
            raise ConfigError(f"{where}.{key}: not supported; move it into a Dockerfile or an argument")
    found = {"context": ".", **{key: target[key] for key in SAME if target.get(key)}}
    for key in ("args", "labels"):
        found[key] = {name: value for name, value in (target.get(key) or {}).items() if value is not None}
    for theirs, ours in RENAMED.items():
        if target.get(theirs):
            found[ours] = [_csv(item) for item in target[theirs]]
    if tags and target.get("tags"):
        found["repository"] = _repository(target["tags"][0], where)
    return found | _linked(found.pop("contexts", {}), names, where)


def _linked(contexts: Mapping[str, str], names: Collection[str], where: str) -> dict[str, Any]:
    """Part the contexts into needs, which are targets of the same file, and all others."""
    needs = {key: text.removeprefix("target:") for key, text in contexts.items() if text.startswith("target:")}
    for key, other in needs.items():
        if other not in names or key != other:
            raise ConfigError(f"{where}.contexts.{key}: name it {other}, as the target is named")
    rest = {key: text for key, text in contexts.items() if key not in needs}
    return {"needs": list(needs), **({"contexts": rest} if rest else {})}


def _repository(tag: str, where: str) -> str:
    try:
        return str(Reference.parse(tag).repository)
    except InvalidReference as error:
        raise InvalidReference(f"{where}.tags: {error}") from error


def _csv(item: Any) -> str:
    """Return bake's object form of a secret or ssh entry as the comma form that buildx takes."""
    return item if isinstance(item, str) else ",".join(f"{key}={value}" for key, value in item.items())
