# SPDX-License-Identifier: Apache-2.0
"""Takes samples: wall time, the daemon's own time and CPU, and what Neutron was asked meanwhile."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.contender import Contender
from bench.metrics import Histogram, since
from bench.neutron_log import Calls, NeutronLog
from bench.usage import usage
from localcloud.api import CloudError

REMOVAL = "-remove"
WHOLE = "-whole"
"""Ends of measures' names."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured stretch of one contender's turn."""

    contender: str
    measure: str
    round: int
    seconds: float
    containers: int
    """How many were started, or removed, in it."""
    failures: int
    neutron: Calls
    cpu_seconds: float | None
    """Of the daemon; None where there is none."""
    rpc: Mapping[str, Histogram]
    """Of Kurier alone; the others do not tell."""

    @property
    def removes(self) -> bool:
        """Whether it is the removal of what the sample before it started."""
        return self.measure.endswith(REMOVAL)

    @property
    def whole(self) -> bool:
        """Whether it is a whole turn, until the daemon had settled."""
        return self.measure.endswith(WHOLE)


@dataclass(slots=True)
class Attempt:
    """What the measured code tells of itself."""

    containers: int = 1
    failures: int = 0
    error: str = ""

    def failed(self, error: CloudError) -> None:
        """Notes a failure; the last one's words are printed."""
        self.failures += 1
        self.error = str(error)


@dataclass(slots=True)
class Recorder:
    """All samples of a run."""

    log: NeutronLog
    round: int = 0
    keeps: bool = True
    """Off while warming up."""
    samples: list[Sample] = field(default_factory=list)

    @contextmanager
    def measured(self, one: Contender, measure: str, containers: int = 1) -> Iterator[Attempt]:
        """Measures the block; a `CloudError` in it is a failure, noted and said."""
        rpc = one.kurier.rpc() if one.kurier else {}
        mark, cpu, attempt = self.log.mark(), _cpu(one), Attempt(containers)
        began = time.perf_counter()
        try:
            yield attempt
        except CloudError as error:
            attempt.failed(error)
        seconds = time.perf_counter() - began
        after = _cpu(one)
        if attempt.failures:
            print(f"{one.name}, {measure}: {attempt.error}", file=sys.stderr)
        if not self.keeps:
            return
        self.samples.append(
            Sample(
                one.name,
                measure,
                self.round,
                seconds,
                attempt.containers,
                attempt.failures,
                self.log.since(mark),
                after - cpu if after is not None and cpu is not None else None,
                since(one.kurier.rpc(), rpc) if one.kurier else {},
            )
        )


def _cpu(one: Contender) -> float | None:
    return usage(one.pid).cpu_seconds if one.pid else None
