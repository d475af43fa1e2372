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

from kurier.model.ids import EndpointId, LeaseId, PortId
from kurier.model.neutron import Port
from kurier.model.records import LeaseRecord, LeaseState
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
    """Leases whose port Neutron was making or changing when the pass began or ended."""


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
    suspects: tuple[Suspect, ...] = ()
    reports: tuple[str, ...] = ()


def plan(snapshot: Snapshot, seen: Mapping[Suspect, datetime], grace: timedelta) -> Plan:
    """Decides; `seen` tells since when each suspect was seen unused in every pass."""
    suspects = (*_leases(snapshot), *_plugs(snapshot), *_ports(snapshot))

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
    known = {lease.device for lease in snapshot.leases if lease.device}
    return tuple(
        Suspect("plug", plug.device, "no lease has this device and no sandbox holds it")
        for plug in snapshot.plugged or ()
        if plug.device not in known and (plug.peer_present or not plug.link_present)
    )


def _ports(snapshot: Snapshot) -> tuple[Suspect, ...]:
    if snapshot.ports is None or snapshot.plugged is None:
        return ()
    known = {lease.port_id for lease in snapshot.leases}
    keys = {str(lease.id) for lease in snapshot.leases}
    in_switch = {plug.port_id for plug in snapshot.plugged if plug.link_present}
    return tuple(
        Suspect("port", port.id, "it carries this host's tags and no lease has it")
        for port in snapshot.ports
        if port.id not in known and port.device_id not in keys and port.id not in in_switch
    )


def _reports(snapshot: Snapshot) -> tuple[str, ...]:
    if snapshot.ports is None:
        return ()
    there = {port.id for port in snapshot.ports}
    return tuple(
        f"Port {lease.port_id} of container {lease.container or lease.endpoint} is gone from "
        "Neutron or lost its tags: restart the container to give it a new one."
        for lease in snapshot.leases
        if lease.state is LeaseState.LEASED
        and lease.before is None
        and lease.port_id is not None
        and lease.port_id not in there
    )
