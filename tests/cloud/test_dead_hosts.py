# SPDX-License-Identifier: Apache-2.0
"""A host that died for good is forgotten from another one: all that was its own goes, what it
shared goes on, and nobody else's things are touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import yaml

from kurier.model import tags
from kurier.model.ids import DockerNetworkId, EnvironmentId
from localcloud.api import Cloud
from tests.cloud.conftest import Troupe
from tests.cloud.faults.moments import Broker, Moment, before_http
from tests.cloud.stage import Stage, wait_until
from tests.cloud.stage.daemon import Table
from tests.cloud.stage.machine import local_host
from tests.cloud.stage.racers import Racer, swarm_id

pytestmark = [pytest.mark.two_hosts, pytest.mark.local_cloud]
ENVIRONMENT = "kt-mortal"
SETTINGS: Table = {
    "daemon": {"environment": ENVIRONMENT},
    # No pool shrinks by itself while a test looks.
    "pool": {"enabled": True, "min": 2, "lag": 0.0, "half_life": 3600.0},
}
_NEUTRON = ("10.99.1.1", 19696)
_AGENTS_PATIENCE = 160.0
"""Seconds; Neutron calls an agent dead when it was not heard of for 40 (`agent_down_time`)."""


@dataclass(frozen=True)
class Pair:
    """A host that lives and one that will die."""

    living: Stage
    mortal: Stage
    broker: Broker

    def of(self, stage: Stage) -> list[Any]:
        """A host's ports, as its tag tells them."""
        mark = tags.host_tag(stage.machine.hostname)
        return list(stage.neutron.network.ports(tags=mark))

    def pools_of(self, stage: Stage) -> list[str]:
        """The subnets' tags that tell of a host's ranges."""
        mark = tags.host_mark(stage.machine.hostname)
        found = self.living.neutron.network.subnets()
        return [tag for one in found for tag in one.tags if f":{mark}" in tag]

    def row(self, stage: Stage) -> dict[str, Any] | None:
        """What `kurier host list` says of a host."""
        rows = self.living.daemon.told("host", "list")
        return next((row for row in rows if row["host"] == stage.machine.hostname), None)

    def forget(self, *options: str) -> Any:
        """`kurier host forget` of the mortal one, told to the living one."""
        name = self.mortal.machine.hostname
        return self.living.daemon.told("host", "forget", name, "--yes", *options)


@pytest.fixture(scope="module")
def pair(troupe: Troupe, second_troupe: Troupe, cloud: Cloud) -> Iterator[Pair]:
    """The one that lives speaks to Neutron through a go-between."""
    with ExitStack() as stack:
        broker, url = stack.enter_context(before_http(_NEUTRON[0], *_NEUTRON))
        living = stack.enter_context(troupe.own(SETTINGS, start=False))
        document = yaml.safe_load(cloud.clouds_file.read_text())
        document["clouds"][living.cloud]["network_endpoint_override"] = url
        file = living.folder / "clouds.yaml"
        file.write_text(yaml.safe_dump(document))
        living.daemon.environ["OS_CLIENT_CONFIG_FILE"] = str(file)
        living.daemon.start()
        mortal = stack.enter_context(second_troupe.own(SETTINGS))
        before = living.snapshot(), mortal.snapshot()
        yield Pair(living, mortal, broker)
        for stage in (living, mortal):
            stage.cleanup()
        # A host that came back from the dead as well: its devices had outlived their ports.
        for stage, was in zip((living, mortal), before, strict=True):
            stage.nothing_left(was)
        living.daemon.stop()


@contextmanager
def dead(stage: Stage) -> Iterator[None]:
    """A host without power, as far as Neutron and the other hosts can tell."""
    host = local_host(stage.machine)
    stage.daemon.kill()
    host.kill_engine_and_containers()
    host.service("ovn-controller").kill()
    try:
        yield
    finally:
        host.service("ovn-controller").start()
        host.start_dockerd()
        stage.daemon.start()


def has_ready(stage: Stage, neutron_id: str) -> bool:
    """Whether ports of a host wait on a network."""
    found = stage.neutron.network.ports(network_id=neutron_id, tags=tags.READY)
    return [port.binding_host_id for port in found].count(stage.machine.hostname) >= 2


def shared_by_both(pair: Pair) -> tuple[str, str, list[Racer]]:
    """A Swarm's network on both hosts, with ready ports on each: its id and Neutron's."""
    racers = [Racer(pair.living.daemon), Racer(pair.mortal.daemon)]
    network, cidr = swarm_id(), str(pair.living.cidr())
    assert [one.create(network, cidr) for one in racers] == ["", ""]
    neutron_id = racers[0].known()[network]
    for stage in (pair.living, pair.mortal):
        wait_until(partial(has_ready, stage, neutron_id), "ports are ready", 60)
    return network, neutron_id, racers


def attendants(stage: Stage, neutron_id: str, network: str) -> frozenset[str]:
    found = frozenset(stage.neutron.network.get_network(neutron_id).tags)
    mark = tags.environment_mark(EnvironmentId(ENVIRONMENT))
    return tags.attendants(found, tags.Mapping(mark, DockerNetworkId(network)))


@dataclass(frozen=True)
class Scene:
    """What the mortal host has: a part in a Swarm's network, a network of its own, and a guest's
    place on a user's network, on the user's own port.
    """

    network: str
    shared: str
    racers: list[Racer]
    own: str
    theirs: str
    port: str


