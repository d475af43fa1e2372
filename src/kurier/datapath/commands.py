# SPDX-License-Identifier: Apache-2.0
"""What Kurier does to Open vSwitch's database, one command per transaction.

A command may run more than once: after a lost connection it is built anew on a fresh replica.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ovsdbapp.backend.ovs_idl import idlutils
from ovsdbapp.backend.ovs_idl.command import BaseCommand

from kurier.datapath.failures import name_taken, no_bridge
from kurier.datapath.tables import DEAD_VLAN, LEASE_MARK, Tables, external_ids
from kurier.model.wiring import Plug


class AddPorts(BaseCommand):  # type: ignore[misc]
    """Adds plugs' ports to the bridge; SWITCH_ERROR where the bridge is missing or a name taken.

    With `isolated` a port starts in the agent's dead VLAN: without a tag it would be a trunk of
    all local VLANs until the agent gives it its own.
    """

    def __init__(self, api: Any, bridge: str, plugs: Sequence[Plug], isolated: bool) -> None:
        super().__init__(api)
        self.bridge = bridge
        self.plugs = plugs
        self.isolated = isolated

    def run_idl(self, txn: Any) -> None:
        tables = Tables(self.api.idl)
        bridge = _row(self.api, "Bridge", self.bridge)
        if bridge is None:
            raise no_bridge(self.bridge, tables.bridges())
        for plug in self.plugs:
            standing = tables.port(plug.device)
            if standing is None:
                self._add(txn, bridge, plug)
            elif not standing.serves(plug):
                raise name_taken(plug.device)

    def _add(self, txn: Any, bridge: Any, plug: Plug) -> None:
        interface = txn.insert(self.api.tables["Interface"])
        interface.name = plug.device
        interface.external_ids = external_ids(plug)
        port = txn.insert(self.api.tables["Port"])
        port.name = plug.device
        port.interfaces = [interface]
        if self.isolated:
            port.tag = DEAD_VLAN
        bridge.addvalue("ports", port)


class RestorePort(AddPorts):
    """Adds a plug's port, or has the interface that stands there say what the plug says.

    A row of that name is Kurier's, whatever somebody wrote into it: nobody else takes these names.
    """

    def __init__(self, api: Any, bridge: str, plug: Plug, isolated: bool) -> None:
        super().__init__(api, bridge, (plug,), isolated)

    def run_idl(self, txn: Any) -> None:
        (plug,) = self.plugs
        interface = _row(self.api, "Interface", plug.device)
        if interface is None:
            super().run_idl(txn)
            return
        for key, value in external_ids(plug).items():
            if interface.external_ids.get(key) != value:
                interface.setkey("external_ids", key, value)


class RemovePort(BaseCommand):  # type: ignore[misc]
    """Takes a port out of whichever bridge has it; SWITCH_ERROR where it lacks Kurier's mark."""

    def __init__(self, api: Any, device: str) -> None:
        super().__init__(api)
        self.device = device

    def run_idl(self, txn: Any) -> None:
        port = _row(self.api, "Port", self.device)
        if port is None:
            return
        if not any(LEASE_MARK in interface.external_ids for interface in port.interfaces):
            raise name_taken(self.device)
        for bridge in self.api.tables["Bridge"].rows.values():
            if port in bridge.ports:
                bridge.delvalue("ports", port)


class AskServer(BaseCommand):  # type: ignore[misc]
    """Changes nothing, but has the server answer: what it said before is then in the replica."""

    def run_idl(self, txn: Any) -> None:
        txn.add_op({"op": "select", "table": "Open_vSwitch", "where": [], "columns": ["cur_cfg"]})


def _row(api: Any, table: str, name: str) -> Any:
    return idlutils.row_by_value(api.idl, table, "name", name, None)
