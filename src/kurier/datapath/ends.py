# SPDX-License-Identifier: Apache-2.0
"""The sandbox's end of a pair that comes back from a sandbox: where it is, and made as new."""

from __future__ import annotations

import errno
from typing import Any

from pyroute2.netlink.exceptions import NetlinkError

from kurier.datapath.failures import not_ours
from kurier.datapath.links import Link, find, netlink, tx_checksum_off
from kurier.model.wiring import End, Plug

_IFF_MULTICAST = 0x1000
_SETTABLE_FLAGS = 0x1 | 0x4 | 0x20 | 0x40 | 0x80 | 0x100 | 0x200 | 0x1000 | 0x2000 | 0x4000 | 0x8000
"""UP, DEBUG, NOTRAILERS, …, NOARP, PROMISC, ALLMULTI, MULTICAST, PORTSEL, AUTOMEDIA, DYNAMIC:
all that `dev_change_flags` lets anybody set."""
_NO_IPV6_MTU = 68
"""The least a veth takes, and too little for IPv6 (RFC 8200), which the kernel then ends on it."""
_QUEUE = 1000
_NO_PROGRAM = -1


def reset(plug: Plug, *, userspace: bool) -> End:
    """Makes the sandbox's end what `links.create` makes of it, whatever a sandbox did to it.

    The move between namespaces takes addresses, routes and sysctls from a device, but leaves
    flags, MTU, MAC, queue length and names. SWITCH_ERROR where the device is somebody else's, or
    the kernel refuses.
    """
    with netlink(f"take {plug.peer} back") as ip:
        end, peer = _whereabouts(ip, plug.device)
        if peer is None:
            return end
        try:
            _renew(ip, peer, plug)
        except NetlinkError as error:
            if error.code != errno.ENODEV:
                raise
            # It went between the question and now.
            end, peer = _whereabouts(ip, plug.device)
            if peer is not None:
                raise
            return end
    if userspace:
        tx_checksum_off(plug.peer)
    return End.WAITING


def _whereabouts(ip: Any, device: str) -> tuple[End, Link | None]:
    """Where the other end is, and the other end itself where it is here."""
    link = find(ip, ifname=device)
    if link is None:
        return End.GONE, None
    if link.kind != "veth":
        raise not_ours(device)
    if not link.peer_index:
        return End.GONE, None  # the pair is being taken down this moment
    if link.peer_away:
        return End.AWAY, None
    peer = find(ip, index=link.peer_index)
    return (End.AWAY, None) if peer is None else (End.WAITING, peer)


def _renew(ip: Any, peer: Link, plug: Plug) -> None:
    ip.link(
        "set",
        index=peer.index,
        flags=_IFF_MULTICAST,
        change=_SETTABLE_FLAGS,
        mtu=_NO_IPV6_MTU,
        xdp_fd=_NO_PROGRAM,
    )
    _drop_ipv4_addresses(ip, peer.index)
    if peer.altnames:
        ip.link("property_del", index=peer.index, altname=list(peer.altnames))
    ip.link(
        "set",
        index=peer.index,
        ifname=plug.peer,
        address=plug.mac,
        mtu=plug.mtu,
        txqlen=_QUEUE,
        ifalias="",
        group=0,
        master=0,
    )


def _drop_ipv4_addresses(ip: Any, index: int) -> None:
    """A delete that names no address takes the first one; there is none where that fails."""
    while True:
        try:
            ip.addr("del", index=index, family=2)
        except NetlinkError as error:
            if error.code != errno.EADDRNOTAVAIL:
                raise
            return
