# SPDX-License-Identifier: Apache-2.0
"""Keystone and Neutron from the package index, pinned, in an environment of their own."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from .commands import run
from .layout import Layout

LOCK_FILE = Path(__file__).with_name("requirements-stack.lock")
SYSTEM_PYTHON = "/usr/bin/python3"


def ensure(layout: Layout) -> str:
    """Install what the lock file pins, unless exactly that is there. Raises `CloudError`."""
    mark = layout.venv / "kurier-lock.sha256"
    wanted = hashlib.sha256(LOCK_FILE.read_bytes()).hexdigest()
    if mark.exists() and mark.read_text() == wanted:
        return "there already"
    shutil.rmtree(layout.venv, ignore_errors=True)
    log = layout.log("stack-venv")
    run(
        [SYSTEM_PYTHON, "-m", "venv", str(layout.venv)],
        what="Making the stack's Python environment",
        log=log,
    )
    run(
        [
            str(layout.venv / "bin" / "pip"),
            "install",
            "--progress-bar",
            "off",
            "-r",
            str(LOCK_FILE),
        ],
        what="Installing Keystone and Neutron",
        log=log,
        seconds=1800,
    )
    mark.write_text(wanted)
    return "installed"
