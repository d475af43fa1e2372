# SPDX-License-Identifier: Apache-2.0
"""The test image: a static busybox, made here so that no image registry is needed."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path

from . import debs, engine
from .commands import attempt, run
from .errors import CloudError
from .layout import Layout
from .place import Place

IMAGE = "kurier/busybox:1"
_FOLDERS = ("bin", "etc", "proc", "sys", "dev", "run", "root", "tmp", "var", "www")
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nnobody:x:65534:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
    "www/index.html": "hello from a container\n",
}
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_LABEL = "kurier.layer"


def busybox(layout: Layout) -> Path:
    """The static busybox of Debian's package, unpacked, not installed. Raises `CloudError`."""
    folder = debs.unpack(
        layout, ("busybox-static",), debs.machine_suite(), layout.downloads / "busybox"
    )
    for name in ("bin/busybox", "usr/bin/busybox"):
        if (folder / name).exists():
            return folder / name
    raise CloudError(f"Debian's busybox-static below {folder} holds no busybox.")


def load(place: Place) -> str:
    """Make the image known to this host's engine. Raises `CloudError`."""
    layer = root_archive(busybox(place.layout))
    digest = hashlib.sha256(layer).hexdigest()
    wanted = f'{{{{index .Config.Labels "{_LABEL}"}}}}'
    known = attempt([*engine.docker(place), "image", "inspect", "--format", wanted, IMAGE])
    if known.strip() == digest:
        return "there already"
    run(
        [*engine.docker(place), "load"],
        what=f"Loading {IMAGE}",
        stdin=image_archive(layer),
    )
    return "loaded"


def image_archive(layer: bytes) -> bytes:
    """An archive for `docker load` with one layer (Docker Image Specification v1.2)."""
    digest = hashlib.sha256(layer).hexdigest()
    # StopSignal: a busybox program that is PID 1 ignores SIGTERM, so that every stop would last
    # Docker's ten seconds.
    configuration = json.dumps(
        {
            "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {
                "Cmd": ["/bin/sleep", "infinity"],
                "Env": ["PATH=/bin"],
                "WorkingDir": "/",
                "StopSignal": "SIGKILL",
                "Labels": {_LABEL: digest},
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
    ).encode()
    config_name = hashlib.sha256(configuration).hexdigest() + ".json"
    manifest = json.dumps(
        [{"Config": config_name, "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]
    ).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        _add_file(tar, config_name, configuration)
        _add_file(tar, "layer.tar", layer)
        _add_file(tar, "manifest.json", manifest)
    return buffer.getvalue()


def root_archive(program: Path) -> bytes:
    """The image's root file system as a tar archive, the same for the same program."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder in _FOLDERS:
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(entry)
        _add_file(tar, "bin/busybox", program.read_bytes(), 0o755)
        for applet in run([str(program), "--list"]).split():
            if applet != "busybox":
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
        for name, text in _FILES.items():
            _add_file(tar, name, text.encode())
    return buffer.getvalue()


def _add_file(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))
