# SPDX-License-Identifier: Apache-2.0
"""Addresses that the user named, with `--ip` or `--ip6`.

A port of this host's pool that has the address is taken, with no word to Neutron. Else the address
is only promised, and the port follows at CreateEndpoint: adopted where somebody made one for it,
or created in one write with the MAC address and the policy.
"""

from __future__ import annotations

from dataclasses import replace

from kurier.model import tags
from kurier.model.errors import Code, KurierError
from kurier.model.ids import IPAddress
from kurier.model.neutron import Port, PortChange, PortFilter
from kurier.model.port import POOLED, PortAddress, PortRecord, Stage, is_unattached
from kurier.model.records import NetworkRecord, SubnetRecord
from kurier.service.context import Context
from kurier.service.keeper import Keeper
from kurier.service.outbox import JobKind, Outbox
from kurier.service.ports import Ports, before_of, requests_of
from kurier.service.recycling import forget_flows


class NamedAddresses:
    """Keeps named addresses for the endpoints that follow."""

    def __init__(self, context: Context, outbox: Outbox, keeper: Keeper, ports: Ports) -> None:
        self._context = context
        self._ledger = context.ledger
        self._outbox = outbox
        self._stock = keeper.stock
        self._ports = ports
        self._inspection = keeper.inspection

    async def promise(
        self,
        network: NetworkRecord,
        subnet: SubnetRecord,
        address: IPAddress,
        waiting: PortRecord | None,
    ) -> None:
        """Keeps a named address for the endpoint that follows; one that is taken is an error.

        `waiting` is the lease that has the endpoint's address of the other IP version already.
        """
        self._refuse_reserved(subnet, address)
        if await self._mine_already(network, subnet, address):
            return
        if await self._from_stock(network, subnet, address, alone=waiting is None):
            return
        port = await self._holder(network, subnet, address)
        if waiting is None:
            lease = self._ports.new(network)
            self._ledger.put_port(_promised(lease, subnet, address, port))
        elif waiting.stage is Stage.REQUESTED and waiting.port_id is None:
            self._ledger.put_port(_promised(waiting, subnet, address, port))
        else:
            await self._exchange(waiting, subnet, address, port)

    async def _from_stock(
        self, network: NetworkRecord, subnet: SubnetRecord, address: IPAddress, *, alone: bool
    ) -> bool:
        """Takes the port of a pool that has the address; a pool that cannot give it loses it."""
        port = self._stock.holder(subnet.id, address)
        if port is not None and port.used and port.stage in POOLED:
            # Before it is taken: what a port in use has is its container's, and stays.
            await self._outbox.settle(JobKind.SETTLE, port.id)
            await self._inspection.look([port])
            port = self._stock.holder(subnet.id, address)
        if port is None:
            return False
        foreign = port.network != network.id or not alone or port.used
        if foreign or port.stage is Stage.RELEASING:
            if port.stage is not Stage.RELEASING:
                self._stock.drop(port, "its address was asked for")
            await self._ports.dropped(port)
            return False
        lease = self._stock.take_named(port, subnet, address)
        if lease.warm:
            return True
        try:
            await self._cleaned(lease, port)
        except BaseException:
            self._ports.release(lease)
            raise
        return True

    async def _cleaned(self, lease: PortRecord, port: PortRecord) -> None:
        """Makes a port that has not cooled fit at once: the user asked for just this one."""
        await self._context.datapath.unplug(port.device)
        await forget_flows(self._context, port)
        current = self._ledger.port(lease.id) or lease
        self._ledger.put_port(replace(current, device="", peer=""))

    async def _exchange(
        self, lease: PortRecord, subnet: SubnetRecord, address: IPAddress, port: Port | None
    ) -> None:
        """Gives a lease that has a port already the address that the user named."""
        if port is not None and port.id != lease.port_id:
            raise KurierError(
                Code.CONFLICT,
                f"Address {address} belongs to port {port.id} and the other family's to port "
                f"{lease.port_id}: give two addresses of one port, or leave one out.",
            )
        kept = tuple(one for one in lease.addresses if one.subnet_id != subnet.id)
        named = PortAddress(subnet.id, address, subnet.pool_id)
        wanted = replace(lease, addresses=(*kept, named))
        if port is None:
            change = PortChange(fixed_ips=requests_of(wanted))
            await self._ports.change(wanted, change)
        else:
            self._ledger.put_port(wanted)

    async def _mine_already(
        self, network: NetworkRecord, subnet: SubnetRecord, address: IPAddress
    ) -> bool:
        """Whether this host promised the address to the same question; waits for one going."""
        for lease in self._ledger.ports():
            if not any(
                (one.subnet_id, one.address) == (subnet.id, address) and one.claimed
                for one in lease.addresses
            ):
                continue
            if lease.stage is Stage.RELEASING:
                await self._ports.dropped(lease)
            elif is_unattached(lease) and lease.network == network.id:
                return True
            elif not self._context.datapath.end_waits(lease.device):
                # Its container died with an engine that did not say so; nothing can use it.
                self._ports.release(lease)
                await self._ports.dropped(lease)
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
            if tags.READY in port.tags:
                raise _waits_elsewhere(address, port)
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


def _promised(
    lease: PortRecord, subnet: SubnetRecord, address: IPAddress, port: Port | None
) -> PortRecord:
    named = PortAddress(subnet.id, address, subnet.pool_id)
    if port is None:
        return replace(lease, addresses=(*lease.addresses, named))
    others = tuple(
        PortAddress(ip.subnet_id, ip.address, claimed=False)
        for ip in port.fixed_ips
        if ip.address != address
    )
    return replace(lease, addresses=(named, *others), port_id=port.id, before=before_of(port))


def _waits_elsewhere(address: IPAddress, port: Port) -> KurierError:
    return KurierError(
        Code.ADDRESS_IN_USE,
        f"Address {address} is that of a ready port ({port.id}) on host {port.host_id or 'unknown'}"
        ": choose another, or free it there with `kurier pool drain` and `kurier pool resume`.",
    )
