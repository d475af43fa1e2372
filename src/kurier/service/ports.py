# SPDX-License-Identifier: Apache-2.0
"""A port in Neutron: made in one write, or adopted, changed, and deleted or given back."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from kurier.model import tags
from kurier.model.errors import NOTHING_WAS_MADE, Code, KurierError
from kurier.model.ids import NetworkId, PortId, PortKey, QosPolicyId, SecurityGroupId
from kurier.model.likeness import as_made, is_anothers, unless_same
from kurier.model.naming import port_name
from kurier.model.neutron import (
    FixedIpRequest,
    Kind,
    Port,
    PortChange,
    PortFilter,
    PortSpec,
)
from kurier.model.port import (
    Event,
    PortAddress,
    PortBefore,
    PortRecord,
    Stage,
    move,
)
from kurier.model.records import Job, NetworkRecord
from kurier.service.absence import unless_gone
from kurier.service.context import DEVICE_OWNER, Context
from kurier.service.doing import doing
from kurier.service.gathering import Gathering
from kurier.service.outbox import LOST_ANSWER_DELAY, JobKind, Outbox, is_unanswered, why_again
from kurier.service.protocols import Cloud
from kurier.service.stock import Stock

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Guard:
    """What guards a port, looked up. None leaves it to Neutron."""

    groups: tuple[SecurityGroupId, ...] | None = None
    qos: QosPolicyId | None = None
    port_security: bool | None = None


class Ports:
    """This host's ports, as far as Neutron has them."""

    def __init__(self, context: Context, outbox: Outbox, stock: Stock) -> None:
        self._context = context
        self._ledger = context.ledger
        self._outbox = outbox
        self._stock = stock
        self._gathering = Gathering(context.cloud, context.settings.pool.gather)
        outbox.handle(JobKind.DROP_PORT, self._drop)

    def new(self, network: NetworkRecord) -> PortRecord:
        """A port on a network that nothing was promised for yet; not in the ledger."""
        if network.neutron_id is None:
            raise KurierError(Code.NOT_FOUND, f"Network {network.id} has no Neutron network yet.")
        return PortRecord(
            PortKey(self._context.names.hex(32)),
            Stage.REQUESTED,
            network.id,
            network.neutron_id,
            self._context.clock.now(),
        )

    async def make(
        self,
        record: PortRecord,
        addresses: tuple[FixedIpRequest, ...],
        guard: Guard,
        mac: str | None = None,
    ) -> PortRecord:
        """Creates a requested port, with all that it shall have, in one write.

        The record is in the ledger before Neutron is asked, and its key is the port's `device_id`:
        a port whose answer is lost is found by it.
        """
        self._ledger.put_port(record)
        doing("Neutron was making the port")
        try:
            with self._stock.working_on([record]):
                port = await self._created(await self._spec(record, addresses, guard, mac))
        except BaseException as error:
            self._forget(record, error)
            raise
        made = self._as_made(record, port, guard)
        self._refuse_released(made)
        self._ledger.put_port(made)
        try:
            refuse_unusable(port)
        except KurierError:
            self.release(made)
            raise
        return made

    async def adopt(self, record: PortRecord, guard: Guard, mac: str) -> PortRecord:
        """Takes over the unbound port that an endpoint was promised; `before` tells how it was."""
        if record.before is None or record.port_id is None:
            raise ValueError(f"{record.id} is no port to adopt")
        if mac and mac != record.before.mac:
            raise KurierError(
                Code.CONFLICT,
                f"Port {record.port_id} has MAC address {record.before.mac}, not {mac}: leave "
                "--mac-address out or give the port's own.",
            )
        change = PortChange(
            device_id=record.id,
            device_owner=DEVICE_OWNER,
            host_id=await self._context.host(),
            security_groups=guard.groups,
            qos_policy_id=guard.qos,
            port_security=guard.port_security,
        )
        doing(f"Neutron was handing over port {record.port_id}")
        try:
            with self._stock.working_on([record]):
                port = await self._context.cloud.update_port(record.port_id, change)
        except BaseException as error:
            if is_unanswered(error):  # it may be handed over yet, and is then to be given back
                self.release(record, why=why_again(error))
            raise
        adopted = self._as_made(record, port, guard)
        self._ledger.put_port(adopted)
        refuse_unusable(port)
        return adopted

    async def change(self, record: PortRecord, change: PortChange) -> PortRecord:
        """Changes what an endpoint asked for after its port was made.

        Before Neutron is asked the ledger knows that the port is not as its pool makes them any
        more, whatever becomes of the question.
        """
        port_id = record.port_id
        if port_id is None or change.is_empty():
            return record
        stored = self._ledger.port(record.id)
        if stored is not None and stored.recycle:
            self._ledger.put_port(replace(stored, recycle=False))
        record = replace(record, recycle=False)
        with self._stock.working_on([record]):
            if change.mac is not None:
                # Neutron changes the MAC address of unbound ports alone.
                await self._context.cloud.update_port(port_id, PortChange(host_id=""))
                change = replace(change, host_id=await self._context.host())
            port = await self._context.cloud.update_port(port_id, change)
        refuse_unusable(port)
        changed = replace(record, mac=port.mac, addresses=_merge(record.addresses, port))
        if change.security_groups is not None:
            changed = replace(changed, groups=change.security_groups)
        self._ledger.put_port(changed)
        return changed

    def release(
        self, record: PortRecord, delay: float = 0.0, why: Mapping[str, str] | None = None
    ) -> None:
        """An endpoint's port is given back: it goes to the network's pool, or the outbox takes
        device and port away. Releasing what is being released changes nothing.
        """
        if record.stage is Stage.RELEASING:
            if self._ledger.job(JobKind.DROP_PORT, record.id) is None:
                self._outbox.add(JobKind.DROP_PORT, record.id)
            return
        if not why and self._stock.takes_back(record):
            self._stock.take_back(record)
            return
        with self._ledger.transaction():
            self._stock.put(record, Event.RELEASED)
            self._outbox.add(JobKind.DROP_PORT, record.id, delay=delay, **(why or {}))

    async def dropped(self, record: PortRecord) -> None:
        """Waits until a released port is gone from Neutron."""
        await self._outbox.settle(JobKind.DROP_PORT, record.id)

    def _refuse_released(self, made: PortRecord) -> None:
        """A port that was given back while Neutron made it stays so, or the port of a live
        container would go with it later.
        """
        stored = self._ledger.port(made.id)
        if stored is None or stored.stage is not Stage.REQUESTED:
            self.release(made)
            raise KurierError(
                Code.CONFLICT,
                "The address was given back while Neutron made its port: start the container "
                "again.",
            )

    def _forget(self, record: PortRecord, error: BaseException) -> None:
        if isinstance(error, KurierError) and error.code in NOTHING_WAS_MADE:
            self._ledger.drop_port(record.id)
        else:
            self.release(record, delay=LOST_ANSWER_DELAY, why=why_again(error))

    async def _created(self, spec: PortSpec) -> Port:
        """What nobody else can have asked for goes with others; a named address or MAC address is
        refused easily, and alone.
        """
        named = spec.mac or any(request.address for request in spec.fixed_ips)
        create = self._context.cloud.create_port if named else self._gathering.create
        return await create(spec)

    async def _spec(
        self,
        record: PortRecord,
        addresses: tuple[FixedIpRequest, ...],
        guard: Guard,
        mac: str | None,
    ) -> PortSpec:
        spec = await own_port(self._context, record.id, record.neutron_network, guard, tags.LEASED)
        return replace(
            spec,
            fixed_ips=addresses,
            mac=mac or None,
            description=f"Kurier: Docker network {record.network}",
        )

    def _as_made(self, record: PortRecord, port: Port, guard: Guard) -> PortRecord:
        return replace(
            record,
            stage=move(record.stage, Event.MADE),
            since=self._context.clock.now(),
            port_id=port.id,
            mac=port.mac,
            addresses=_merge(record.addresses, port),
            groups=guard.groups,
            made=as_made(port) if record.before is None else None,
        )

    async def _drop(self, job: Job) -> None:
        # What is being settled would else be put on a port that was given back, or make a group
        # that nobody remembers.
        await self._outbox.ended(JobKind.SETTLE, job.key)
        record = self._ledger.port(PortKey(job.key))
        if record is None or record.stage is not Stage.RELEASING:
            return
        if record.device:
            await self._context.datapath.unplug(record.device)
        if record.before is not None and record.port_id is not None:
            await self._give_back(record.port_id, record.before)
        else:
            for port_id in await self._made_ports(record):
                await self._context.cloud.delete_port(port_id)
        if not self._outbox.last_look(job):
            return
        with self._ledger.transaction():
            self._ledger.drop_port(record.id)
            if record.exposing_group:
                self._outbox.add(JobKind.DROP_GROUP, record.exposing_group)
        self._stock.has_room_again(record.network)

    async def _made_ports(self, record: PortRecord) -> list[PortId]:
        if record.port_id is not None:
            port = await unless_gone(self._context.cloud.port(record.port_id))
            if port is not None and is_anothers(record, port):
                LOG.warning("port %s is left to host %s, which has it", port.id, port.host_id)
                return []
            return [record.port_id]
        lost = await self._context.cloud.ports(
            PortFilter(network_id=record.neutron_network, device_id=record.id)
        )
        return [port.id for port in lost]

    async def _give_back(self, port_id: PortId, before: PortBefore) -> None:
        cloud = self._context.cloud
        try:
            port = await cloud.port(port_id)
            change = restoring_change(port, before)
            if not change.is_empty():
                await cloud.update_port(port_id, change)
        except KurierError as error:
            if error.code is Code.NOT_FOUND:
                return
            raise
        await remove_marks(cloud, port, before.tags)


