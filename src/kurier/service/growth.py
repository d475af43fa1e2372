# SPDX-License-Identifier: Apache-2.0
"""Makes ports for a pool: created in bulk, checked, plugged in one transaction, seen wired."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

from kurier.model import tags
from kurier.model.errors import NOTHING_WAS_MADE, Code, KurierError
from kurier.model.ids import PortKey
from kurier.model.likeness import as_made
from kurier.model.naming import port_name, ready_description
from kurier.model.neutron import FixedIpRequest, Port, PortFilter, PortSpec
from kurier.model.port import Event, PortAddress, PortRecord, Stage
from kurier.model.records import NetworkRecord, SubnetRecord
from kurier.model.wiring import plug_of
from kurier.service.context import Context
from kurier.service.gathering import fault_of
from kurier.service.ports import guard_of, own_port, refuse_unusable
from kurier.service.stock import Stock

LOG = logging.getLogger(__name__)
_ACTIVE_LOOKS = 3
"""How often Neutron is asked whether it calls a wired port ACTIVE: events get lost, and the
switch's own word is what counts."""
_ACTIVE_PAUSE = 0.4


class Growth:
    """Brings ports of a pool forward, from nothing to ready."""

    def __init__(self, context: Context, stock: Stock) -> None:
        self._context = context
        self._ledger = context.ledger
        self.stock = stock

    async def make(self, network: NetworkRecord, count: int) -> None:
        """Makes so many ports of a network and has them wired.

        The intent is in the ledger before Neutron is asked, and each port's id goes into the
        create as `device_id`: what a lost answer leaves is found by it.
        """
        intents = self._intents(network, count)
        with self.stock.working_on(intents):
            specs = await self._specs(network, intents)
            try:
                made = await self._context.cloud.create_ports(specs)
            except KurierError as error:
                if error.code in NOTHING_WAS_MADE:
                    self._forget(intents)
                raise
            bound = self._take_in(network, intents, made)
            await self._wire(network, bound)

    async def wire(self, network: NetworkRecord, ports: Sequence[PortRecord]) -> None:
        """Plugs bound ports, under new names, and waits until they are wired."""
        with self.stock.working_on(ports):
            await self._wire(network, ports)

    async def look_for(self, network: NetworkRecord, lost: Sequence[PortRecord]) -> None:
        """Finds ports whose create was never answered. Those that are not there are given up, and
        looked for again: one list proves nothing, and Neutron may be at them yet.
        """
        with self.stock.working_on(lost):
            which = PortFilter(device_ids=tuple(port.id for port in lost))
            found = await self._context.cloud.ports(which)
            there = {port.device_id for port in found}
            missing = [port for port in lost if port.id not in there]
            self.stock.drop_all(missing, "Neutron did not answer its creation")
            await self._wire(
                network, self._take_in(network, [one for one in lost if one.id in there], found)
            )

    def _intents(self, network: NetworkRecord, count: int) -> list[PortRecord]:
        if network.neutron_id is None:
            raise ValueError(f"network {network.id} has no Neutron network")
        now = self._context.clock.now()
        intents = [
            PortRecord(
                PortKey(self._context.names.hex(32)),
                Stage.MAKING,
                network.id,
                network.neutron_id,
                now,
                groups=network.security_groups,
            )
            for _ in range(count)
        ]
        with self._ledger.transaction():
            for port in intents:
                self._ledger.put_port(port)
        return intents

    def _forget(self, ports: Sequence[PortRecord]) -> None:
        with self._ledger.transaction():
            for port in ports:
                self._ledger.drop_port(port.id)

    async def _specs(self, network: NetworkRecord, intents: Sequence[PortRecord]) -> list[PortSpec]:
        """One for each intent; alike but for the key, so that the switch is asked once."""
        first, guard = intents[0], guard_of(network)
        alike = replace(
            await own_port(self._context, first.id, first.neutron_network, guard, tags.READY),
            fixed_ips=tuple(FixedIpRequest(one.id) for one in pool_subnets(network)),
            description=ready_description(first.network),
        )
        return [replace(alike, name=port_name(one.id), device_id=one.id) for one in intents]

    def _take_in(
        self, network: NetworkRecord, intents: Sequence[PortRecord], made: Sequence[Port]
    ) -> list[PortRecord]:
        """Checks what Neutron made; a port that is not as asked is given up."""
        by_key = {port.device_id: port for port in made}
        bound, unusable = [], None
        with self._ledger.transaction():
            for intent in intents:
                if intent.id not in by_key:
                    continue
                port = by_key[intent.id]
                current = self._ledger.port(intent.id)
                if current is None or current.stage is not Stage.MAKING:
                    self._given_up(_with_port(intent, port))
                    continue
                taken = self.stock.put(_with_port(intent, port), Event.MADE)
                fault = _fault(network, port)
                if fault:
                    self.stock.drop(taken, fault)
                    unusable = port
                else:
                    bound.append(taken)
        if unusable is not None:
            refuse_unusable(unusable)
        return bound

    def _given_up(self, port: PortRecord) -> None:
        """A port that was given up while Neutron made it is deleted as what it is now."""
        self._ledger.put_port(port)
        self.stock.drop(port, "it was given up while Neutron made it")

    async def _wire(self, network: NetworkRecord, ports: Sequence[PortRecord]) -> None:
        datapath = self._context.datapath
        for port in ports:
            if port.device:  # a name whose port once stood in the switch is never used again
                await datapath.unplug(port.device)
        # Meanwhile one may have been given up, or taken for its address.
        named = [self._named(port) for port in ports if self._ledger.port(port.id) == port]
        with self._ledger.transaction():
            for port in named:
                self._ledger.put_port(port)
        if not named:
            return
        await datapath.plug_all([plug_of(port, network.mtu) for port in named])
        timeout = self._context.settings.wire_timeout
        wired = await asyncio.gather(
            *(datapath.wait_wired(port.device, timeout) for port in named), return_exceptions=True
        )
        answers = list(zip(named, wired, strict=True))
        await self._await_active([port for port, answer in answers if answer is True])
        for port, answer in answers:
            if answer is True:
                self._arrived(port)
        for port, answer in answers:
            if isinstance(answer, BaseException):
                raise answer
            if not answer:
                raise _not_wired(port, timeout)

    def _arrived(self, port: PortRecord) -> None:
        current = self._ledger.port(port.id)
        if current == port:  # else it was given up, or taken by its address, meanwhile
            self.stock.put(port, Event.WIRED)

    def _named(self, port: PortRecord) -> PortRecord:
        unique = self._context.names.hex(11)
        return replace(port, device=f"tap{unique}", peer=f"kur{unique}")

    async def _await_active(self, ports: Sequence[PortRecord]) -> None:
        """Waits a moment for Neutron to call wired ports ACTIVE; never for ever."""
        waiting = {port.id for port in ports}
        for _ in range(_ACTIVE_LOOKS):
            if not waiting:
                return
            await asyncio.sleep(_ACTIVE_PAUSE)
            try:
                found = await self._context.cloud.ports(PortFilter(device_ids=tuple(waiting)))
            except KurierError:
                return
            waiting -= {port.device_id for port in found if port.status == "ACTIVE"}
        if waiting:
            LOG.info(
                "Neutron does not call %d wired ports ACTIVE yet; the switch does", len(waiting)
            )


