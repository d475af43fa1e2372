# SPDX-License-Identifier: Apache-2.0
"""Tells neighbours who has an address now, from within a sandbox.

A gratuitous ARP reply (RFC 5944 section 4.6 describes the form) for IPv4 and an unsolicited
neighbour advertisement (RFC 4861 section 7.2.6) for IPv6, once each: it mends a neighbour's memory
of another MAC address, which would else last until it gives up on it.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import TypeVar

from pyroute2 import IPRoute

from kurier.model.ids import IPAddress

_T = TypeVar("_T")
_CLONE_NEWNET = 0x40000000
_IFF_UP = 0x1
_BROADCAST = b"\xff" * 6
_ALL_NODES = IPv6Address("ff02::1")
_LIBC = ctypes.CDLL(None, use_errno=True)


def announce(sandbox: str, mac: str, addresses: Sequence[IPAddress]) -> bool:
    """Sends from the interface with this MAC address in the network namespace at `sandbox`; False
    where there is none that is up. OSError where the namespace cannot be entered.
    """
    if not Path(sandbox).exists():
        return False
    return _inside(sandbox, lambda: _send(mac, addresses))


def _inside(sandbox: str, work: Callable[[], _T]) -> _T:
    """Runs work in a thread that enters the namespace and ends there: no other thread ever
    finds itself elsewhere.
    """
    answers: list[_T] = []
    errors: list[BaseException] = []

    def enter() -> None:
        try:
            with Path(sandbox).open("rb") as namespace:
                if _LIBC.setns(namespace.fileno(), _CLONE_NEWNET):
                    number = ctypes.get_errno()
                    raise OSError(number, os.strerror(number), sandbox)
            answers.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=enter, name="kurier-announce")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return answers[0]


def _send(mac: str, addresses: Sequence[IPAddress]) -> bool:
    name = _interface(mac)
    if not name:
        return False
    own = bytes.fromhex(mac.replace(":", ""))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind((name, 0))
        for address in addresses:
            frame = (
                gratuitous_arp(own, address)
                if isinstance(address, IPv4Address)
                else neighbour_advertisement(own, address)
            )
            wire.send(frame)
    return True


def _interface(mac: str) -> str:
    with IPRoute() as ip:
        for link in ip.get_links():
            if link.get_attr("IFLA_ADDRESS") == mac.lower() and link["flags"] & _IFF_UP:
                return str(link.get_attr("IFLA_IFNAME"))
    return ""


def gratuitous_arp(mac: bytes, address: IPv4Address) -> bytes:
    """An Ethernet frame with an ARP reply to all, about the sender itself."""
    head = _BROADCAST + mac + struct.pack("!H", 0x0806)
    fixed = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2)
    return head + fixed + mac + address.packed + _BROADCAST + address.packed


def neighbour_advertisement(mac: bytes, address: IPv6Address) -> bytes:
    """An Ethernet frame with an unsolicited advertisement to all nodes, override flag set."""
    override = 0x20000000
    option = struct.pack("!BB", 2, 1) + mac
    body = struct.pack("!BBHI", 136, 0, 0, override) + address.packed + option
    pseudo = address.packed + _ALL_NODES.packed + struct.pack("!II", len(body), 58)
    body = body[:2] + struct.pack("!H", _checksum(pseudo + body)) + body[4:]
    header = struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + address.packed + _ALL_NODES.packed
    multicast = b"\x33\x33" + _ALL_NODES.packed[-4:]
    return multicast + mac + struct.pack("!H", 0x86DD) + header + body


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
