# SPDX-License-Identifier: Apache-2.0
"""Programs of the machine's own in a container's network, for what its busybox cannot do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from tests.cloud.stage.stage import Stage


@contextmanager
def inside(stage: Stage, container: str, script: str, *values: str) -> Iterator[IO[bytes]]:
    """A Python of the machine's in a container's network; yields what it prints."""
    python = [sys.executable, "-c", script, *values]
    process = stage.machine.popen(
        ["nsenter", "-t", stage.process_of(container), "-n", *python],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()
