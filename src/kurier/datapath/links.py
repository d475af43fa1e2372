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
import re
import socket
import struct
from collections.abc import Iterator, Set
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.ethtool.ioctl import IoctlEthtool
from pyroute2.netlink.exceptions import NetlinkError

from kurier.datapath.failures import not_ours, switch_error
from kurier.model.wiring import Plug

_LOG = logging.getLogger(__name__)
_SIOCGIFINDEX = 0x8933
_SIOCGIFFLAGS = 0x8913
_IFF_UP = 0x1
_IFF_NOARP = 0x80
_SWITCH_END_FLAGS = _IFF_UP | _IFF_NOARP
_SWITCH_END = re.compile(r"tap[0-9a-f]{11}\Z")
_DEAF = (("ipv6", "disable_ipv6"), ("ipv4", "rp_filter"))


@dataclass(frozen=True, slots=True)
class Link:
    """A device of the host's namespace."""

    index: int
    kind: str
    peer_index: int
    """The other end's index, in whichever namespace that is; 0 where there is none."""
    peer_away: bool
    """Whether that is another namespace than the host's."""
    altnames: tuple[str, ...]


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


def is_up(device: str) -> bool:
    """Whether the host's namespace has this device and it is up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            answer = fcntl.ioctl(asking, _SIOCGIFFLAGS, struct.pack("16s16x", device.encode()))
        except OSError as error:
            if error.errno == errno.ENODEV:
                return False
            raise
    return bool(struct.unpack("16xH14x", answer)[0] & _IFF_UP)


def pairs_without(rows: Set[str]) -> list[str]:
    """The switch's ends of pairs that Kurier made and that no row of the switch has: their plugging
    was cut off. The other end waits in the host's namespace.
    """
    names = {name for _, name in socket.if_nameindex()}
    made = (name for name in names - rows if _SWITCH_END.match(name))
    return sorted(name for name in made if name.replace("tap", "kur", 1) in names)


def create(plug: Plug, *, userspace: bool) -> None:
    """Makes the pair, or leaves nothing behind; SWITCH_ERROR.

    One request makes both ends with their MTU and MAC. The switch's end is up; the sandbox's end
    stays down, so that the host never speaks with the port's MAC; the engine raises it.
    """
    with netlink(f"make the veth pair {plug.device}, {plug.peer}") as ip:
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
    with netlink(f"complete the veth pair {plug.device}, {plug.peer}") as ip:
        device, peer = find(ip, ifname=plug.device), find(ip, ifname=plug.peer)
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


def delete(device: str) -> None:
    """Deletes the pair, wherever its other end is; what is gone is gone. SWITCH_ERROR."""
    with netlink(f"delete {device}") as ip:
        link = find(ip, ifname=device)
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
                tx_checksum_off(end)


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


def tx_checksum_off(device: str) -> None:
    """Has the kernel fill in every checksum before a frame leaves the device; SWITCH_ERROR."""
    try:
        with closing(IoctlEthtool(device)) as ethtool:
            ethtool.set_offload_flag("tx-checksumming", 0)
    except Exception as error:
        raise switch_error(
            f"The kernel does not switch TX checksum offload off on {device}: {error!r}."
        ) from error


def find(ip: Any, **which: str | int) -> Link | None:
    """The device that has this `ifname` or `index`; None where there is none."""
    try:
        (message,) = ip.link("get", **which)
    except NetlinkError as error:
        if error.code == errno.ENODEV:
            return None
        raise
    info = message.get_attr("IFLA_LINKINFO")
    kind = info.get_attr("IFLA_INFO_KIND") if info is not None else None
    properties = message.get_attr("IFLA_PROP_LIST")
    return Link(
        index=message["index"],
        kind=kind or "",
        peer_index=message.get_attr("IFLA_LINK") or 0,
        peer_away=message.get_attr("IFLA_LINK_NETNSID") is not None,
        altnames=tuple(properties.get_attrs("IFLA_ALT_IFNAME")) if properties is not None else (),
    )


@contextmanager
def netlink(what: str) -> Iterator[Any]:
    """A netlink socket; the kernel's refusals leave as SWITCH_ERROR that names `what`."""
    try:
        with IPRoute() as ip:
            yield ip
    except NetlinkError as error:
        why = os.strerror(error.code)
        if error.code == errno.EPERM:
            why += "; Kurier needs CAP_NET_ADMIN"
        raise switch_error(f"The kernel does not {what}: {why}.") from error
