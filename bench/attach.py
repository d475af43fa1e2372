# SPDX-License-Identifier: Apache-2.0
"""What one container start and stop costs: wall time, daemon time per RPC, Neutron calls.

`python -m bench.attach [--rounds N] [--without kuryr-libnetwork]` runs a user-defined bridge
network, Kurier and kuryr-libnetwork in turn, round after round, on the local cloud, and prints
ratios. A stop-watch stands before both daemons and costs time too; `bench.start` has none.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.contender import Contender, Ground
from bench.drivers import contenders, work_folder
from bench.neutron_log import Calls, NeutronLog
from localcloud.api import IMAGE, Cloud, CloudError, Host

_NAMES = ("bridge", "kurier", "kuryr-libnetwork")


@dataclass(slots=True)
class Phase:
    """Measurements of one half of a container's life."""

    seconds: list[float] = field(default_factory=list)
    rpc: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    on_the_way: list[Calls] = field(default_factory=list)
    in_all: list[Calls] = field(default_factory=list)


@dataclass(slots=True)
class Result:
    """All of one contender's measurements."""

    start: Phase = field(default_factory=Phase)
    stop: Phase = field(default_factory=Phase)


def main() -> int:
    """Runs the benchmark; 0 unless nothing could be measured."""
    options = _options()
    cloud = Cloud.load()
    cloud.up()
    with work_folder() as folder:
        ground = Ground(cloud, cloud.host(options.host), Path(folder), True, options.pool)
        log = NeutronLog(cloud.service("neutron").log, str(ground.host.place.management_address))
        names = [name for name in _NAMES if name not in options.without]
        present = list(contenders(ground, names))
        results = {one.name: Result() for one in present}
        try:
            for one in present:
                one.set_up(ground.host)
            for number in range(options.rounds + 1):
                for one in present:
                    result = Result() if number == 0 else results[one.name]  # the first warms up
                    _round(ground, log, one, result)
        finally:
            _tidy(ground.host, present)
    _print(results)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="rounds that count (default 10)")
    parser.add_argument("--host", default="host1", help="of the local cloud (default host1)")
    parser.add_argument("--pool", type=int, default=0, help="Kurier's ready ports (default 0)")
    parser.add_argument("--without", action="append", default=[], choices=_NAMES)
    return parser.parse_args()


def _tidy(host: Host, contenders: list[Contender]) -> None:
    for one in contenders:
        try:
            host.docker("rm", "-f", "bench-one")
        except CloudError as error:
            print(f"{one.name}: {error}", file=sys.stderr)
        one.take_down(host)


def _round(ground: Ground, log: NeutronLog, one: Contender, result: Result) -> None:
    host = ground.host
    one.await_ready(ground.pool)
    start = ("run", "-d", "--name", "bench-one", "--network", one.network, IMAGE)
    _measure(one, result.start, log, lambda: host.docker(*start))
    _measure(one, result.stop, log, lambda: host.docker("rm", "-f", "bench-one"))


def _measure(one: Contender, phase: Phase, log: NeutronLog, action: Callable[[], object]) -> None:
    if one.watch:
        one.watch.take()
    mark, began = log.mark(), time.perf_counter()
    action()
    phase.seconds.append(time.perf_counter() - began)
    phase.on_the_way.append(log.since(mark))
    one.settle()
    phase.in_all.append(log.since(mark))
    for method, times in (one.watch.take() if one.watch else {}).items():
        phase.rpc[method] += times


def _print(results: dict[str, Result]) -> None:
    base = results.get("bridge")
    for what in ("start", "stop"):
        print(f"\n{what} of one container")
        print(f"{'':18}{'median s':>10}{'ratio':>8}{'writes':>8}{'reads':>7}{'settled w/r':>13}")
        for name, result in results.items():
            phase: Phase = getattr(result, what)
            median = statistics.median(phase.seconds)
            reference = statistics.median(getattr(base, what).seconds) if base else median
            way, whole = _mean(phase.on_the_way), _mean(phase.in_all)
            print(
                f"{name:18}{median:10.3f}{median / reference:8.2f}{way[1]:8.1f}{way[0]:7.1f}"
                f"{whole[1] - way[1]:8.1f}/{whole[0] - way[0]:.1f}"
            )
    print("\ndaemon time per call, median ms (calls)")
    for name, result in results.items():
        for what in ("start", "stop"):
            for method, times in getattr(result, what).rpc.items():
                print(f"{name:18}{what:7}{method:45}{statistics.median(times):9.1f} ({len(times)})")


def _mean(calls: list[Calls]) -> tuple[float, float]:
    return (
        statistics.fmean(one.reads for one in calls),
        statistics.fmean(one.writes for one in calls),
    )


if __name__ == "__main__":
    sys.exit(main())
