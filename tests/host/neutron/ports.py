# SPDX-License-Identifier: Apache-2.0
"""Ports in memory: addresses, bindings, groups, and what stands in the way of a change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from random import Random

from kurier.model.errors import Code, KurierError
from kurier.model.ids import IPAddress, NetworkId, PortId, SecurityGroupId, SubnetId
from kurier.model.neutron import (
    FixedIp,
    FixedIpRequest,
    Port,
    PortChange,
    PortFilter,
    PortSpec,
    SecurityGroup,
    Subnet,
)
from tests.host.neutron.networks import Networks, first_free
from tests.host.neutron.store import Store

NEW = (("admin_state_up", "true"),)
"""What of a new port nobody asked for."""


class Ports:
    """Every port of the cloud."""

    def __init__(
        self,
        chance: Random,
        now: Callable[[], datetime],
        networks: Networks,
        groups: Store[SecurityGroup],
        default_group: SecurityGroupId,
    ) -> None:
        self.store: Store[Port] = Store("port", chance)
        self.floating: dict[str, PortId] = {}
        """The ports that floating IPs lead to."""
        self.chassis: set[str] = set()
        """The hosts to which Neutron can bind a port."""
        self._chance = chance
        self._now = now
        self._networks = networks
        self._groups = groups
        self._default_group = default_group

    def create(self, spec: PortSpec) -> Port:
        """One port, with tags; every error of the protocol's."""
        network = self._networks.networks.get(spec.network_id)
        self.store.require_room()
        secure = network.port_security if spec.port_security is None else spec.port_security
        self.store.check_tags(spec.name, spec.tags)
        groups = (self._default_group,) if spec.security_groups is None else spec.security_groups
        self._require_groups(groups)
        port = Port(
            PortId(self.store.new_id()),
            spec.network_id,
            self._free_mac(spec.network_id, spec.mac),
            self._addresses(spec.network_id, spec.fixed_ips, ()),
            spec.name,
            spec.description,
            "DOWN",
            spec.device_id,
            spec.device_owner,
            security_groups=tuple(groups) if secure else (),
            qos_policy_id=spec.qos_policy_id,
            port_security=secure,
            tags=frozenset(spec.tags),
            created_at=self._now().isoformat(),
            others=NEW,
        )
        return self.store.add(self._bound(port, spec.host_id))

    def create_all(self, specs: Sequence[PortSpec]) -> list[Port]:
        """All or none."""
        made: list[Port] = []
        try:
            for spec in specs:
                made.append(self.create(spec))
        except KurierError:
            for port in made:
                self.delete(port.id)
            raise
        return made

    def update(self, port_id: PortId, change: PortChange) -> Port:
        """NOT_FOUND, ADDRESS_IN_USE, ADDRESS_INVALID, CONFLICT; all of it or nothing."""
        port = self.store.get(port_id)
        if change.mac is not None and change.mac != port.mac:
            if port.host_id and change.host_id != "":
                raise KurierError(Code.CONFLICT, f"Port {port_id} is bound: its MAC stays.")
            port = replace(port, mac=self._free_mac(port.network_id, change.mac))
        if change.fixed_ips is not None:
            port = replace(
                port, fixed_ips=self._addresses(port.network_id, change.fixed_ips, port.fixed_ips)
            )
        port = self._guarded(port, change)
        plain = {
            name: value
            for name in ("name", "description", "device_id", "device_owner", "dns_name")
            if (value := getattr(change, name)) is not None
        }
        port = replace(port, **plain)
        if change.host_id is not None and change.host_id != port.host_id:
            port = self._bound(port, change.host_id)
        if port != self.store.get(port_id):
            port = replace(port, revision=port.revision + 1)
            self.store.there[port_id] = port
        return port

    def find(self, which: PortFilter) -> list[Port]:
        return [port for port in self.store.there.values() if _answers(port, which)]

    def delete(self, port_id: PortId) -> None:
        self.store.there.pop(port_id, None)
        self.floating = {ip: port for ip, port in self.floating.items() if port != port_id}

    def wired(self, port_id: PortId, host: str, up: bool) -> None:
        """What OVN tells of a port that is bound to this host."""
        port = self.store.there.get(port_id)
        if port is not None and port.host_id == host:
            self.store.change(port_id, status="ACTIVE" if up else "DOWN")

    def _guarded(self, port: Port, change: PortChange) -> Port:
        secure = port.port_security if change.port_security is None else change.port_security
        groups = port.security_groups if change.security_groups is None else change.security_groups
        self._require_groups(groups)
        if not secure and groups:
            if change.security_groups:
                raise KurierError(Code.CONFLICT, "Port security is off: it can wear no group.")
            raise KurierError(Code.CONFLICT, f"Port {port.id} wears groups: take them off first.")
        qos = port.qos_policy_id
        if change.qos_policy_id is not None:
            qos = change.qos_policy_id or None  # type: ignore[assignment]
        return replace(port, port_security=secure, security_groups=groups, qos_policy_id=qos)

    def _require_groups(self, groups: Sequence[SecurityGroupId]) -> None:
        for one in groups:
            self._groups.get(one)

    def _bound(self, port: Port, host: str) -> Port:
        kind = "ovs" if host in self.chassis else "binding_failed"
        return replace(
            port,
            host_id=host,
            vif_type=kind if host else "unbound",
            bound_driver="ovn" if host in self.chassis else "",
            status="DOWN",
        )

    def _free_mac(self, network_id: NetworkId, wanted: str | None) -> str:
        taken = {one.mac for one in self.store.there.values() if one.network_id == network_id}
        if wanted:
            if wanted in taken:
                raise KurierError(Code.ADDRESS_IN_USE, f"MAC address {wanted} is in use.")
            return wanted
        while (mac := _random_mac(self._chance)) in taken:
            pass
        return mac

    def _addresses(
        self,
        network_id: NetworkId,
        requests: tuple[FixedIpRequest, ...],
        kept: tuple[FixedIp, ...],
    ) -> tuple[FixedIp, ...]:
        """An address for each request; those that a port has already are no conflict for it."""
        found: list[FixedIp] = []
        for request in requests:
            subnet = self._networks.subnets.get(request.subnet_id)
            if subnet.network_id != network_id:
                raise KurierError(Code.BAD_REQUEST, f"Subnet {subnet.id} is of another network.")
            taken = self._taken(subnet.id) - {one.address for one in kept}
            taken |= {one.address for one in found}
            found.append(FixedIp(subnet.id, _address(subnet, request.address, taken)))
        return tuple(found)

    def _taken(self, subnet_id: SubnetId) -> set[IPAddress]:
        return {
            ip.address
            for port in self.store.there.values()
            for ip in port.fixed_ips
            if ip.subnet_id == subnet_id
        }


