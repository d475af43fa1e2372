# SPDX-License-Identifier: Apache-2.0
"""What kuryr-libnetwork left: recognised by its tags, kept working, and removed in its way."""

from __future__ import annotations

import secrets
import shutil
from typing import Any

from tests.cloud.conftest import OwnStage
from tests.cloud.stage import Stage


def test_made_network_goes_on_and_goes_away(own_stage: OwnStage) -> None:
    with own_stage() as stage, stage.unchanged():
        name = stage.create_network()
        network = stage.neutron_network(name)
        _as_kuryr_left_it(stage, network, name, existing=False)

        one, two = stage.run_container(name), stage.run_container(name)
        assert stage.pings(one, stage.ip_of(two))
        stage.remove_container(one, two)
        stage.remove_network(name)


def test_adopted_network_goes_on_and_stays(own_stage: OwnStage) -> None:
    with own_stage() as stage:
        cidr = stage.cidr()
        theirs = stage.make_network(cidr)
        name = stage.create_network("-o", f"neutron.net.uuid={theirs.id}", subnet=cidr)
        _as_kuryr_left_it(stage, theirs, name, existing=True)

        container = stage.run_container(name)
        assert stage.neutron_port(container).network_id == theirs.id
        stage.remove_container(container)
        stage.remove_network(name)
        stage.settled()

        assert stage.neutron.network.get_network(theirs.id).tags == []
        assert len(stage.neutron_subnets(theirs.id)) == 1


def _as_kuryr_left_it(stage: Stage, network: Any, name: str, *, existing: bool) -> None:
    """Leaves kuryr-libnetwork's tags alone in Neutron and nothing in the ledger.

    The engine's store keeps the pool's id that Kurier gave it, which the subnet goes on telling.
    """
    identity = stage.docker.inspect("network", name)["Id"]
    stage.settled()
    stage.daemon.stop()
    tags = [f"kuryr.net.uuid.lh:{identity[:32]}", f"kuryr.net.uuid.uh:{identity[32:]}"]
    stage.neutron.network.set_tags(network, [*tags, *(["kuryr.net.existing"] if existing else [])])
    for subnet in stage.neutron_subnets(network.id):
        kept = [tag for tag in subnet.tags if tag.startswith("kurier.pool:")]
        stage.neutron.network.set_tags(subnet, kept)
    shutil.rmtree(stage.daemon.state_dir)
    stage.daemon.start()


def test_pool_that_the_engine_knows_by_its_subnet_pool(own_stage: OwnStage) -> None:
    """An engine that kuryr-libnetwork served asks by the UUID of a Neutron subnet pool."""
    network_id, endpoint = secrets.token_hex(32), secrets.token_hex(32)
    with own_stage() as stage, stage.unchanged():
        pool_id = _left_by_kuryr(stage, network_id)

        def ask(method: str, **body: object) -> dict[str, Any]:
            status, answer = stage.daemon.call(method, body)
            assert status == 200, answer
            return dict(answer)

        address = ask("IpamDriver.RequestAddress", PoolID=pool_id, Address="")["Address"]
        both = {"NetworkID": network_id, "EndpointID": endpoint}
        ask("NetworkDriver.CreateEndpoint", **both, Interface={"Address": address})
        assert address.partition("/")[0] in [
            ip["ip_address"]
            for port in stage.neutron.network.ports(device_owner="compute:kuryr")
            for ip in port.fixed_ips
        ]
        ask("NetworkDriver.DeleteEndpoint", **both)
        ask("IpamDriver.ReleaseAddress", PoolID=pool_id, Address=address.partition("/")[0])
        ask("IpamDriver.ReleasePool", PoolID=pool_id)
        ask("NetworkDriver.DeleteNetwork", NetworkID=network_id)


def _left_by_kuryr(stage: Stage, network_id: str) -> str:
    """A network, subnet and subnet pool as kuryr-libnetwork makes them; the pool's id."""
    cidr, project = stage.cidr(), stage.project
    neutron = stage.neutron.network
    pool = neutron.create_subnet_pool(
        name=f"kuryrPool-{cidr}",
        prefixes=[str(cidr)],
        default_prefix_length=24,
        project_id=project,
    )
    network = neutron.create_network(name=f"kuryr-net-{network_id[:8]}", project_id=project)
    stage.undo(lambda: neutron.delete_subnet_pool(pool.id))
    stage.undo(lambda: stage.delete_neutron_network(network.id))
    lower, upper = network_id[:32], network_id[32:]
    neutron.set_tags(network, [f"kuryr.net.uuid.lh:{lower}", f"kuryr.net.uuid.uh:{upper}"])
    subnet = neutron.create_subnet(
        network_id=network.id,
        name=f"kuryr-subnet-{cidr}",
        cidr=str(cidr),
        ip_version=4,
        subnet_pool_id=pool.id,
        project_id=project,
    )
    neutron.set_tags(subnet, [pool.id])
    return str(pool.id)
