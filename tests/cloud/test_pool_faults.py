# SPDX-License-Identifier: Apache-2.0
"""Faults while ports are made: answers and tags that are lost, ports that are not wired."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.cloud.conftest import Troupe
from tests.cloud.faults.engines import host_of
from tests.cloud.faults.moments import Answer, Broker, Moment, out_of_order
from tests.cloud.stage import Stage, wait_until
from tests.cloud.stage.daemon import Table
from tests.cloud.stage.pools import pool_of, ready

pytestmark = pytest.mark.local_cloud
POOL: Table = {
    "pool": {"enabled": True, "min": 2, "max": 8, "batch": 4, "cooling": 2.0, "lag": 4.0},
    "datapath": {"wire_timeout": 3.0},
    "reconcile": {"interval": 3600.0},
}


@pytest.mark.timeout(240)
def test_ports_whose_answer_was_lost_are_found_again(brokered: tuple[Stage, Broker]) -> None:
    """Neutron made them and the answer never came: they are taken in, and none is left over."""
    stage, broker = brokered
    before = stage.snapshot()
    theirs = stage.make_network()
    untagged = stage.make_port(theirs.id)
    lost = broker.strike(r"^POST /v2.0/ports", Moment.DONE, lambda: None)

    network = stage.create_network()

    wait_until(lambda: pool_of(stage, network)["ready"] >= 2, "the pool is full", 90)
    assert lost.is_set()
    wait_until(
        lambda: (
            {one.id for one in stage.container_ports(network)}
            == {one.id for one in ready(stage, network)}
        ),
        "Neutron has no port more",
        60,
    )
    assert len(ready(stage, network)) == pool_of(stage, network)["ready"]
    assert stage.neutron.network.get_port(untagged.id)
    one, two = stage.run_container(network), stage.run_container(network)
    assert stage.pings(one, stage.ip_of(two))
    stage.remove_container(one, two)
    stage.remove_network(network)
    stage.delete_neutron_network(theirs.id)
    stage.nothing_left(before)


@pytest.mark.timeout(240)
def test_nothing_is_handed_out_before_the_switch_wires_it(troupe: Troupe) -> None:
    with troupe.own(POOL) as stage:
        controller = host_of(stage).service("ovn-controller")
        controller.stop()
        try:
            network = stage.create_network()
            wait_until(lambda: pool_of(stage, network)["coming"] >= 2, "ports were made", 60)
            refusal = stage.fail_container(network)
            assert "was not wired within 3 s" in refusal
            assert pool_of(stage, network)["ready"] == 0
        finally:
            controller.start()
        wait_until(lambda: pool_of(stage, network)["ready"] >= 2, "they are ready", 90)
        one, two = stage.run_container(network), stage.run_container(network)
        assert stage.pings(one, stage.ip_of(two))


@pytest.mark.long
@pytest.mark.timeout(240)
def test_a_cold_start_whose_answer_was_lost_leaves_nothing(brokered: tuple[Stage, Broker]) -> None:
    """Neutron made the port and the answer never came: the start fails in words, the port goes."""
    stage, broker = brokered
    network = stage.create_network("-o", "kurier.pool.max=0")
    with stage.unchanged():
        lost = broker.strike(r"^POST /v2.0/ports", Moment.DONE, lambda: None)
        assert "Neutron" in stage.fail_container(network)
        assert lost.is_set()
        wait_until(lambda: not stage.container_ports(network), "the lost port is deleted", 60)
    one, two = stage.run_container(network), stage.run_container(network)
    assert stage.pings(one, stage.ip_of(two))


@pytest.mark.long
@pytest.mark.timeout(240)
def test_what_neutron_says_it_failed_at_is_repeated(brokered: tuple[Stage, Broker]) -> None:
    """A port's tags were written and the answer says 500: the container runs, and all settles."""
    stage, broker = brokered
    network = stage.create_network("-o", "kurier.pool.wait=true")
    with broker.falsifying(r"^PUT /v2.0/ports/[^/]+/tags", out_of_order):
        name, peer = stage.run_container(network), stage.run_container(network)
        wait_until(lambda: _failing(stage), "the tags were refused", 30)
        assert stage.pings(peer, stage.ip_of(name))
    stage.settled(60)
    assert [stage.neutron_port(one).name for one in (name, peer)] == [name, peer]
    assert "kurier.role:leased" in stage.neutron_port(name).tags


