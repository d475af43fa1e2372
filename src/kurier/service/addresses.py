# SPDX-License-Identifier: Apache-2.0
"""RequestAddress and ReleaseAddress.

An address nobody named is that of a ready port, or else of a new one, since Neutron alone keeps
addresses unique; a dual-stack port has both from the first question on, and the second question,
which carries no common id with the first, claims what waits. For addresses that the user named see
`named_addresses`.
"""

from __future__ import annotations

import asyncio
import ipaddress
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from kurier.model.errors import Code, KurierError, bad_request
from kurier.model.ids import IPAddress, PoolId
from kurier.model.neutron import FixedIpRequest, PortChange
from kurier.model.port import PortRecord, Stage, is_unattached
from kurier.model.ranges import check_address, first_host
from kurier.model.records import NetworkRecord, PoolRecord, SubnetRecord
from kurier.service.context import Context
from kurier.service.doing import patience
from kurier.service.keeper import Keeper
from kurier.service.named_addresses import NamedAddresses
from kurier.service.networks import Networks
from kurier.service.outbox import Outbox
from kurier.service.ports import Ports, guard_of, requests_of
from kurier.service.requests import AddressAsk, IPInterface

_PAIRING = timedelta(seconds=60)
"""How long the first family's address waits for the second family's question."""

_ARRIVAL = 6.0
"""Seconds that a request waits at most for ports on their way to the pool."""


