# SPDX-License-Identifier: Apache-2.0
"""What the datapath is asked for and what it says of this host."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from kurier.model.ids import DockerNetworkId, PortId, PortKey
from kurier.model.port import PortRecord


class WiredBy(StrEnum):
    """Whose word says that a port is wired: OVN's controller or the ML2/OVS agent."""

    OVN = "ovn"
    AGENT = "agent"


class End(StrEnum):
    """Where the sandbox's end of a pair is."""

    WAITING = "waiting"
    """In the host's namespace, as new."""
    AWAY = "away"
    """In another namespace: somebody holds it."""
    GONE = "gone"
    """Nowhere: the pair went with its sandbox."""


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

    key: PortKey
    port_id: PortId
    mac: str
    mtu: int
    device: str
    peer: str
    vm_id: str
    """What `external_ids:vm-uuid` shall say, as Nova sets it: the endpoint's id, or the key."""


def plug_of(port: PortRecord, mtu: int) -> Plug:
    """How a port is plugged; raises ValueError for one that Neutron has not."""
    if port.port_id is None:
        raise ValueError(f"{port.id} is no port to plug")
    vm_id = port.endpoint or port.id
    return Plug(port.id, port.port_id, port.mac, mtu, port.device, port.peer, vm_id)


@dataclass(frozen=True, slots=True)
class Attached:
    """An endpoint of a container that runs, as the engine tells it."""

    network: DockerNetworkId
    mac: str


@dataclass(frozen=True, slots=True)
class Plugged:
    """A port found in the switch that carries Kurier's mark."""

    key: PortKey
    port_id: PortId
    device: str
    link_present: bool
    """Whether the kernel still has the device."""
    peer_present: bool
    """Whether the other end is in the host's own network namespace (not in a sandbox)."""
    wired: bool
    mac: str = ""
    """The MAC address that the switch expects there."""
    peer: str = ""
    """The name of the other end when the pair was made."""
    link_up: bool = True

    def serves(self, key: PortKey, port_id: PortId | None, mac: str) -> bool:
        """Whether the switch has it as this port, with a device that is there and up."""
        same = (self.key, self.port_id, self.mac) == (key, port_id, mac)
        return same and self.link_present and self.link_up