def scene(pair: Pair) -> Scene:
    """Has containers run and waits until Neutron was told of them."""
    mortal = pair.mortal
    network, shared, racers = shared_by_both(pair)
    own, cidr = mortal.create_network(), mortal.cidr()
    mortal.run_container(own, "--expose", "8080")
    theirs = mortal.make_network(cidr)
    mortal.neutron.network.set_tags(theirs, ["kept"])
    port = mortal.make_port(theirs.id, str(cidr[40]), description="mine")
    guest = mortal.create_network("-o", f"neutron.net.uuid={theirs.id}", subnet=cidr)
    mortal.run_container(guest, "--ip", str(cidr[40]))
    for stage in (mortal, pair.living):
        stage.settled()
    return Scene(network, shared, racers, mortal.neutron_network(own).id, theirs.id, port.id)


@pytest.mark.timeout(480)
def test_all_of_a_dead_host_goes_and_the_others_notice_nothing(pair: Pair) -> None:
    living, host = pair.living, pair.mortal.machine.hostname
    lan = living.create_network()
    first, second = living.run_container(lan), living.run_container(lan)
    there = scene(pair)
    exposing = len(groups_of(living))
    refused = living.daemon.kurier("host", "forget", host, "--yes", check=False)
    assert refused.returncode == 1
    assert "are alive" in refused.stderr

    with dead(pair.mortal):
        assert (pair.row(pair.mortal) or {}).items() >= {"leased": 2, "networks": 3}.items()
        missed = partial(is_missed, pair)
        wait_until(missed, "Neutron misses the host's agents", _AGENTS_PATIENCE)
        before = {line_of(one) for one in pair.of(living)}
        told = pair.forget()

        assert [one["port"] for one in told["given_back"]] == [there.port]
        assert_forgotten(pair, there)
        assert_given_back(living, there)
        assert exposing - len(groups_of(living)) == 1
        assert {line_of(one) for one in pair.of(living)} == before
        assert living.pings(first, living.ip_of(second))
        assert [pair.forget()[kind] for kind in ("ports", "networks", "tags")] == [[], [], 0]
    for one in there.racers:
        assert one.remove(there.network) == ""
    gone = partial(living.neutron.network.find_network, there.shared)
    wait_until(lambda: gone() is None, "the last one out takes the shared network along", 60)


def is_missed(pair: Pair) -> bool:
    """Whether Neutron calls the mortal host's agents dead."""
    row = pair.row(pair.mortal)
    return row is not None and row["alive"] == "no"


def assert_forgotten(pair: Pair, there: Scene) -> None:
    """Nothing tells of the host, and the living one is alone on what they shared."""
    living = pair.living
    assert pair.of(pair.mortal) == pair.pools_of(pair.mortal) == []
    assert pair.row(pair.mortal) is None
    assert living.neutron.network.find_network(there.own) is None
    alone = {tags.host_mark(living.machine.hostname)}
    assert attendants(living, there.shared, there.network) == alone


def assert_given_back(living: Stage, there: Scene) -> None:
    """The user's network and port are the user's again."""
    assert living.neutron.network.get_network(there.theirs).tags == ["kept"]
    port = living.neutron.network.get_port(there.port)
    assert (port.tags, port.device_owner, port.device_id) == ([], "", "")
    assert (port.description, port.binding_host_id) == ("mine", "")


def groups_of(stage: Stage) -> list[Any]:
    """The security groups of Kurier's making."""
    return list(stage.neutron.network.security_groups(tags=tags.MADE))


def line_of(port: Any) -> tuple[str, ...]:
    """What must not change of a port that is in use or waits."""
    return (port.id, port.device_id, port.binding_host_id, *sorted(port.tags))


@pytest.mark.timeout(300)
def test_the_last_host_of_a_swarms_network_takes_it_along(pair: Pair) -> None:
    """Nobody else is there to leave it to; one that is only called dead, by force."""
    network, shared, racers = shared_by_both(pair)
    assert racers[0].remove(network) == ""
    wait_until(racers[0].settled, "the living host has left", 40)
    with dead(pair.mortal):
        told = pair.forget("--force")
        assert [(one["docker_id"], one["others"]) for one in told["networks"]] == [(network, 0)]
        assert pair.living.neutron.network.find_network(shared) is None
        assert pair.of(pair.mortal) == []
    # Back after all, it has the network's devices still, until its engine is told to forget it.
    assert racers[1].remove(network) == ""


def test_the_daemons_own_host_is_never_forgotten(pair: Pair) -> None:
    own = pair.living.machine.hostname
    with pair.living.unchanged():
        said = pair.living.daemon.kurier("host", "forget", own, "--yes", "--force", check=False)
    assert said.returncode == 1
    assert said.stderr.startswith(f"Error: {own} is the host that this daemon runs on")


@pytest.mark.parametrize(
    "listed",
    [
        *(pytest.param(one, marks=pytest.mark.long) for one in ("networks", "subnets", "agents")),
        "ports",
    ],
)
@pytest.mark.timeout(240)
def test_where_a_list_fails_nothing_is_done(pair: Pair, listed: str) -> None:
    network, shared, racers = shared_by_both(pair)
    living, mortal = pair.living, pair.mortal
    before = ({port.id for port in pair.of(mortal)}, pair.pools_of(mortal))
    failed = pair.broker.strike(rf"^GET /v2.0/{listed}\?", Moment.DONE, lambda: None, times=50)

    name = mortal.machine.hostname
    said = living.daemon.kurier("host", "forget", name, "--yes", "--force", check=False)

    pair.broker.forget()
    assert failed.is_set()
    assert (said.returncode, said.stdout) == (1, "")
    assert ({port.id for port in pair.of(mortal)}, pair.pools_of(mortal)) == before
    assert len(attendants(living, shared, network)) == 2
    for one in racers:
        assert one.remove(network) == ""
    for stage in (living, mortal):
        stage.settled()
