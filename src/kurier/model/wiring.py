# SPDX-License-Identifier: Apache-2.0
"""What the datapath is asked for and what it says of this host."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from kurier.model.ids import LeaseId, PortId


class WiredBy(StrEnum):
    """Whose word says that a port is wired: OVN's controller or the ML2/OVS agent."""

    OVN = "ovn"
    AGENT = "agent"


@dataclass(frozen=True, slots=True)
class SwitchFacts:
    """What the host's Open vSwitch says of itself."""

    hostname: str
    """`external_ids:hostname` of the Open_vSwitch row; must equal the port's `binding:host_id`."""
    bridge: str
    userspace: bool
    """Whether the integration bridge's `datapath_type` is `netdev`."""
    wired_by: WiredBy


@dataclass(frozen=True, slots=True)
class Plug:
    """A port to plug: a veth pair, one end in the integration bridge, one for the sandbox.

    `device` is the switch's end, `peer` the sandbox's; at most 15 characters, never used before.
    """

    lease_id: LeaseId
    port_id: PortId
    mac: str
    mtu: int
    device: str
    peer: str
    vm_id: str
    """What `external_ids:vm-uuid` shall say, as Nova sets it: the endpoint's id."""


class End(StrEnum):
    """Where the sandbox's end of a pair is."""

    WAITING = "waiting"
    """In the host's network namespace."""
    AWAY = "away"
    """In another namespace: somebody holds it."""
    GONE = "gone"
    """Nowhere: the pair does not exist any more."""


@dataclass(frozen=True, slots=True)
class Plugged:
    """A port found in the switch that carries Kurier's mark."""

    lease_id: LeaseId
    port_id: PortId
    device: str
    link_present: bool
    """Whether the kernel still has the device."""
    peer_present: bool
    """Whether the other end is in the host's own network namespace (not in a sandbox)."""
    wired: bool
