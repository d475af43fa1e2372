# SPDX-License-Identifier: Apache-2.0
"""CreateEndpoint, Join, Leave and DeleteEndpoint: a sandbox gets a port and gives it back."""

from __future__ import annotations

import logging
from dataclasses import replace

from kurier.model.errors import Code, KurierError
from kurier.model.ids import EndpointId, IPAddress
from kurier.model.neutron import PortChange
from kurier.model.options import Policy, parse_endpoint_policy
from kurier.model.port import Event, PortAddress, PortRecord, Stage, is_unattached
from kurier.model.records import NetworkRecord, SubnetRecord
from kurier.model.wiring import plug_of
from kurier.service.context import Context
from kurier.service.doing import doing
from kurier.service.lookup import find_groups, find_qos
from kurier.service.networks import Networks
from kurier.service.outbox import PRESSING, SETTLE_DELAY, JobKind, Outbox
from kurier.service.ports import Guard, Ports, guard_of, requests_of
from kurier.service.requests import (
    EndpointAnswer,
    EndpointAsk,
    JoinAnswer,
    JoinAsk,
    RouteAnswer,
)
from kurier.service.stock import Stock
from kurier.service.turns import Turns

LOG = logging.getLogger(__name__)


class Endpoints:
    """The endpoints of this host's engine.

    One call at a time for an endpoint: engines repeat calls while the first still runs.
    """

    def __init__(
        self,
        context: Context,
        outbox: Outbox,
        networks: Networks,
        ports: Ports,
        stock: Stock,
        sandboxes: dict[EndpointId, str],
    ) -> None:
        self._context = context
        self._ledger = context.ledger
        self._outbox = outbox
        self._networks = networks
        self._ports = ports
        self._stock = stock
        self._turns = Turns()
        self._sandboxes = sandboxes

    async def create(self, ask: EndpointAsk) -> EndpointAnswer:
        """Answers CreateEndpoint: the port as asked, plugged. A failure leaves nothing plugged."""
        async with self._turns.turn(ask.endpoint):
            lease = self._ledger.port_of_endpoint(ask.endpoint)
            if lease is None or lease.stage is Stage.ALLOCATED:
                network = await self._networks.require(ask.network)
                policy = parse_endpoint_policy(ask.policy_options)
                guard = await self._guard(network, policy)
                lease = lease or self._lease_for(network, ask)
                lease = await self._port_for(lease, guard, policy, ask)
                lease = await self._attach(lease, network, ask)
        return _answer(lease, ask)

    async def join(self, ask: JoinAsk) -> JoinAnswer:
        """Answers Join when the switch says that the port is wired."""
        async with self._turns.turn(ask.endpoint):
            lease = self._required(ask.endpoint)
            network = await self._networks.require(ask.network)
            if not lease.warm:
                await self._wait_wired(lease)
            self._sandboxes[ask.endpoint] = ask.sandbox
            return JoinAnswer(
                lease.peer,
                self._context.settings.interface_prefix,
                _gateway(lease, network, 4),
                _gateway(lease, network, 6),
                _routes(lease, network),
                disable_gateway_service=not network.gateway_service,
            )

    async def leave(self, endpoint: EndpointId) -> None:
        """Answers Leave; always succeeds. DeleteEndpoint is what releases."""
        self._sandboxes.pop(endpoint, None)

    async def delete(self, endpoint: EndpointId) -> None:
        """Answers DeleteEndpoint; always succeeds, and only writes to the ledger: the engine tells
        a release once and does not listen to the answer.
        """
        async with self._turns.turn(endpoint):
            lease = self._ledger.port_of_endpoint(endpoint)
            if lease is None:
                self._outbox.add(JobKind.DROP_ENDPOINT, endpoint)
            elif lease.stage is not Stage.RELEASING:
                self._ports.release(lease)

    def information(self, endpoint: EndpointId) -> dict[str, str]:
        """Answers EndpointOperInfo with what an operator looks for in Neutron."""
        lease = self._ledger.port_of_endpoint(endpoint)
        if lease is None:
            return {}
        return {
            "neutron.net.uuid": lease.neutron_network,
            "neutron.port.uuid": lease.port_id or "",
            "kurier.device": lease.device,
        }

    def _required(self, endpoint: EndpointId) -> PortRecord:
        lease = self._ledger.port_of_endpoint(endpoint)
        if lease is None or lease.stage is not Stage.LEASED:
            raise KurierError(
                Code.NOT_FOUND,
                f"Endpoint {endpoint} is unknown to Kurier: disconnect the container from the "
                "network and connect it again.",
            )
        return lease

    async def _guard(self, network: NetworkRecord, policy: Policy) -> Guard:
        if policy == Policy():
            return guard_of(network)
        groups = await find_groups(self._context.cloud, policy)
        qos = await find_qos(self._context.cloud, policy)
        security = network.port_security if policy.port_security is None else policy.port_security
        return Guard(
            () if security is False else (network.security_groups if groups is None else groups),
            qos or network.qos_policy_id,
            security,
        )

    def _lease_for(self, network: NetworkRecord, ask: EndpointAsk) -> PortRecord:
        """The lease that RequestAddress made for this endpoint's addresses, or a new one where
        the engine's addresses come from another IPAM driver.
        """
        wanted = [one.ip for one in (ask.address_v4, ask.address_v6) if one is not None]
        found = [
            lease
            for lease in self._ledger.ports(network.id)
            if is_unattached(lease)
            and any(one.claimed and one.address in wanted for one in lease.addresses)
        ]
        lease = found[0] if found else self._ports.new(network)
        for other in found[1:]:
            self._ports.release(other)
        have = {one.address for one in lease.addresses}
        missing: list[IPAddress] = [address for address in wanted if address not in have]
        extra = tuple(_placed(network, address) for address in missing)
        return replace(lease, addresses=(*lease.addresses, *extra))

    async def _port_for(
        self, lease: PortRecord, guard: Guard, policy: Policy, ask: EndpointAsk
    ) -> PortRecord:
        """One write that carries all the user asked for; none where the port has it already."""
        if lease.stage is Stage.REQUESTED and lease.before is not None:
            return await self._ports.adopt(lease, guard, ask.mac)
        if lease.stage is Stage.REQUESTED:
            return await self._ports.make(lease, requests_of(lease), guard, ask.mac)
        stored = self._ledger.port(lease.id) or lease
        change = PortChange(
            mac=ask.mac if ask.mac and ask.mac != lease.mac else None,
            fixed_ips=None if stored.addresses == lease.addresses else requests_of(lease),
            security_groups=None if guard.groups == lease.groups else guard.groups,
            qos_policy_id=guard.qos if policy.qos_policy else None,
            port_security=policy.port_security,
        )
        if change.is_empty():
            return lease
        changed = await self._ports.change(lease, change)
        if change.mac is None or not changed.device:
            return changed
        return await self._bare(changed)

    async def _bare(self, lease: PortRecord) -> PortRecord:
        """A lease without the device that it had. That leaves the switch before another comes,
        since a port is served by one; the ledger knows first, so that a kill in between is noticed.
        """
        if not lease.device:
            return lease
        bare = replace(lease, device="", peer="", warm=False)
        with self._ledger.transaction():
            self._ledger.put_port(bare)
            self._outbox.add(JobKind.DROP_PLUG, lease.device)
        await self._outbox.settle(JobKind.DROP_PLUG, lease.device)
        return bare

    async def _attach(
        self, lease: PortRecord, network: NetworkRecord, ask: EndpointAsk
    ) -> PortRecord:
        """Plugs the port, unless it was plugged before anybody asked for it. Names are new each
        time: a name whose port still stands in the switch is dead to it.

        It is leased when it is plugged, not before: whoever asks again after a kill in between is
        not answered with a port that nobody plugged.
        """
        asked = replace(lease, endpoint=ask.endpoint, exposed=ask.exposed)
        if asked.warm and asked.device:
            return self._attached(asked)
        asked = await self._bare(asked)
        unique = self._context.names.hex(11)
        named = replace(asked, device=f"tap{unique}", peer=f"kur{unique}")
        self._ledger.put_port(named)
        doing("Open vSwitch was taking the port")
        try:
            await self._context.datapath.plug(plug_of(named, network.mtu))
        except BaseException:
            self._detach(named)
            raise
        return self._attached(named)

    def _attached(self, lease: PortRecord) -> PortRecord:
        with self._ledger.transaction():
            lease = self._stock.put(lease, Event.ATTACHED)
            # Published ports are shut until it is done, also in the middle of a burst.
            why = {PRESSING: "opens ports"} if lease.exposed else {}
            self._outbox.add(JobKind.SETTLE, lease.id, delay=SETTLE_DELAY, **why)
        return lease

    def _detach(self, lease: PortRecord) -> None:
        """After a failed plug: the engine gives the address back, the device goes now."""
        with self._ledger.transaction():
            self._ledger.put_port(replace(lease, endpoint=None, device="", peer=""))
            self._outbox.add(JobKind.DROP_PLUG, lease.device)

    async def _wait_wired(self, lease: PortRecord) -> None:
        settings = self._context.settings
        doing(f"the switch was wiring port {lease.port_id}")
        if await self._context.datapath.wait_wired(lease.device, settings.wire_timeout):
            return
        addresses = ", ".join(str(one.address) for one in lease.addresses)
        sentence = (
            f"Port {lease.port_id} ({addresses}) was not wired within "
            f"{settings.wire_timeout:g} s: is ovn-controller or the Neutron agent running on host "
            f"{await self._context.host()}?"
        )
        if settings.wire_fatal:
            raise KurierError(Code.NOT_WIRED, sentence)
        LOG.warning("%s The container starts all the same.", sentence)


