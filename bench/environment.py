# SPDX-License-Identifier: Apache-2.0
"""Python environments of their own for what the benchmark needs and Kurier does not."""

from __future__ import annotations

import subprocess
from pathlib import Path


class CannotInstall(Exception):
    """A package that cannot be had here; the text is pip's last line."""


def environment(home: Path, *installs: list[str]) -> Path:
    """The environment at `home`, made anew unless it was made from the same before.

    Each of `installs` is what one `pip install` is given. Raises `CannotInstall`.
    """
    stamp = home / "made-from"
    source = "\n".join(_told(argument) for arguments in installs for argument in arguments)
    if stamp.exists() and stamp.read_text() == source:
        return home
    home.parent.mkdir(parents=True, exist_ok=True)
    _run(["/usr/bin/python3", "-m", "venv", "--clear", str(home)])
    for arguments in installs:
        _run([str(home / "bin" / "pip"), "install", "-q", *arguments])
    stamp.write_text(source)
    return home


def _told(argument: str) -> str:
    """A lock file by what it says."""
    return Path(argument).read_text() if Path(argument).is_file() else argument


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise CannotInstall(last)
