# SPDX-License-Identifier: Apache-2.0
"""What operators do to ports of containers that run, in Neutron and in the switch, behind the
daemon's back.
"""

from __future__ import annotations

from collections.abc import Callable

from kurier.model.neutron import FixedIpRequest, Port, PortChange
from tests.host.neutron import Neutron
from tests.host.switch import Switch

Meddling = Callable[[Neutron, Port], None]


def groups_of_theirs(neutron: Neutron, port: Port) -> None:
    theirs = [one.id for one in neutron.groups.values() if one.name == "web"]
    if port.port_security:
        worn = tuple({*port.security_groups, *theirs})
        neutron.port.update(port.id, PortChange(security_groups=worn))


def open_for_all(neutron: Neutron, port: Port) -> None:
    neutron.port.update(port.id, PortChange(security_groups=(), port_security=False))


def a_policy(neutron: Neutron, port: Port) -> None:
    neutron.port.update(port.id, PortChange(qos_policy_id="gold"))


def address_pairs(neutron: Neutron, port: Port) -> None:
    pairs = ("allowed_address_pairs", '[{"ip_address": "10.2.0.200"}]')
    neutron.port.store.change(port.id, others=tuple(sorted({*port.others, pairs})))


def a_floating_ip(neutron: Neutron, port: Port) -> None:
    neutron.port.floating[f"203.0.113.{len(neutron.port.floating)}"] = port.id


def a_tag(neutron: Neutron, port: Port) -> None:
    neutron.port.store.add_tag(port.id, "billing:alice")


def another_address(neutron: Neutron, port: Port) -> None:
    (subnet,) = neutron.net.subnets_of(port.network_id)
    wanted = (*neutron.requests(subnet, str(port.fixed_ips[0].address)), FixedIpRequest(subnet.id))
    neutron.port.update(port.id, PortChange(fixed_ips=wanted))


def no_tags(neutron: Neutron, port: Port) -> None:
    neutron.port.store.set_tags(port.id, ["env:prod"])


def unbound(neutron: Neutron, port: Port) -> None:
    neutron.port.update(port.id, PortChange(host_id=""))


def nobodys(neutron: Neutron, port: Port) -> None:
    neutron.port.update(port.id, PortChange(device_id="", device_owner=""))


TAKEN_AWAY: tuple[Meddling, ...] = (no_tags, unbound, nobodys)
"""What Kurier told Neutron of a container, and gets back there."""
MEDDLING: tuple[Meddling, ...] = (
    groups_of_theirs,
    open_for_all,
    a_policy,
    address_pairs,
    a_floating_ip,
    a_tag,
    another_address,
)


def lost_row(switch: Switch, device: str) -> None:
    switch.lose_row(device)


def garbled_row(switch: Switch, device: str) -> None:
    if device in switch.rows:
        switch.garble_row(device)


def link_down(switch: Switch, device: str) -> None:
    if device in switch.pairs:
        switch.set_down(device)


TAKEN_OUT: tuple[Callable[[Switch, str], None], ...] = (lost_row, garbled_row, link_down)
"""What an administrator of the host does to the switch's end of a port."""