class Addresses:
    """The addresses that this host's engine asks for."""

    def __init__(
        self, context: Context, outbox: Outbox, networks: Networks, ports: Ports, keeper: Keeper
    ) -> None:
        self._context = context
        self._ledger = context.ledger
        self._networks = networks
        self._ports = ports
        self._keeper = keeper
        self._stock = keeper.stock
        self._named = NamedAddresses(context, outbox, keeper, ports)

    async def request(self, ask: AddressAsk) -> IPInterface:
        """Answers RequestAddress with an address and its prefix length."""
        pool = await self._networks.pool(ask.pool_id)
        if ask.address is not None:
            check_address(pool.cidr, ask.address)
        if ask.gateway:
            return self._interface(pool, self._gateway(pool, ask.address))
        if pool.network is None:
            return self._interface(pool, self._auxiliary(pool, ask.address))
        network = await self._networks.require(pool.network)
        subnet = _subnet_of(network, pool)
        if ask.address is None:
            return self._interface(pool, await self._any(network, subnet))
        waiting = self._pair(network, subnet)
        await self._named.promise(network, subnet, ask.address, waiting)
        return self._interface(pool, ask.address)

    async def release(self, pool_id: PoolId, address: IPAddress) -> None:
        """Answers ReleaseAddress; always succeeds.

        A lease that an endpoint holds stays: its release is DeleteEndpoint's, or the reconciler's
        where the engine lost that call. A late release must not take what somebody else now has.
        """
        pool = self._ledger.pool(pool_id)
        if pool is None or pool.network is None:
            return
        for lease in self._ledger.ports(pool.network):
            held = any(one.address == address and one.claimed for one in lease.addresses)
            # One whose plugging was cut off by a kill: the engine gives its address back alone.
            cut_off = lease.stage is Stage.ALLOCATED
            if held and (is_unattached(lease) or cut_off):
                self._ports.release(lease)

    def _interface(self, pool: PoolRecord, address: IPAddress) -> IPInterface:
        return ipaddress.ip_interface(f"{address}/{pool.cidr.prefixlen}")

    def _gateway(self, pool: PoolRecord, address: IPAddress | None) -> IPAddress:
        gateway = address or pool.gateway or first_host(pool.cidr)
        if pool.network is None:
            chosen = pool.gateway_chosen or address is not None
            self._ledger.put_pool(replace(pool, gateway=gateway, gateway_chosen=chosen))
        return gateway

    def _auxiliary(self, pool: PoolRecord, address: IPAddress | None) -> IPAddress:
        if address is None:
            raise bad_request(
                f"Range {pool.cidr} serves no network yet, so no address of it can be given out: "
                "create the network first."
            )
        if address not in pool.auxiliary:
            self._ledger.put_pool(replace(pool, auxiliary=(*pool.auxiliary, address)))
        return address

    async def _any(self, network: NetworkRecord, subnet: SubnetRecord) -> IPAddress:
        waiting = self._pair(network, subnet)
        if waiting is not None:
            return await self._second_of(waiting, network, subnet)
        if self._stock.limits(network) is None:
            return await self._new(network, subnet)
        self._stock.asked(network.id)
        taken = self._stock.take(network, subnet)
        if taken is not None:
            return _address_in(taken, subnet)
        refusal = self._keeper.refusal(network)
        if refusal is not None:
            raise refusal
        try:
            return await self._new(network, subnet, recycle=True)
        except KurierError as error:
            if error.code not in (Code.EXHAUSTED, Code.QUOTA):
                raise
            arrived = await self._arriving(network, subnet)
            if arrived is None:
                raise
            return _address_in(arrived, subnet)

    async def _arriving(self, network: NetworkRecord, subnet: SubnetRecord) -> PortRecord | None:
        """A port that a growth of the pool had just got when Neutron had none left to give."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._keeper.grown(network.id), patience(_ARRIVAL))
        return self._stock.take(network, subnet)

    async def _new(
        self, network: NetworkRecord, subnet: SubnetRecord, *, recycle: bool = False
    ) -> IPAddress:
        """An address of a port that Neutron makes now."""
        lease = replace(self._ports.new(network), recycle=recycle)
        asked = tuple(FixedIpRequest(one.id) for one in _families(network, subnet))
        made = await self._ports.make(lease, asked, guard_of(network))
        return self._claim(made, subnet)

    async def _second_of(
        self, lease: PortRecord, network: NetworkRecord, subnet: SubnetRecord
    ) -> IPAddress:
        """The other family's address for a lease that has its first."""
        if lease.stage is Stage.REQUESTED and lease.before is None:
            asked = (*requests_of(lease), FixedIpRequest(subnet.id))
            lease = await self._ports.make(lease, asked, guard_of(network))
        if not any(one.subnet_id == subnet.id for one in lease.addresses):
            asked = (*requests_of(lease), FixedIpRequest(subnet.id))
            lease = await self._ports.change(lease, PortChange(fixed_ips=asked))
        return self._claim(lease, subnet)

    def _claim(self, lease: PortRecord, subnet: SubnetRecord) -> IPAddress:
        address = _address_in(lease, subnet)
        self._ledger.put_port(
            replace(
                lease,
                addresses=tuple(
                    replace(one, claimed=True, pool_id=subnet.pool_id)
                    if one.address == address
                    else one
                    for one in lease.addresses
                ),
            )
        )
        return address

    def _pair(self, network: NetworkRecord, subnet: SubnetRecord) -> PortRecord | None:
        """The lease whose other family was just asked for: the engine asks for both families of
        one endpoint in a row, under one lock per network, so the newest is the one meant.
        """
        version, since = subnet.cidr.version, self._context.clock.now() - _PAIRING

        def lacks_only_this(lease: PortRecord) -> bool:
            claimed = {one.address.version for one in lease.addresses if one.claimed}
            return bool(claimed) and version not in claimed

        found = [
            lease
            for lease in self._ledger.ports(network.id)
            if is_unattached(lease) and lease.since >= since and lacks_only_this(lease)
        ]
        return max(found, key=lambda lease: lease.since, default=None)


def _address_in(lease: PortRecord, subnet: SubnetRecord) -> IPAddress:
    for one in lease.addresses:
        if one.subnet_id == subnet.id:
            return one.address
    raise KurierError(
        Code.CLOUD_ERROR,
        f"Neutron made port {lease.port_id} without an address of {subnet.cidr}: look at "
        f"`openstack subnet show {subnet.id}`.",
    )


def _families(network: NetworkRecord, subnet: SubnetRecord) -> tuple[SubnetRecord, ...]:
    """This subnet, and the network's first of the other IP version."""
    other = next(
        (one for one in network.subnets if one.pool_id and one.cidr.version != subnet.cidr.version),
        None,
    )
    return (subnet,) if other is None else (subnet, other)


def _subnet_of(network: NetworkRecord, pool: PoolRecord) -> SubnetRecord:
    for subnet in network.subnets:
        if subnet.pool_id == pool.id:
            return subnet
    raise KurierError(
        Code.NOT_FOUND,
        f"Range {pool.cidr} serves no subnet of network {network.name or network.id}: remove the "
        "network and create it again.",
    )