def _address(subnet: Subnet, wanted: IPAddress | None, taken: set[IPAddress]) -> IPAddress:
    if wanted is None:
        free = first_free(subnet, taken)
        if free is None:
            raise KurierError(Code.EXHAUSTED, f"Subnet {subnet.cidr} has no address left.")
        return free
    ends = (subnet.cidr.network_address, subnet.cidr.broadcast_address)
    if wanted not in subnet.cidr or (wanted.version == 4 and wanted in ends):
        raise KurierError(Code.ADDRESS_INVALID, f"{wanted} is no address of {subnet.cidr}.")
    if wanted in taken:
        raise KurierError(Code.ADDRESS_IN_USE, f"Address {wanted} is in use.")
    return wanted


def _answers(port: Port, which: PortFilter) -> bool:
    exact = (
        (which.network_id, port.network_id),
        (which.device_id, port.device_id),
        (which.device_owner, port.device_owner),
        (which.name, port.name),
    )
    return (
        all(wanted in (None, had) for wanted, had in exact)
        and port.tags.issuperset(which.tags)
        and (not which.device_ids or port.device_id in which.device_ids)
        and (not which.ids or port.id in which.ids)
        and (
            (which.subnet_id is None and which.address is None)
            or any(
                which.subnet_id in (None, ip.subnet_id) and which.address in (None, ip.address)
                for ip in port.fixed_ips
            )
        )
    )


def _random_mac(chance: Random) -> str:
    return "fa:16:3e:" + ":".join(f"{chance.randrange(256):02x}" for _ in range(3))
