# SPDX-License-Identifier: Apache-2.0
"""Tells Neutron, after the fact, what a lease made true: whose container a port serves, what it
exposes, which endpoint it is.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from kurier.model import tags
from kurier.model.errors import Code, KurierError
from kurier.model.ids import EndpointId, LeaseId, PortId, SecurityGroupId
from kurier.model.naming import dns_label
from kurier.model.neutron import Kind, Port, PortChange, PortFilter
from kurier.model.records import Job, LeaseRecord, LeaseState
from kurier.service.absence import unless_gone
from kurier.service.context import Context
from kurier.service.exposure import Exposure
from kurier.service.outbox import JobKind, Outbox
from kurier.service.parking import Parking
from kurier.service.ports import give_back, unless_same
from kurier.service.protocols import ContainerFacts

LOG = logging.getLogger(__name__)
_TRIES = 6
"""How often the engine is asked for a container before the port is settled without it."""


class Settlement:
    """Carries out the outbox's jobs about leased ports."""

    def __init__(
        self,
        context: Context,
        outbox: Outbox,
        exposure: Exposure,
        parking: Parking,
        sandboxes: Mapping[EndpointId, str],
    ) -> None:
        self._context = context
        self._ledger = context.ledger
        self._cloud = context.cloud
        self._outbox = outbox
        self._exposure = exposure
        self._parking = parking
        self._sandboxes = sandboxes
        outbox.handle(JobKind.SETTLE, self._settle)
        outbox.handle(JobKind.DROP_ENDPOINT, self._drop_endpoint)
        outbox.handle(JobKind.DROP_PLUG, self._drop_plug)
        outbox.handle(JobKind.DROP_PORT, self._drop_port)

    async def _settle(self, job: Job) -> None:
        lease = self._ledger.lease(LeaseId(job.key))
        if lease is None:
            await self._parking.park(LeaseId(job.key))
            return
        if lease.state is not LeaseState.LEASED or lease.port_id is None:
            return
        await self._announce(lease)
        try:
            facts = await self._tell(lease)
        except KurierError as error:
            # A group that was swept away while it was put on is made anew by the next try.
            gone = error.code is Code.NOT_FOUND
            if not gone or await unless_gone(self._cloud.port(lease.port_id)) is not None:
                raise
            LOG.warning("port %s of lease %s is gone from Neutron", lease.port_id, lease.id)
            return
        tries = int(job.payload.get("tries", "0")) + 1
        if facts is None and tries < _TRIES:
            again = {**job.payload, "tries": str(tries)}
            self._outbox.add(JobKind.SETTLE, lease.id, delay=2.0**tries / 2, **again)

    async def _tell(self, lease: LeaseRecord) -> ContainerFacts | None:
        if lease.port_id is None or lease.endpoint is None:
            return None
        port = await self._cloud.port(lease.port_id)
        facts = await self._container(lease.endpoint)
        group = await self._expose(lease, port)
        change = await self._change(lease, port, facts, group)
        if not change.is_empty():
            await self._cloud.update_port(lease.port_id, change)
        await self._tag(lease, port)
        if facts is not None:
            self._remember(lease.id, container=facts.name)
        return facts

    async def _expose(self, lease: LeaseRecord, port: Port) -> SecurityGroupId | None:
        """The group for exposed ports; without port security a port is open as it is."""
        if not lease.exposed or not port.port_security:
            return None
        group = await self._exposure.group(lease.exposed)
        self._remember(lease.id, exposing_group=group)
        return group

    def _remember(
        self,
        lease_id: LeaseId,
        *,
        container: str | None = None,
        exposing_group: SecurityGroupId | None = None,
    ) -> None:
        """Writes into the lease as it is now: it may have been released since."""
        lease = self._ledger.lease(lease_id)
        if lease is None:
            parked = self._ledger.stock_port(lease_id)
            if parked is not None and exposing_group is not None:
                self._ledger.put_stock(replace(parked, exposing_group=exposing_group))
            return
        self._ledger.put_lease(
            replace(
                lease,
                container=lease.container if container is None else container,
                exposing_group=exposing_group or lease.exposing_group,
            )
        )

    async def _change(
        self,
        lease: LeaseRecord,
        port: Port,
        facts: ContainerFacts | None,
        group: SecurityGroupId | None,
    ) -> PortChange:
        adopted = lease.before is not None
        groups = port.security_groups
        if group is not None and group not in groups:
            groups = (*groups, group)
        change = PortChange(
            security_groups=groups if groups != port.security_groups else None,
            device_id=None if facts is None else unless_same(port.device_id, facts.id),
        )
        if facts is None or adopted:
            return change
        label = dns_label(facts.hostname) if (await self._cloud.capabilities()).dns else ""
        return replace(
            change,
            name=unless_same(port.name, facts.name),
            dns_name=unless_same(port.dns_name, label) if label else None,
            description=unless_same(
                port.description,
                f"Kurier: container {facts.name} on Docker network {lease.network}",
            ),
        )

    async def _tag(self, lease: LeaseRecord, port: Port) -> None:
        """Says by tags whose port it is: on an adopted one tag by tag, as its owner may be at it
        too; on one of ours in one write.
        """
        if lease.endpoint is None:
            return
        wanted = {*tags.endpoint_tags(lease.endpoint), tags.LEASED}
        if lease.before is None:
            mine = tags.with_role(port.tags, wanted)
            if mine != port.tags:
                await self._cloud.replace_tags(Kind.PORT, port.id, sorted(mine))
            return
        wanted |= set(await self._context.port_tags())
        # That it is somebody else's comes first: whatever carries our mark alone is deleted.
        for tag in (tags.KURYR_PORT_EXISTING, *sorted(wanted)):
            if tag not in port.tags:
                await self._cloud.add_tag(Kind.PORT, port.id, tag)

    async def _announce(self, lease: LeaseRecord) -> None:
        """Tells neighbours who has the address now, where they may remember another MAC address."""
        sandbox = self._sandboxes.get(lease.endpoint) if lease.endpoint else None
        if not sandbox:
            return
        addresses = tuple(one.address for one in lease.addresses)
        try:
            await self._context.datapath.announce(sandbox, lease.mac, addresses)
        except KurierError as error:
            LOG.info("port %s is not announced: %s", lease.port_id, error.sentence)

    async def _container(self, endpoint: EndpointId) -> ContainerFacts | None:
        try:
            return await self._context.engine.container_of(endpoint)
        except KurierError as error:
            LOG.info("endpoint %s: %s", endpoint, error.sentence)
            return None

    async def _drop_endpoint(self, job: Job) -> None:
        """Removes the port of an endpoint that the ledger never knew: one of a lost ledger, or
        one that kuryr-libnetwork left.
        """
        endpoint = EndpointId(job.key)
        if self._ledger.lease_of_endpoint(endpoint) is not None:
            return
        found = await self._cloud.ports(PortFilter(tags=tags.endpoint_tags(endpoint)))
        found += await self._cloud.ports(PortFilter(device_id=endpoint))
        for port in {port.id: port for port in found}.values():
            await self._context.datapath.unplug(f"tap{port.id[:11]}")
            if tags.KURYR_PORT_EXISTING in port.tags:
                await give_back(self._cloud, port)
            else:
                await self._cloud.delete_port(port.id)

    async def _drop_plug(self, job: Job) -> None:
        if not any(lease.device == job.key for lease in self._ledger.leases()):
            await self._context.datapath.unplug(job.key)

    async def _drop_port(self, job: Job) -> None:
        """Deletes a port that no lease knows; one that was adopted goes back to its owner."""
        if any(lease.port_id == job.key for lease in self._ledger.leases()):
            return
        port = await unless_gone(self._cloud.port(PortId(job.key)))
        if port is None:
            return
        if tags.KURYR_PORT_EXISTING in port.tags:
            await give_back(self._cloud, port)
        else:
            await self._cloud.delete_port(port.id)
