# SPDX-License-Identifier: Apache-2.0
"""What is wrong between a configuration and this machine: files that are missing or open to all.

Nothing is contacted and nothing is made.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from kurier.config.problems import Problem
from kurier.config.settings import Settings


def machine_problems(settings: Settings, origins: Mapping[str, str]) -> list[Problem]:
    """What the daemon, run by the present user, would stumble over on this machine."""
    return [
        Problem(f"{name} ({origins[name]})", sentence) for name, sentence in _sentences(settings)
    ]


def _sentences(settings: Settings) -> Iterator[tuple[str, str]]:
    daemon = settings.daemon
    files = {
        "daemon.tls_cert": daemon.tls_cert,
        "daemon.tls_key": daemon.tls_key,
        "daemon.tls_client_ca": daemon.tls_client_ca,
        "cloud.ca_file": settings.cloud.ca_file,
    }
    for name, path in files.items():
        if path and (wrong := unreadable(Path(path))):
            yield name, wrong
    if daemon.tls_key and (wrong := _open_to_others(Path(daemon.tls_key))):
        yield "daemon.tls_key", wrong
    folders = {
        "daemon.plugin_dir": Path(daemon.plugin_dir),
        "daemon.admin_socket": Path(daemon.admin_socket).parent,
        "daemon.state_dir": Path(daemon.state_dir),
    }
    if daemon.listen:
        folders["daemon.spec_dir"] = Path(daemon.spec_dir)
    for name, folder in folders.items():
        if wrong := unwritable(folder):
            yield name, wrong


def unreadable(path: Path) -> str | None:
    """Why a file cannot be read, as a sentence; None if it can."""
    if not path.exists():
        return f"There is no file {path}."
    if not path.is_file():
        return f"{path} is not a file."
    if not os.access(path, os.R_OK):
        return f"{path} cannot be read by this user."
    return None


def unwritable(folder: Path) -> str | None:
    """Why a folder cannot be written to, or not be made, as a sentence; None if it can."""
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if not nearest.is_dir():
        return f"{nearest} is not a folder."
    if not os.access(nearest, os.W_OK | os.X_OK):
        what = "written to" if nearest == folder else f"made, since {nearest} cannot be written to"
        return f"The folder {folder} cannot be {what} by this user."
    return None


def _open_to_others(path: Path) -> str | None:
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        return f"Others than its owner may read or change {path}: make it mode 0600."
    return None
