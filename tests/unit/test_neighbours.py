# SPDX-License-Identifier: Apache-2.0
"""The frames that tell neighbours who has an address, byte by byte."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

from hypothesis import given
from hypothesis import strategies as st

from kurier.datapath.neighbours import gratuitous_arp, neighbour_advertisement

MAC = bytes.fromhex("fa163e0a0b0c")


def test_a_gratuitous_arp_is_a_reply_to_all_about_the_sender() -> None:
    frame = gratuitous_arp(MAC, IPv4Address("10.1.2.3"))
    assert frame[:14] == b"\xff" * 6 + MAC + b"\x08\x06"
    assert struct.unpack("!HHBBH", frame[14:22]) == (1, 0x0800, 6, 4, 2)
    assert frame[22:28] == MAC
    assert frame[28:32] == frame[38:42] == IPv4Address("10.1.2.3").packed
    assert len(frame) == 42


def internet_sum(data: bytes) -> int:
    """The ones' complement sum of RFC 1071; 0xffff over what carries its own checksum."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@given(st.ip_addresses(v=6), st.binary(min_size=6, max_size=6))
def test_an_advertisement_is_unsolicited_overrides_and_sums_up(
    address: IPv6Address, mac: bytes
) -> None:
    frame = neighbour_advertisement(mac, address)
    header, body = frame[14:54], frame[54:]
    assert frame[:14] == b"\x33\x33\x00\x00\x00\x01" + mac + b"\x86\xdd"
    assert header[6:8] == bytes([58, 255])  # ICMPv6, and a hop limit that no router forwards
    assert (header[8:24], header[24:40]) == (address.packed, IPv6Address("ff02::1").packed)
    assert int.from_bytes(header[4:6]) == len(body) == 32
    assert body[0] == 136
    assert body[4:8] == b"\x20\x00\x00\x00"
    assert body[8:24] == address.packed
    assert body[24:] == b"\x02\x01" + mac
    pseudo = header[8:40] + struct.pack("!II", len(body), 58)
    assert internet_sum(pseudo + body) == 0xFFFF
