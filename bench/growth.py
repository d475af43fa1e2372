# SPDX-License-Identifier: Apache-2.0
"""Whether Kurier's own time for a start grows with its ready ports and its networks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from bench import drivers, results, scenarios
from bench.contender import Contender, Ground, insist
from bench.neutron_log import NeutronLog
from bench.recorder import Recorder
from bench.scenarios import Stage
from bench.usage import usage
from localcloud.api import CloudError

POINTS = "1x10,1x100,1x1000,10x4,50x4"
_MIB = 1024 * 1024
_SCENARIO = scenarios.ALL["one"]


@dataclass(frozen=True, slots=True)
class Point:
    """So many networks with so many ready ports each, on one host."""

    networks: int
    ports: int


def points(text: str) -> tuple[Point, ...]:
    """From `NETWORKSxPORTS,…`; raises argparse's error."""
    try:
        pairs = (one.split("x") for one in text.split(","))
        return tuple(Point(int(networks), int(ports)) for networks, ports in pairs)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text}: such as {POINTS}") from error


def run(
    ground: Ground, log: NeutronLog, chosen: Sequence[Point], starts: int
) -> list[dict[str, Any]]:
    """Each point with a daemon of its own, so that its memory is that point's."""
    found = []
    scenarios.sweep(ground.host)
    for number, point in enumerate(chosen):
        print(f"{point.networks} networks with {point.ports} ready ports each", file=sys.stderr)
        own = replace(ground, folder=ground.folder / str(number), pool=point.ports)
        found.append(_measured(own, log, point, starts))
    return found


def lines(found: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A table for people."""
    yield "\nKurier's own time of all calls of one start, and its memory"
    yield (
        f"{'networks':>9}{'ports each':>11}{'mean ms':>9}{'median':>8}{'p99':>8}"
        f"{'CPU ms':>8}{'MiB':>6}{'docker run -d s':>17}"
    )
    for one in found:
        daemon, seconds = one["daemon"], one["measures"]["start"]["seconds"]["kurier"]
        time = daemon["per_start_ms"]["start"]
        yield (
            f"{one['networks']:9}{one['ports']:11}{time['mean']:9.2f}{time['median']:8.2f}"
            f"{time['p99']:8.2f}{daemon['cpu_ms_per_container']['start']:8.2f}"
            f"{daemon['resident'] / _MIB:6.0f}{seconds['median']:17.3f}"
        )


def _measured(ground: Ground, log: NeutronLog, point: Point, starts: int) -> dict[str, Any]:
    stage = Stage(ground.host, Recorder(log))
    with ExitStack() as undo:
        one = drivers.kurier(ground)
        undo.callback(one.stop, ground.host)
        undo.callback(one.settle)
        names = list(_networks(ground, one, point, undo))
        undo.callback(scenarios.sweep, ground.host)
        # Not all of them: the port that was used last cools for a while, and costs nothing then.
        scenario = replace(_SCENARIO, ports=(point.ports + 1) // 2)
        for number in range(starts):
            stage.recorder.round = number
            one.network = names[number % len(names)]
            scenarios.turn(stage, scenario, one)
        assert one.pid is not None
        daemon = results.daemons(stage.recorder.samples, {one.name: usage(one.pid)})[one.name]
        return {
            "networks": point.networks,
            "ports": point.ports,
            "daemon": daemon,
            "measures": results.measures(stage.recorder.samples, _SCENARIO.titles),
        }


def _networks(ground: Ground, one: Contender, point: Point, undo: ExitStack) -> Iterator[str]:
    """Makes them, and waits until all their ports are ready."""
    for number in range(point.networks):
        name = one.network = f"bench-growth-{number}"
        range_ = None if point.networks == 1 else number
        insist(partial(ground.host.docker, *one.create(name, range_, *one.options)))
        undo.callback(_remove, ground, name)
        one.await_ready(point.ports)
        yield name


def _remove(ground: Ground, name: str) -> None:
    try:
        ground.host.docker("network", "rm", name)
    except CloudError as error:
        print(error, file=sys.stderr)
