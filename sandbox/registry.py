"""A container registry on 127.0.0.1: the package docker-registry, with its data in the sandbox's folder.

In: the program and the sandbox's folder. Out: an address. The registry is distribution 2.8; its configuration
is described at https://distribution.github.io/distribution/about/configuration/ (JSON is YAML, so JSON it
is).
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
from collections.abc import Mapping
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

from sandbox.daemon import Daemon
from sandbox.messages import SandboxError

PATIENCE = 15.0

# Distribution 2.8 calls an index unknown when the request does not name its type.
KINDS = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in (
        "oci.image.index.v1",
        "oci.image.manifest.v1",
        "docker.distribution.manifest.list.v2",
        "docker.distribution.manifest.v2",
    )
)


def daemon(home: Path) -> Daemon:
    """Name the registry of a sandbox."""
    return Daemon("registry", home, home / "registry.json")


def program(unpacked: Path) -> Path:
    """Find the registry: the unpacked package, else one that is installed.

    Raises:
        SandboxError: there is none.
    """
    named = [shutil.which(name) for name in ("docker-registry", "registry")]
    for found in (unpacked / "usr/bin/docker-registry", *(Path(name) for name in named if name)):
        if found.is_file():
            return found
    raise SandboxError("no registry: put CNCF Distribution's `registry` on PATH, or use Debian or Ubuntu")


def configuration(data: Path, port: int) -> dict[str, object]:
    """Return the registry's configuration.

    Without a cache of descriptors: that cache still vouches for a blob after another client deleted it.
    """
    return {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(data)}, "delete": {"enabled": True}},
        "http": {"addr": f"127.0.0.1:{port}", "secret": "sandbox"},
    }


def address(home: Path) -> str | None:
    """Return the address that was used last."""
    with suppress(OSError, ValueError, KeyError):
        return str(json.loads((home / "registry.json").read_text())["http"]["addr"])
    return None


def start(home: Path, binary: Path) -> str:
    """Start the registry when it does not answer, on its last port if that is free; return its address.

    Raises:
        SandboxError: it ended or stayed silent; with its log's tail.
    """
    service, known = daemon(home), address(home)
    if known and _ready(service, known):
        return known
    service.stop()
    (home / "registry").mkdir(exist_ok=True)
    port = int(known.rpartition(":")[2]) if known else 0
    for last in (False, False, True):
        port = _free(port)
        service.config.write_text(json.dumps(configuration(home / "registry", port), indent=1))
        service.start([str(binary), "serve", str(service.config)], os.environ)
        try:
            service.wait(partial(_ready, service, f"127.0.0.1:{port}"), PATIENCE)
            return f"127.0.0.1:{port}"
        except SandboxError:
            service.stop()
            if last:
                raise
            port = 0
    raise AssertionError


def _ready(service: Daemon, where: str) -> bool:
    """Tell whether our process lives and answers: on a port that was taken, somebody else would."""
    return service.pid() is not None and answers(where)


def _free(port: int) -> int:
    """Return the port when nobody listens on it, else any that is free."""
    for wanted in (port, 0):
        with socket.socket() as probe, suppress(OSError):
            # Go's net.Listen sets the same option, so both judge a port in TIME_WAIT alike.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", wanted))
            return int(probe.getsockname()[1])
    raise SandboxError("no free port on 127.0.0.1")


def answers(where: str, path: str = "/v2/") -> bool:
    """Ask whether the registry has something at the path."""
    try:
        return call(where, "GET", path, b"", {"Accept": KINDS})[0] == 200
    except OSError:
        return False


def call(where: str, method: str, path: str, data: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
    """Send one request, around any proxy; return the status and the `Location` of the answer.

    Raises:
        OSError: nobody listens, or the answer does not come in ten seconds.
    """
    with closing(http.client.HTTPConnection(where, timeout=10)) as connection:
        try:
            connection.request(method, path, data, dict(headers))
            answer = connection.getresponse()
            answer.read()
        except http.client.HTTPException as error:
            raise OSError(f"no registry at {where}") from error
        return answer.status, answer.headers.get("Location") or ""
