# SPDX-License-Identifier: Apache-2.0
"""Pings with the Don't Fragment bit and says what became of it; busybox's ping cannot.

    python df_ping.py ADDRESS SIZE

SIZE is that of the whole IPv4 packet. Prints `answered`, `refused` where this side's own interface
or route is too small for it, `told MTU` where a router on the way said so, or `silence`.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
import time

_HEADERS = 20 + 8  # IPv4 and ICMP
_SECONDS = 3.0
# Of <linux/in.h>; Python's socket module does not name them all.
IP_MTU_DISCOVER, IP_PMTUDISC_DO, IP_MTU = 10, 2, 14


def main(address: str, size: int) -> str:
    """One try, as the module says."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        raw.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
        raw.settimeout(_SECONDS)
        raw.connect((address, 0))
        try:
            raw.send(_echo(size - _HEADERS))
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
            return "refused"
        return _outcome(raw)


def _outcome(raw: socket.socket) -> str:
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        try:
            received = raw.recv(65535)
        except TimeoutError:
            break
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
            return f"told {raw.getsockopt(socket.IPPROTO_IP, IP_MTU)}"
        kind, _, _, identity, _ = struct.unpack("!BBHHH", received[20:28])
        if kind == 0 and identity == _identity():
            return "answered"
    return "silence"


def _identity() -> int:
    return os.getpid() & 0xFFFF


def _echo(payload: int) -> bytes:
    body = bytes(payload)
    head = struct.pack("!BBHHH", 8, 0, 0, _identity(), 1)
    return struct.pack("!BBHHH", 8, 0, _checksum(head + body), _identity(), 1) + body


def _checksum(data: bytes) -> int:
    padded = data + bytes(len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


if __name__ == "__main__":
    print(main(sys.argv[1], int(sys.argv[2])))