async def give_back(cloud: Cloud, port: Port) -> None:
    """Frees somebody else's port as well as can be told without the ledger."""
    await cloud.update_port(port.id, PortChange(device_id="", device_owner="", host_id=""))
    await remove_marks(cloud, port)


async def remove_marks(cloud: Cloud, port: Port, kept: Iterable[str] = ()) -> None:
    """Takes our tags off a port that goes back to its owner, but for those it came with."""
    marks = {tag for tag in port.tags - set(kept) if tags.is_port_mark(tag)}
    # That it is somebody else's goes last: whatever carries our mark alone is deleted.
    for tag in (*sorted(marks - {tags.KURYR_PORT_EXISTING}), tags.KURYR_PORT_EXISTING):
        if tag in marks:
            await cloud.remove_tag(Kind.PORT, port.id, tag)


async def own_port(
    context: Context, key: PortKey, network: NetworkId, guard: Guard, role: str
) -> PortSpec:
    """A port of this host's to create: named and found by its key, guarded, tagged. What it is for
    and which addresses it gets is the caller's to say.
    """
    host = await context.host()
    return PortSpec(
        network_id=network,
        name=port_name(key),
        device_id=key,
        device_owner=DEVICE_OWNER,
        host_id=host,
        fixed_ips=(),
        security_groups=guard.groups,
        qos_policy_id=guard.qos,
        port_security=guard.port_security,
        tags=(*await context.port_tags(host), role),
    )


