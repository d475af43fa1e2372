# SPDX-License-Identifier: Apache-2.0
"""What a reconcile pass decides, apart from carrying it out.

Absence in one read proves nothing: a thing goes only if it carries our mark and this host's, was
seen unused in two passes, is older than the grace, and its device is gone. An answer that did not
come is None here, and nothing is concluded from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta

from kurier.model import tags
from kurier.model.ids import EndpointId, PortId, PortKey, SecurityGroupId
from kurier.model.likeness import lost_word, moved, unlike
from kurier.model.neutron import Port
from kurier.model.port import IN_USE, POOLED, PortRecord, Stage, user_of
from kurier.model.trouble import Kind, Trouble
from kurier.model.wiring import Attached, Plugged

_LEASED = frozenset({Stage.LEASED})


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one pass saw; None where an answer did not come whole."""

    now: datetime
    known: tuple[PortRecord, ...]
    """The ledger's ports."""
    plugged: tuple[Plugged, ...] | None
    living: Mapping[EndpointId, Attached] | None
    """The endpoints of containers that run."""
    ports: tuple[Port, ...] | None
    """Neutron's ports with this host's tags."""
    under_way: frozenset[PortKey] = frozenset()
    """Ports that were at work when the pass began or ended."""
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

    release: tuple[PortKey, ...] = ()
    unplug: tuple[str, ...] = ()
    delete: tuple[PortId, ...] = ()
    replug: tuple[PortKey, ...] = ()
    """Ready ports that the switch does not serve: nobody may take them before it does."""
    restore: tuple[PortKey, ...] = ()
    """Ports of containers that the switch does not serve: they are put back there."""
    settle: tuple[PortKey, ...] = ()
    """Ports of containers that lost in Neutron what Kurier told there: it is told again."""
    miss: tuple[PortKey, ...] = ()
    """Ports of containers that seem gone from Neutron: to be asked for one by one."""
    replace: tuple[PortKey, ...] = ()
    """Ports of pools that seem gone from Neutron, or changed there: to be asked for one by one."""
    drop_groups: tuple[SecurityGroupId, ...] = ()
    rebuild: tuple[PortId, ...] = ()
    """Ports that containers have and a lost ledger forgot; see :func:`endpoint_in`."""
    suspects: tuple[Suspect, ...] = ()
    troubles: tuple[Trouble, ...] = ()


def plan(snapshot: Snapshot, seen: Mapping[Suspect, datetime], grace: timedelta) -> Plan:
    """Decides; `seen` tells since when each suspect was seen unused in every pass."""
    strays, forgotten = _strays(snapshot), _forgotten(snapshot)
    missed, unwired = _missed(snapshot), _unwired(snapshot)
    suspects = (
        *_leases(snapshot),
        *_plugs(snapshot),
        *_ports(snapshot),
        *_groups(snapshot),
        *strays,
        *forgotten,
        *missed,
        *unwired,
    )

    def convicted(kind: str) -> list[str]:
        return [
            one.key
            for one in suspects
            if one.kind == kind and one in seen and snapshot.now - seen[one] >= grace
        ]

    in_neutron = {port.id: port for port in snapshot.ports or ()}
    return Plan(
        release=tuple(PortKey(key) for key in convicted("lease")),
        unplug=tuple(convicted("plug")),
        delete=tuple(PortId(key) for key in convicted("port")),
        replug=unserved(snapshot),
        # Nobody uses them, so that a second pass is suspicion enough to ask for the port itself.
        replace=tuple(PortKey(one.key) for one in strays if one in seen),
        drop_groups=tuple(SecurityGroupId(key) for key in convicted("group")),
        # Nothing goes by it, and the first look may have crossed a container's end.
        rebuild=tuple(PortId(one.key) for one in forgotten if one in seen),
        suspects=suspects,
        restore=cut_off(snapshot),
        settle=tuple(
            port.id
            for port in _at_rest(snapshot, _LEASED)
            if port.port_id in in_neutron and lost_word(port, in_neutron[port.port_id])
        ),
        miss=tuple(PortKey(one.key) for one in missed if one in seen),
        troubles=tuple(_troubles(snapshot, unwired, seen)),
    )


def _leases(snapshot: Snapshot) -> tuple[Suspect, ...]:
    found = []
    for port in snapshot.known:
        if port.stage in IN_USE and port.id not in snapshot.under_way:
            reason = _unused(port, snapshot)
            if reason:
                found.append(Suspect("lease", port.id, reason))
    return tuple(found)


