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
from kurier.model.ids import EndpointId, PortId, PortKey, SecurityGroupId
from kurier.model.likeness import is_anothers, leased_tags, unless_same
from kurier.model.naming import dns_label
from kurier.model.neutron import Kind, Port, PortChange, PortFilter
from kurier.model.port import POOLED, PortRecord, Stage
from kurier.model.records import Job
from kurier.service.absence import unless_gone
from kurier.service.context import Context
from kurier.service.exposure import Exposure
from kurier.service.outbox import JobKind, Outbox
from kurier.service.parking import Parking
from kurier.service.ports import give_back
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
        outbox.handle(JobKind.DROP_STRAY, self._drop_stray)

    async def _settle(self, job: Job) -> None:
        lease = self._ledger.port(PortKey(job.key))
        if lease is not None and lease.stage in POOLED:
            await self._parking.park(lease.id)
            return
        if lease is None or lease.stage is not Stage.LEASED or lease.port_id is None:
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

    async def _tell(self, lease: PortRecord) -> ContainerFacts | None:
        if lease.port_id is None or lease.endpoint is None:
            return None
        facts = await self._container(lease.endpoint)
        self._name(lease.id, facts)
        port = await self._cloud.port(lease.port_id)
        if not self._still_has(lease) or is_anothers(lease, port):
            return facts
        self._remember(lease.id)
        group = await self._expose(lease, port)
        change = await self._change(lease, port, facts, group)
        if not change.is_empty():
            # Groups are written as they were read: what an operator adds meanwhile is not lost.
            insisted = None if change.security_groups is None else port.revision
            port = await self._cloud.update_port(lease.port_id, change, insisted)
        await self._tag(lease, port)
        return facts

    def _still_has(self, lease: PortRecord) -> bool:
        """Whether the endpoint has its port yet: a question may have taken its time."""
        current = self._ledger.port(lease.id)
        if current is None or current.stage is not Stage.LEASED:
            return False
        return current.endpoint == lease.endpoint

    async def _expose(self, lease: PortRecord, port: Port) -> SecurityGroupId | None:
        """The group for exposed ports; without port security a port is open as it is."""
        if not lease.exposed or not port.port_security:
            return None
        group = await self._exposure.group(lease.exposed)
        self._remember(lease.id, group)
        return group

    def _name(self, key: PortKey, facts: ContainerFacts | None) -> None:
        """Remembers whose port it is, so that people are told by a name that they know."""
        record = self._ledger.port(key)
        if record is None or facts is None or record.stage is not Stage.LEASED:
            return
        named = replace(record, container=facts.name, container_id=facts.id)
        if named != record:
            self._ledger.put_port(named)

    def _remember(self, key: PortKey, group: SecurityGroupId | None = None) -> None:
        """Writes into the record as it is now, before Neutron is told: it may have been given back
        since.
        """
        record = self._ledger.port(key)
        if record is None:
            return
        self._ledger.put_port(
            replace(record, exposing_group=group or record.exposing_group, used=True)
        )

    async def _change(
        self,
        lease: PortRecord,
        port: Port,
        facts: ContainerFacts | None,
        group: SecurityGroupId | None,
    ) -> PortChange:
        adopted, made = lease.before is not None, lease.made
        groups = port.security_groups
        if group is not None and group not in groups:
            groups = (*groups, group)
        change = PortChange(
            security_groups=groups if groups != port.security_groups else None,
            device_id=None if facts is None else unless_same(port.device_id, facts.id),
            device_owner=unless_same(port.device_owner, made.device_owner) if made else None,
            host_id=unless_same(port.host_id, made.host_id) if made else None,
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

    async def _tag(self, lease: PortRecord, port: Port) -> None:
        """Says by tags whose port it is: on an adopted one tag by tag, as its owner may be at it
        too; on one of ours in one write.
        """
        if lease.endpoint is None:
            return
        wanted = leased_tags(lease)
        if lease.before is None:
            mine = tags.with_role(port.tags, wanted)
            if mine != port.tags:
                await self._cloud.replace_tags(Kind.PORT, port.id, sorted(mine))
            return
        wanted |= frozenset(await self._context.port_tags())
        # That it is somebody else's comes first: whatever carries our mark alone is deleted.
        for tag in (tags.KURYR_PORT_EXISTING, *sorted(wanted)):
            if tag not in port.tags:
                await self._cloud.add_tag(Kind.PORT, port.id, tag)

    async def _announce(self, lease: PortRecord) -> None:
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
        if self._ledger.port_of_endpoint(endpoint) is not None:
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
        if not any(port.device == job.key for port in self._ledger.ports()):
            await self._context.datapath.unplug(job.key)

    async def _drop_stray(self, job: Job) -> None:
        """Deletes a port that the ledger does not know; one that was adopted goes back to its
        owner.
        """
        if any(port.port_id == job.key for port in self._ledger.ports()):
            return
        port = await unless_gone(self._cloud.port(PortId(job.key)))
        if port is None:
            return
        if tags.KURYR_PORT_EXISTING in port.tags:
            await give_back(self._cloud, port)
        else:
            await self._cloud.delete_port(port.id)
