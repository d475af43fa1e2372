# SPDX-License-Identifier: Apache-2.0
"""What is done with each contender in its turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import count

from bench.contender import Contender
from bench.recorder import REMOVAL, WHOLE, Attempt, Recorder
from localcloud.api import IMAGE, CloudError, Host

LABEL = "kurier-bench"
_CHURN_SECONDS = 60.0
_CHURN_WIDTH = 4
_NETWORKS = count()


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a scenario is played, and who watches."""

    host: Host
    recorder: Recorder


Rest = Callable[[], None]
"""Waits until the contender's pool is full enough and at rest, and Neutron knows all."""
Play = Callable[[Stage, Contender, Rest], None]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of turn."""

    name: str
    rounds: int
    ports: int
    """How many ready ports it should find."""
    play: Play
    titles: Mapping[str, str]
    """Its measures and what they are called."""
    few: Mapping[str, int]
    """The rounds that contenders take part in that are slow, or matter less; 0 for never."""
    makes_network: bool = False

    def suits(self, one: Contender, number: int) -> bool:
        """Whether a contender has a turn in this round."""
        if self.makes_network and one.space is None:
            return False
        return number < self.few.get(one.name, self.rounds)


def turn(stage: Stage, scenario: Scenario, one: Contender) -> None:
    """One turn, from a full pool to a full pool, so that no one's work falls into another's."""
    rest = partial(_rest, one, scenario.ports)
    rest()
    with stage.recorder.measured(one, f"{scenario.name}{WHOLE}", 0) as whole:
        before = len(stage.recorder.samples)
        scenario.play(stage, one, rest)
        played = stage.recorder.samples[before:]
        whole.containers = sum(one.containers for one in played if not one.removes)
        if any(one.failures for one in played):
            sweep(stage.host)
        rest()


def _rest(one: Contender, ports: int) -> None:
    one.settle()
    one.await_ready(ports)


def sweep(host: Host) -> None:
    """Takes away the containers of this run, or of one that was killed."""
    left = host.docker("ps", "-aq", "--filter", f"label={LABEL}").split()
    if left:
        host.docker("rm", "-f", *left, seconds=600)


def _one(stage: Stage, one: Contender, rest: Rest) -> None:
    with stage.recorder.measured(one, "run"):
        stage.host.docker("run", "--rm", *_where(one), IMAGE, "true")
    rest()
    with stage.recorder.measured(one, "start"):
        _start(stage.host, one, 0)
    rest()
    with stage.recorder.measured(one, f"start{REMOVAL}"):
        _remove(stage.host, 0)


def _burst(number: int, width: int, stage: Stage, one: Contender, rest: Rest) -> None:
    with stage.recorder.measured(one, f"burst{number}", number) as attempt:
        _all_at(width, number, attempt, partial(_start, stage.host, one))
    rest()
    with stage.recorder.measured(one, f"burst{number}{REMOVAL}", number) as attempt:
        _all_at(width, number, attempt, partial(_remove, stage.host))


def _churn(stage: Stage, one: Contender, _rest: Rest) -> None:
    done: list[int] = []
    with stage.recorder.measured(one, "churn", 0) as attempt:
        until = time.monotonic() + _CHURN_SECONDS

        def go_round(worker: int) -> None:
            while time.monotonic() < until:
                _start(stage.host, one, worker)
                _remove(stage.host, worker)
                done.append(worker)

        _all_at(_CHURN_WIDTH, _CHURN_WIDTH, attempt, go_round)
        attempt.containers = len(done)


def _network(stage: Stage, one: Contender, rest: Rest) -> None:
    number = next(_NETWORKS)
    name = f"bench-more-{number}"
    with stage.recorder.measured(one, "network", 0):
        stage.host.docker(*one.create(name, number))
    rest()
    with stage.recorder.measured(one, f"network{REMOVAL}", 0):
        stage.host.docker("network", "rm", name)


def _all_at(width: int, number: int, attempt: Attempt, action: Callable[[int], None]) -> None:
    """Does it `number` times, so many at once; failures are counted and end nothing."""

    def one(index: int) -> None:
        try:
            action(index)
        except CloudError as error:
            attempt.failed(error)

    with ThreadPoolExecutor(width) as pool:
        list(pool.map(one, range(number)))


def _where(one: Contender) -> tuple[str, ...]:
    return ("--label", LABEL, "--network", one.network)


def _start(host: Host, one: Contender, number: int) -> None:
    host.docker("run", "-d", "--name", f"bench-{number}", *_where(one), IMAGE)


def _remove(host: Host, number: int) -> None:
    host.docker("rm", "-f", f"bench-{number}")


_SLOW = "kuryr-libnetwork"
ALL = {
    one.name: one
    for one in (
        Scenario(
            "one",
            15,
            1,
            _one,
            {
                "run": "docker run --rm",
                "start": "docker run -d",
                f"start{REMOVAL}": "docker rm -f",
            },
            {_SLOW: 3},
        ),
        Scenario(
            "network",
            5,
            0,
            _network,
            {"network": "docker network create", f"network{REMOVAL}": "docker network rm"},
            {_SLOW: 2},
            makes_network=True,
        ),
        Scenario(
            "burst20",
            3,
            20,
            partial(_burst, 20, 8),
            {"burst20": "20 starts, 8 at a time", f"burst20{REMOVAL}": "removal of the 20"},
            {_SLOW: 1, "kurier-cold": 2},
        ),
        Scenario(
            "burst100",
            2,
            100,
            partial(_burst, 100, 16),
            {"burst100": "100 starts, 16 at a time", f"burst100{REMOVAL}": "removal of the 100"},
            {_SLOW: 0, "kurier-cold": 1, "none": 1, "default-bridge": 1},
        ),
        Scenario(
            "churn",
            1,
            20,
            _churn,
            {"churn": f"start and stop, {_CHURN_WIDTH} at a time, for {_CHURN_SECONDS:.0f} s"},
            {_SLOW: 0, "none": 0, "default-bridge": 0},
        ),
    )
}