def _placed(network: NetworkRecord, address: IPAddress) -> PortAddress:
    """An address that another IPAM driver chose, on the subnet that has it."""
    for subnet in network.subnets:
        if address.version == subnet.cidr.version and address in subnet.cidr:
            return PortAddress(subnet.id, address, subnet.pool_id)
    ranges = ", ".join(str(subnet.cidr) for subnet in network.subnets)
    raise KurierError(
        Code.ADDRESS_INVALID,
        f"Address {address} is in no subnet of this network ({ranges}): choose one inside them.",
    )


def _answer(lease: PortRecord, ask: EndpointAsk) -> EndpointAnswer:
    """Only what the engine did not say itself."""
    return EndpointAnswer(mac=None if ask.mac else lease.mac)


def _subnets(lease: PortRecord, network: NetworkRecord) -> list[SubnetRecord]:
    mine = {one.subnet_id for one in lease.addresses}
    return [subnet for subnet in network.subnets if subnet.id in mine]


def _gateway(lease: PortRecord, network: NetworkRecord, version: int) -> IPAddress | None:
    if network.internal:
        return None
    for subnet in _subnets(lease, network):
        if subnet.cidr.version == version and subnet.gateway is not None:
            return subnet.gateway
    return None


def _routes(lease: PortRecord, network: NetworkRecord) -> tuple[RouteAnswer, ...]:
    """The subnets' host routes; a default route among them is the gateway's business."""
    return tuple(
        RouteAnswer(destination, next_hop)
        for subnet in _subnets(lease, network)
        for destination, next_hop in subnet.routes
        if destination.prefixlen > 0
    )
