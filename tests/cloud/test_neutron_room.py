# SPDX-License-Identifier: Apache-2.0
"""The cloud room against a real Neutron: what it makes, finds, refuses and leaves behind.

Needs a cloud: `OS_CLOUD` (admin; default `kurier-local`) and `KURIER_MEMBER_CLOUD` (a project's
`member`; default `kurier-local-member`). Whatever a test makes, it takes away again.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Network, ip_address, ip_network
from typing import Any

import openstack
import pytest
from keystoneauth1.identity.base import BaseIdentityPlugin
from openstack.config import OpenStackConfig
from openstack.config.cloud_region import CloudRegion
from openstack.connection import Connection

from kurier.cloud.bounds import Bounds
from kurier.cloud.calls import Call
from kurier.cloud.neutron import NeutronCloud
from kurier.cloud.reading import whole_list
from kurier.cloud.tagging import NOUNS
from kurier.cloud.transport import Transport
from kurier.cloud.wire import WireNetwork
from kurier.model.errors import Code, KurierError
from kurier.model.ids import NetworkId, PortId, QosPolicyId, SecurityGroupId, SubnetId, SubnetPoolId
from kurier.model.neutron import (
    FixedIpRequest,
    Kind,
    Network,
    NetworkSpec,
    PortChange,
    PortFilter,
    PortSpec,
    Range,
    Rule,
    Subnet,
    SubnetSpec,
)

ADMIN = os.environ.get("OS_CLOUD", "kurier-local")
MEMBER = os.environ.get("KURIER_MEMBER_CLOUD", "kurier-local-member")
PATIENT = Bounds(read=60.0)
NOWHERE = "00000000-0000-4000-8000-000000000000"
CIDR = ip_network("10.201.7.0/29")


class Now:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


def region(name: str, **changes: Any) -> Callable[[], CloudRegion]:
    return lambda: OpenStackConfig(load_envvars=False).get_one(cloud=name, **changes)


@asynccontextmanager
async def opened(name: str, **changes: Any) -> AsyncIterator[NeutronCloud]:
    cloud = NeutronCloud(region(name, **changes), PATIENT, Now())
    yield cloud
    cloud.close()


@pytest.fixture
async def cloud() -> AsyncIterator[NeutronCloud]:
    async with opened(ADMIN) as admin:
        yield admin


@pytest.fixture
async def member() -> AsyncIterator[NeutronCloud]:
    async with opened(MEMBER) as tenant:
        yield tenant


@contextmanager
def connected(name: str) -> Iterator[Connection]:
    """The SDK beside the room: what an operator does, and a second pair of eyes."""
    with openstack.connect(cloud=name) as connection:
        yield connection


@pytest.fixture
def operator() -> Iterator[Connection]:
    with connected(ADMIN) as connection:
        yield connection


def fresh(word: str = "room") -> str:
    return f"kurier-test-{word}-{uuid.uuid4().hex[:8]}"


@asynccontextmanager
async def a_network(cloud: NeutronCloud) -> AsyncIterator[Network]:
    network = await cloud.create_network(NetworkSpec(fresh(), "made by a test"))
    try:
        yield network
    finally:
        for port in await cloud.ports(PortFilter(network_id=network.id)):
            await cloud.delete_port(port.id)
        await cloud.delete_network(network.id)


@pytest.fixture
async def network(cloud: NeutronCloud) -> AsyncIterator[Network]:
    async with a_network(cloud) as made:
        yield made


@pytest.fixture
async def subnet(cloud: NeutronCloud, network: Network) -> Subnet:
    return await cloud.create_subnet(SubnetSpec(network.id, "s", 4, cidr=CIDR, no_gateway=True))


def port_spec(subnet: Subnet, address: str | None = None) -> PortSpec:
    wanted = FixedIpRequest(subnet.id, ip_address(address) if address else None)
    name = fresh("port")
    return PortSpec(subnet.network_id, name, uuid.uuid4().hex, "compute:kuryr", "", (wanted,))


@contextmanager
def refusal(code: Code, *told: str) -> Iterator[None]:
    """The block is refused with this code, in one sentence that has these words in it."""
    with pytest.raises(KurierError) as caught:
        yield
    assert caught.value.code is code, caught.value.sentence
    assert [word for word in told if word not in caught.value.sentence] == []
    assert caught.value.sentence.endswith(".")


# ── networks ─────────────────────────────────────────────────────────────────


async def test_warming_up_asks_once(cloud: NeutronCloud) -> None:
    await cloud.warm()
    capabilities = await cloud.capabilities()
    assert capabilities.standard_attr_tag
    assert capabilities.revision_if_match
    assert cloud.calls == {("GET", "extensions"): 1}
    assert cloud.health.last_ok is not None
    assert cloud.health.away_since is None


async def test_a_networks_life(cloud: NeutronCloud) -> None:
    name = fresh()
    made = await cloud.create_network(NetworkSpec(name, "owner: a test"))
    assert (made.description, made.shared, made.tags) == ("owner: a test", False, frozenset())
    assert made.mtu >= 1280
    assert [found.id for found in await cloud.networks(name=name)] == [made.id]
    renamed = await cloud.rename_network(made.id, name + "-2", "new")
    assert (renamed.name, renamed.description) == (name + "-2", "new")
    assert renamed.revision > made.revision
    await cloud.delete_network(made.id, (await cloud.network(made.id)).revision)
    await cloud.delete_network(made.id)
    with refusal(Code.NOT_FOUND, made.id, "no network"):
        await cloud.network(made.id)


async def test_a_network_that_changed_meanwhile_is_not_deleted(
    cloud: NeutronCloud, network: Network
) -> None:
    await cloud.add_tag(Kind.NETWORK, network.id, "kurier-test:late")
    with refusal(Code.CHANGED, network.id):
        await cloud.delete_network(network.id, network.revision)
    assert (await cloud.network(network.id)).id == network.id


async def test_a_network_is_shared_and_unguarded_on_demand(cloud: NeutronCloud) -> None:
    spec = NetworkSpec(fresh(), "", shared=True, port_security=False)
    made = await cloud.create_network(spec)
    try:
        assert (made.shared, made.port_security) == (True, False)
    finally:
        await cloud.delete_network(made.id)


async def test_a_list_in_many_pages_is_whole(cloud: NeutronCloud) -> None:
    made = [await cloud.create_network(NetworkSpec(fresh("page"), "")) for _ in range(3)]
    way = Transport(region(ADMIN), PATIENT, Now())
    try:
        found = whole_list(way, Call("GET", "/networks", "list"), "networks", WireNetwork, 1)
        assert {network.id for network in made} <= {network.id for network in found}
        assert way.counter.calls["GET", "networks"] > len(made)
    finally:
        for network in made:
            await cloud.delete_network(network.id)


# ── tags ─────────────────────────────────────────────────────────────────────

TAGS = ["kurier:1a2b3c4d:_-Aa0", "kuryr.net.uuid.lh:" + "0f" * 16, "50% of that & a?=b"]


async def test_tags_come_and_go_one_at_a_time(cloud: NeutronCloud, network: Network) -> None:
    for tag in [*TAGS, TAGS[0]]:
        await cloud.add_tag(Kind.NETWORK, network.id, tag)
    assert (await cloud.network(network.id)).tags == frozenset(TAGS)
    assert [found.id for found in await cloud.networks(tags=TAGS[:2])] == [network.id]
    assert await cloud.networks(tags=[TAGS[0], "kurier-test:absent"]) == []
    for tag in [*TAGS, TAGS[0]]:
        await cloud.remove_tag(Kind.NETWORK, network.id, tag)
    assert (await cloud.network(network.id)).tags == frozenset()


async def test_tags_of_what_is_gone(cloud: NeutronCloud) -> None:
    for kind, noun in NOUNS.items():
        await cloud.remove_tag(kind, NOWHERE, TAGS[0])
        with refusal(Code.NOT_FOUND, NOWHERE, f"no {noun}"):
            await cloud.add_tag(kind, NOWHERE, TAGS[0])
    for tag in ("a/b", "ünï"):
        with refusal(Code.UNSUPPORTED, tag):
            await cloud.add_tag(Kind.NETWORK, NOWHERE, tag)


# ── subnets ──────────────────────────────────────────────────────────────────


async def test_a_subnets_life(cloud: NeutronCloud, network: Network) -> None:
    pool = Range(ip_address("10.201.8.16"), ip_address("10.201.8.31"))
    spec = SubnetSpec(
        network.id,
        "s4",
        4,
        description="d",
        cidr=ip_network("10.201.8.0/24"),
        gateway=ip_address("10.201.8.254"),
        allocation_pools=(pool,),
    )
    made = await cloud.create_subnet(spec)
    assert (made.cidr, made.gateway, made.allocation_pools) == (spec.cidr, spec.gateway, (pool,))
    assert await cloud.subnets(network_id=network.id, cidr=spec.cidr) == [made]
    assert await cloud.subnets(network_id=network.id, name="other") == []
    assert (await cloud.set_subnet_gateway(made.id, None)).gateway is None
    moved = await cloud.set_subnet_gateway(made.id, ip_address("10.201.8.1"))
    assert moved.gateway == ip_address("10.201.8.1")
    with refusal(Code.CONFLICT, "10.201.8.20"):
        await cloud.set_subnet_gateway(made.id, ip_address("10.201.8.20"))
    await cloud.delete_subnet(made.id)
    await cloud.delete_subnet(made.id)
    with refusal(Code.NOT_FOUND, made.id, "no subnet"):
        await cloud.subnet(made.id)


async def test_a_subnet_that_somebody_tagged_meanwhile_is_not_deleted(
    cloud: NeutronCloud, network: Network
) -> None:
    made = await cloud.create_subnet(
        SubnetSpec(network.id, "s4", 4, cidr=ip_network("10.201.9.0/24"))
    )
    await cloud.add_tag(Kind.SUBNET, made.id, "kurier-test:late")
    with refusal(Code.CHANGED, made.id):
        await cloud.delete_subnet(made.id, made.revision)
    seen = await cloud.subnet(made.id)
    assert seen.tags == {"kurier-test:late"}
    await cloud.delete_subnet(made.id, seen.revision)


async def test_a_subnet_of_ipv6_without_gateway(cloud: NeutronCloud, network: Network) -> None:
    spec = SubnetSpec(network.id, "s6", 6, cidr=ip_network("fd42:77::/64"), no_gateway=True)
    made = await cloud.create_subnet(spec)
    assert (made.cidr, made.gateway, made.address_mode) == (spec.cidr, None, "")


async def test_subnets_may_not_overlap(cloud: NeutronCloud, subnet: Subnet) -> None:
    with refusal(Code.CONFLICT, str(CIDR), subnet.network_id, "overlaps"):
        await cloud.create_subnet(SubnetSpec(subnet.network_id, "again", 4, cidr=CIDR))


async def test_a_range_outside_its_subnet(cloud: NeutronCloud, network: Network) -> None:
    outside = Range(ip_address("10.202.0.1"), ip_address("10.202.0.9"))
    spec = SubnetSpec(network.id, "s", 4, cidr=CIDR, allocation_pools=(outside,))
    with refusal(Code.BAD_REQUEST, "10.202.0.1", "--ip-range"):
        await cloud.create_subnet(spec)


async def test_a_subnet_pool_gives_until_it_is_empty(
    cloud: NeutronCloud, network: Network, operator: Connection
) -> None:
    name = fresh("pool")
    raw = operator.network.create_subnet_pool(
        name=name, prefixes=["10.203.0.0/24"], default_prefixlen=25, min_prefixlen=24
    )
    pool = SubnetPoolId(str(raw.id))
    spec = SubnetSpec(network.id, "s", 4, subnet_pool_id=pool)
    try:
        found = await cloud.subnet_pools(name=name, default=False, ip_version=4)
        assert [(one.id, one.prefixes) for one in found] == [
            (pool, (IPv4Network("10.203.0.0/24"),))
        ]
        assert await cloud.subnet_pool(pool) == found[0]
        made = [await cloud.create_subnet(spec), await cloud.create_subnet(spec)]
        assert {subnet.subnet_pool_id for subnet in made} == {pool}
        assert len(await cloud.subnets(subnet_pool_id=pool)) == 2
        with refusal(Code.EXHAUSTED, pool):
            await cloud.create_subnet(spec)
        with refusal(Code.IN_USE, pool):
            await cloud.delete_subnet_pool(pool)
    finally:
        for subnet in await cloud.subnets(subnet_pool_id=pool):
            await cloud.delete_subnet(subnet.id)
        await cloud.delete_subnet_pool(pool)
    with refusal(Code.NOT_FOUND, pool, "no subnet pool"):
        await cloud.subnet_pool(pool)


# ── ports ────────────────────────────────────────────────────────────────────


async def test_a_port_carries_what_was_asked(cloud: NeutronCloud, subnet: Subnet) -> None:
    spec = replace(
        port_spec(subnet, "10.201.7.3"), mac="fa:16:3e:77:00:01", tags=("kurier.env:1", "x:y")
    )
    made = await cloud.create_port(replace(spec, description="d", security_groups=()))
    assert (made.mac, made.fixed_ips[0].address) == (spec.mac, ip_address("10.201.7.3"))
    assert (made.name, made.device_id, made.device_owner) == (
        spec.name,
        spec.device_id,
        spec.device_owner,
    )
    assert (made.description, made.security_groups, made.host_id) == ("d", (), "")
    read = await cloud.port(made.id)
    assert read.tags == made.tags == frozenset(spec.tags)


async def test_a_port_costs_a_write_and_its_tags_at_most_another(
    cloud: NeutronCloud, subnet: Subnet
) -> None:
    await cloud.create_port(replace(port_spec(subnet), tags=("kurier-test:first",)))
    before = dict(cloud.calls)
    made = await cloud.create_port(replace(port_spec(subnet), tags=("kurier-test:second",)))
    after = cloud.calls
    spent = {key: after[key] - before.get(key, 0) for key in after}
    tagging = spent.pop(("PUT", "ports/tags"), 0)
    assert {key: count for key, count in spent.items() if count} == {("POST", "ports"): 1}
    assert tagging in {0, 1}
    assert (await cloud.port(made.id)).tags == frozenset({"kurier-test:second"})


async def test_ports_are_found_by_what_they_carry(cloud: NeutronCloud, subnet: Subnet) -> None:
    spec = replace(port_spec(subnet, "10.201.7.4"), tags=("kurier-test:" + fresh(),))
    made = await cloud.create_port(spec)
    await cloud.create_port(port_spec(subnet, "10.201.7.5"))
    for which in (
        PortFilter(device_id=spec.device_id),
        PortFilter(name=spec.name, device_owner=spec.device_owner),
        PortFilter(tags=spec.tags),
        PortFilter(network_id=subnet.network_id, address=ip_address("10.201.7.4")),
        PortFilter(subnet_id=subnet.id, address=ip_address("10.201.7.4")),
    ):
        assert [port.id for port in await cloud.ports(which)] == [made.id], which
    assert len(await cloud.ports(PortFilter(subnet_id=subnet.id))) == 2


async def test_a_port_changes(cloud: NeutronCloud, subnet: Subnet) -> None:
    made = await cloud.create_port(port_spec(subnet))
    assert await cloud.update_port(made.id, PortChange()) == await cloud.port(made.id)
    change = PortChange(
        name="n2",
        description="d2",
        device_id="i2",
        device_owner="compute:x",
        mac="fa:16:3e:77:00:02",
        fixed_ips=(FixedIpRequest(subnet.id, ip_address("10.201.7.6")),),
        security_groups=(),
        dns_name="web",
    )
    changed = await cloud.update_port(made.id, change)
    assert (changed.name, changed.description, changed.device_id) == ("n2", "d2", "i2")
    assert (changed.mac, changed.device_owner) == (change.mac, "compute:x")
    assert changed.fixed_ips[0].address == ip_address("10.201.7.6")
    assert (changed.security_groups, changed.dns_name) == ((), "web")
    assert not (await cloud.update_port(made.id, PortChange(port_security=False))).port_security


async def test_a_port_is_bound_to_its_host(
    cloud: NeutronCloud, subnet: Subnet, operator: Connection
) -> None:
    agents = [str(agent.host) for agent in operator.network.agents() if agent.is_alive]
    assert agents, "this Neutron has no live agent on any host"
    made = await cloud.create_port(replace(port_spec(subnet), host_id=agents[0]))
    assert (made.host_id, made.vif_type) == (agents[0], "ovs")
    assert made.bound_driver in {"ovn", "openvswitch"}
    lost = await cloud.create_port(replace(port_spec(subnet), host_id="no-such-host"))
    assert (lost.host_id, lost.vif_type) == ("no-such-host", "binding_failed")
    unbound = await cloud.update_port(made.id, PortChange(host_id=""))
    assert (unbound.host_id, unbound.vif_type) == ("", "unbound")


async def test_addresses_that_cannot_be_had(cloud: NeutronCloud, subnet: Subnet) -> None:
    made = await cloud.create_port(port_spec(subnet, "10.201.7.2"))
    net = subnet.network_id
    with refusal(Code.ADDRESS_IN_USE, "10.201.7.2", net):
        await cloud.create_port(port_spec(subnet, "10.201.7.2"))
    with refusal(Code.ADDRESS_INVALID, "10.9.9.9", subnet.id):
        await cloud.create_port(port_spec(subnet, "10.9.9.9"))
    with refusal(Code.ADDRESS_IN_USE, made.mac, net):
        await cloud.create_port(replace(port_spec(subnet), mac=made.mac))
    other = await cloud.create_port(port_spec(subnet))
    with refusal(Code.ADDRESS_IN_USE, "10.201.7.2"):
        taken = (FixedIpRequest(subnet.id, ip_address("10.201.7.2")),)
        await cloud.update_port(other.id, PortChange(fixed_ips=taken))
    assert len(await cloud.ports(PortFilter(network_id=net))) == 2


async def test_a_subnet_runs_full(cloud: NeutronCloud, subnet: Subnet) -> None:
    for _ in range(CIDR.num_addresses - 2):
        await cloud.create_port(port_spec(subnet))
    with refusal(Code.EXHAUSTED, subnet.id, "no free address"):
        await cloud.create_port(port_spec(subnet))


async def test_ports_that_miss_something(cloud: NeutronCloud, subnet: Subnet) -> None:
    nowhere = SecurityGroupId(NOWHERE)
    with refusal(Code.NOT_FOUND, NOWHERE, "no network"):
        await cloud.create_port(replace(port_spec(subnet), network_id=NetworkId(NOWHERE)))
    with refusal(Code.NOT_FOUND, NOWHERE, "security group"):
        await cloud.create_port(replace(port_spec(subnet), security_groups=(nowhere,)))
    with refusal(Code.NOT_FOUND, NOWHERE, "no subnet"):
        foreign = (FixedIpRequest(SubnetId(NOWHERE)),)
        await cloud.create_port(replace(port_spec(subnet), fixed_ips=foreign))
    with refusal(Code.NOT_FOUND, NOWHERE, "no port"):
        await cloud.port(PortId(NOWHERE))
    await cloud.delete_port(PortId(NOWHERE))
    with refusal(Code.IN_USE, subnet.network_id):
        await cloud.create_port(port_spec(subnet))
        await cloud.delete_network(subnet.network_id)
    with refusal(Code.IN_USE, subnet.id):
        await cloud.delete_subnet(subnet.id)


async def test_a_subnet_of_another_network(cloud: NeutronCloud, subnet: Subnet) -> None:
    async with a_network(cloud) as other:
        await cloud.create_subnet(SubnetSpec(other.id, "s", 4, cidr=CIDR))
        with refusal(Code.BAD_REQUEST, subnet.id, other.id):
            await cloud.create_port(replace(port_spec(subnet), network_id=other.id))


async def test_a_port_without_its_tags_is_taken_back(cloud: NeutronCloud, subnet: Subnet) -> None:
    with refusal(Code.BAD_REQUEST):
        await cloud.create_port(replace(port_spec(subnet), tags=("t" * 300,)))
    assert await cloud.ports(PortFilter(network_id=subnet.network_id)) == []


# ── many ports at once ───────────────────────────────────────────────────────


async def test_many_ports_are_made_by_one_write_in_their_order(
    cloud: NeutronCloud, subnet: Subnet
) -> None:
    await cloud.create_port(replace(port_spec(subnet), tags=("kurier-test:first",)))
    tags = [("kurier-test:a", "x:y"), (), ("kurier-test:c",)]
    specs = [replace(port_spec(subnet), tags=given) for given in tags]
    before = cloud.calls["POST", "ports"]
    made = await cloud.create_ports(specs)
    assert cloud.calls["POST", "ports"] == before + 1
    assert [port.device_id for port in made] == [spec.device_id for spec in specs]
    assert [port.tags for port in made] == [frozenset(given) for given in tags]
    wanted = tuple(spec.device_id for spec in specs)
    found = await cloud.ports(PortFilter(device_ids=wanted))
    assert {port.id: port.tags for port in found} == {port.id: port.tags for port in made}
    (second,) = await cloud.ports(PortFilter(subnet_id=subnet.id, device_ids=wanted[1:2]))
    assert second == made[1]
    assert await cloud.ports(PortFilter(device_ids=(NOWHERE,))) == []


async def test_one_of_many_is_a_port_like_another(cloud: NeutronCloud, subnet: Subnet) -> None:
    spec = replace(port_spec(subnet, "10.201.7.3"), tags=("kurier-test:one",))
    (made,) = await cloud.create_ports([spec])
    assert (made.device_id, made.tags) == (spec.device_id, frozenset(spec.tags))
    assert await cloud.create_ports([]) == []


async def test_more_ports_than_addresses_are_none(cloud: NeutronCloud, subnet: Subnet) -> None:
    kept = await cloud.create_port(port_spec(subnet))
    with refusal(Code.EXHAUSTED, subnet.id, "no free address"):
        await cloud.create_ports([port_spec(subnet) for _ in range(CIDR.num_addresses - 2)])
    assert [port.id for port in await cloud.ports(PortFilter(subnet_id=subnet.id))] == [kept.id]


async def test_many_ports_whose_tags_are_refused_are_taken_back(
    cloud: NeutronCloud, subnet: Subnet
) -> None:
    specs = [replace(port_spec(subnet), tags=(tag,)) for tag in ("kurier-test:a", "t" * 300)]
    with refusal(Code.BAD_REQUEST):
        await cloud.create_ports(specs)
    assert await cloud.ports(PortFilter(network_id=subnet.network_id)) == []


async def test_many_ports_beyond_the_quota_are_none(
    member: NeutronCloud, operator: Connection
) -> None:
    with connected(MEMBER) as tenant:
        project = str(tenant.current_project_id)
    async with a_network(member) as network:
        subnet = await member.create_subnet(SubnetSpec(network.id, "s", 4, cidr=CIDR))
        used = len(list(operator.network.ports(project_id=project)))
        operator.network.update_quota(project, port=used + 1)
        try:
            with refusal(Code.QUOTA, "port", "openstack quota show"):
                await member.create_ports([port_spec(subnet) for _ in range(3)])
        finally:
            operator.network.delete_quota(project)
        owned = PortFilter(network_id=network.id, device_owner="compute:kuryr")
        assert await member.ports(owned) == []


async def test_a_ports_tags_are_replaced_as_a_whole(cloud: NeutronCloud, subnet: Subnet) -> None:
    made = await cloud.create_port(replace(port_spec(subnet), tags=("kurier-test:a",)))
    await cloud.replace_tags(Kind.PORT, made.id, ["kurier-test:b", "kurier-test:c"])
    assert (await cloud.port(made.id)).tags == {"kurier-test:b", "kurier-test:c"}
    await cloud.replace_tags(Kind.PORT, made.id, [])
    assert (await cloud.port(made.id)).tags == frozenset()
    with refusal(Code.NOT_FOUND, NOWHERE, "no port"):
        await cloud.replace_tags(Kind.PORT, PortId(NOWHERE), ["kurier-test:b"])


# ── security groups and QoS ──────────────────────────────────────────────────


async def test_a_security_group_opens_what_was_asked(
    cloud: NeutronCloud, operator: Connection
) -> None:
    name, tag = fresh("group"), "kurier-test:" + fresh()
    rules = (Rule("tcp", 80, 80), Rule("tcp", 80, 80, "IPv6"), Rule("udp", 53, 60))
    made = await cloud.create_security_group(name, "d", rules, [tag])
    try:
        found = await cloud.security_groups(name=name, tags=[tag])
        assert [(group.id, group.tags) for group in found] == [(made.id, frozenset({tag}))]
        read = await cloud.security_group(made.id)
        assert set(read.rules) == set(rules) == set(made.rules)
        raw = operator.network.security_group_rules(security_group_id=made.id)
        assert {str(rule.direction) for rule in raw} == {"ingress"}
    finally:
        await cloud.delete_security_group(made.id)
    await cloud.delete_security_group(made.id)
    with refusal(Code.NOT_FOUND, made.id, "no security group"):
        await cloud.security_group(made.id)


async def test_a_group_that_cannot_be_whole_is_not_at_all(cloud: NeutronCloud) -> None:
    name = fresh("group")
    with refusal(Code.BAD_REQUEST, name):
        await cloud.create_security_group(name, "", [Rule("tcp", 90, 80)], ["kurier-test:x"])
    assert await cloud.security_groups(name=name) == []


async def test_a_group_in_use_stays(cloud: NeutronCloud, subnet: Subnet) -> None:
    group = await cloud.create_security_group(fresh("group"), "", [], [])
    port = await cloud.create_port(replace(port_spec(subnet), security_groups=(group.id,)))
    assert port.security_groups == (group.id,)
    with refusal(Code.IN_USE, group.id):
        await cloud.delete_security_group(group.id)
    await cloud.delete_port(port.id)
    await cloud.delete_security_group(group.id)


async def test_a_qos_policy_is_found_and_worn(
    cloud: NeutronCloud, subnet: Subnet, operator: Connection
) -> None:
    name = fresh("qos")
    policy = QosPolicyId(str(operator.network.create_qos_policy(name=name).id))
    try:
        assert await cloud.qos_policies(name) == [policy]
        assert await cloud.qos_policy(policy) == policy
        port = await cloud.create_port(replace(port_spec(subnet), qos_policy_id=policy))
        assert port.qos_policy_id == policy
        bare = await cloud.update_port(port.id, PortChange(qos_policy_id=""))
        assert bare.qos_policy_id is None
    finally:
        operator.network.delete_qos_policy(policy)
    assert await cloud.qos_policies(name) == []
    with refusal(Code.NOT_FOUND, policy, "QoS policy"):
        await cloud.qos_policy(policy)


# ── who may, and who answers ─────────────────────────────────────────────────


@pytest.mark.administrator
async def test_a_tenant_lives_on_its_own(member: NeutronCloud) -> None:
    async with a_network(member) as network:
        subnet = await member.create_subnet(SubnetSpec(network.id, "s", 4, cidr=CIDR))
        port = await member.create_port(replace(port_spec(subnet), tags=("kurier-test:m",)))
        assert (port.vif_type, port.host_id) == ("", "")
        await member.delete_port(port.id)
        with refusal(Code.NOT_FOUND, port.id):
            await member.port(port.id)


@pytest.mark.administrator
async def test_a_tenant_may_not_choose_the_host(member: NeutronCloud) -> None:
    async with a_network(member) as network:
        subnet = await member.create_subnet(SubnetSpec(network.id, "s", 4, cidr=CIDR))
        with refusal(Code.POLICY, '"create_port:binding:host_id": "role:member"', "policy.yaml"):
            await member.create_port(replace(port_spec(subnet), host_id="host1"))
        port = await member.create_port(port_spec(subnet))
        with refusal(Code.POLICY, "update_port:binding:host_id"):
            await member.update_port(port.id, PortChange(host_id="host1"))


async def test_a_servers_port_is_not_freed_for_its_deletion(
    member: NeutronCloud, cloud: NeutronCloud
) -> None:
    async with a_network(member) as network:
        subnet = await member.create_subnet(SubnetSpec(network.id, "s", 4, cidr=CIDR))
        spec = replace(port_spec(subnet), device_owner="compute:nova")
        port = await member.create_port(spec)
        with refusal(Code.POLICY, "delete_port"):
            await member.delete_port(port.id)
        assert (await cloud.port(port.id)).device_owner == "compute:nova"
        await cloud.delete_port(port.id)


async def test_a_quota_is_named(member: NeutronCloud, operator: Connection) -> None:
    with connected(MEMBER) as tenant:
        project = str(tenant.current_project_id)
    used = len(list(operator.network.security_groups(project_id=project)))
    operator.network.update_quota(project, security_group=used)
    try:
        with refusal(Code.QUOTA, "security_group", "openstack quota show"):
            await member.create_security_group(fresh("group"), "", [], [])
    finally:
        operator.network.delete_quota(project)


async def test_a_wrong_password_is_told_without_it() -> None:
    auth = region(ADMIN)().get_auth_args() | {"password": "not-the-s3cret"}
    async with opened(ADMIN, auth=auth) as cloud:
        with refusal(Code.CREDENTIALS, str(auth["username"]), str(auth["auth_url"])):
            await cloud.networks()
        assert "s3cret" not in cloud.health.last_error


async def test_a_catalogue_without_neutron() -> None:
    async with opened(ADMIN, network_service_type="no-such-service") as cloud:
        with refusal(Code.CREDENTIALS, "no-such-service", "region_name"):
            await cloud.networks()


async def test_a_token_that_ran_out_is_replaced() -> None:
    held = region(ADMIN)()
    cloud = NeutronCloud(lambda: held, PATIENT, Now())
    await cloud.warm()
    plugin = held.get_session().auth
    assert isinstance(plugin, BaseIdentityPlugin)
    state = json.loads(plugin.get_auth_state() or "{}")
    plugin.set_auth_state(json.dumps(state | {"auth_token": "gAAAAABno-longer-valid"}))
    assert await cloud.networks(name=fresh()) == []
    assert held.get_session().get_token() != "gAAAAABno-longer-valid"
    cloud.close()


async def test_neutron_away_is_told_with_its_place() -> None:
    async with opened(ADMIN, network_endpoint_override="http://127.0.0.1:9/v2.0") as cloud:
        with refusal(Code.CLOUD_AWAY, "Neutron at http://127.0.0.1:9/v2.0", "since 2"):
            await cloud.networks()
        assert cloud.health.away_since is not None
