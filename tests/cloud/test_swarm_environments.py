# SPDX-License-Identifier: Apache-2.0
"""Several control planes on one Neutron network, and an engine that changes from one to another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from kurier.model import tags
from kurier.model.ids import EnvironmentId
from localcloud.guests import GuestPort, Vm
from tests.cloud.conftest import Troupe
from tests.cloud.stage import Stage, wait_until
from tests.cloud.stage.machine import local_host
from tests.cloud.stage.swarm import Swarm, address_of, leave, settled, swarm_of

pytestmark = [pytest.mark.two_hosts, pytest.mark.local_cloud, pytest.mark.timeout(500)]


@dataclass
class Member:
    """One control plane's part: a container of its own on the shared network."""

    stage: Stage
    network: str
    container: str
    leave: Callable[[], None]
    """Takes it off the network, and its Docker network away."""

    @property
    def address(self) -> str:
        return self.stage.ip_of(self.container, self.network)

    def reaches(self, address: str) -> bool:
        """By ping and by TCP."""
        return self.stage.pings(self.container, address) and self.stage.fetches(
            self.container, address, 80
        )


@pytest.fixture
def planes(
    troupe: Troupe, second_troupe: Troupe, third_troupe: Troupe
) -> Iterator[tuple[Swarm, Swarm, Stage]]:
    """Two Swarms of one host each, and a single engine."""
    with ExitStack() as stack:
        stages = [stack.enter_context(one.own()) for one in (troupe, second_troupe, third_troupe)]
        first, second = (stack.enter_context(swarm_of([stage])) for stage in stages[:2])
        yield first, second, stages[2]
        stages[2].cleanup()


def virtual_machine(stage: Stage, network_id: str) -> tuple[Vm, str]:
    """A guest on a port of the network, and its address."""
    host = local_host(stage.machine)
    port = stage.make_port(network_id, binding_host_id=host.hostname, device_owner="compute:nova")
    raw = stage.neutron.network.get(f"/ports/{port.id}").json()["port"]
    listed = stage.neutron.network.get(f"/subnets?network_id={network_id}").json()["subnets"]
    mtu = stage.neutron.network.get_network(network_id).mtu
    guest = Vm(host, stage.name("vm"), GuestPort.from_neutron(raw, listed, mtu))
    stage.undo(guest.stop)
    guest.start()
    guest.wait_ready()
    return guest, str(raw["fixed_ips"][0]["ip_address"])


def member_of_swarm(swarm: Swarm, neutron_id: str, subnet: object) -> Member:
    """A task on the Swarm's network on a Neutron network."""
    name = swarm.create_network(neutron_id=neutron_id, subnet=subnet)
    service = swarm.create_service(name, replicas=1)
    (task,) = swarm.running(service, 1)

    def go() -> None:
        swarm.remove_service(service)
        swarm.remove_network(name)
        settled(swarm)

    return Member(task.stage, name, task.container, go)


def member_of_engine(stage: Stage, neutron_id: str, subnet: object) -> Member:
    name = stage.create_network("-o", f"neutron.net.uuid={neutron_id}", subnet=subnet)
    container = stage.run_container(name)
    stage.serve(container, 80)

    def go() -> None:
        stage.remove_container(container)
        stage.remove_network(name)
        stage.settled()

    return Member(stage, name, container, go)


def all_meet(members: list[Member], vm: str) -> None:
    """Everybody reaches everybody, and the machine."""
    for one in members:
        others = {two.address for two in members if two is not one} | {vm}
        missed = [address for address in others if not one.reaches(address)]
        assert missed == [], f"{one.address} on {one.stage.machine.name} does not reach them"


def test_two_swarms_and_an_engine_share_a_network_with_a_machine(
    planes: tuple[Swarm, Swarm, Stage],
) -> None:
    """All meet; each leaves in turn and the others go on; the tags are those of before."""
    first, second, single = planes
    host = first.manager
    cidr = host.cidr()
    network = host.make_network(cidr)
    host.neutron.network.set_tags(network, ["theirs"])
    _, vm = virtual_machine(host, network.id)
    members = [
        member_of_swarm(first, network.id, cidr),
        member_of_swarm(second, network.id, cidr),
        member_of_engine(single, network.id, cidr),
    ]
    assert len({one.address for one in members} | {vm}) == 4
    told = tags.mappings(frozenset(host.neutron.network.get_network(network.id).tags))
    assert len({one.environment for one in told}) == 3
    all_meet(members, vm)

    while members:
        members.pop(0).leave()
        all_meet(members, vm)
    assert host.neutron.network.get_network(network.id).tags == ["theirs"]


def test_containers_stay_while_their_engine_joins_and_leaves_a_swarm(troupe: Troupe) -> None:
    """Networks of before keep their environment; both kinds go without a trace."""
    with troupe.own() as stage:
        before = stage.snapshot()
        old = stage.create_network()
        first, second = stage.run_container(old), stage.run_container(old)
        addresses = (stage.ip_of(first), stage.ip_of(second))
        engine = environment_of(stage)
        stage.docker("swarm", "init", "--advertise-addr", address_of(stage))
        try:
            swarm = stage.docker("info", "--format", "{{.Swarm.Cluster.ID}}")
            wait_until(lambda: environment_of(stage) == swarm, "the Swarm is seen", 20)
            new = stage.create_network()
            third = stage.run_container(old)
            both = (EnvironmentId(engine), EnvironmentId(swarm))
            marks = {mark_of(stage, old), mark_of(stage, new)}
            assert marks == {tags.environment_mark(one) for one in both}
            assert stage.pings(third, addresses[0])
            stage.daemon.restart()
            assert stage.pings(first, addresses[1])
        finally:
            leave(stage.docker)
        wait_until(lambda: environment_of(stage) == engine, "it left", 20)
        assert (stage.ip_of(first), stage.ip_of(second)) == addresses
        assert stage.pings(first, addresses[1])
        stage.cleanup()
        stage.nothing_left(before)


def environment_of(stage: Stage) -> str:
    """The environment that the daemon says it is in."""
    return str(stage.daemon.admin()["environment"])


def mark_of(stage: Stage, docker_network: str) -> str:
    """The environment that a Docker network's tags tell."""
    (mapping,) = tags.mappings(frozenset(stage.neutron_network(docker_network).tags))
    return mapping.environment
