# SPDX-License-Identifier: Apache-2.0
"""What Kurier costs while nothing happens but its own comparisons, with many ready ports."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from bench import drivers
from bench.contender import Ground
from bench.usage import Usage, usage

_COMPARES_EVERY = 60.0
"""As configured where nobody says otherwise; the other benchmarks do without."""
_MIB = 1024 * 1024


def run(ground: Ground, ports: int, seconds: float) -> dict[str, Any]:
    """The daemon's CPU time, as a share of one core, and its memory."""
    with ExitStack() as undo:
        one = drivers.kurier(replace(ground, pool=ports, reconcile=_COMPARES_EVERY))
        undo.callback(one.take_down, ground.host)
        one.set_up(ground.host)
        print(f"waiting for {ports} ready ports", file=sys.stderr)
        one.await_ready(ports)
        one.settle()
        assert one.pid is not None
        before = usage(one.pid)
        time.sleep(seconds)
        return measured(before, usage(one.pid), ports, seconds)


def measured(before: Usage, after: Usage, ports: int, seconds: float) -> dict[str, Any]:
    """Plain values, for JSON."""
    return {
        "ports": ports,
        "seconds": seconds,
        "cpu_seconds": after.cpu_seconds - before.cpu_seconds,
        "core_share": (after.cpu_seconds - before.cpu_seconds) / seconds,
        "resident": after.resident,
        "peak": after.peak,
    }


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """For people."""
    yield (
        f"\nKurier idle for {found['seconds']:.0f} s with {found['ports']} ready ports: "
        f"{found['core_share']:.2%} of one core ({found['cpu_seconds']:.2f} s), "
        f"{found['resident'] / _MIB:.0f} MiB resident, {found['peak'] / _MIB:.0f} MiB at most"
    )
