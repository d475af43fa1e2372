# SPDX-License-Identifier: Apache-2.0
"""What a reconcile pass decides, apart from carrying it out.

Absence in one read proves nothing: a thing goes only if it carries our mark and this host's, was
seen unused in two passes, is older than the grace, and its device is gone. An answer that did not
come is None here, and nothing is concluded from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from kurier.model import tags
from kurier.model.ids import EndpointId, LeaseId, PortId, SecurityGroupId
from kurier.model.neutron import Port
from kurier.model.records import LeaseRecord, LeaseState
from kurier.model.stock import Stage, StockPort
from kurier.model.wiring import Plugged


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one pass saw; None where an answer did not come whole."""

    now: datetime
    leases: tuple[LeaseRecord, ...]
    plugged: tuple[Plugged, ...] | None
    endpoints: frozenset[EndpointId] | None
    ports: tuple[Port, ...] | None
    under_way: frozenset[LeaseId] = frozenset()
    """Leases and ports of pools that were at work when the pass began or ended."""
    stock: tuple[StockPort, ...] = ()
    begun: datetime | None = None
    """When the pass began to look; what moved since was seen half before and half after."""
    unworn: frozenset[SecurityGroupId] | None = None
    """The environment's groups for exposed ports that neither a port nor the ledger knows of."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """Something that looked unused, with the reason; it goes if the next passes agree."""

    kind: str
    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now, what to look at again, and what only people can mend."""

    release: tuple[LeaseId, ...] = ()
    unplug: tuple[str, ...] = ()
    delete: tuple[PortId, ...] = ()
    replug: tuple[LeaseId, ...] = ()
    """Ready ports that the switch does not serve: nobody may take them before it does."""
    replace: tuple[LeaseId, ...] = ()
    """Ports of pools that seem gone from Neutron, or changed there: to be asked for one by one."""
    drop_groups: tuple[SecurityGroupId, ...] = ()
    rebuild: tuple[PortId, ...] = ()
    """Ports that containers have and a lost ledger forgot; see :func:`endpoint_in`."""
    suspects: tuple[Suspect, ...] = ()
    reports: tuple[str, ...] = ()


def plan(snapshot: Snapshot, seen: Mapping[Suspect, datetime], grace: timedelta) -> Plan:
    """Decides; `seen` tells since when each suspect was seen unused in every pass."""
    strays, forgotten = _strays(snapshot), _forgotten(snapshot)
    suspects = (
        *_leases(snapshot),
        *_plugs(snapshot),
        *_ports(snapshot),
        *_groups(snapshot),
        *strays,
        *forgotten,
    )

    def convicted(kind: str) -> list[str]:
        return [
            one.key
            for one in suspects
            if one.kind == kind and one in seen and snapshot.now - seen[one] >= grace
        ]

    return Plan(
        release=tuple(LeaseId(key) for key in convicted("lease")),
        unplug=tuple(convicted("plug")),
        delete=tuple(PortId(key) for key in convicted("port")),
        replug=_unserved(snapshot),
        # Nobody uses them, so that a second pass is suspicion enough to ask for the port itself.
        replace=tuple(LeaseId(one.key) for one in strays if one in seen),
        drop_groups=tuple(SecurityGroupId(key) for key in convicted("group")),
        # Nothing goes by it, and the first look may have crossed a container's end.
        rebuild=tuple(PortId(one.key) for one in forgotten if one in seen),
        suspects=suspects,
        reports=_reports(snapshot),
    )


def _leases(snapshot: Snapshot) -> tuple[Suspect, ...]:
    found = []
    for lease in snapshot.leases:
        reason = _unused(lease, snapshot)
        if reason:
            found.append(Suspect("lease", lease.id, reason))
    return tuple(found)


def _unused(lease: LeaseRecord, snapshot: Snapshot) -> str:
    """Why a lease looks unused, or nothing."""
    if lease.state is LeaseState.RELEASING or lease.id in snapshot.under_way:
        return ""
    if lease.endpoint is None:
        return "no endpoint came for its address"
    if snapshot.endpoints is None or snapshot.plugged is None:
        return ""
    if lease.endpoint in snapshot.endpoints:
        return ""
    for plug in snapshot.plugged:
        if plug.device == lease.device and plug.link_present and not plug.peer_present:
            return ""
    return "the engine does not know its endpoint and no sandbox holds its device"


def _plugs(snapshot: Snapshot) -> tuple[Suspect, ...]:
    known = {lease.device for lease in snapshot.leases} | {port.device for port in snapshot.stock}
    return tuple(
        Suspect("plug", plug.device, "no lease has this device and no sandbox holds it")
        for plug in snapshot.plugged or ()
        if plug.device not in known and (plug.peer_present or not plug.link_present)
    )


