"""A release with nothing to build against `docker buildx bake --push` of the same services with everything cached.

python bench/warm_release.py [SERVICES FILES BYTES]        default 20 50000 6000 (300 MB)

Ours is the whole of `inv release --version X --json`: start, hashing, registry look-ups, tag moves, read-back. Each
round releases a new version, so tags are really set. Bake runs twice: as it comes, and with its attestations switched
off, as our images are built. Uses the sandbox.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from figures import ROOT, Ran, line, run
from monorepo import make

sys.path.insert(0, str(ROOT))

import sandbox

ROUNDS = 3


def main() -> None:
    """Print the ratio and the peak memory."""
    count, files, size = (int(text) for text in [*sys.argv[1:], *("20", "50000", "6000")[len(sys.argv) - 1 :]])
    running = sandbox.up()
    os.environ.update(running.environ())
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "project"
        os.environ["XDG_CACHE_HOME"] = str(Path(name) / "cache")
        make(root, services=count, files=files, size=size, repository=f"{running.registry}/b{uuid.uuid4().hex[:8]}")
        time.sleep(2.5)  # younger files are read again, since a second write could look the same
        versions = (f"1.{minor}.0" for minor in itertools.count())
        print(f"first release, all built: {release(root, next(versions)).seconds:.1f} s")
        bare, plain = root / "bare.json", root / "plain.json"
        bare.write_text(_bake(root, next(versions), attest=False))
        plain.write_text(_bake(root, next(versions), attest=True))
        rounds = [(release(root, next(versions)), bake(root, plain), bake(root, bare)) for _ in range(ROUNDS + 1)][1:]
    ours, theirs, theirs_bare = (min(one.seconds for one in series) for series in zip(*rounds, strict=True))
    line("release with nothing to build, against bake", ours, theirs, "at most 0.167, six times faster")
    line("  against bake without attestations", ours, theirs_bare, "no figure")
    print(f"peak memory of the release {max(one.peak for one, _, _ in rounds) / 1e6:.0f} MB (wanted: under 120 MB)")


def release(root: Path, version: str) -> Ran:
    """Release a version."""
    return run([sys.executable, "-m", "invoke", "release", "--version", version, "--json"], root)


def bake(root: Path, bakefile: Path) -> Ran:
    """Build and push the same services with bake, and wait until the engine has come to rest.

    A registry 2.8 sometimes answers 500 to a HEAD of a tag that is being written, which ends bake: then once more.
    """
    argv = ["docker", "buildx", "bake", "-f", str(bakefile), "--push"]
    try:
        ran = run(argv, root)
    except SystemExit as error:
        print(str(error).splitlines()[-1])
        ran = run(argv, root)
    time.sleep(2)
    return ran


def _bake(root: Path, version: str, *, attest: bool) -> str:
    argv = [sys.executable, "-m", "invoke", "build.plan", "--version", version, "--bake"]
    said = subprocess.run(argv, cwd=root, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=True)
    document = json.loads(said.stdout)
    for target in document["target"].values():
        target["tags"] = [tag.replace(f":{version}", ":bake") for tag in target["tags"] if f":{version}" in tag]
        if attest:
            del target["attest"]
    return json.dumps(document)


if __name__ == "__main__":
    main()
