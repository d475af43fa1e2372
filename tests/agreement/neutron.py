# SPDX-License-Identifier: Apache-2.0
"""What the service relies on at Neutron, asserted of the real one and of the one in memory.

Each has a class of its own that inherits these tests and says how it is reached.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import replace
from ipaddress import IPv4Network, ip_address, ip_network
from typing import Protocol

import pytest

from kurier.model.errors import Code, KurierError
from kurier.model.ids import NetworkId, PortId, SecurityGroupId, SubnetId, SubnetPoolId
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
from kurier.service.protocols import Cloud

NOWHERE = "00000000-0000-4000-8000-000000000000"
CIDR = ip_network("10.201.7.0/29")
TAGS = ["kurier:1a2b3c4d:_-Aa0", "kuryr.net.uuid.lh:" + "0f" * 16, "50% of that & a?=b"]


class Operator(Protocol):
    """What only an operator can do, or know."""

    def make_subnet_pool(self, name: str, prefix: str, length: int) -> SubnetPoolId:
        """A subnet pool whose subnets are this long where nobody says otherwise."""
        ...

    def living_host(self) -> str:
        """A host to which Neutron can bind ports."""
        ...


def fresh(word: str = "room") -> str:
    """A name nobody else has."""
    return f"kurier-test-{word}-{uuid.uuid4().hex[:8]}"


@asynccontextmanager
async def a_network(cloud: Cloud) -> AsyncIterator[Network]:
    """A network for as long as the block lasts."""
    network = await cloud.create_network(NetworkSpec(fresh(), "made by a test"))
    try:
        yield network
    finally:
        for port in await cloud.ports(PortFilter(network_id=network.id)):
            await cloud.delete_port(port.id)
        await cloud.delete_network(network.id)


def port_spec(subnet: Subnet, address: str | None = None) -> PortSpec:
    """A port of the subnet."""
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


class NeutronAgrees:
    """Fixtures `cloud` and `operator` are a subclass's."""

    words = True
    """Whether sentences are what users will read."""

    def refusal(self, code: Code, *told: str) -> AbstractContextManager[None]:
        """The block is refused with this code, and in these words where they count."""
        return refusal(code, *(told if self.words else ()))

    @pytest.fixture
    async def network(self, cloud: Cloud) -> AsyncIterator[Network]:
        async with a_network(cloud) as made:
            yield made

    @pytest.fixture
    async def subnet(self, cloud: Cloud, network: Network) -> Subnet:
        spec = SubnetSpec(network.id, "s", 4, cidr=CIDR, no_gateway=True)
        return await cloud.create_subnet(spec)

    async def test_a_networks_life(self, cloud: Cloud) -> None:
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
        with self.refusal(Code.NOT_FOUND, made.id, "no network"):
            await cloud.network(made.id)

    async def test_a_network_that_changed_meanwhile_is_not_deleted(
        self, cloud: Cloud, network: Network
    ) -> None:
        await cloud.add_tag(Kind.NETWORK, network.id, "kurier-test:late")
        with self.refusal(Code.CHANGED, network.id):
            await cloud.delete_network(network.id, network.revision)
        assert (await cloud.network(network.id)).id == network.id

    async def test_a_network_is_shared_and_unguarded_on_demand(self, cloud: Cloud) -> None:
        spec = NetworkSpec(fresh(), "", shared=True, port_security=False)
        made = await cloud.create_network(spec)
        try:
            assert (made.shared, made.port_security) == (True, False)
        finally:
            await cloud.delete_network(made.id)

    async def test_tags_come_and_go_one_at_a_time(self, cloud: Cloud, network: Network) -> None:
        for tag in [*TAGS, TAGS[0]]:
            await cloud.add_tag(Kind.NETWORK, network.id, tag)
        assert (await cloud.network(network.id)).tags == frozenset(TAGS)
        assert [found.id for found in await cloud.networks(tags=TAGS[:2])] == [network.id]
        assert await cloud.networks(tags=[TAGS[0], "kurier-test:absent"]) == []
        for tag in [*TAGS, TAGS[0]]:
            await cloud.remove_tag(Kind.NETWORK, network.id, tag)
        assert (await cloud.network(network.id)).tags == frozenset()

    async def test_tags_of_what_is_gone(self, cloud: Cloud) -> None:
        for kind in Kind:
            await cloud.remove_tag(kind, NOWHERE, TAGS[0])
            with self.refusal(Code.NOT_FOUND, NOWHERE, " no "):
                await cloud.add_tag(kind, NOWHERE, TAGS[0])

    async def test_a_subnets_life(self, cloud: Cloud, network: Network) -> None:
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
        assert (made.cidr, made.gateway, made.allocation_pools) == (
            spec.cidr,
            spec.gateway,
            (pool,),
        )
        assert await cloud.subnets(network_id=network.id, cidr=spec.cidr) == [made]
        assert await cloud.subnets(network_id=network.id, name="other") == []
        assert (await cloud.set_subnet_gateway(made.id, None)).gateway is None
        moved = await cloud.set_subnet_gateway(made.id, ip_address("10.201.8.1"))
        assert moved.gateway == ip_address("10.201.8.1")
        with self.refusal(Code.CONFLICT, "10.201.8.20"):
            await cloud.set_subnet_gateway(made.id, ip_address("10.201.8.20"))
        await cloud.delete_subnet(made.id)
        await cloud.delete_subnet(made.id)
        with self.refusal(Code.NOT_FOUND, made.id, "no subnet"):
            await cloud.subnet(made.id)

    async def test_a_subnet_that_somebody_tagged_meanwhile_is_not_deleted(
        self, cloud: Cloud, network: Network
    ) -> None:
        made = await cloud.create_subnet(
            SubnetSpec(network.id, "s4", 4, cidr=ip_network("10.201.9.0/24"))
        )
        await cloud.add_tag(Kind.SUBNET, made.id, "kurier-test:late")
        with self.refusal(Code.CHANGED, made.id):
            await cloud.delete_subnet(made.id, made.revision)
        seen = await cloud.subnet(made.id)
        assert seen.tags == {"kurier-test:late"}
        await cloud.delete_subnet(made.id, seen.revision)

    async def test_a_subnet_of_ipv6_without_gateway(self, cloud: Cloud, network: Network) -> None:
        spec = SubnetSpec(network.id, "s6", 6, cidr=ip_network("fd42:77::/64"), no_gateway=True)
        made = await cloud.create_subnet(spec)
        assert (made.cidr, made.gateway, made.address_mode) == (spec.cidr, None, "")

    async def test_subnets_may_not_overlap(self, cloud: Cloud, subnet: Subnet) -> None:
        with self.refusal(Code.CONFLICT, str(CIDR), subnet.network_id, "overlaps"):
            await cloud.create_subnet(SubnetSpec(subnet.network_id, "again", 4, cidr=CIDR))

    async def test_a_range_outside_its_subnet(self, cloud: Cloud, network: Network) -> None:
        outside = Range(ip_address("10.202.0.1"), ip_address("10.202.0.9"))
        spec = SubnetSpec(network.id, "s", 4, cidr=CIDR, allocation_pools=(outside,))
        with self.refusal(Code.BAD_REQUEST, "10.202.0.1", "--ip-range"):
            await cloud.create_subnet(spec)

    async def test_a_port_carries_what_was_asked(self, cloud: Cloud, subnet: Subnet) -> None:
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

    async def test_ports_are_found_by_what_they_carry(self, cloud: Cloud, subnet: Subnet) -> None:
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

    async def test_a_port_changes(self, cloud: Cloud, subnet: Subnet) -> None:
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

    async def test_addresses_that_cannot_be_had(self, cloud: Cloud, subnet: Subnet) -> None:
        made = await cloud.create_port(port_spec(subnet, "10.201.7.2"))
        net = subnet.network_id
        with self.refusal(Code.ADDRESS_IN_USE, "10.201.7.2", net):
            await cloud.create_port(port_spec(subnet, "10.201.7.2"))
        with self.refusal(Code.ADDRESS_INVALID, "10.9.9.9", subnet.id):
            await cloud.create_port(port_spec(subnet, "10.9.9.9"))
        with self.refusal(Code.ADDRESS_IN_USE, made.mac, net):
            await cloud.create_port(replace(port_spec(subnet), mac=made.mac))
        other = await cloud.create_port(port_spec(subnet))
        with self.refusal(Code.ADDRESS_IN_USE, "10.201.7.2"):
            taken = (FixedIpRequest(subnet.id, ip_address("10.201.7.2")),)
            await cloud.update_port(other.id, PortChange(fixed_ips=taken))
        assert len(await cloud.ports(PortFilter(network_id=net))) == 2

    async def test_a_subnet_runs_full(self, cloud: Cloud, subnet: Subnet) -> None:
        for _ in range(CIDR.num_addresses - 2):
            await cloud.create_port(port_spec(subnet))
        with self.refusal(Code.EXHAUSTED, subnet.id, "no free address"):
            await cloud.create_port(port_spec(subnet))

    async def test_ports_that_miss_something(self, cloud: Cloud, subnet: Subnet) -> None:
        nowhere = SecurityGroupId(NOWHERE)
        with self.refusal(Code.NOT_FOUND, NOWHERE, "no network"):
            await cloud.create_port(replace(port_spec(subnet), network_id=NetworkId(NOWHERE)))
        with self.refusal(Code.NOT_FOUND, NOWHERE, "security group"):
            await cloud.create_port(replace(port_spec(subnet), security_groups=(nowhere,)))
        with self.refusal(Code.NOT_FOUND, NOWHERE, "no subnet"):
            foreign = (FixedIpRequest(SubnetId(NOWHERE)),)
            await cloud.create_port(replace(port_spec(subnet), fixed_ips=foreign))
        with self.refusal(Code.NOT_FOUND, NOWHERE, "no port"):
            await cloud.port(PortId(NOWHERE))
        await cloud.delete_port(PortId(NOWHERE))
        with self.refusal(Code.IN_USE, subnet.network_id):
            await cloud.create_port(port_spec(subnet))
            await cloud.delete_network(subnet.network_id)
        with self.refusal(Code.IN_USE, subnet.id):
            await cloud.delete_subnet(subnet.id)

    async def test_a_subnet_of_another_network(self, cloud: Cloud, subnet: Subnet) -> None:
        async with a_network(cloud) as other:
            await cloud.create_subnet(SubnetSpec(other.id, "s", 4, cidr=CIDR))
            with self.refusal(Code.BAD_REQUEST, subnet.id, other.id):
                await cloud.create_port(replace(port_spec(subnet), network_id=other.id))

    async def test_a_port_without_its_tags_is_taken_back(
        self, cloud: Cloud, subnet: Subnet
    ) -> None:
        with self.refusal(Code.BAD_REQUEST):
            await cloud.create_port(replace(port_spec(subnet), tags=("t" * 300,)))
        assert await cloud.ports(PortFilter(network_id=subnet.network_id)) == []

    async def test_one_of_many_is_a_port_like_another(self, cloud: Cloud, subnet: Subnet) -> None:
        spec = replace(port_spec(subnet, "10.201.7.3"), tags=("kurier-test:one",))
        (made,) = await cloud.create_ports([spec])
        assert (made.device_id, made.tags) == (spec.device_id, frozenset(spec.tags))
        assert await cloud.create_ports([]) == []

    async def test_more_ports_than_addresses_are_none(self, cloud: Cloud, subnet: Subnet) -> None:
        kept = await cloud.create_port(port_spec(subnet))
        with self.refusal(Code.EXHAUSTED, subnet.id, "no free address"):
            await cloud.create_ports([port_spec(subnet) for _ in range(CIDR.num_addresses - 2)])
        assert [port.id for port in await cloud.ports(PortFilter(subnet_id=subnet.id))] == [kept.id]

    async def test_many_ports_whose_tags_are_refused_are_taken_back(
        self, cloud: Cloud, subnet: Subnet
    ) -> None:
        specs = [replace(port_spec(subnet), tags=(tag,)) for tag in ("kurier-test:a", "t" * 300)]
        with self.refusal(Code.BAD_REQUEST):
            await cloud.create_ports(specs)
        assert await cloud.ports(PortFilter(network_id=subnet.network_id)) == []

    async def test_a_ports_tags_are_replaced_as_a_whole(self, cloud: Cloud, subnet: Subnet) -> None:
        made = await cloud.create_port(replace(port_spec(subnet), tags=("kurier-test:a",)))
        await cloud.replace_tags(Kind.PORT, made.id, ["kurier-test:b", "kurier-test:c"])
        assert (await cloud.port(made.id)).tags == {"kurier-test:b", "kurier-test:c"}
        await cloud.replace_tags(Kind.PORT, made.id, [])
        assert (await cloud.port(made.id)).tags == frozenset()
        with self.refusal(Code.NOT_FOUND, NOWHERE, "no port"):
            await cloud.replace_tags(Kind.PORT, PortId(NOWHERE), ["kurier-test:b"])

    async def test_a_group_that_cannot_be_whole_is_not_at_all(self, cloud: Cloud) -> None:
        name = fresh("group")
        with self.refusal(Code.BAD_REQUEST, name):
            await cloud.create_security_group(name, "", [Rule("tcp", 90, 80)], ["kurier-test:x"])
        assert await cloud.security_groups(name=name) == []

    async def test_a_group_in_use_stays(self, cloud: Cloud, subnet: Subnet) -> None:
        group = await cloud.create_security_group(fresh("group"), "", [], [])
        port = await cloud.create_port(replace(port_spec(subnet), security_groups=(group.id,)))
        assert port.security_groups == (group.id,)
        with self.refusal(Code.IN_USE, group.id):
            await cloud.delete_security_group(group.id)
        await cloud.delete_port(port.id)
        await cloud.delete_security_group(group.id)

    async def test_a_subnet_pool_gives_until_it_is_empty(
        self, cloud: Cloud, network: Network, operator: Operator
    ) -> None:
        name = fresh("pool")
        pool = operator.make_subnet_pool(name, "10.203.0.0/24", 25)
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
            with self.refusal(Code.EXHAUSTED, pool):
                await cloud.create_subnet(spec)
            with self.refusal(Code.IN_USE, pool):
                await cloud.delete_subnet_pool(pool)
        finally:
            for subnet in await cloud.subnets(subnet_pool_id=pool):
                await cloud.delete_subnet(subnet.id)
            await cloud.delete_subnet_pool(pool)
        with self.refusal(Code.NOT_FOUND, pool, "no subnet pool"):
            await cloud.subnet_pool(pool)

    async def test_a_port_is_bound_to_its_host(
        self, cloud: Cloud, subnet: Subnet, operator: Operator
    ) -> None:
        host = operator.living_host()
        made = await cloud.create_port(replace(port_spec(subnet), host_id=host))
        assert (made.host_id, made.vif_type) == (host, "ovs")
        assert made.bound_driver in {"ovn", "openvswitch"}
        lost = await cloud.create_port(replace(port_spec(subnet), host_id="no-such-host"))
        assert (lost.host_id, lost.vif_type) == ("no-such-host", "binding_failed")
        unbound = await cloud.update_port(made.id, PortChange(host_id=""))
        assert (unbound.host_id, unbound.vif_type) == ("", "unbound")

    async def test_a_security_group_opens_what_was_asked(self, cloud: Cloud) -> None:
        name, tag = fresh("group"), "kurier-test:" + fresh()
        rules = (Rule("tcp", 80, 80), Rule("tcp", 80, 80, "IPv6"), Rule("udp", 53, 60))
        made = await cloud.create_security_group(name, "d", rules, [tag])
        try:
            found = await cloud.security_groups(name=name, tags=[tag])
            assert [(group.id, group.tags) for group in found] == [(made.id, frozenset({tag}))]
            read = await cloud.security_group(made.id)
            assert set(read.rules) == set(rules) == set(made.rules)
        finally:
            await cloud.delete_security_group(made.id)
        await cloud.delete_security_group(made.id)
        with self.refusal(Code.NOT_FOUND, made.id, "no security group"):
            await cloud.security_group(made.id)