def _ports(snapshot: Snapshot) -> tuple[Suspect, ...]:
    if snapshot.ports is None or snapshot.plugged is None:
        return ()
    leases, stock = snapshot.leases, snapshot.stock
    known = {lease.port_id for lease in leases} | {port.port_id for port in stock}
    keys = {str(lease.id) for lease in leases} | {str(port.id) for port in stock}
    in_switch = {plug.port_id for plug in snapshot.plugged if plug.link_present}
    return tuple(
        Suspect("port", port.id, "it carries this host's tags and no lease has it")
        for port in snapshot.ports
        if port.id not in known and port.device_id not in keys and port.id not in in_switch
    )


def _groups(snapshot: Snapshot) -> tuple[Suspect, ...]:
    return tuple(
        Suspect("group", group, "it opens ports that no container exposes")
        for group in sorted(snapshot.unworn or ())
    )


def _forgotten(snapshot: Snapshot) -> tuple[Suspect, ...]:
    """Ports in use of which the ledger knows nothing; those that were adopted cannot be told from
    what is left of them.
    """
    if snapshot.ports is None or snapshot.plugged is None or snapshot.endpoints is None:
        return ()
    leases, stock = snapshot.leases, snapshot.stock
    known = {lease.port_id for lease in leases} | {port.port_id for port in stock}
    known_endpoints = {lease.endpoint for lease in leases}
    held = {
        plug.port_id for plug in snapshot.plugged if plug.link_present and not plug.peer_present
    }
    return tuple(
        Suspect("lost lease", port.id, "a container has it and the ledger does not know it")
        for port in snapshot.ports
        if port.id in held - known
        and tags.LEASED in port.tags
        and tags.KURYR_PORT_EXISTING not in port.tags
        and endpoint_in(port, snapshot.endpoints) not in {None, *known_endpoints}
    )


def endpoint_in(port: Port, endpoints: frozenset[EndpointId]) -> EndpointId | None:
    """The one of these endpoints that a port's tags tell; the tags do not say which half of its
    id is which.
    """
    for endpoint in endpoints:
        if port.tags.issuperset(tags.endpoint_tags(endpoint)):
            return endpoint
    return None


def _resting(snapshot: Snapshot) -> list[StockPort]:
    """Ports of pools that nobody was at while the pass looked."""
    return [
        port
        for port in snapshot.stock
        if port.id not in snapshot.under_way
        and (snapshot.begun is None or port.since < snapshot.begun)
    ]


def _unserved(snapshot: Snapshot) -> tuple[LeaseId, ...]:
    if snapshot.plugged is None:
        return ()
    served = {
        plug.device
        for plug in snapshot.plugged
        if plug.link_present and plug.peer_present and plug.wired
    }
    return tuple(
        port.id
        for port in _resting(snapshot)
        if port.stage is Stage.READY and port.device not in served
    )


def _strays(snapshot: Snapshot) -> tuple[Suspect, ...]:
    if snapshot.ports is None:
        return ()
    there = {port.id: port for port in snapshot.ports}
    found = []
    for port in _resting(snapshot):
        if port.stage in (Stage.MAKING, Stage.DROPPING) or port.port_id is None:
            continue
        neutron = there.get(port.port_id)
        gone = "Neutron has it no longer, or its tags are gone"
        reason = gone if neutron is None else astray(port, neutron)
        if reason:
            found.append(Suspect("pool", port.id, reason))
    return tuple(found)


def astray(port: StockPort, neutron: Port) -> str:
    """How a port of a pool differs in Neutron from what the ledger knows, or nothing."""
    if neutron.mac != port.mac:
        return "its MAC address was changed in Neutron"
    if {one.address for one in port.addresses} != {ip.address for ip in neutron.fixed_ips}:
        return "its addresses were changed in Neutron"
    return ""


def _reports(snapshot: Snapshot) -> tuple[str, ...]:
    if snapshot.ports is None:
        return ()
    there = {port.id: port for port in snapshot.ports}
    changed = tuple(
        f"Port {lease.port_id} of container {lease.container or lease.endpoint} has MAC address "
        f"{there[lease.port_id].mac} in Neutron and {lease.mac} in the container: change it back, "
        "or restart the container."
        for lease in snapshot.leases
        if lease.state is LeaseState.LEASED
        and lease.port_id in there
        and lease.id not in snapshot.under_way
        and there[lease.port_id].mac != lease.mac
    )
    return changed + tuple(
        f"Port {lease.port_id} of container {lease.container or lease.endpoint} is gone from "
        "Neutron or lost its tags: restart the container to give it a new one."
        for lease in snapshot.leases
        if lease.state is LeaseState.LEASED
        and lease.before is None
        and lease.port_id is not None
        and lease.port_id not in there
    )
