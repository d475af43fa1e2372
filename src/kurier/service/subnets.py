# SPDX-License-Identifier: Apache-2.0
"""Finds or makes the subnets of a network that is put together."""

from __future__ import annotations

from kurier.model import tags
from kurier.model.errors import Code, KurierError, bad_request
from kurier.model.naming import subnet_description, subnet_name
from kurier.model.neutron import Network, Subnet, SubnetSpec
from kurier.model.ranges import allocation_ranges
from kurier.model.records import NetworkRecord, SubnetRecord
from kurier.service.context import Context
from kurier.service.doing import doing
from kurier.service.lookup import find_pool, find_subnet
from kurier.service.making import Making
from kurier.service.part import Part
from kurier.service.subnet_claims import SubnetClaims

_TRIES = 3


class Subnets:
    """Subnets by range."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._cloud = context.cloud
        self._making = Making(context)
        self._claims = SubnetClaims(context)

    async def have(self, record: NetworkRecord, network: Network, part: Part) -> SubnetRecord:
        """The subnet of a range: the one that is there, or one made now."""
        found = await self.there(network, part)
        if found is None:
            if record.made:
                made = await self._create(record, network, part)
                return subnet_record(made, part, made=True)
            found, made_here = await self._in_turn(record, network, part)
            if made_here:
                return subnet_record(found, part, made=True)
        if record.made and part.pool is not None and part.pool.subnet_id == found.id:
            if record.internal and found.gateway is not None:
                found = await self._cloud.set_subnet_gateway(found.id, None)
            return subnet_record(found, part, made=True)
        check_existing(found, part)
        return subnet_record(found, part, made=False)

    async def _in_turn(
        self, record: NetworkRecord, network: Network, part: Part
    ) -> tuple[Subnet, bool]:
        """The subnet of a network that others may join now, and whether it was made here. A turn
        that took so long that others took it for dead may meet theirs.
        """
        for _ in range(_TRIES):
            async with self._making.turn(network.id, record.id):
                found = await self.there(network, part)
                if found is not None:
                    return found, False
                try:
                    made = await self._create(record, network, part)
                except KurierError as error:
                    found = await self.there(network, part) if error.code is Code.CONFLICT else None
                    if found is None:
                        raise
                    return found, False
                beside = await self._cloud.subnets(network_id=network.id, cidr=part.cidr)
                if len(beside) == 1:
                    return made, True
                mapping = tags.Mapping(await self._context.environment.mark(), record.id)
                await self._claims.leave(record, network, made, mapping)
        raise KurierError(
            Code.CHANGED, f"Other hosts make and remove subnet {part.cidr} as well: try again."
        )

    async def _create(self, record: NetworkRecord, network: Network, part: Part) -> Subnet:
        """Neutron ends in an internal error where the network goes at the same moment; then it is
        the network's absence that is told, by NOT_FOUND.
        """
        spec = await self._subnet_spec(record, network, part)
        doing(f"Neutron was making subnet {part.cidr}")
        try:
            return await self._cloud.create_subnet(spec)
        except KurierError as error:
            if error.code is Code.CLOUD_ERROR:
                await self._cloud.network(spec.network_id)
            raise

    async def there(self, network: Network, part: Part) -> Subnet | None:
        """The subnet that a network has for a range; BAD_REQUEST where the user named another."""
        if part.subnet:
            subnet = await find_subnet(self._cloud, part.subnet, network, part.cidr.version)
            if subnet.cidr != part.cidr:
                raise bad_request(
                    f"Subnet {subnet.name or subnet.id} has range {subnet.cidr}, not {part.cidr}: "
                    f"give --subnet {subnet.cidr}."
                )
            return subnet
        found = await self._cloud.subnets(network_id=network.id, cidr=part.cidr)
        return found[0] if found else None

    async def _subnet_spec(self, record: NetworkRecord, network: Network, part: Part) -> SubnetSpec:
        pool_id = part.pool.subnet_pool_id if part.pool else None
        if part.subnet_pool:
            pool_id = (await find_pool(self._cloud, part.subnet_pool, part.cidr.version)).id
        ip_range = part.pool.ip_range if part.pool else None
        return SubnetSpec(
            network.id,
            subnet_name(part.cidr),
            part.cidr.version,
            description=subnet_description(record.id),
            cidr=part.cidr,
            gateway=None if record.internal else part.gateway,
            no_gateway=record.internal or part.gateway is None,
            allocation_pools=(
                allocation_ranges(part.cidr, ip_range, part.kept_out)
                if ip_range is not None or part.auxiliary
                else ()
            ),
            subnet_pool_id=pool_id,
            enable_dhcp=self._context.settings.enable_dhcp,
        )


def check_existing(subnet: Subnet, part: Part) -> None:
    """Refuses what a subnet that is there cannot be made to fit."""
    # A gateway that nobody named is the first address by default; the subnet's own goes before it.
    named = part.gateway is not None and (part.pool is None or part.pool.gateway_chosen)
    if named and subnet.gateway is not None and part.gateway != subnet.gateway:
        raise KurierError(
            Code.BAD_REQUEST,
            f"Subnet {subnet.name or subnet.id} has gateway {subnet.gateway}, not {part.gateway}: "
            f"give --gateway {subnet.gateway}.",
        )
    ip_range = part.pool.ip_range if part.pool else None
    if ip_range is None:
        return
    if any(one.start not in ip_range or one.end not in ip_range for one in subnet.allocation_pools):
        pools = ", ".join(f"{one.start}-{one.end}" for one in subnet.allocation_pools)
        raise KurierError(
            Code.BAD_REQUEST,
            f"Subnet {subnet.name or subnet.id} exists and allocates {pools}: --ip-range "
            f"{ip_range} cannot narrow a subnet that Kurier did not make; leave it out.",
        )


def subnet_record(subnet: Subnet, part: Part, *, made: bool) -> SubnetRecord:
    """A subnet as the ledger keeps it."""
    return SubnetRecord(
        subnet.id,
        subnet.cidr,
        made,
        pool_id=part.pool.id if part.pool else None,
        gateway=subnet.gateway,
        routes=tuple((route.destination, route.next_hop) for route in subnet.host_routes),
        auxiliary=part.auxiliary or (part.pool.auxiliary if part.pool else ()),
    )
