# SPDX-License-Identifier: Apache-2.0
"""The ledger truncated, damaged, deleted, another host's, or from a future version while ten
containers run.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cloud.conftest import Troupe
from tests.cloud.stage import Stage, wait_until
from tests.cloud.stage.daemon import QUICK
from tests.cloud.stage.machine import leased_interfaces

MANY = 10


def delete(ledger: Path) -> None:
    for file in ledger.parent.glob("ledger.db*"):
        file.unlink()


def empty(ledger: Path) -> None:
    ledger.write_bytes(b"")


def cut(ledger: Path) -> None:
    whole = ledger.read_bytes()
    ledger.write_bytes(whole[: len(whole) // 2])


def scribble(ledger: Path) -> None:
    whole = ledger.read_bytes()
    ledger.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))


@dataclass(frozen=True)
class Ten:
    """Ten containers of a network, one of which opens a port."""

    stage: Stage
    network: str
    addresses: dict[str, str]

    @property
    def names(self) -> list[str]:
        return list(self.addresses)

    def ports(self) -> set[str]:
        return {port.id for port in self.stage.container_ports(self.network)}

    def all_answer(self) -> bool:
        first, *others = self.names
        return all(self.stage.pings(first, self.addresses[name]) for name in others)

    def known(self) -> set[str]:
        """The addresses of the ports that the ledger has."""
        rows = self.stage.daemon.admin("/v1/ports")
        return {address for row in rows for address in row["addresses"]}


@pytest.fixture(scope="module")
def ten(troupe: Troupe) -> Iterator[Ten]:
    with troupe.own(QUICK) as stage:
        before = stage.snapshot()
        network = stage.create_network()
        names = [stage.run_container(network, "--expose", "80")]
        names += [stage.run_container(network) for _ in range(MANY - 1)]
        stage.settled()
        yield Ten(stage, network, {name: stage.ip_of(name) for name in names})
        stage.remove_container(*names)
        stage.remove_network(network)
        stage.nothing_left(before, 60)


@pytest.mark.parametrize(
    "damage",
    [delete, cut, *(pytest.param(one, marks=pytest.mark.long) for one in (empty, scribble))],
)
def test_what_is_in_use_is_found_again(ten: Ten, damage: Callable[[Path], None]) -> None:
    """Nothing goes, no address is given twice, and the ledger knows all ten again."""
    stage, ports = ten.stage, ten.ports()
    stage.daemon.stop()
    damage(stage.daemon.state_dir / "ledger.db")
    stage.daemon.start()

    newcomer = stage.run_container(ten.network)
    refusal = stage.fail_container(ten.network, "--ip", ten.addresses[ten.names[3]])
    wait_until(lambda: ten.known() >= set(ten.addresses.values()), "all ten are known", 60)

    assert stage.ip_of(newcomer) not in ten.addresses.values()
    assert "already in use" in refusal
    stage.remove_container(newcomer)
    stage.settled()
    assert ten.ports() == ports
    assert ten.all_answer()


@pytest.mark.two_hosts
@pytest.mark.local_cloud
def test_a_cloned_host_touches_nothing_of_the_first(ten: Ten, second_troupe: Troupe) -> None:
    """Its state folder and its engine's id are the same, and the first one runs on."""
    stage = ten.stage
    stage.daemon.stop()
    whole = (stage.daemon.state_dir / "ledger.db").read_bytes()
    stage.daemon.start()
    stage.settled()
    before = {port.id: port for port in stage.container_ports(ten.network)}
    engine = {"daemon": {"environment": stage.environment()}}
    with second_troupe.own(engine, start=False) as clone:
        clone.daemon.state_dir.mkdir(mode=0o700)
        (clone.daemon.state_dir / "ledger.db").write_bytes(whole)
        clone.daemon.start()
        wait_until(lambda: "set-aside" in clone.daemon.ledger_note(), "it is told", 20)
        assert f"it is host {stage.machine.hostname}'s" in clone.daemon.admin()["ledger"]["note"]
        for _ in range(2):
            report = clone.daemon.admin("/v1/reconcile", "POST")
            assert (report["deleted"], report["unplugged"], report["released"]) == ([], [], [])
        assert leased_interfaces(clone.machine) == []
        after = {port.id: port for port in stage.container_ports(ten.network)}
        fields = ("tags", "binding_host_id", "device_id", "name", "security_group_ids")
        assert {key: [port[one] for one in fields] for key, port in after.items()} == {
            key: [port[one] for one in fields] for key, port in before.items()
        }
    assert ten.all_answer()


def test_a_ledger_of_a_newer_kurier_is_refused_in_words(ten: Ten) -> None:
    stage, ledger = ten.stage, ten.stage.daemon.state_dir / "ledger.db"
    stage.daemon.stop()
    version = told_version(ledger)
    told_version(ledger, 99)
    stage.daemon.start(ready=False)
    wait_until(lambda: not stage.daemon.running, "it ends", 20)
    assert "was written by a newer Kurier (schema 99" in stage.daemon.said()[-2000:]
    assert ten.all_answer()
    told_version(ledger, version)
    stage.daemon.start()
    assert ten.known() == set(ten.addresses.values())


def told_version(ledger: Path, change: int | None = None) -> int:
    """The schema that a ledger says it has, or shall say from now on."""
    with sqlite3.connect(ledger) as file:
        if change is not None:
            file.execute(f"PRAGMA user_version = {change}")
        version: int = file.execute("PRAGMA user_version").fetchone()[0]
    file.close()
    return version
