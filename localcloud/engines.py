# SPDX-License-Identifier: Apache-2.0
"""Docker engines of three Debian releases, side by side, none of them installed."""

from __future__ import annotations

import shutil
from pathlib import Path

from . import debs
from .commands import succeeds
from .errors import CloudError
from .layout import Layout
from .locks import held
from .settings import Settings, load, state_folder

SUITES = {"20.10": "bookworm", "26.1": "trixie", "28.5": "sid"}
VERSIONS = tuple(SUITES)
_PROGRAMS = (
    "dockerd",
    "docker",
    "containerd",
    "containerd-shim-runc-v2",
    "runc",
    "docker-proxy",
    "tini",
)
_FOLDERS = ("usr/bin", "usr/sbin", "bin", "sbin", "usr/libexec/docker")


def fetch(version: str, layout: Layout | None = None) -> Path:
    """A folder with dockerd, docker, containerd and runc of `version`, one of `VERSIONS`.

    Fetched once per state folder. Raises `CloudError`.
    """
    if version not in SUITES:
        raise CloudError(f"There is no engine {version}; there are {', '.join(VERSIONS)}.")
    owner = layout or _layout()
    packages = ["docker.io", "containerd", "runc", "tini"]
    if version != "20.10":  # Debian split the client off after bookworm.
        packages.append("docker-cli")
    folder = programs(owner, version)
    with held(owner.downloads / f"docker-{version}.lock"):
        root = debs.unpack(owner, tuple(packages), SUITES[version], folder.parent)
        if not folder.exists():
            _link_programs(root, folder)
            if not succeeds([str(folder / "runc"), "--version"]):
                # A newer Debian's runc wants a newer C library; the engines take any runc.
                (folder / "runc").unlink(missing_ok=True)
                (folder / "runc").symlink_to(fetch("20.10", owner) / "runc")
    return folder


def programs(layout: Layout, version: str) -> Path:
    """Where `fetch` puts the programs of an engine."""
    return layout.downloads / f"docker-{version}" / "programs"


def compose(layout: Layout | None = None) -> Path:
    """The Compose plugin of Debian trixie, for `DOCKER_CONFIG/cli-plugins`. Raises `CloudError`."""
    owner = layout or _layout()
    root = debs.unpack(owner, ("docker-compose",), "trixie", owner.downloads / "compose")
    for path in root.rglob("docker-compose"):
        if path.is_file() and path.stat().st_mode & 0o100:
            return path
    raise CloudError("Debian's docker-compose package holds no docker-compose program.")


def _link_programs(root: Path, folder: Path) -> None:
    """Make one folder of links to the unpacked programs."""
    part = folder.with_suffix(".new")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    for name in _PROGRAMS:
        found = [root / top / name for top in _FOLDERS if (root / top / name).is_file()]
        if found:
            (part / name).symlink_to(found[0])
    part.rename(folder)


def _layout() -> Layout:
    folder = state_folder()
    return Layout(load(folder) or Settings(folder))
