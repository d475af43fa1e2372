# SPDX-License-Identifier: Apache-2.0
"""What is wrong on a host and only people can mend, by the names that they know."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What is wrong; a metric's label."""

    CUT_OFF = "cut-off"
    """A container that runs is not served by the switch."""
    PORT_GONE = "port-gone"
    """A container's port was deleted in Neutron."""
    PORT_CHANGED = "port-changed"
    """A container's port has something in Neutron that the container has not."""
    PORT_ELSEWHERE = "port-elsewhere"
    """A container's port is bound to another host."""
    NETWORK_FORGOTTEN = "network-forgotten"
    """The engine does not know a network any more."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong."""

    kind: Kind
    whom: str
    """The container, or the network."""
    says: str
    """One sentence: what is wrong, with what value, and what to do."""
