# SPDX-License-Identifier: Apache-2.0
"""The use cases as one surface for an engine's protocol, and how they are put together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from kurier.model.ids import DockerNetworkId, EndpointId, IPAddress, PoolId
from kurier.service.addresses import Addresses
from kurier.service.arrival import Arrival
from kurier.service.assembly import Assembly
from kurier.service.census import Census
from kurier.service.context import Context
from kurier.service.draining import Draining
from kurier.service.endpoints import Endpoints
from kurier.service.exposure import Exposure
from kurier.service.forgotten import Forgotten
from kurier.service.growth import Growth
from kurier.service.hosts import Hosts
from kurier.service.keeper import Keeper
from kurier.service.mending import Mending
from kurier.service.networks import Networks
from kurier.service.outbox import Outbox
from kurier.service.parking import Parking
from kurier.service.pools import Pools
from kurier.service.ports import Ports
from kurier.service.rebuilding import Rebuilding
from kurier.service.reconcile import Hands, Reconciler
from kurier.service.recovery import Recovery
from kurier.service.removal import Removal
from kurier.service.requests import (
    AddressAsk,
    EndpointAnswer,
    EndpointAsk,
    IPInterface,
    JoinAnswer,
    JoinAsk,
    NetworkAsk,
    PoolAnswer,
    PoolAsk,
)
from kurier.service.settlement import Settlement
from kurier.service.stock import Stock
from kurier.service.swarm_networks import SwarmNetworks
from kurier.service.swarm_nodes import SwarmNodes
from kurier.service.titles import Titles
from kurier.service.traffic import Traffic
from kurier.service.waiting_networks import NetworkKeeper


class Driver:
    """What an engine may ask; every method ends in an answer or a KurierError."""

    def __init__(self, context: Context, unfit: Callable[[str], None]) -> None:
        """`unfit` is told why the ledger must be set aside, once."""
        self.context = context
        self.arrival = Arrival(context, unfit)
        self._traffic = Traffic(context.clock)
        self.outbox = Outbox(
            context.ledger,
            context.clock,
            context.settings.backoff_max,
            self._traffic,
            context.settings.pool.lag,
            context.settings.unanswered,
        )
        recovery = Recovery(context)
        sandboxes: dict[EndpointId, str] = {}
        self.stock = Stock(context, self.outbox)
        self._pools = Pools(context, self.outbox)
        self.network_keeper = NetworkKeeper(context, self.outbox, self._pools)
        self._ports = Ports(context, self.outbox, self.stock)
        growth = Growth(context, self.stock)
        self.draining = Draining(context, self.stock)
        self.census = Census(context)
        self.keeper = Keeper(context, self.stock, growth, self._traffic, self.arrival)
        removal = Removal(context, self.outbox, self._ports, recovery, self.stock)
        exposure = Exposure(context, self.outbox)
        self.hosts = Hosts(context, removal, exposure)
        parking = Parking(context, self.outbox, self.stock)
        Settlement(context, self.outbox, exposure, parking, sandboxes)
        self.networks = Networks(
            context, self.outbox, self._pools, Assembly(context), recovery, self.keeper
        )
        self._addresses = Addresses(context, self.outbox, self.networks, self._ports, self.keeper)
        self.swarm_nodes = SwarmNodes(context)
        self.swarm_networks = SwarmNetworks(
            context, self._pools, self._addresses, self.networks, self.swarm_nodes
        )
        self._endpoints = Endpoints(
            context, self.outbox, self.networks, self._ports, self.stock, sandboxes
        )
        self.mending = Mending(context, self.stock)
        self.forgotten = Forgotten(context, self.networks, self._pools)
        hands = Hands(
            self._ports,
            self.stock,
            self.mending,
            exposure,
            Rebuilding(context, recovery),
            Titles(context, self.outbox),
            self._pools,
            self.forgotten,
        )
        self.reconciler = Reconciler(context, self.outbox, hands)

    def start(self) -> None:
        """At start, before the first answer."""
        self.keeper.start()

    def background(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """What goes on for as long as the daemon runs, by name; each works until cancelled.

        Ready ports are plugged before the engine answers, since it starts containers first.
        """
        after = self.arrival.after_engine
        return {
            "arrival": self.arrival.run,
            "ready ports": partial(self.arrival.meet_neutron, self.keeper.inspection.look_at_ready),
            "keeper": partial(self.arrival.after_switch, self.keeper.run),
            "outbox": partial(after, self._work_off),
            "networks": partial(after, self.network_keeper.run),
            "swarm": partial(after, self.swarm_nodes.run),
            "reconciler": partial(after, self.reconciler.run),
            "mending": partial(after, self.mending.run),
        }

    async def _work_off(self) -> None:
        """What the last life owed first: it may be what a stop cut off."""
        self.networks.finish_what_was_cut_off()
        await self.outbox.run()

    async def stop(self) -> None:
        """Ends what the background work began; what is unsettled is in the ledger."""
        await self.keeper.stop()
        await self.outbox.stop()

    async def request_pool(self, ask: PoolAsk) -> PoolAnswer:
        """IpamDriver.RequestPool."""
        return await self._pools.request(ask)

    async def release_pool(self, pool_id: PoolId) -> None:
        """IpamDriver.ReleasePool."""
        await self._pools.release(pool_id)

    async def request_address(self, ask: AddressAsk) -> IPInterface:
        """IpamDriver.RequestAddress."""
        if not ask.gateway:
            await self.arrival.ready_ports_seen()
        with self._traffic.call():
            return await self._addresses.request(ask)

    async def release_address(self, pool_id: PoolId, address: IPAddress) -> None:
        """IpamDriver.ReleaseAddress."""
        with self._traffic.call():
            await self._addresses.release(pool_id, address)

    async def create_network(self, ask: NetworkAsk) -> None:
        """NetworkDriver.CreateNetwork."""
        await self.arrival.require_engine()
        await self.networks.create(ask)

    async def delete_network(self, network_id: DockerNetworkId) -> None:
        """NetworkDriver.DeleteNetwork."""
        await self.networks.delete(network_id)

    async def create_endpoint(self, ask: EndpointAsk) -> EndpointAnswer:
        """NetworkDriver.CreateEndpoint."""
        await self.arrival.require_switch()
        with self._traffic.call():
            return await self._endpoints.create(ask)

    async def join(self, ask: JoinAsk) -> JoinAnswer:
        """NetworkDriver.Join."""
        with self._traffic.call():
            return await self._endpoints.join(ask)

    async def leave(self, network_id: DockerNetworkId, endpoint: EndpointId) -> None:
        """NetworkDriver.Leave."""
        with self._traffic.call():
            await self._endpoints.leave(endpoint)

    async def delete_endpoint(self, network_id: DockerNetworkId, endpoint: EndpointId) -> None:
        """NetworkDriver.DeleteEndpoint."""
        with self._traffic.call():
            await self._endpoints.delete(endpoint)

    async def endpoint_info(
        self, network_id: DockerNetworkId, endpoint: EndpointId
    ) -> dict[str, str]:
        """NetworkDriver.EndpointOperInfo."""
        return self._endpoints.information(endpoint)

    async def program_external(self, network_id: DockerNetworkId, endpoint: EndpointId) -> None:
        """NetworkDriver.ProgramExternalConnectivity.

        Nothing is left to do: a container's ports are reached at its own address, and
        CreateEndpoint told which to open. They close with the endpoint, not when another of the
        container's networks becomes its way out.
        """

    async def revoke_external(self, network_id: DockerNetworkId, endpoint: EndpointId) -> None:
        """NetworkDriver.RevokeExternalConnectivity; see :meth:`program_external`."""
