# SPDX-License-Identifier: Apache-2.0
"""A lock that holds between processes as well as between threads."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def held(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock of a file of its own, waiting for whoever has it (flock(2)), and calling
    `waiting` before that.

    Each call opens the file anew, so two threads of a process keep each other out too; a thread
    that holds it must not ask again. The kernel lets go of it when the process ends, however it
    ends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
