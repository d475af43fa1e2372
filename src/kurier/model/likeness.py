# SPDX-License-Identifier: Apache-2.0
"""How a port of a pool must be in Neutron, in every field that can be changed: as it was made.

What Kurier itself told Neutron of a container is taken off a port that comes back. Whatever else is
not as it was made was changed by somebody for that container: the next one must not have it, and
the port goes.
"""

from __future__ import annotations

from collections.abc import Iterator

from kurier.model.ids import EndpointId
from kurier.model.naming import port_name, ready_description
from kurier.model.neutron import Port, PortChange
from kurier.model.port import AsMade, PortRecord
from kurier.model.tags import LEASED, READY, endpoint_tags, without_roles

_NAMES = {
    "allowed_address_pairs": "allowed address pairs",
    "admin_state_up": "administrative state",
    "extra_dhcp_opts": "DHCP options",
    "trunk_details": "trunk",
}
"""What operators call the fields of which the model knows no more than their names."""


def as_made(port: Port) -> AsMade:
    """What to remember of a port that Neutron has just made."""
    return AsMade(
        device_owner=port.device_owner,
        host_id=port.host_id,
        security_groups=tuple(sorted(port.security_groups)),
        qos_policy_id=port.qos_policy_id,
        port_security=port.port_security,
        tags=tuple(sorted(without_roles(port.tags))),
        others=port.others,
    )


def undressing(record: PortRecord, port: Port) -> PortChange:
    """What to change so that nothing is left of what Kurier told Neutron of a container."""
    groups = tuple(one for one in port.security_groups if one != record.exposing_group)
    return PortChange(
        name=unless_same(port.name, port_name(record.id)),
        description=unless_same(port.description, ready_description(record.network)),
        device_id=unless_same(port.device_id, record.id),
        dns_name=unless_same(port.dns_name, ""),
        security_groups=None if groups == port.security_groups else groups,
    )


def ready_tags(record: PortRecord, port: Port) -> frozenset[str]:
    """The tags of a port that waits: those it was made with, and no operator's."""
    made = without_roles(port.tags) if record.made is None else frozenset(record.made.tags)
    return made | {READY}


def unlike(record: PortRecord, port: Port) -> str:
    """What of a port is not as its pool makes them, in words, or nothing."""
    if record.made is None:
        return "it was made by an earlier release, which did not remember how"
    changed = [*_moved(record, port), *_changed(record.made, port), *_told(record, port)]
    return f"it was changed in Neutron: {', '.join(changed)}" if changed else ""


def moved(record: PortRecord, port: Port) -> str:
    """As :func:`unlike`, of its addresses alone: all that holds while a container is being taken
    off it.
    """
    changed = list(_moved(record, port))
    return f"it was changed in Neutron: {', '.join(changed)}" if changed else ""


def _moved(record: PortRecord, port: Port) -> Iterator[str]:
    if port.mac != record.mac:
        yield "MAC address"
    if {one.address for one in record.addresses} != {ip.address for ip in port.fixed_ips}:
        yield "addresses"


def _changed(made: AsMade, port: Port) -> Iterator[str]:
    if port.device_owner != made.device_owner:
        yield "device owner"
    if port.host_id != made.host_id:
        yield "host"
    if tuple(sorted(port.security_groups)) != made.security_groups:
        yield "security groups"
    if port.qos_policy_id != made.qos_policy_id:
        yield "QoS policy"
    if port.port_security != made.port_security:
        yield "port security"
    now, then = dict(port.others), dict(made.others)
    for field in sorted(now.keys() | then.keys()):
        if now.get(field) != then.get(field):
            yield _NAMES.get(field, field)


def _told(record: PortRecord, port: Port) -> Iterator[str]:
    """What Kurier tells Neutron of a container, and keeps as new on a port that waits."""
    change = undressing(record, port)
    for field in ("name", "description", "device_id", "dns_name"):
        if getattr(change, field) is not None:
            yield field.replace("_", " ")
    if port.tags != ready_tags(record, port):
        yield "tags"


def lost_word(record: PortRecord, port: Port) -> bool:
    """Whether a container's port lacks in Neutron what Kurier told there and nobody else should
    change: its binding, owner, container and tags.
    """
    if record.endpoint is None or is_anothers(record, port):
        return False
    made = record.made
    unbound = made is not None and (port.host_id, port.device_owner) != (
        made.host_id,
        made.device_owner,
    )
    renamed = record.container_id not in ("", port.device_id)
    return unbound or renamed or not leased_tags(record) <= port.tags


def leased_tags(record: PortRecord) -> frozenset[str]:
    """The tags of a port that a container has."""
    made = frozenset() if record.made is None else frozenset(record.made.tags)
    return made | {*endpoint_tags(record.endpoint or EndpointId("")), LEASED}


def is_anothers(record: PortRecord, port: Port) -> bool:
    """Whether a port was bound to another host than the one that it was made for."""
    return record.made is not None and port.host_id not in ("", record.made.host_id)


def unless_same(now: str, wanted: str) -> str | None:
    """What a change has to say to make `wanted` of `now`; None where nothing."""
    return None if now == wanted else wanted