def guard_of(network: NetworkRecord) -> Guard:
    """What guards the ports of a network where the endpoint says nothing of its own."""
    return Guard(network.security_groups, network.qos_policy_id, network.port_security)


def before_of(port: Port) -> PortBefore:
    """What to remember of a port that somebody else made."""
    return PortBefore(
        name=port.name,
        description=port.description,
        device_id=port.device_id,
        device_owner=port.device_owner,
        host_id=port.host_id,
        mac=port.mac,
        security_groups=port.security_groups,
        qos_policy_id=port.qos_policy_id,
        port_security=port.port_security,
        dns_name=port.dns_name,
        tags=tuple(sorted(port.tags)),
    )


def restoring_change(port: Port, before: PortBefore) -> PortChange:
    """What to change to give an adopted port back as it was; only what differs."""
    qos: str | None = before.qos_policy_id or ""
    return PortChange(
        name=unless_same(port.name, before.name),
        description=unless_same(port.description, before.description),
        device_id=unless_same(port.device_id, before.device_id),
        device_owner=unless_same(port.device_owner, before.device_owner),
        host_id=unless_same(port.host_id, before.host_id),
        mac=unless_same(port.mac, before.mac),
        security_groups=(
            None
            if sorted(port.security_groups) == sorted(before.security_groups)
            else before.security_groups
        ),
        qos_policy_id=None if (port.qos_policy_id or "") == qos else qos,
        port_security=(
            None if port.port_security == before.port_security else before.port_security
        ),
        dns_name=unless_same(port.dns_name, before.dns_name),
    )


def refuse_unusable(port: Port) -> None:
    """Refuses a port that Neutron could not bind, or that wants a datapath Kurier has not."""
    if port.vif_type == "binding_failed":
        raise KurierError(
            Code.BINDING_FAILED,
            f"Neutron could not bind the port to host {port.host_id}: no live agent or OVN chassis "
            "has that name; compare `openstack network agent list` with `ovs-vsctl get "
            "Open_vSwitch . external_ids:hostname`, or set daemon.host.",
        )
    if port.vif_hybrid_plug:
        raise KurierError(
            Code.UNSUPPORTED,
            f"Neutron wants hybrid plugging on host {port.host_id} (the iptables_hybrid firewall "
            "driver), which Kurier does not do: set firewall_driver = openvswitch in the agent's "
            "configuration.",
        )


def _merge(addresses: tuple[PortAddress, ...], port: Port) -> tuple[PortAddress, ...]:
    """The port's addresses, each with what the ledger knew of it."""
    known = {(one.subnet_id, one.address): one for one in addresses}
    return tuple(
        known.get((ip.subnet_id, ip.address))
        or PortAddress(ip.subnet_id, ip.address, claimed=False)
        for ip in port.fixed_ips
    )


def requests_of(record: PortRecord) -> tuple[FixedIpRequest, ...]:
    """A port's addresses as a request for exactly these."""
    return tuple(FixedIpRequest(one.subnet_id, one.address) for one in record.addresses)
