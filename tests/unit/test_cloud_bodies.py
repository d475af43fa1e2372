# SPDX-License-Identifier: Apache-2.0
"""What is sent holds the given fields and no others; what comes back is read whole."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import msgspec
import pytest

from kurier.cloud.calls import Call
from kurier.cloud.groups import rule_body
from kurier.cloud.networks import filters, network_body, subnet_body
from kurier.cloud.ports import change_body, port_body, port_filters
from kurier.cloud.wire import WirePort, WireSecurityGroup, WireSubnet
from kurier.model.ids import NetworkId, QosPolicyId, SecurityGroupId, SubnetId, SubnetPoolId
from kurier.model.neutron import (
    Capabilities,
    FixedIpRequest,
    NetworkSpec,
    PortChange,
    PortFilter,
    PortSpec,
    Range,
    Rule,
    SubnetSpec,
)

NET, SUB = NetworkId("net"), SubnetId("sub")
PLAIN = PortSpec(NET, "p", "dev", "compute:x", "", (FixedIpRequest(SUB),), tags=("a:1",))
UUID = "1aa03d6a-fc62-43e3-b688-7186fa0d339d"


def test_a_plain_port_asks_for_nothing_that_was_not_given() -> None:
    assert port_body(PLAIN, tags_in_body=False) == {
        "network_id": "net",
        "name": "p",
        "device_id": "dev",
        "device_owner": "compute:x",
        "fixed_ips": [{"subnet_id": "sub"}],
    }


def test_tags_go_into_the_body_where_the_cloud_takes_them() -> None:
    assert port_body(PLAIN, tags_in_body=True)["tags"] == ["a:1"]


def test_an_exact_port_carries_everything() -> None:
    spec = PortSpec(
        NET,
        "p",
        "dev",
        "compute:x",
        "host1",
        (FixedIpRequest(SUB, ip_address("fd00::5")),),
        mac="fa:16:3e:00:00:01",
        security_groups=(),
        qos_policy_id=QosPolicyId("qos"),
        port_security=False,
        description="d",
    )
    body = port_body(spec, tags_in_body=True)
    assert body["binding:host_id"] == "host1"
    assert body["fixed_ips"] == [{"subnet_id": "sub", "ip_address": "fd00::5"}]
    assert body["security_groups"] == []
    assert (body["port_security_enabled"], body["qos_policy_id"]) == (False, "qos")
    assert (body["mac_address"], body["description"]) == ("fa:16:3e:00:00:01", "d")
    assert "tags" not in body


def test_a_change_holds_only_what_changes() -> None:
    assert change_body(PortChange(name="n", host_id=""), Capabilities()) == {
        "name": "n",
        "binding:host_id": "",
    }


def test_an_empty_policy_takes_the_policy_away() -> None:
    assert change_body(PortChange(qos_policy_id=""), Capabilities()) == {"qos_policy_id": None}


@pytest.mark.parametrize(("dns", "sent"), [(True, {"dns_name": "web"}), (False, {})])
def test_a_dns_name_is_for_clouds_that_know_them(dns: bool, sent: dict[str, str]) -> None:
    assert change_body(PortChange(dns_name="web"), Capabilities(dns=dns)) == sent


def test_a_port_filter_repeats_fixed_ips() -> None:
    which = PortFilter(
        network_id=NET, subnet_id=SUB, address=ip_address("10.0.0.5"), tags=("a", "b")
    )
    assert port_filters(which) == (
        ("network_id", "net"),
        ("tags", "a,b"),
        ("fixed_ips", "subnet_id=sub"),
        ("fixed_ips", "ip_address=10.0.0.5"),
    )


def test_filters_write_booleans_as_neutron_reads_them() -> None:
    assert filters(is_default=True, name=None, ip_version=6) == (
        ("is_default", "true"),
        ("ip_version", "6"),
    )


def test_a_network_leaves_the_defaults_to_neutron() -> None:
    assert network_body(NetworkSpec("n", "d")) == {"name": "n", "description": "d"}
    assert network_body(NetworkSpec("n", "d", True, False)) == {
        "name": "n",
        "description": "d",
        "shared": True,
        "port_security_enabled": False,
    }


def test_a_subnet_without_gateway_says_so() -> None:
    spec = SubnetSpec(NET, "s", 4, cidr=ip_network("10.0.0.0/24"), no_gateway=True)
    body = subnet_body(spec)
    assert "gateway_ip" in body
    assert body["gateway_ip"] is None


def test_a_subnet_of_a_pool_names_no_range() -> None:
    body = subnet_body(SubnetSpec(NET, "s", 6, subnet_pool_id=SubnetPoolId("pool")))
    assert body["subnetpool_id"] == "pool"
    assert {"cidr", "gateway_ip", "allocation_pools", "description"}.isdisjoint(body)


def test_a_subnet_with_a_range() -> None:
    pool = Range(ip_address("10.0.0.5"), ip_address("10.0.0.9"))
    spec = SubnetSpec(NET, "s", 4, cidr=ip_network("10.0.0.0/24"), allocation_pools=(pool,))
    assert subnet_body(spec)["allocation_pools"] == [{"start": "10.0.0.5", "end": "10.0.0.9"}]


def test_a_rule_without_ports_leaves_them_out() -> None:
    assert rule_body(SecurityGroupId("g"), Rule("icmp", None, None)) == {
        "security_group_id": "g",
        "direction": "ingress",
        "ethertype": "IPv4",
        "protocol": "icmp",
    }


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        ("/ports", "ports"),
        (f"/ports/{UUID}", "ports"),
        (f"/ports/{UUID}/tags", "ports/tags"),
        (f"/ports/{UUID}/tags/kurier.env%3A1", "ports/tags"),
        (f"/qos/policies/{UUID}", "qos/policies"),
    ],
)
def test_a_metric_has_no_ids_in_its_label(path: str, resource: str) -> None:
    assert Call("PUT", path, "x").resource == resource


def test_a_port_as_a_tenant_sees_it() -> None:
    body = b'{"id": "i", "network_id": "n", "mac_address": "m", "tags": ["t"], "name": null}'
    port = msgspec.json.decode(body, type=WirePort).value()
    assert (port.host_id, port.vif_type, port.name, port.tags) == ("", "", "", frozenset({"t"}))
    assert port.port_security


def test_the_driver_of_the_last_level_binds_the_port() -> None:
    body = b"""{"id": "i", "network_id": "n", "mac_address": "m",
      "binding:vif_details": {"ovs_hybrid_plug": true, "connectivity": "l2",
        "bound_drivers": {"0": "top", "10": "openvswitch", "2": "middle"}},
      "fixed_ips": [{"subnet_id": "s", "ip_address": "fd00::1"}]}"""
    port = msgspec.json.decode(body, type=WirePort).value()
    assert (port.vif_hybrid_plug, port.bound_driver) == (True, "openvswitch")
    assert port.fixed_ips[0].address == ip_address("fd00::1")


def test_a_subnet_is_read_with_its_routes() -> None:
    body = b"""{"id": "i", "network_id": "n", "name": "s", "cidr": "10.0.0.0/24",
      "gateway_ip": null, "allocation_pools": [{"start": "10.0.0.2", "end": "10.0.0.9"}],
      "host_routes": [{"destination": "10.5.0.0/16", "nexthop": "10.0.0.3"}],
      "ipv6_address_mode": null, "subnetpool_id": null}"""
    subnet = msgspec.json.decode(body, type=WireSubnet).value()
    assert subnet.gateway is None
    assert subnet.host_routes[0].destination == ip_network("10.5.0.0/16")
    assert subnet.allocation_pools == (Range(ip_address("10.0.0.2"), ip_address("10.0.0.9")),)


def test_a_group_shows_what_it_lets_in() -> None:
    body = b"""{"id": "g", "name": "n", "security_group_rules": [
      {"id": "1", "direction": "egress", "ethertype": "IPv4", "protocol": null},
      {"id": "2", "direction": "ingress", "ethertype": "IPv6", "protocol": "tcp",
       "port_range_min": 80, "port_range_max": 81}]}"""
    group = msgspec.json.decode(body, type=WireSecurityGroup)
    assert group.egress() == ("1",)
    assert group.value().rules == (Rule("tcp", 80, 81, "IPv6"),)
