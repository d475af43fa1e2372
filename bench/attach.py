# SPDX-License-Identifier: Apache-2.0
"""What one container start and stop costs: wall time, daemon time per RPC, Neutron calls.

`python -m bench.attach [--rounds N] [--without kuryr]` runs a user-defined bridge network, Kurier
and kuryr-libnetwork in turn, round after round, on the local cloud, and prints ratios.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench.drivers import ALL, Contender, NotAvailable, work_folder
from bench.neutron_log import Calls, NeutronLog
from localcloud.api import IMAGE, Cloud, CloudError, Host


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
        contenders = _contenders(cloud, Path(folder), set(options.without))
        results = {one.name: Result() for one in contenders}
        try:
            _prepare(cloud.hosts[0], contenders)
            for number in range(options.rounds + 1):
                for one in contenders:
                    result = Result() if number == 0 else results[one.name]  # the first warms up
                    _round(cloud, one, result)
        finally:
            _tidy(cloud.hosts[0], contenders)
    _print(results)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="rounds that count (default 10)")
    parser.add_argument(
        "--without", action="append", default=[], choices=[make.__name__ for make in ALL]
    )
    return parser.parse_args()


def _contenders(cloud: Cloud, folder: Path, without: set[str]) -> list[Contender]:
    found = []
    for make in ALL:
        if make.__name__ in without:
            continue
        try:
            found.append(make(cloud, folder))
        except NotAvailable as reason:
            print(f"left out: {reason}", file=sys.stderr)
    return found


def _prepare(host: Host, contenders: list[Contender]) -> None:
    for one in contenders:
        _insist(partial(host.docker, "network", "create", *one.create))


def _insist(action: Callable[[], object]) -> None:
    """A daemon that was just started may need some seconds before its first answer."""
    for _ in range(20):
        try:
            action()
            return
        except CloudError:
            time.sleep(1)
    action()


def _tidy(host: Host, contenders: list[Contender]) -> None:
    for one in contenders:
        for command in (("rm", "-f", "bench-one"), ("network", "rm", one.network)):
            try:
                host.docker(*command)
            except CloudError as error:
                print(f"{one.name}: {error}", file=sys.stderr)
        time.sleep(one.settle_seconds)
        one.stop()


def _round(cloud: Cloud, one: Contender, result: Result) -> None:
    host, log = cloud.hosts[0], NeutronLog(cloud.layout.log("neutron"))
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
    time.sleep(one.settle_seconds)
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
