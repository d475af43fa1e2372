# SPDX-License-Identifier: Apache-2.0
"""Floating IPs, as far as they lead to ports of containers."""

from __future__ import annotations

from collections.abc import Sequence

from kurier.cloud.calls import Call
from kurier.cloud.extensions import Extensions
from kurier.cloud.reading import whole_list
from kurier.cloud.transport import Transport
from kurier.cloud.wire import WireFloatingIp
from kurier.model.ids import PortId


class FloatingIps:
    """Neutron's floating IPs and their port forwardings. Blocking."""

    def __init__(self, transport: Transport, extensions: Extensions) -> None:
        self._transport = transport
        self._extensions = extensions

    def leading_to(self, ports: Sequence[PortId]) -> frozenset[PortId]:
        """Those of these ports that a floating IP, or a port forwarding of one, leads to.

        Ports may be some hundred: they go into a URL. Forwardings are told by floating IPs that
        have no port of their own, and Neutron does not look for them by the port.
        """
        offered = self._extensions.capabilities()
        if not ports or not offered.floating_ips:
            return frozenset()
        found = self._find(("fields", "port_id"), *(("port_id", one) for one in ports))
        if offered.port_forwardings:
            found |= self._find(("fields", "port_forwardings"), ("port_id", ""))
        return found & frozenset(ports)

    def _find(self, *params: tuple[str, str]) -> frozenset[PortId]:
        call = Call("GET", "/floatingips", "list floating IPs", params=(("fields", "id"), *params))
        found = whole_list(self._transport, call, "floatingips", WireFloatingIp)
        return frozenset().union(*found)
