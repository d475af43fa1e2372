# SPDX-License-Identifier: Apache-2.0
"""Ports that keep a network or a subnet from being deleted, in words."""

from __future__ import annotations

from collections.abc import Sequence

from kurier.model.neutron import Port

_SERVICE_OWNERS = ("network:dhcp", "network:distributed")
"""Ports that Neutron makes by itself and removes with the network."""


def holders(ports: Sequence[Port]) -> list[Port]:
    """The ports that are somebody's."""
    return [port for port in ports if port.device_owner not in _SERVICE_OWNERS]


def named(ports: Sequence[Port]) -> str:
    """The first few of some ports, and how many more there are."""
    told = [f"port {port.id} ({port.device_owner or 'no owner'})" for port in ports[:3]]
    more = f" and {len(ports) - 3} more" if len(ports) > 3 else ""
    return (", ".join(told) + more) or "something that these credentials may not see"
