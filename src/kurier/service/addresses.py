# SPDX-License-Identifier: Apache-2.0
"""RequestAddress and ReleaseAddress.

An address nobody named is a new Neutron port, since Neutron alone keeps addresses unique; a
dual-stack port is made with both at the first question, and the second question, which carries no
common id with the first, claims what waits. An address that the user named is only promised here:
the port follows at CreateEndpoint, in one write with the MAC address and the policy.
"""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from datetime import timedelta

from kurier.model.errors import Code, KurierError, bad_request
from kurier.model.ids import IPAddress, PoolId
from kurier.model.neutron import FixedIpRequest, Port, PortChange, PortFilter
from kurier.model.ranges import check_address, first_host
from kurier.model.records import (
    LeasedAddress,
    LeaseRecord,
    LeaseState,
    NetworkRecord,
    PoolRecord,
    SubnetRecord,
)
from kurier.service.context import Context
from kurier.service.networks import Networks
from kurier.service.ports import Ports, before_of, guard_of, requests_of, unattached
from kurier.service.requests import AddressAsk, IPInterface

_PAIRING = timedelta(seconds=60)
"""How long the first family's address waits for the second family's question."""


class Addresses:
    """The addresses that this host's engine asks for."""

    def __init__(self, context: Context, networks: Networks, ports: Ports) -> None:
        self._context = context
        self._ledger = context.ledger
        self._networks = networks
        self._ports = ports

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
        await self._promise(network, subnet, ask.address)
        return self._interface(pool, ask.address)

    async def release(self, pool_id: PoolId, address: IPAddress) -> None:
        """Answers ReleaseAddress; always succeeds.

        A lease that an endpoint holds stays: its release is DeleteEndpoint's, or the reconciler's
        where the engine lost that call. A late release must not take what somebody else now has.
        """
        pool = self._ledger.pool(pool_id)
        if pool is None or pool.network is None:
            return
        for lease in self._ledger.leases(pool.network):
            held = any(one.address == address and one.claimed for one in lease.addresses)
            if held and unattached(lease):
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
        lease = self._ports.new_lease(network)
        asked = tuple(FixedIpRequest(one.id) for one in _families(network, subnet))
        made = await self._ports.make(lease, asked, guard_of(network))
        return self._claim(made, subnet)

    async def _second_of(
        self, lease: LeaseRecord, network: NetworkRecord, subnet: SubnetRecord
    ) -> IPAddress:
        """The other family's address for a lease that has its first."""
        if lease.state is LeaseState.REQUESTED and lease.before is None:
            asked = (*requests_of(lease), FixedIpRequest(subnet.id))
            lease = await self._ports.make(lease, asked, guard_of(network))
        if not any(one.subnet_id == subnet.id for one in lease.addresses):
            asked = (*requests_of(lease), FixedIpRequest(subnet.id))
            lease = await self._ports.change(lease, PortChange(fixed_ips=asked))
        return self._claim(lease, subnet)

    def _claim(self, lease: LeaseRecord, subnet: SubnetRecord) -> IPAddress:
        for spot, one in enumerate(lease.addresses):
            if one.subnet_id == subnet.id:
                mine = replace(one, claimed=True, pool_id=subnet.pool_id)
                addresses = (*lease.addresses[:spot], mine, *lease.addresses[spot + 1 :])
                self._ledger.put_lease(replace(lease, addresses=addresses))
                return one.address
        raise KurierError(
            Code.CLOUD_ERROR,
            f"Neutron made port {lease.port_id} without an address of {subnet.cidr}: look at "
            f"`openstack subnet show {subnet.id}`.",
        )

    async def _promise(
        self, network: NetworkRecord, subnet: SubnetRecord, address: IPAddress
    ) -> None:
        """Keeps a named address for the endpoint that follows; one that is taken is an error."""
        self._refuse_reserved(subnet, address)
        if await self._mine_already(network, subnet, address):
            return
        port = await self._holder(network, subnet, address)
        waiting = self._pair(network, subnet)
        if waiting is None:
            lease = self._ports.new_lease(network)
            self._ledger.put_lease(_promised(lease, subnet, address, port))
        elif waiting.state is LeaseState.REQUESTED and waiting.port_id is None:
            self._ledger.put_lease(_promised(waiting, subnet, address, port))
        else:
            await self._exchange(waiting, subnet, address, port)

    async def _exchange(
        self, lease: LeaseRecord, subnet: SubnetRecord, address: IPAddress, port: Port | None
    ) -> None:
        """Gives a lease that has a port already the address that the user named."""
        if port is not None and port.id != lease.port_id:
            raise KurierError(
                Code.CONFLICT,
                f"Address {address} belongs to port {port.id} and the other family's to port "
                f"{lease.port_id}: give two addresses of one port, or leave one out.",
            )
        kept = tuple(one for one in lease.addresses if one.subnet_id != subnet.id)
        named = LeasedAddress(subnet.id, address, subnet.pool_id)
        wanted = replace(lease, addresses=(*kept, named))
        if port is None:
            change = PortChange(fixed_ips=requests_of(wanted))
            await self._ports.change(wanted, change)
        else:
            self._ledger.put_lease(wanted)

    async def _mine_already(
        self, network: NetworkRecord, subnet: SubnetRecord, address: IPAddress
    ) -> bool:
        """Whether this host promised the address to the same question; waits for one going."""
        for lease in self._ledger.leases():
            if not any(
                (one.subnet_id, one.address) == (subnet.id, address) and one.claimed
                for one in lease.addresses
            ):
                continue
            if lease.state is LeaseState.RELEASING:
                await self._ports.dropped(lease)
            elif unattached(lease) and lease.network == network.id:
                return True
            else:
                who = f"container {lease.container}" if lease.container else "a container"
                raise KurierError(
                    Code.ADDRESS_IN_USE,
                    f"Address {address} is already in use by {who} on this host: choose another.",
                )
        return False

    async def _holder(
        self, network: NetworkRecord, subnet: SubnetRecord, address: IPAddress
    ) -> Port | None:
        """The unbound Neutron port that has the address, None where nobody has it."""
        which = PortFilter(network.neutron_id, subnet_id=subnet.id, address=address)
        for port in await self._context.cloud.ports(which):
            if port.device_id or port.device_owner.startswith("network:") or port.host_id:
                raise KurierError(
                    Code.ADDRESS_IN_USE,
                    f"Address {address} is already in use by Neutron port {port.id} "
                    f"({port.name or port.device_owner or 'no name'}): choose another address.",
                )
            return port
        return None

    def _refuse_reserved(self, subnet: SubnetRecord, address: IPAddress) -> None:
        if address == subnet.gateway:
            raise KurierError(
                Code.ADDRESS_IN_USE,
                f"Address {address} is the gateway of {subnet.cidr}: choose another address.",
            )
        if address in subnet.auxiliary:
            raise KurierError(
                Code.ADDRESS_IN_USE,
                f"Address {address} is kept out by --aux-address: choose another address.",
            )

    def _pair(self, network: NetworkRecord, subnet: SubnetRecord) -> LeaseRecord | None:
        """The lease whose other family was just asked for: the engine asks for both families of
        one endpoint in a row, under one lock per network, so the newest is the one meant.
        """
        version, since = subnet.cidr.version, self._context.clock.now() - _PAIRING

        def lacks_only_this(lease: LeaseRecord) -> bool:
            claimed = {one.address.version for one in lease.addresses if one.claimed}
            return bool(claimed) and version not in claimed

        found = [
            lease
            for lease in self._ledger.leases(network.id)
            if unattached(lease) and lease.created_at >= since and lacks_only_this(lease)
        ]
        return max(found, key=lambda lease: lease.created_at, default=None)


def _promised(
    lease: LeaseRecord, subnet: SubnetRecord, address: IPAddress, port: Port | None
) -> LeaseRecord:
    named = LeasedAddress(subnet.id, address, subnet.pool_id)
    if port is None:
        return replace(lease, addresses=(*lease.addresses, named))
    others = tuple(
        LeasedAddress(ip.subnet_id, ip.address, claimed=False)
        for ip in port.fixed_ips
        if ip.address != address
    )
    return replace(lease, addresses=(named, *others), port_id=port.id, before=before_of(port))


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
