# SPDX-License-Identifier: Apache-2.0
"""What a process uses of the machine, as the kernel counts it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU time since the process began, and memory in bytes, now and at its highest."""

    cpu_seconds: float
    resident: int
    peak: int


def usage(pid: int, proc: Path = Path("/proc")) -> Usage:
    """Of one process, all its threads together. Raises `OSError` where it is gone."""
    # The command's name, in parentheses, may hold anything.
    fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
    status = (proc / str(pid) / "status").read_text()
    return Usage(
        (int(fields[11]) + int(fields[12])) / _TICKS,
        _kibibytes(status, "VmRSS"),
        _kibibytes(status, "VmHWM"),
    )


def _kibibytes(status: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
