# SPDX-License-Identifier: Apache-2.0
"""Docker engines of three Debian releases, side by side, none of them installed."""

from __future__ import annotations

import shutil
from pathlib import Path

from . import debs
from .errors import CloudError
from .layout import Layout
from .settings import Settings, load, state_folder

SUITES = {"20.10": "bookworm", "26.1": "trixie", "28.5": "sid"}
VERSIONS = tuple(SUITES)
_PROGRAMS = (
    "dockerd",
    "docker",
    "containerd",
    "containerd-shim-runc-v2",
    "runc",
    "docker-init",
    "docker-proxy",
    "tini",
)


def fetch(version: str, layout: Layout | None = None) -> Path:
    """A folder with dockerd, docker, containerd and runc of `version`, one of `VERSIONS`.

    Fetched once per state folder. Raises `CloudError`.
    """
    if version not in SUITES:
        raise CloudError(f"There is no engine {version}; there are {', '.join(VERSIONS)}.")
    owner = layout or _layout()
    packages: tuple[str, ...] = ("docker.io", "containerd", "runc")
    if version != "20.10":  # Debian split the client off after bookworm.
        packages = (*packages, "docker-cli")
    if version == "28.5":
        packages = (*packages, "tini")
    root = debs.unpack(owner, packages, SUITES[version], owner.downloads / f"engine-{version}")
    return _programs(root)


def compose(layout: Layout | None = None) -> Path:
    """The Compose plugin of Debian trixie, for `DOCKER_CONFIG/cli-plugins`. Raises `CloudError`."""
    owner = layout or _layout()
    root = debs.unpack(owner, ("docker-compose",), "trixie", owner.downloads / "compose")
    for path in root.rglob("docker-compose"):
        if path.is_file() and path.stat().st_mode & 0o100:
            return path
    raise CloudError("Debian's docker-compose package holds no docker-compose program.")


def _programs(root: Path) -> Path:
    """One folder of links to the unpacked programs."""
    folder = root / "programs"
    if not folder.exists():
        part = root / "programs.new"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        for name in _PROGRAMS:
            for path in root.rglob(name):
                if path.is_file() and path.stat().st_mode & 0o100 and part not in path.parents:
                    (part / name).symlink_to(path)
                    break
        part.rename(folder)
    return folder


def _layout() -> Layout:
    folder = state_folder()
    return Layout(load(folder) or Settings(folder))
