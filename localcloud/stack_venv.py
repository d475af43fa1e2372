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


def current(layout: Layout) -> bool:
    """Whether exactly what the lock file pins is installed."""
    mark = _mark(layout)
    return mark.exists() and mark.read_text() == _wanted()


def ensure(layout: Layout) -> str:
    """Install what the lock file pins, unless exactly that is there. Raises `CloudError`."""
    if current(layout):
        return "there already"
    shutil.rmtree(layout.venv, ignore_errors=True)
    log = layout.log("stack-venv")
    run(
        [SYSTEM_PYTHON, "-m", "venv", str(layout.venv)],
        what="Making the stack's Python environment",
        log=log,
    )
    pip = str(layout.venv / "bin" / "pip")
    run(
        [pip, "install", "--progress-bar", "off", "-r", str(LOCK_FILE)],
        what="Installing Keystone and Neutron",
        log=log,
        seconds=1800,
    )
    _mark(layout).write_text(_wanted())
    return "installed"


def _mark(layout: Layout) -> Path:
    return layout.venv / "kurier-lock.sha256"


def _wanted() -> str:
    return hashlib.sha256(LOCK_FILE.read_bytes()).hexdigest()
