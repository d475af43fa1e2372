# SPDX-License-Identifier: Apache-2.0
"""Address arithmetic: what a range offers, and what is kept out of it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from kurier.model.errors import Code, KurierError, bad_request
from kurier.model.ids import IPAddress, IPNetwork
from kurier.model.neutron import Range


def first_host(cidr: IPNetwork) -> IPAddress:
    """The address that a gateway gets when nobody names one."""
    return cidr[1] if cidr.num_addresses > 2 else cidr[0]


def ends(cidr: IPNetwork) -> tuple[int, int]:
    """First and last usable host address as integers.

    IPv4 keeps out the network and the broadcast address (RFC 922), IPv6 the subnet-router anycast
    address (RFC 4291, 2.6.1); a range of one or two addresses keeps out nothing (RFC 3021, 6164).
    """
    low, high = int(cidr.network_address), int(cidr.broadcast_address)
    if cidr.num_addresses <= 2:
        return low, high
    return low + 1, high - 1 if cidr.version == 4 else high


def allocation_ranges(
    cidr: IPNetwork, within: IPNetwork | None, kept_out: Iterable[IPAddress]
) -> tuple[Range, ...]:
    """The allocation pools of a subnet: `within` (all of it where None) less `kept_out`."""
    low, high = ends(cidr)
    if within is not None:
        low = max(low, int(within.network_address))
        high = min(high, int(within.broadcast_address))
    ranges: list[Range] = []
    for hole in sorted({int(address) for address in kept_out if address in cidr}):
        if low <= hole <= high:
            if low < hole:
                ranges.append(_range(cidr, low, hole - 1))
            low = hole + 1
    if low <= high:
        ranges.append(_range(cidr, low, high))
    if not ranges:
        raise bad_request(
            f"Nothing of {within or cidr} is left to give out: widen --ip-range or drop an "
            "--aux-address."
        )
    return tuple(ranges)


def check_range(cidr: IPNetwork, within: IPNetwork | None) -> None:
    """Refuses an --ip-range outside its subnet."""
    if within is None:
        return
    inside = within.version == cidr.version and (
        int(cidr.network_address) <= int(within.network_address)
        and int(within.broadcast_address) <= int(cidr.broadcast_address)
    )
    if not inside:
        raise bad_request(f"--ip-range {within} is not inside --subnet {cidr}: give a part of it.")


def check_address(cidr: IPNetwork, address: IPAddress) -> None:
    """Refuses an address that no container can have in this range."""
    if address.version != cidr.version or address not in cidr:
        raise KurierError(
            Code.ADDRESS_INVALID,
            f"Address {address} is not in the range {cidr} of this network: choose one inside it.",
        )
    low, high = ends(cidr)
    if not low <= int(address) <= high:
        raise KurierError(
            Code.ADDRESS_INVALID,
            f"Address {address} is the network or broadcast address of {cidr}: choose another.",
        )


def _range(cidr: IPNetwork, low: int, high: int) -> Range:
    kind = ipaddress.IPv4Address if cidr.version == 4 else ipaddress.IPv6Address
    return Range(kind(low), kind(high))
