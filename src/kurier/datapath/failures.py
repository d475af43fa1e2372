# SPDX-License-Identifier: Apache-2.0
"""The sentences of this room's two kinds of error."""

from __future__ import annotations

import os
from pathlib import Path

from kurier.model.errors import Code, KurierError


def switch_away(remote: str) -> KurierError:
    """Nobody answered at the OVSDB remote in time."""
    kind, _, path = remote.partition(":")
    if kind != "unix":
        seen = "nobody answers there"
    elif not Path(path).exists():
        seen = "there is no such socket"
    elif not os.access(path, os.W_OK):
        seen = "Kurier may not open this socket"
    else:
        seen = "the socket is there, but nobody answers in time"
    return KurierError(
        Code.SWITCH_AWAY,
        f"Open vSwitch's database at {remote} is out of reach ({seen}): start Open vSwitch "
        "(systemctl start openvswitch-switch), or name its socket in Kurier's configuration.",
    )


def switch_busy(remote: str) -> KurierError:
    """A call's time was over before its turn came."""
    return KurierError(
        Code.SWITCH_AWAY,
        f"The wiring of this host did not get to it in time: Open vSwitch's database at {remote} "
        "is slow or away, or too many ports are made at once; try again.",
    )


def switch_error(sentence: str) -> KurierError:
    """The switch or the kernel said no."""
    return KurierError(Code.SWITCH_ERROR, sentence)


def no_bridge(bridge: str, existing: list[str]) -> KurierError:
    """The integration bridge is not there."""
    there = f"it has {', '.join(sorted(existing))}" if existing else "it has none"
    return switch_error(
        f"Open vSwitch has no bridge {bridge} ({there}): wait for the Neutron agent or "
        "ovn-controller to make it, or name the integration bridge in Kurier's configuration."
    )


def name_taken(device: str) -> KurierError:
    """Another port of the switch has the device's name."""
    return switch_error(
        f"Open vSwitch has a port {device} that is not of this lease; Kurier leaves it alone."
    )


def not_ours(device: str) -> KurierError:
    """Somebody else's device has the name."""
    return switch_error(
        f"The network device {device} is not the veth that Kurier made; Kurier leaves it alone."
    )
