# SPDX-License-Identifier: Apache-2.0
"""The daemon killed at random while containers come and go on a pool of ready ports.

KURIER_TEST_KILLS says how often (default 6, with `--long` 15), KURIER_TEST_SEED which randomness.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tests.cloud.conftest import Troupe
from tests.cloud.stage import IMAGE, Stage, wait_until
from tests.cloud.stage.machine import leased_interfaces
from tests.cloud.stage.pools import pool_of
from tests.speed import LONG

KILLS = int(os.environ.get("KURIER_TEST_KILLS", "15" if LONG else "6"))
SEED = int(os.environ.get("KURIER_TEST_SEED", str(random.SystemRandom().randrange(10**6))))
CHECK_EVERY = 10
WORKERS = 3
MOST_EACH = 3
CRASHING = {
    "pool": {"enabled": True, "min": 5, "max": 24, "batch": 4, "cooling": 1.0, "lag": 2.0},
    "reconcile": {"interval": 2.0, "grace": 20.0},
}


@dataclass
class Churn:
    """Workers that start and remove containers until they are told to stop."""

    stage: Stage
    network: str
    random: random.Random
    outcomes: Counter[str] = field(default_factory=Counter)
    running: set[str] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def going(self) -> Iterator[None]:
        self._stop.clear()
        threads = [threading.Thread(target=self._work, args=(number,)) for number in range(WORKERS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _work(self, worker: int) -> None:
        mine = sorted(name for name in self.running if name.startswith(f"crash-{worker}-"))
        while not self._stop.is_set():
            if len(mine) < MOST_EACH and (not mine or self.random.random() < 0.6):
                self._start(f"crash-{worker}-{self.random.randrange(10**9)}", mine)
            else:
                self._remove(mine.pop(self.random.randrange(len(mine))))

    def _start(self, name: str, mine: list[str]) -> None:
        options = self.stage.run_options(self.network, name)
        done = self.stage.docker.attempt("run", *options, IMAGE, "sleep", "infinity")
        if done.returncode == 0:
            mine.append(name)
            self.running.add(name)
            self.outcomes["started"] += 1
        else:
            self.outcomes["start refused"] += 1
            self.stage.docker("rm", "-f", name, check=False)

    def _remove(self, name: str) -> None:
        self.running.discard(name)
        self.stage.docker("rm", "-f", name, check=False)
        self.outcomes["removed"] += 1

    def remove_all(self) -> None:
        for name in sorted(self.running):
            self._remove(name)


@pytest.fixture
def stage(troupe: Troupe) -> Iterator[Stage]:
    with troupe.own(CRASHING) as stage:
        yield stage


@pytest.mark.timeout(120 + 20 * KILLS)
def test_kills_at_random_lose_nothing(stage: Stage) -> None:
    """No leaked port, no address twice, no container without network."""
    print(f"{KILLS} kills, KURIER_TEST_SEED={SEED}")
    chance = random.Random(SEED)
    before = stage.snapshot()
    network = stage.create_network("-o", "kurier.pool.wait=true")
    churn = Churn(stage, network, chance)
    kills = checks = 0
    while kills < KILLS:
        with churn.going():
            for _ in range(min(CHECK_EVERY, KILLS - kills)):
                time.sleep(chance.uniform(0.02, 1.5))
                stage.daemon.kill()
                stage.daemon.start()
                kills += 1
        checks += check_containers(stage, network, churn.running)
    print(f"{kills} kills, {checks} containers checked, {dict(churn.outcomes)}")
    churn.remove_all()
    check_pool(stage, network)
    stage.remove_network(network)
    stage.nothing_left(before, 90)
    assert churn.outcomes["started"] > 0


def check_containers(stage: Stage, network: str, running: set[str]) -> int:
    """Each has an address of its own, its own Neutron port, and answers; how many were checked."""
    probe = stage.run_container(network)
    names = sorted(running)
    stage.settled(90)
    addresses = {name: stage.ip_of(name) for name in names}
    assert len(set(addresses.values())) == len(names), addresses
    ports = [stage.neutron_port(name) for name in names]
    assert len({port.id for port in ports}) == len(names), addresses
    mute = [name for name in names if not stage.pings(probe, addresses[name])]
    assert not mute, f"without network: {mute}"
    stage.await_active(*ports)
    stage.remove_container(probe)
    return len(names)


def check_pool(stage: Stage, network: str) -> None:
    """When all is quiet, Neutron has just the ports that the pool says."""

    def agree() -> bool:
        pool = pool_of(stage, network)
        if pool["coming"] or pool["cooling"] or stage.owed():
            return False
        ports = stage.container_ports(network)
        marked = leased_interfaces(stage.machine)
        return len(ports) == int(pool["ready"]) and len(marked) >= len(ports)

    wait_until(agree, "Neutron has just the ports that the pool says", 90)


def test_an_old_ledger_takes_nothing_from_containers(troupe: Troupe) -> None:
    """It says that ports wait, which containers have since."""
    with troupe.own(CRASHING) as stage:
        before = stage.snapshot()
        network = stage.create_network("-o", "kurier.pool.wait=true")
        first = stage.run_container(network)
        stage.settled()
        ledger = stage.daemon.state_dir / "ledger.db"
        stage.daemon.stop()
        old = ledger.read_bytes()
        stage.daemon.start()
        names = [first, *(stage.run_container(network) for _ in range(2))]
        stage.settled()
        ports = {stage.neutron_port(name).id for name in names}
        stage.daemon.stop()
        for path in ledger.parent.glob("ledger.db*"):
            path.unlink()
        ledger.write_bytes(old)
        stage.daemon.start()
        wait_until(lambda: "set-aside" in stage.daemon.ledger_note(), "it is told", 20)

        def known() -> set[str]:
            return {row["port_id"] for row in stage.daemon.admin("/v1/ports")}

        wait_until(lambda: known() >= ports, "all are known again", 60)
        stage.settled()
        assert {port.id for port in stage.container_ports(network)} >= ports
        assert all(stage.pings(first, stage.ip_of(name)) for name in names[1:])
        stage.remove_container(*names)
        stage.remove_network(network)
        stage.nothing_left(before, 60)
