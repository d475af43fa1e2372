# SPDX-License-Identifier: Apache-2.0
"""The replica of Open vSwitch's database, read as typed values.

Rows are read under the connection's lock only; what leaves here is plain.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ovsdbapp.backend.ovs_idl import idlutils

from kurier.model.ids import PortId, PortKey
from kurier.model.wiring import Plug, WiredBy

LEASE_MARK = "kurier-lease"
PEER_MARK = "kurier-peer"
_TOLD = ("iface-id", "iface-status", "attached-mac", "vm-uuid", LEASE_MARK, PEER_MARK)
_WIRED = {"ovn-installed"}
"""OVN's controller takes its word back when the port is deleted in Neutron, or bound elsewhere."""
DEAD_VLAN = 4095
"""The local VLAN in which the ML2/OVS agent keeps ports that it has not wired."""


def external_ids(plug: Plug) -> dict[str, str]:
    """What a plugged Interface carries: Nova's four keys, by which OVN's controller and the
    ML2/OVS agent claim a port, and Kurier's two marks.
    """
    return {
        "iface-id": plug.port_id,
        "iface-status": "active",
        "attached-mac": plug.mac,
        "vm-uuid": plug.vm_id,
        LEASE_MARK: plug.key,
        PEER_MARK: plug.peer,
    }


@dataclass(frozen=True, slots=True)
class SwitchPort:
    """A port of the switch with one interface, by its name."""

    device: str
    ids: Mapping[str, str]
    error: str
    """What ovs-vswitchd says where it could not open the device."""
    tag: int | None
    """The local VLAN, where the port has one."""

    @property
    def key(self) -> PortKey | None:
        """The lease in Kurier's mark; None for a port of somebody else."""
        mark = self.ids.get(LEASE_MARK)
        return PortKey(mark) if mark else None

    @property
    def port_id(self) -> PortId:
        return PortId(self.ids.get("iface-id", ""))

    @property
    def peer(self) -> str:
        return self.ids.get(PEER_MARK, "")

    def serves(self, plug: Plug) -> bool:
        """Whether this is what the plug asks for."""
        return self.key == plug.key and self.port_id == plug.port_id

    def wired(self, by: WiredBy) -> bool:
        """Whether OVN's controller, or the ML2/OVS agent, says that traffic flows."""
        if by is WiredBy.OVN:
            return self.ids.get("ovn-installed") == "true"
        return self.tag is not None and self.tag != DEAD_VLAN


class Tables:
    """The replica's tables; only to be held under the connection's lock."""

    def __init__(self, idl: Any) -> None:
        self._idl = idl

    def host_ids(self) -> dict[str, str]:
        """`external_ids` of the Open_vSwitch row."""
        for row in self._idl.tables["Open_vSwitch"].rows.values():
            return dict(row.external_ids)
        return {}

    def bridges(self) -> list[str]:
        return [row.name for row in self._idl.tables["Bridge"].rows.values()]

    def datapath_type(self, bridge: str) -> str | None:
        """None where there is no such bridge."""
        row = self._row("Bridge", bridge)
        return None if row is None else str(row.datapath_type)

    def zone(self, bridge: str, port_id: PortId) -> int | None:
        """OVN's zone of connection tracking for a port, where the bridge names one."""
        row = self._row("Bridge", bridge)
        for column in ("external_ids", "other_config"):  # by the controller's release
            found = getattr(row, column).get(f"ct-zone-{port_id}") if row is not None else None
            if found is not None:
                return int(found)
        return None

    def port(self, device: str) -> SwitchPort | None:
        row = self._row("Interface", device)
        return None if row is None else self._port(row)

    def marked(self) -> Iterator[SwitchPort]:
        """Every port that carries Kurier's mark."""
        for row in self._idl.tables["Interface"].rows.values():
            if LEASE_MARK in row.external_ids:
                yield self._port(row)

    def devices(self) -> frozenset[str]:
        """The names of all interfaces, of whatever bridge and whomever."""
        return frozenset(row.name for row in self._idl.tables["Interface"].rows.values())

    def _port(self, interface: Any) -> SwitchPort:
        port = self._row("Port", interface.name)
        return SwitchPort(
            device=str(interface.name),
            ids=dict(interface.external_ids),
            error="".join(interface.error),
            tag=port.tag[0] if port is not None and port.tag else None,
        )

    def _row(self, table: str, name: str) -> Any:
        return idlutils.row_by_value(self._idl, table, "name", name, None)


def is_loss(gone: bool, interface: Any, before: Any) -> bool:
    """Whether a row of Kurier's went, or says something else than it said `before`."""
    if gone:
        return LEASE_MARK in interface.external_ids
    said: Mapping[str, str] = getattr(before, "external_ids", {})
    if LEASE_MARK not in said:
        return False
    now = interface.external_ids
    return any(said.get(key) != now.get(key) for key in _TOLD) or said.keys() - now.keys() >= _WIRED


def wired_by(setting: WiredBy | None, host_ids: Mapping[str, str]) -> WiredBy:
    """Whose word counts: as configured, or OVN's where this host is one of its chassis.

    A host with several controllers has its settings under `ovn-remote-<system id>`.
    """
    if setting is not None:
        return setting
    own = f"ovn-remote-{host_ids.get('system-id', '')}"
    return WiredBy.OVN if {"ovn-remote", own} & host_ids.keys() else WiredBy.AGENT
