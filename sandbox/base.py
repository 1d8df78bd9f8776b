"""The base image of the samples, `busybox:stable`, in the engine and in the registry of a sandbox.

In: a sandbox whose engine and registry run. Out: where the image came from: `pulled`, or `made` from Debian's
package on a machine that reaches no registry.
"""

from __future__ import annotations

from sandbox import busybox, client, packages, registry, upload
from sandbox.machine import Machine
from sandbox.messages import SandboxError, say
from sandbox.place import Place
from sandbox.state import Sandbox


def present(sandbox: Sandbox) -> bool:
    """Tell whether both hold the image, which also tells that both are alive."""
    path = f"/v2/{busybox.REPOSITORY}/manifests/{busybox.TAG}"
    return registry.answers(sandbox.registry, path) and client.succeeds(sandbox, "image", "inspect", busybox.NAME)


def ensure(place: Place, sandbox: Sandbox, host: Machine | None) -> str:
    """Pull or make the image where it is missing; return `pulled` or `made`.

    The answer is remembered, so that a machine without a network is asked for one only once.

    Raises:
        SandboxError: it can be neither pulled nor made, or is refused.
    """
    origin = place.home / "base"
    known = origin.read_text() if origin.exists() else ""
    if present(sandbox) and known:
        return known
    if known != "made" and _pull(sandbox):
        known = "pulled"
    elif host is None:
        raise SandboxError(f"{busybox.NAME} cannot be pulled, and is made on Debian and Ubuntu only")
    else:
        if not known:
            say(f"{busybox.NAME} cannot be pulled here: made from Debian's busybox-static")
        _make(place, sandbox, host)
        known = "made"
    origin.write_text(known)
    return known


def _pull(sandbox: Sandbox) -> bool:
    """Pull the image where a registry answers within three seconds, and copy it into ours."""
    if not client.succeeds(sandbox, "manifest", "inspect", busybox.NAME, seconds=3):
        return False
    copy = f"{sandbox.registry}/{busybox.REPOSITORY}:{busybox.TAG}"
    return client.succeeds(sandbox, "pull", busybox.NAME, seconds=300) and client.succeeds(
        sandbox, "buildx", "imagetools", "create", "--tag", copy, busybox.NAME, seconds=300
    )


def _make(place: Place, sandbox: Sandbox, host: Machine) -> None:
    """Make the image, load it into the engine and upload it to the registry."""
    found = {name: packages.busybox(place.packages, name) for name in host.architectures}
    image = busybox.make({name: path for name, path in found.items() if path.exists()})
    loaded = client.call(sandbox, "load", seconds=60, data=busybox.archive(image))
    if loaded.returncode:
        raise SandboxError(f"the engine refuses {busybox.NAME}:", loaded.stderr.decode(errors="replace"))
    upload.push(image, sandbox.registry)
