# SPDX-License-Identifier: Apache-2.0
"""veth pairs in the host's network namespace, by netlink.

Every question asked here names one device, so there is no netlink dump that could be interrupted
(NLM_F_DUMP_INTR) and give half an answer. A socket lives for one operation: opening one costs a
quarter of a millisecond, and nothing is shared between threads or left open.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.ethtool.ioctl import IoctlEthtool
from pyroute2.netlink.exceptions import NetlinkError

from kurier.datapath.failures import not_ours, switch_error
from kurier.model.wiring import End, Plug

_LOG = logging.getLogger(__name__)
_SIOCGIFINDEX = 0x8933
_IFF_UP = 0x1
_IFF_NOARP = 0x80
_SWITCH_END_FLAGS = _IFF_UP | _IFF_NOARP
_IFF_PROMISC, _IFF_ALLMULTI = 0x100, 0x200
_SANDBOX_END_FLAGS = _IFF_UP | _IFF_NOARP | _IFF_PROMISC | _IFF_ALLMULTI
_DEAF = (("ipv6", "disable_ipv6"), ("ipv4", "rp_filter"))


@dataclass(frozen=True, slots=True)
class Link:
    """A device of the host's namespace."""

    index: int
    kind: str
    peer_index: int
    """The other end's index, in whichever namespace that is; 0 where there is none."""
    peer_elsewhere: bool = False
    """Whether the other end is in another namespace."""


def present(device: str) -> bool:
    """Whether the host's namespace has this device; any doubt is an error, never a no.

    (socket.if_nametoindex says "no such name" also where it ran out of descriptors.)
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            fcntl.ioctl(asking, _SIOCGIFINDEX, struct.pack("16s16x", device.encode()))
        except OSError as error:
            if error.errno == errno.ENODEV:
                return False
            raise
    return True


def create(plug: Plug, *, userspace: bool) -> None:
    """Makes the pair, or leaves nothing behind; SWITCH_ERROR.

    One request makes both ends with their MTU and MAC. The switch's end is up; the sandbox's end
    stays down, so that the host never speaks with the port's MAC; the engine raises it.
    """
    with _netlink(f"make the veth pair {plug.device}, {plug.peer}") as ip:
        ip.link(
            "add",
            ifname=plug.device,
            kind="veth",
            mtu=plug.mtu,
            flags=_SWITCH_END_FLAGS,
            change=_SWITCH_END_FLAGS,
            peer={"ifname": plug.peer, "address": plug.mac, "mtu": plug.mtu},
        )
    try:
        _finish(plug, userspace=userspace)
    except BaseException:
        delete(plug.device)
        raise


def complete(plug: Plug, *, userspace: bool) -> None:
    """Brings a pair that an earlier, interrupted plug left to what :func:`create` makes.

    A peer that is no longer here lives in a sandbox, and is left as it is; SWITCH_ERROR where the
    two names are not the two ends of one pair.
    """
    with _netlink(f"complete the veth pair {plug.device}, {plug.peer}") as ip:
        device, peer = _find(ip, plug.device), _find(ip, plug.peer)
        if device is None or device.kind != "veth":
            raise not_ours(plug.device)
        if peer is not None and peer.index != device.peer_index:
            raise not_ours(plug.peer)
        ip.link(
            "set",
            index=device.index,
            mtu=plug.mtu,
            flags=_SWITCH_END_FLAGS,
            change=_SWITCH_END_FLAGS,
        )
        if peer is not None:
            ip.link("set", index=peer.index, mtu=plug.mtu, address=plug.mac)
    _finish(plug, userspace=userspace)


def reset(plug: Plug) -> End:
    """Makes the sandbox's end as :func:`create` makes it, if it is in the host's namespace.

    A device that moves between namespaces loses its addresses, routes and queueing disciplines on
    the way; what stays with it is its name, MAC, MTU and flags. SWITCH_ERROR.
    """
    with _netlink(f"reset the veth pair {plug.device}, {plug.peer}") as ip:
        device = _find(ip, plug.device)
        if device is None:
            return End.GONE
        if device.kind != "veth":
            raise not_ours(plug.device)
        if device.peer_elsewhere:
            return End.AWAY
        ip.link("set", index=device.peer_index, flags=0, change=_SANDBOX_END_FLAGS)
        ip.link(
            "set",
            index=device.peer_index,
            ifname=plug.peer,
            address=plug.mac,
            mtu=plug.mtu,
        )
        ip.flush_addr(index=device.peer_index)
    return End.WAITING


def delete(device: str) -> None:
    """Deletes the pair, wherever its other end is; what is gone is gone. SWITCH_ERROR."""
    with _netlink(f"delete {device}") as ip:
        link = _find(ip, device)
        if link is None:
            return
        if link.kind != "veth":
            raise not_ours(device)
        try:
            ip.link("del", index=link.index)
        except NetlinkError as error:
            if error.code != errno.ENODEV:
                raise


def _finish(plug: Plug, *, userspace: bool) -> None:
    _deafen(plug.device)
    if userspace:
        # The userspace datapath passes frames on as it gets them: a checksum left to a device
        # that does not exist would never be filled in, and TCP would not pass.
        for end in (plug.device, plug.peer):
            if present(end):
                _tx_checksum_off(end)


def _deafen(device: str) -> None:
    """Keeps the host's own IP stack off the switch's end.

    The userspace datapath reads from a packet socket, and the host's stack gets a copy: without
    this a container's router advertisement would configure the host, and its ARP be answered by
    it. (NOARP is among the flags.) In kernel datapaths it only spares the sandbox the host's own
    multicast.
    """
    for family, setting in _DEAF:
        path = Path(f"/proc/sys/net/{family}/conf/{device}/{setting}")
        try:
            path.write_text("1")
        except FileNotFoundError:
            continue  # a kernel without this family
        except OSError as error:
            _LOG.warning("cannot set %s: %s; the host hears what this port sends", path, error)


def _tx_checksum_off(device: str) -> None:
    try:
        with closing(IoctlEthtool(device)) as ethtool:
            ethtool.set_offload_flag("tx-checksumming", 0)
    except Exception as error:
        raise switch_error(
            f"The kernel does not switch TX checksum offload off on {device}: {error!r}."
        ) from error


def _find(ip: Any, device: str) -> Link | None:
    try:
        (message,) = ip.link("get", ifname=device)
    except NetlinkError as error:
        if error.code == errno.ENODEV:
            return None
        raise
    info = message.get_attr("IFLA_LINKINFO")
    kind = info.get_attr("IFLA_INFO_KIND") if info is not None else None
    return Link(
        message["index"],
        kind or "",
        message.get_attr("IFLA_LINK") or 0,
        message.get_attr("IFLA_LINK_NETNSID") is not None,
    )


@contextmanager
def _netlink(what: str) -> Iterator[Any]:
    try:
        with IPRoute() as ip:
            yield ip
    except NetlinkError as error:
        why = os.strerror(error.code)
        if error.code == errno.EPERM:
            why += "; Kurier needs CAP_NET_ADMIN"
        raise switch_error(f"The kernel does not {what}: {why}.") from error
