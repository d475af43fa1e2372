# SPDX-License-Identifier: Apache-2.0
"""Networks, subnets and subnet pools in memory."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from random import Random

from kurier.model.errors import Code, KurierError
from kurier.model.ids import IPAddress, IPNetwork, NetworkId, SubnetId, SubnetPoolId
from kurier.model.neutron import (
    Network,
    NetworkSpec,
    Range,
    Subnet,
    SubnetPool,
    SubnetSpec,
)
from tests.host.neutron.store import Store

MTU = 1442


class Networks:
    """Networks and their subnets; whose ports stand in the way the caller says."""

    def __init__(self, chance: Random, project: str) -> None:
        self.networks: Store[Network] = Store("network", chance)
        self.subnets: Store[Subnet] = Store("subnet", chance)
        self.pools: Store[SubnetPool] = Store("subnet pool", chance)
        self.prefix_lengths: dict[SubnetPoolId, int] = {}
        """The default prefix length of each subnet pool."""
        self.deleted: list[str] = []
        """The names of networks that were deleted, in order."""
        self._project = project
        self._going: set[SubnetId] = set()

    def create_network(self, spec: NetworkSpec) -> Network:
        self.networks.require_room()
        secure = True if spec.port_security is None else spec.port_security
        return self.networks.add(
            Network(
                NetworkId(self.networks.new_id()),
                spec.name,
                spec.description,
                MTU,
                revision=1,
                shared=bool(spec.shared),
                project_id=self._project,
                port_security=secure,
            )
        )

    def rename_network(
        self, network_id: NetworkId, name: str, description: str, revision: int | None
    ) -> Network:
        self.networks.compare(network_id, revision)
        return self.networks.change(network_id, name=name, description=description)

    def begin_delete_network(self, network_id: NetworkId, revision: int | None) -> bool:
        """Neutron compares the revision of a DELETE at its beginning alone."""
        if network_id in self.networks.there:
            self.networks.compare(network_id, revision)
        return network_id in self.networks.there

    def end_delete_network(self, network_id: NetworkId) -> None:
        """Its subnets go with it."""
        for subnet in self.subnets_of(network_id):
            del self.subnets.there[subnet.id]
        gone = self.networks.there.pop(network_id, None)
        self.deleted += [gone.name] if gone else []

    def subnets_of(self, network_id: NetworkId) -> list[Subnet]:
        return [one for one in self.subnets.there.values() if one.network_id == network_id]

    def check_subnet(self, spec: SubnetSpec) -> None:
        """What Neutron looks at before it begins to make one."""
        self.networks.get(spec.network_id)
        self.subnets.require_room()
        if spec.cidr is not None:
            self._refuse_overlap(spec.network_id, spec.cidr)
            for one in spec.allocation_pools:
                if one.start not in spec.cidr or one.end not in spec.cidr:
                    raise KurierError(
                        Code.BAD_REQUEST, f"{one.start} to {one.end} is not in {spec.cidr}."
                    )

    def make_subnet(self, spec: SubnetSpec) -> Subnet:
        """Ends in an internal error if the network went since it was checked, and does not see a
        subnet that came since.
        """
        if spec.network_id not in self.networks.there:
            raise KurierError(Code.CLOUD_ERROR, "An internal error: no such row (HTTP 500).")
        cidr = spec.cidr or self._drawn(spec.subnet_pool_id)
        gateway = None if spec.no_gateway else spec.gateway or cidr[1]
        return self.subnets.add(
            Subnet(
                SubnetId(self.subnets.new_id()),
                spec.network_id,
                spec.name,
                cidr,
                gateway,
                spec.allocation_pools or tuple(_whole(cidr, gateway)),
                subnet_pool_id=spec.subnet_pool_id,
                revision=1,
                description=spec.description,
            )
        )

    def set_gateway(self, subnet_id: SubnetId, gateway: IPAddress | None) -> Subnet:
        """NOT_FOUND; CONFLICT where a port may get that address."""
        pools = self.subnets.get(subnet_id).allocation_pools
        if gateway is not None and any(
            int(one.start) <= int(gateway) <= int(one.end) for one in pools
        ):
            raise KurierError(Code.CONFLICT, f"Gateway {gateway} is in a pool of the subnet.")
        return self.subnets.change(subnet_id, gateway=gateway)

    def begin_delete_subnet(self, subnet_id: SubnetId, revision: int | None) -> bool:
        """Neutron takes its own port off first; who comes in between is told that one uses it."""
        if subnet_id in self._going:
            raise KurierError(Code.IN_USE, "One or more ports have an address of this subnet.")
        if subnet_id in self.subnets.there:
            self.subnets.compare(subnet_id, revision)
            self._going.add(subnet_id)
        return subnet_id in self.subnets.there

    def end_delete_subnet(self, subnet_id: SubnetId) -> None:
        self.subnets.there.pop(subnet_id, None)
        self._going.discard(subnet_id)

    def delete_pool(self, pool_id: SubnetPoolId) -> None:
        if any(one.subnet_pool_id == pool_id for one in self.subnets.there.values()):
            raise KurierError(Code.IN_USE, f"Subnet pool {pool_id} has subnets.")
        self.pools.there.pop(pool_id, None)

    def _refuse_overlap(self, network_id: NetworkId, cidr: IPNetwork) -> None:
        for one in self.subnets_of(network_id):
            if one.cidr.version == cidr.version and one.cidr.overlaps(cidr):
                raise KurierError(Code.CONFLICT, f"{cidr} overlaps another subnet, {one.cidr}.")

    def _drawn(self, pool_id: SubnetPoolId | None) -> IPNetwork:
        assert pool_id is not None, "a subnet needs a range, or a subnet pool"
        pool = self.pools.get(pool_id)
        taken = [one.cidr for one in self.subnets.there.values() if one.subnet_pool_id == pool_id]
        for prefix in pool.prefixes:
            for found in prefix.subnets(new_prefix=self.prefix_lengths[pool_id]):
                if not any(found.overlaps(one) for one in taken):
                    return found
        raise KurierError(Code.EXHAUSTED, f"Subnet pool {pool.name} has no range left.")


def _whole(cidr: IPNetwork, gateway: IPAddress | None) -> Iterator[Range]:
    """All of a subnet but its ends and its gateway."""
    first, last = int(cidr.network_address) + 1, int(cidr.broadcast_address)
    last -= 1 if cidr.version == 4 else 0
    gap = int(gateway) if gateway is not None else -1
    if not first <= gap <= last:
        yield _range(cidr, first, last)
        return
    if first < gap:
        yield _range(cidr, first, gap - 1)
    if gap < last:
        yield _range(cidr, gap + 1, last)


def _range(cidr: IPNetwork, first: int, last: int) -> Range:
    base = int(cidr.network_address)
    return Range(cidr[first - base], cidr[last - base])


def first_free(subnet: Subnet, taken: set[IPAddress]) -> IPAddress | None:
    """The first address of the allocation pools that nobody has."""
    for pool in subnet.allocation_pools:
        address = pool.start
        while address <= pool.end:  # type: ignore[operator]
            if address not in taken:
                return address
            address = ip_address(int(address) + 1) if address.version == 4 else address + 1
    return None
