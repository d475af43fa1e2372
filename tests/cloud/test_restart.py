# SPDX-License-Identifier: Apache-2.0
"""Engine and daemon restarted and killed while containers run, start and stop."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from localcloud.api import Host
from tests.cloud.conftest import Troupe
from tests.cloud.faults.engines import host_of, running_engine
from tests.cloud.faults.moments import Broker, Moment, before_plugin
from tests.cloud.stage import IMAGE, Stage
from tests.cloud.stage.daemon import QUICK, Table

pytestmark = [pytest.mark.two_hosts, pytest.mark.local_cloud]


@pytest.fixture
def stage(second_troupe: Troupe) -> Iterator[Stage]:
    with second_troupe.own(QUICK) as stage:
        yield stage


def pings_from_outside(stage: Stage, process: str, address: str) -> bool:
    """A ping out of a container's namespaces without the engine's help."""
    ping = ["nsenter", "-t", process, "-n", "-m", "ping", "-c", "1", "-W", "2", address]
    return any(host_of(stage).run(ping, check=False).returncode == 0 for _ in range(3))


def test_containers_come_back_with_the_engine_at_their_addresses(stage: Stage) -> None:
    before = stage.snapshot()
    cidr = stage.cidr()
    network = stage.create_network(subnet=cidr)
    addresses = [str(cidr[40]), str(cidr[41])]
    options = [("--restart=always", "--ip", one) for one in addresses]
    first, second = (stage.run_container(network, *one) for one in options)
    host_of(stage).stop_dockerd()
    host_of(stage).start_dockerd()
    assert [stage.ip_of(first), stage.ip_of(second)] == addresses
    assert stage.pings(first, addresses[1])
    stage.remove_container(first, second)
    stage.remove_network(network)
    stage.nothing_left(before)


def test_traffic_goes_on_while_an_engine_with_live_restore_is_dead(second_troupe: Troupe) -> None:
    """The engine is killed, containers live on; what comes after is as if nothing had been."""
    with running_engine(second_troupe, arguments=("--live-restore",), settings=QUICK) as stage:
        before = stage.snapshot()
        network, other = stage.create_network(), stage.create_network()
        first, second = stage.run_container(network), stage.run_container(network)
        address, process = stage.ip_of(second), stage.process_of(first)
        host_of(stage).kill_dockerd()
        assert pings_from_outside(stage, process, address)
        host_of(stage).start_dockerd()
        assert stage.process_of(first) == process
        assert stage.pings(first, address)
        stage.docker("network", "connect", other, first)
        stage.docker("network", "disconnect", other, first)
        stage.docker("stop", first, second)
        stage.remove_container(first, second)
        stage.remove_network(network)
        stage.remove_network(other)
        stage.nothing_left(before)


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_containers_do_not_notice_that_kurier_restarts(stage: Stage, ending: str) -> None:
    before = stage.snapshot()
    network = stage.create_network()
    first, second = stage.run_container(network), stage.run_container(network)
    address = stage.ip_of(second)
    getattr(stage.daemon, ending)()
    assert stage.pings(first, address)
    stage.daemon.start()
    third = stage.run_container(network)
    assert stage.pings(third, address)
    stage.docker("stop", first, second, third)
    stage.remove_container(first, second, third)
    stage.remove_network(network)
    stage.nothing_left(before)


_STARTS = [
    (call, moment)
    for call in ("RequestAddress", "CreateEndpoint", "Join")
    for moment in (Moment.ARRIVED, Moment.DONE, Moment.ANSWERED)
]
_STOPS = [(call, Moment.DONE) for call in ("Leave", "DeleteEndpoint", "ReleaseAddress")]
_IN_EVERY_RUN = {
    ("CreateEndpoint", Moment.DONE),
    ("Join", Moment.ARRIVED),
    ("DeleteEndpoint", Moment.DONE),
}
"""The host in memory is killed at every moment (tests/host/test_strikes.py)."""
_KILLS = [
    pytest.param(*one, marks=() if one in _IN_EVERY_RUN else pytest.mark.long)
    for one in [*_STARTS, *_STOPS]
]


_POOLS: dict[str, Table] = {
    "cold": {},
    "warm": {"pool": {"enabled": True, "min": 2, "max": 8, "cooling": 1.0, "lag": 2.0}},
}


@pytest.fixture(scope="module", params=_POOLS)
def watched(
    request: pytest.FixtureRequest, second_troupe: Troupe
) -> Iterator[tuple[Stage, Broker]]:
    """A stage whose plugin socket is behind a go-between, without ready ports and with some."""
    back_dir: Table = {"daemon": {"plugin_dir": "/run/kurier-back"}}
    settings: Table = {**QUICK, **back_dir, **_POOLS[request.param]}
    host = second_troupe.machine
    assert isinstance(host, Host)
    back = host.run_dir / "kurier-back"
    back.mkdir(exist_ok=True)
    with (
        before_plugin(host.plugin_dir / "kuryr.sock", back / "kuryr.sock") as broker,
        second_troupe.own(settings) as stage,
    ):
        yield stage, broker


@pytest.mark.parametrize(("call", "moment"), _KILLS, ids=str)
def test_kurier_killed_in_the_middle_of_a_call(
    watched: tuple[Stage, Broker], call: str, moment: Moment
) -> None:
    """Whatever step of a start or a stop is cut off: the next container runs, and all goes."""
    stage, broker = watched
    before = stage.snapshot()

    def die_and_return() -> None:
        stage.daemon.kill()
        stage.daemon.start(ready=False)

    network = stage.create_network("-o", "kurier.pool.wait=true")
    peer, hit = stage.run_container(network), stage.name("hit")
    struck = broker.strike(rf"\.{call}$", moment, die_and_return)
    stage.docker("run", *stage.run_options(network, hit), IMAGE, check=False)
    stage.docker("rm", "-f", hit)
    assert struck.is_set()
    broker.forget()
    after = stage.run_container(network)
    assert stage.ip_of(after) != stage.ip_of(peer)
    assert stage.pings(after, stage.ip_of(peer))
    stage.remove_container(peer, after)
    stage.remove_network(network)
    stage.nothing_left(before, 60)
