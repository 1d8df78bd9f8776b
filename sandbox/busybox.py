"""The base image `busybox:stable` for a machine that cannot pull it, made from Debian's busybox-static.

In: one static busybox per architecture. Out: an archive that `docker load` reads, and the same blobs in a
registry. Nothing in it depends on the time or on the machine, and the layer stays uncompressed because the
output of zlib changes between its versions: the same packages always give the same digests.

Layout: https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md, next to the older
manifest.json that the engine's classic image store reads. Upload: distribution specification 1.1, "Pushing
blobs monolithically".
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

NAME = "busybox:stable"
REPOSITORY, TAG = "library/busybox", "stable"

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"

FOLDERS = {
    **dict.fromkeys(("bin", "dev", "etc", "home", "usr", "usr/bin", "usr/sbin", "var", "var/www"), 0o755),
    **dict.fromkeys(("proc", "sys"), 0o555),
    "root": 0o700,
    "tmp": 0o1777,
}
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\n"
    "www-data:x:33:33:www-data:/var/www:/bin/false\nnobody:x:65534:65534:nobody:/home:/bin/false\n",
    "etc/group": "root:x:0:\ndaemon:x:1:\nwww-data:x:33:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}

Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Image:
    """An image as its blobs by digest, and the index that leads to them."""

    blobs: dict[str, bytes]
    manifests: tuple[str, ...]
    index: bytes


def make(programs: Mapping[str, Path]) -> Image:
    """Build the image from one busybox per architecture, the machine's own first."""
    applets = _applets(next(iter(programs.values())))
    blobs: dict[str, bytes] = {}
    listed = [_platform(blobs, architecture, program, applets) for architecture, program in programs.items()]
    index = _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed})
    return Image(blobs, tuple(str(entry["digest"]) for entry in listed), index)


def _applets(program: Path) -> list[str]:
    done = subprocess.run([program, "--list"], capture_output=True, text=True, check=True)
    return sorted(set(done.stdout.split()) - {"busybox"})


def _platform(blobs: dict[str, bytes], architecture: str, program: Path, applets: Iterable[str]) -> Json:
    """Add layer, configuration and manifest of one architecture; return the manifest's descriptor."""
    layer = _layer(program.read_bytes(), applets)
    platform = {"architecture": architecture, "os": "linux"}
    config = _json(
        {
            "created": "1970-01-01T00:00:00Z",
            **platform,
            "config": {
                "Cmd": ["sh"],
                "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            },
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
            "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "busybox-static"}],
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _descriptor(CONFIG, config),
            "layers": [_descriptor(LAYER, layer)],
        }
    )
    blobs |= {_digest(blob): blob for blob in (layer, config, manifest)}
    return {**_descriptor(MANIFEST, manifest), "platform": platform}


def _layer(program: bytes, applets: Iterable[str]) -> bytes:
    """Pack the file system: busybox, a link per applet, the usual folders, users and groups."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, mode in FOLDERS.items():
            _add(tar, name, mode, kind=tarfile.DIRTYPE)
        _add(tar, "bin/busybox", 0o755, program)
        for applet in applets:
            _add(tar, f"bin/{applet}", 0o777, target="busybox", kind=tarfile.SYMTYPE)
        _add(tar, "usr/bin/env", 0o777, target="../../bin/busybox", kind=tarfile.SYMTYPE)
        for name, text in FILES.items():
            _add(tar, name, 0o644, text.encode())
    return buffer.getvalue()


def _add(
    tar: tarfile.TarFile,
    name: str,
    mode: int,
    data: bytes = b"",
    target: str = "",
    kind: bytes = tarfile.REGTYPE,
) -> None:
    entry = tarfile.TarInfo(name)
    entry.mode, entry.size, entry.linkname, entry.type = mode, len(data), target, kind
    tar.addfile(entry, io.BytesIO(data))


def archive(image: Image) -> bytes:
    """Pack the image for `docker load`: an OCI layout, and manifest.json for the classic store."""
    top = {
        **_descriptor(INDEX, image.index),
        "annotations": {
            "io.containerd.image.name": f"docker.io/{REPOSITORY}:{TAG}",
            "org.opencontainers.image.ref.name": TAG,
        },
    }
    files = {"oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
             "index.json": _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [top]}),
             "manifest.json": json.dumps([_classic(image)]).encode()}  # fmt: skip
    blobs = {**image.blobs, _digest(image.index): image.index}
    files |= {_file(digest): blob for digest, blob in blobs.items()}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in files.items():
            _add(tar, name, 0o644, data)
    return buffer.getvalue()


def _classic(image: Image) -> Json:
    """Describe the first architecture the way `docker save` always did."""
    manifest = json.loads(image.blobs[image.manifests[0]])
    return {
        "Config": _file(manifest["config"]["digest"]),
        "RepoTags": [NAME],
        "Layers": [_file(layer["digest"]) for layer in manifest["layers"]],
    }


def _descriptor(kind: str, blob: bytes) -> dict[str, object]:
    return {"mediaType": kind, "digest": _digest(blob), "size": len(blob)}


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _file(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def _json(value: Json) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