def pool_subnets(network: NetworkRecord) -> tuple[SubnetRecord, ...]:
    """The subnets of which every port of the pool has an address: the first of each IP version."""
    first: dict[int, SubnetRecord] = {}
    for subnet in network.subnets:
        if subnet.pool_id:
            first.setdefault(subnet.cidr.version, subnet)
    return tuple(first.values())


def _with_port(intent: PortRecord, port: Port) -> PortRecord:
    addresses = tuple(PortAddress(ip.subnet_id, ip.address, claimed=False) for ip in port.fixed_ips)
    return replace(intent, port_id=port.id, mac=port.mac, addresses=addresses, made=as_made(port))


def _fault(network: NetworkRecord, port: Port) -> str:
    """What is wrong with a port that Neutron made, or nothing."""
    if port.vif_type == "binding_failed" or port.vif_hybrid_plug:
        return "Neutron could not bind it to this host"
    subnets = {subnet.id for subnet in pool_subnets(network)}
    return fault_of(port, subnets, network.security_groups)


def _not_wired(port: PortRecord, timeout: float) -> KurierError:
    return KurierError(
        Code.NOT_WIRED,
        f"Port {port.port_id} was not wired within {timeout:g} s: is ovn-controller or the Neutron "
        "agent running on this host?",
    )
