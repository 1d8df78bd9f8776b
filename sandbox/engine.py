"""A private Docker Engine from unpacked packages, beside whatever the machine runs.

In: a place and the root of the unpacked engine. Out: a socket that answers. The engine has its own data,
sockets, pid files, bridge and control group, starts its own containerd, and never touches the chains of
another engine's firewall.

Options: https://docs.docker.com/reference/cli/dockerd/#daemon-configuration-file
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from functools import partial
from pathlib import Path

from sandbox import firewall, leftovers, network, packages
from sandbox.daemon import Daemon
from sandbox.place import Place

PATIENCE = 60.0


def daemon(place: Place) -> Daemon:
    """Name the engine of a sandbox."""
    return Daemon("dockerd", place.home, place.home / "dockerd.json")


def configuration(place: Place, registry: str, mtu: int) -> dict[str, object]:
    """Return the engine's configuration.

    The sandbox's registry is a mirror: its base image can be built from even after it was pruned here.
    """
    return {
        "hosts": [f"unix://{place.socket}"],
        "data-root": str(place.home / "data"),
        "exec-root": str(place.run / "exec"),
        "bridge": place.bridge,
        "mtu": mtu,
        "iptables": False,
        "ip6tables": False,
        "ip-masq": False,
        "cgroup-parent": f"/{place.name}",
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "features": {"containerd-snapshotter": place.store == "containerd"},
        "registry-mirrors": [f"http://{registry}"],
        "shutdown-timeout": 5,
    }


def environment(place: Place, root: Path) -> dict[str, str]:
    """Return the environment in which the engine finds its programs, and iptables its libraries."""
    found = packages.libraries(root)
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith(("DOCKER_", "BUILDX_"))},
        "PATH": f"{place.home / 'bin'}:{packages.path(root)}",
        "LD_LIBRARY_PATH": str(found),
        "XTABLES_LIBDIR": str(found / "xtables"),
    }


def start(place: Place, root: Path, registry: str) -> str:
    """Start the engine when it does not answer; return a warning, or nothing.

    Raises:
        SandboxError: it ended or stayed silent; with its log's tail.
    """
    service, ask = daemon(place), partial(_ask, root / "usr/bin/docker", f"unix://{place.socket}")
    text = json.dumps(configuration(place, registry, network.mtu()), indent=1)
    if (pid := service.pid()) and ask("version", "--format", "{{.Server.Version}}"):
        if service.config.read_text() != text:
            service.config.write_text(text)
            # The engine reads its mirrors anew, some time after the signal.
            os.kill(pid, signal.SIGHUP)
            service.wait(lambda: registry in ask("info", "--format", "{{.RegistryConfig.Mirrors}}"), PATIENCE)
        return ""
    stop(place, root)
    place.make()
    _link_iptables(place, root)
    environ = environment(place, root)
    subnet = network.make_bridge(place.bridge, int(place.mark[:6], 16))
    warning = firewall.allow(place.bridge, subnet, environ)
    service.config.write_text(text)
    dockerd = next(path for path in (root / "usr/sbin/dockerd", root / "usr/bin/dockerd") if path.exists())
    words = ["--config-file", str(service.config), "--pidfile", str(place.run / "docker.pid")]
    service.start([str(dockerd), *words], environ)
    service.wait(lambda: bool(ask("version", "--format", "{{.Server.Version}}")), PATIENCE)
    return f"containers reach no network outside of this machine: {warning}" if warning else ""


def stop(place: Place, root: Path) -> None:
    """Stop the engine and remove what it would leave: processes, mounts, its bridge and firewall rules."""
    # Containers have nothing to save here, and the engine would grant each of them ten seconds.
    leftovers.kill(leftovers.contained(place.name))
    daemon(place).stop()
    leftovers.clear(place.name, [place.home, place.run])
    if Path(f"/sys/class/net/{place.bridge}").exists():
        firewall.forbid(place.bridge, environment(place, root))
        network.remove_bridge(place.bridge)
    shutil.rmtree(place.run, ignore_errors=True)


def _link_iptables(place: Place, root: Path) -> None:
    """Make `iptables` mean the nft variant, as Debian does, or the legacy one where the kernel has no nft.

    The package leaves this link to its installation script, which does not run when it is only unpacked.
    """
    folder = place.home / "bin"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    if not (root / "usr/sbin/xtables-nft-multi").exists():
        return
    environ = environment(place, root)
    for kind in ("legacy", "nft"):
        tried = subprocess.run(
            [root / f"usr/sbin/iptables-{kind}", "-t", "nat", "-S"],
            env=environ,
            capture_output=True,
            check=False,
        )
        if tried.returncode == 0 or kind == "legacy":
            for name in ("iptables", "ip6tables"):
                (folder / name).unlink(missing_ok=True)
                (folder / name).symlink_to(root / f"usr/sbin/{name}-{kind}")


def _ask(docker: Path, host: str, *words: str) -> str:
    """Ask the engine through its client; an empty answer means that it did not answer."""
    try:
        asked = subprocess.run(
            [docker, "--host", host, *words], capture_output=True, text=True, check=False, timeout=15
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout.strip() if asked.returncode == 0 else ""
