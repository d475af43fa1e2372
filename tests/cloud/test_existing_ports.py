# SPDX-License-Identifier: Apache-2.0
"""A user's own unbound port that has the address asked for: used, and given back as it was."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import pytest

from tests.cloud.stage import Stage


@pytest.fixture
def home(stage: Stage) -> tuple[Any, IPv4Network, str]:
    """A user's network, its range, and the Docker network on it."""
    cidr = stage.cidr()
    theirs = stage.make_network(cidr)
    name = stage.create_network("-o", f"neutron.net.uuid={theirs.id}", subnet=cidr)
    return theirs, cidr, name


def test_port_is_used_marked_and_given_back(
    stage: Stage, home: tuple[Any, IPv4Network, str]
) -> None:
    theirs, cidr, name = home
    group = stage.make_group()
    port = stage.make_port(theirs.id, str(cidr[40]), description="mine", security_groups=[group.id])
    stage.undo(lambda: stage.neutron.network.delete_port(port.id))
    stage.neutron.network.set_tags(port, ["my-tag"])
    before = _plain(stage.neutron.network.get_port(port.id))

    container = stage.run_container(name, "--ip", str(cidr[40]))
    identity = stage.docker.inspect(container)["Id"]
    stage.settled()
    stage.await_active(port)
    during = stage.neutron.network.get_port(port.id)
    mac = stage.endpoint(container)["MacAddress"]
    stage.remove_container(container)
    stage.settled()

    assert mac == port.mac_address
    assert during.binding_host_id == stage.machine.hostname
    assert {"my-tag", "kuryr.port.existing"} <= set(during.tags)
    assert (during.name, during.description) == (port.name, "mine")
    assert during.device_id == identity
    assert _plain(stage.neutron.network.get_port(port.id)) == before


def test_port_is_given_back_when_the_start_fails(
    stage: Stage, home: tuple[Any, IPv4Network, str]
) -> None:
    theirs, cidr, name = home
    port = stage.make_port(theirs.id, str(cidr[41]))
    before = _plain(stage.neutron.network.get_port(port.id))

    sentence = stage.fail_container(
        name, "--ip", str(cidr[41]), "--mac-address", "02:00:00:00:00:41"
    )
    stage.settled()

    assert f"has MAC address {port.mac_address}, not 02:00:00:00:00:41" in sentence
    assert _plain(stage.neutron.network.get_port(port.id)) == before


def test_port_of_somebody_else_is_not_taken(
    stage: Stage, home: tuple[Any, IPv4Network, str]
) -> None:
    theirs, cidr, name = home
    port = stage.make_port(
        theirs.id, str(cidr[42]), device_owner="compute:nova", device_id="a-machine"
    )

    with stage.unchanged():
        sentence = stage.fail_container(name, "--ip", str(cidr[42]))

    assert f"Address {cidr[42]} is already in use by Neutron port {port.id}" in sentence


def test_port_stays_when_the_docker_network_goes(
    stage: Stage, home: tuple[Any, IPv4Network, str]
) -> None:
    theirs, cidr, name = home
    port = stage.make_port(theirs.id, str(cidr[43]))
    container = stage.run_container(name, "--ip", str(cidr[43]))

    stage.remove_container(container)
    stage.remove_network(name)
    stage.settled()

    left = stage.neutron.network.get_port(port.id)
    assert (left.device_id, left.tags) == ("", [])


def _plain(port: Any) -> dict[str, Any]:
    """A port as its owner knows it, without what changes by itself."""
    ours = port.to_dict()
    return {
        key: ours[key]
        for key in (
            *("name", "description", "device_id", "device_owner", "binding_host_id"),
            *("mac_address", "fixed_ips", "security_group_ids", "tags", "dns_name"),
            *(
                "is_port_security_enabled",
                "qos_policy_id",
                "is_admin_state_up",
                "binding_vnic_type",
            ),
        )
    }