def _failing(stage: Stage) -> bool:
    return bool(stage.daemon.admin("/v1/status")["outbox"]["failing"])


@pytest.mark.timeout(240)
def test_a_neutron_that_never_says_active_keeps_nobody_waiting(
    brokered: tuple[Stage, Broker],
) -> None:
    """The switch wires the ports, and Neutron lost the event that would tell it so."""
    stage, broker = brokered

    def down(answer: Answer) -> Answer:
        return replace(answer, content=answer.content.replace(b'"ACTIVE"', b'"DOWN"'))

    with broker.falsifying(r"^GET /v2.0/ports", down):
        network = stage.create_network()
        wait_until(lambda: pool_of(stage, network)["ready"] >= 2, "the pool is full", 60)
        one, two = stage.run_container(network), stage.run_container(network)
        assert stage.pings(one, stage.ip_of(two))
        stage.daemon.admin("/v1/reconcile", "POST")
        assert stage.pings(two, stage.ip_of(one))


@pytest.mark.timeout(240)
def test_one_growth_at_a_time_for_a_network(brokered: tuple[Stage, Broker]) -> None:
    """Beside it there is at most the one port that the engine asks for under its lock."""
    stage, broker = brokered
    network = stage.create_network("-o", "kurier.pool.min=0", "-o", "kurier.pool.max=30")
    open_now, most, lock = [0], [0], threading.Lock()

    def arrived() -> None:
        with lock:
            open_now[0] += 1
            most[0] = max(most[0], open_now[0])

    def done(answer: Answer) -> Answer:
        with lock:
            open_now[0] -= 1
        return answer

    create = r"^POST /v2.0/ports"
    broker.strike(create, Moment.ARRIVED, arrived, times=99)
    with broker.falsifying(create, done), ThreadPoolExecutor(8) as threads:
        names = list(threads.map(lambda _: stage.run_container(network), range(16)))

    assert len({stage.ip_of(name) for name in names}) == 16
    assert 1 <= most[0] <= 2
    stage.remove_container(*names)


def test_a_host_name_that_neutron_does_not_know_is_named(troupe: Troupe) -> None:
    with troupe.own({**POOL, "daemon": {"host": "nowhere"}}) as stage:
        wait_until(lambda: "calls this host" in stage.daemon.said(), "the log names it", 20)
        network = stage.create_network("-o", "kurier.pool.max=0")
        refusal = stage.fail_container(network)
        assert "could not bind the port to host nowhere" in refusal
        assert "daemon.host" in refusal


_LATE = 14.0
"""Seconds; the engine waits for ten."""


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "drawn",
    [pytest.param(False, id="given"), pytest.param(True, id="drawn", marks=pytest.mark.long)],
)
def test_a_network_that_neutron_makes_too_late_goes(
    brokered: tuple[Stage, Broker], *, drawn: bool
) -> None:
    """The create is on its way for longer than anybody waits: told in words, and undone once it
    has come to pass.
    """
    stage, broker = brokered
    options = ("--subnet", str(stage.cidr()))
    if drawn:
        options = ("--ipam-opt", f"neutron.pool.name={stage.make_subnet_pool(stage.cidr()).name}")
    with stage.unchanged():
        struck = broker.strike(r"^POST /v2.0/networks", Moment.ARRIVED, lambda: time.sleep(_LATE))
        assert "Neutron" in stage.fail_network(*options)
        assert not struck.is_set()
        wait_until(lambda: 201 in created(broker), "Neutron makes the network after all", 30)


def created(broker: Broker) -> list[int]:
    """What Neutron answered to each create of a network."""
    return [call.status for call in broker.calls if (call.method, call.path) == _CREATE]


_CREATE = ("POST", "/v2.0/networks")
