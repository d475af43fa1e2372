# SPDX-License-Identifier: Apache-2.0
"""Starts and stops of containers on every kind of network, alternating, in one run, as ratios.

`python -m bench.start` prints ratios with their spread, keeps all numbers as JSON and draws them.
`python -m bench.start --growth` sees instead what Kurier's own time is with many ready ports and
many networks, and `--idle` what it costs while nothing happens.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import drawing, drivers, growth, idle, report, results, scenarios
from bench.contender import Contender, Ground
from bench.kurier_daemon import HAS_POOLS
from bench.neutron_log import NeutronLog
from bench.recorder import Recorder
from bench.scenarios import Scenario, Stage
from bench.usage import Usage, usage
from localcloud.api import Cloud, Host

_SPARE = 10
"""Ready ports more than the largest burst takes."""


@dataclass(frozen=True, slots=True)
class Run:
    """What was measured, and by whom."""

    stage: Stage
    chosen: Sequence[Scenario]
    present: Sequence[Contender]
    pool: int

    @property
    def used(self) -> dict[str, Usage]:
        """What each daemon used so far."""
        return {one.name: usage(one.pid) for one in self.present if one.pid}


def main() -> int:
    """Runs it; 0 unless it was interrupted or could not begin."""
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # no daemon is left behind
    cloud = Cloud.load()
    cloud.up()
    host = cloud.host(options.host)
    log = NeutronLog(cloud.service("neutron").log, str(host.place.management_address))
    with drivers.work_folder() as folder:
        ground = Ground(cloud, host, Path(folder))
        numbers, text = _measured(ground, log, options)
    print("\n".join(text))
    stem = Path(options.out)
    stem.parent.mkdir(parents=True, exist_ok=True)
    file = stem.with_suffix(".json")
    file.write_text(json.dumps({"machine": _machine(host), **numbers}, indent=1) + "\n")
    print(f"\nAll numbers: {file}")
    if not options.growth and not options.idle:
        print(drawing.draw(cloud, file, stem))
    return 0


def _measured(
    ground: Ground, log: NeutronLog, options: argparse.Namespace
) -> tuple[dict[str, Any], Iterable[str]]:
    """Numbers for the file, and lines for people."""
    if options.growth:
        points = growth.run(ground, log, options.growth_points, options.growth_starts)
        return {"growth": points}, growth.lines(points)
    if options.idle:
        spent = idle.run(ground, options.idle_ports, options.idle_seconds)
        return {"idle": spent}, idle.lines(spent)
    numbers = _play(ground, log, options)
    return numbers, report.lines(numbers)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = ", ".join(f"{one.name}:{one.rounds}" for one in scenarios.ALL.values())
    parser.add_argument("--host", default="host1", help="of the local cloud (default host1)")
    parser.add_argument(
        "--scenario",
        action="append",
        type=_scenario,
        metavar="NAME[:ROUNDS]",
        help=f"may be repeated; default {known}",
    )
    parser.add_argument("--only", action="append", choices=drivers.ALL, help="may be repeated")
    parser.add_argument("--without", action="append", default=[], choices=drivers.ALL)
    parser.add_argument(
        "--pool", type=int, help="ready ports of the warm Kurier (default: the largest burst's)"
    )
    parser.add_argument("--out", default="out/bench/start", help="the files' path without suffix")
    parser.add_argument("--growth", action="store_true", help="many ready ports, many networks")
    parser.add_argument(
        "--growth-points",
        type=growth.points,
        default=growth.POINTS,
        metavar="NETWORKSxPORTS,…",
        help="networks, and ready ports of each (default %(default)s)",
    )
    parser.add_argument("--growth-starts", type=int, default=50, help="at each point (default 50)")
    parser.add_argument("--idle", action="store_true", help="Kurier alone, and nothing happens")
    parser.add_argument("--idle-ports", type=int, default=100, help="ready ports (default 100)")
    parser.add_argument("--idle-seconds", type=float, default=300.0, help="default 300")
    return parser.parse_args()


def _scenario(text: str) -> Scenario:
    name, _, rounds = text.partition(":")
    if name not in scenarios.ALL or (rounds and not rounds.isdigit()):
        raise argparse.ArgumentTypeError(f"{text}: one of {', '.join(scenarios.ALL)}, or with :N")
    one = scenarios.ALL[name]
    return replace(one, rounds=int(rounds)) if rounds else one


def _play(ground: Ground, log: NeutronLog, options: argparse.Namespace) -> dict[str, Any]:
    chosen = options.scenario or list(scenarios.ALL.values())
    largest = max(one.ports for one in chosen)
    pool = options.pool if options.pool is not None else largest + _SPARE
    names = [name for name in options.only or drivers.ALL if name not in options.without]
    stage = Stage(ground.host, Recorder(log))
    scenarios.sweep(ground.host)
    with ExitStack() as undo:
        present = []
        for one in drivers.contenders(replace(ground, pool=pool), names):
            undo.callback(one.take_down, ground.host)
            present.append(one)
        undo.callback(scenarios.sweep, ground.host)
        for one in present:
            one.set_up(ground.host)
        run = Run(stage, chosen, present, pool)
        try:
            _warm_up(run)
            for scenario in chosen:
                _rounds(run, scenario)
        except KeyboardInterrupt:
            print("interrupted: what was measured so far follows", file=sys.stderr)
        except TimeoutError as error:
            print(f"{error} What was measured so far follows.", file=sys.stderr)
        return _numbers(run)


def _warm_up(run: Run) -> None:
    run.stage.recorder.keeps = False
    for one in run.present:
        scenarios.turn(run.stage, scenarios.ALL["one"], one)
    run.stage.recorder.keeps = True


def _rounds(run: Run, scenario: Scenario) -> None:
    for number in range(scenario.rounds):
        run.stage.recorder.round = number
        print(f"{scenario.name}: round {number + 1} of {scenario.rounds}", file=sys.stderr)
        first = number % len(run.present)
        for one in (*run.present[first:], *run.present[:first]):
            if scenario.suits(one, number):
                scenarios.turn(run.stage, scenario, one)


def _numbers(run: Run) -> dict[str, Any]:
    titles = {name: title for one in run.chosen for name, title in one.titles.items()}
    samples = run.stage.recorder.samples
    return {
        "contenders": [one.name for one in run.present],
        "pool": run.pool if HAS_POOLS else None,
        "measures": results.measures(samples, titles),
        "daemons": results.daemons(samples, run.used),
    }


def _machine(host: Host) -> dict[str, Any]:
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "kernel": platform.release().partition("-")[0],
        "docker": host.docker("version", "-f", "{{.Server.Version}}").strip(),
        "host": host.name,
    }


if __name__ == "__main__":
    sys.exit(main())