def _unused(lease: PortRecord, snapshot: Snapshot) -> str:
    """Why a port in use looks unused, or nothing."""
    if lease.endpoint is None:
        return "no endpoint came for its address"
    if snapshot.living is None or snapshot.plugged is None:
        return ""
    if lease.endpoint in snapshot.living:
        return ""
    for plug in snapshot.plugged:
        if plug.device == lease.device and plug.link_present and not plug.peer_present:
            return ""
    return "the engine does not know its endpoint and no sandbox holds its device"


def _plugs(snapshot: Snapshot) -> tuple[Suspect, ...]:
    known = {port.device for port in snapshot.known}
    return tuple(
        Suspect("plug", plug.device, "no port has this device and no sandbox holds it")
        for plug in snapshot.plugged or ()
        if plug.device not in known and (plug.peer_present or not plug.link_present)
    )


def _ports(snapshot: Snapshot) -> tuple[Suspect, ...]:
    if snapshot.ports is None or snapshot.plugged is None:
        return ()
    known = {port.port_id for port in snapshot.known}
    keys = {str(port.id) for port in snapshot.known}
    in_switch = {plug.port_id for plug in snapshot.plugged if plug.link_present}
    return tuple(
        Suspect("port", port.id, "it carries this host's tags and the ledger does not know it")
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
    if snapshot.ports is None or snapshot.plugged is None or snapshot.living is None:
        return ()
    known = {port.port_id for port in snapshot.known}
    known_endpoints = {port.endpoint for port in snapshot.known}
    held = {
        plug.port_id for plug in snapshot.plugged if plug.link_present and not plug.peer_present
    }
    return tuple(
        Suspect("lost lease", port.id, "a container has it and the ledger does not know it")
        for port in snapshot.ports
        if port.id in held - known
        and tags.KURYR_PORT_EXISTING not in port.tags
        and endpoint_in(port, snapshot.living) not in {None, *known_endpoints}
    )


def endpoint_in(port: Port, living: Mapping[EndpointId, Attached]) -> EndpointId | None:
    """The endpoint that has a port: the one that its tags tell (which do not say which half of the
    id is which), else the one that has its MAC address.
    """
    if tags.LEASED in port.tags:
        for endpoint in living:
            if port.tags.issuperset(tags.endpoint_tags(endpoint)):
                return endpoint
    found = [endpoint for endpoint, one in living.items() if one.mac == port.mac]
    return found[0] if len(found) == 1 else None


def orphans(snapshot: Snapshot) -> list[tuple[EndpointId, PortId]]:
    """Endpoints of containers that run whose port neither Neutron nor the ledger has any more."""
    if snapshot.ports is None or snapshot.plugged is None or snapshot.living is None:
        return []
    there = {port.id for port in snapshot.ports}
    known = {port.port_id for port in snapshot.known} | {None}
    return [
        (endpoint, plug.port_id)
        for plug in snapshot.plugged
        if plug.link_present and not plug.peer_present and plug.port_id not in there | known
        for endpoint, one in snapshot.living.items()
        if one.mac == plug.mac
    ]


def in_anothers_hand(
    ports: Sequence[PortRecord], plugged: Sequence[Plugged]
) -> Iterator[PortRecord]:
    """Ports that the switch shows in a sandbox and the ledger says nobody has: an endpoint takes a
    port in the ledger before a sandbox takes its device.
    """
    held = {plug.key for plug in plugged if plug.link_present and not plug.peer_present}
    for port in ports:
        if port.stage in (Stage.MAKING, Stage.BOUND, Stage.READY) and port.id in held:
            yield port


def in_two_hands(
    ports: Sequence[PortRecord], living: Mapping[EndpointId, Attached]
) -> Iterator[PortRecord]:
    """Ports whose MAC address a container that runs has, of which the ledger does not know."""
    worn = {(one.network, one.mac) for one in living.values()}
    for port in ports:
        if port.endpoint not in living and port.mac and (port.network, port.mac) in worn:
            yield port


def _at_rest(snapshot: Snapshot, stages: Set[Stage]) -> list[PortRecord]:
    """Ports of these stages that nobody was at while the pass looked."""
    return [
        port
        for port in snapshot.known
        if port.stage in stages
        and port.id not in snapshot.under_way
        and (snapshot.begun is None or port.since < snapshot.begun)
    ]


def unserved(snapshot: Snapshot) -> tuple[PortKey, ...]:
    """Ready ports that the switch does not serve; none where it did not answer."""
    if snapshot.plugged is None:
        return ()
    served = _served(snapshot.known, snapshot.plugged)
    waiting = {plug.device for plug in snapshot.plugged if plug.peer_present and plug.wired}
    return tuple(
        port.id
        for port in _at_rest(snapshot, {Stage.READY})
        if port.device not in waiting or port.id not in served
    )


def cut_off(snapshot: Snapshot) -> tuple[PortKey, ...]:
    """Ports of containers that the switch does not serve; none where it did not answer."""
    if snapshot.plugged is None:
        return ()
    served = _served(snapshot.known, snapshot.plugged)
    return tuple(port.id for port in _at_rest(snapshot, _LEASED) if port.id not in served)


def _served(ports: Sequence[PortRecord], plugged: Sequence[Plugged]) -> set[PortKey]:
    """The ports that the switch has with their devices."""
    plugs = {plug.device: plug for plug in plugged}
    return {
        port.id
        for port in ports
        if port.device in plugs and plugs[port.device].serves(port.id, port.port_id, port.mac)
    }


def _missed(snapshot: Snapshot) -> tuple[Suspect, ...]:
    """Ports of containers that Neutron's list lacks: gone, or without their tags."""
    if snapshot.ports is None:
        return ()
    there = {port.id for port in snapshot.ports}
    return tuple(
        Suspect("leased port", port.id, "it is not in Neutron any more, or lost its tags")
        for port in _at_rest(snapshot, _LEASED)
        if port.port_id not in there
    )


def _unwired(snapshot: Snapshot) -> tuple[Suspect, ...]:
    if snapshot.plugged is None:
        return ()
    wired = {plug.device for plug in snapshot.plugged if plug.wired}
    served = _served(snapshot.known, snapshot.plugged)
    return tuple(
        Suspect("container", port.id, "its port is in the switch and not wired")
        for port in _at_rest(snapshot, _LEASED)
        if port.device not in wired and port.id in served
    )


def _strays(snapshot: Snapshot) -> tuple[Suspect, ...]:
    if snapshot.ports is None:
        return ()
    there = {port.id: port for port in snapshot.ports}
    found = []
    for port in _at_rest(snapshot, POOLED):
        if port.port_id is None:
            continue
        neutron = there.get(port.port_id)
        gone = "it is not in Neutron any more, or lost its tags"
        reason = gone if neutron is None else astray(port, neutron)
        if reason:
            found.append(Suspect("pool", port.id, reason))
    return tuple(found)


def astray(port: PortRecord, neutron: Port) -> str:
    """How a port of a pool differs in Neutron from what it must be, or nothing; while a container
    is being taken off it, its addresses alone count.
    """
    waits = port.stage in (Stage.BOUND, Stage.READY) and not port.used
    return unlike(port, neutron) if waits else moved(port, neutron)


def _troubles(
    snapshot: Snapshot, unwired: tuple[Suspect, ...], seen: Mapping[Suspect, datetime]
) -> Iterator[Trouble]:
    long_unwired = {one.key for one in unwired if one in seen}
    there = {port.id: port for port in snapshot.ports or ()}
    for port in _at_rest(snapshot, _LEASED):
        gone = snapshot.ports is not None and port.port_id not in there
        if port.id in long_unwired and not gone:
            yield trouble_of(
                port,
                Kind.CUT_OFF,
                "is in the switch, but was not wired: is ovn-controller or the Neutron agent "
                "running on this host?",
            )
        if port.port_id in there:
            yield from _of_neutron(port, there[port.port_id])


def _of_neutron(port: PortRecord, neutron: Port) -> Iterator[Trouble]:
    if neutron.mac != port.mac:
        yield trouble_of(
            port,
            Kind.PORT_CHANGED,
            f"has MAC address {neutron.mac} in Neutron and {port.mac} in the container: change it "
            "back, or restart the container.",
        )
    kept = {ip.address for ip in neutron.fixed_ips}
    lost = [str(one.address) for one in port.addresses if one.address not in kept]
    if lost:
        yield trouble_of(
            port,
            Kind.PORT_CHANGED,
            f"has lost {', '.join(lost)} in Neutron, which the container uses: give it back with "
            "`openstack port set --fixed-ip`, or restart the container.",
        )
    if dict(neutron.others).get("admin_state_up") == "false":
        yield trouble_of(
            port, Kind.CUT_OFF, "is disabled in Neutron: see `openstack port set --enable`."
        )
    made = port.made
    if made is not None and neutron.host_id not in ("", made.host_id):
        yield trouble_of(
            port,
            Kind.PORT_ELSEWHERE,
            f"is bound to host {neutron.host_id} in Neutron: Kurier leaves it alone; bind it to "
            f"{made.host_id} again, or restart the container.",
        )


def trouble_of(port: PortRecord, kind: Kind, says: str) -> Trouble:
    """What is wrong with a container's port, in a sentence that begins with both."""
    whom = user_of(port)
    return Trouble(kind, whom, f"Port {port.port_id} of {whom} {says}")
