# SPDX-License-Identifier: Apache-2.0
"""Address arithmetic, against a plain enumeration of small networks."""

from __future__ import annotations

import ipaddress
import itertools
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kurier.model.errors import Code, KurierError
from kurier.model.ids import IPAddress, IPNetwork
from kurier.model.neutron import Range
from kurier.model.ranges import (
    allocation_ranges,
    check_address,
    check_range,
    ends,
    first_host,
)


def network(bits: int, prefix: int, version: int) -> IPNetwork:
    width = 32 if version == 4 else 128
    kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    return ip_network(f"{kind(bits % 2**width)}/{prefix}", strict=False)


@st.composite
def networks(draw: st.DrawFn) -> IPNetwork:
    version = draw(st.sampled_from((4, 6)))
    width = 32 if version == 4 else 128
    bits = draw(st.integers(0, 2**width - 1))
    return network(bits, draw(st.integers(width - 8, width)), version)


@st.composite
def parts(draw: st.DrawFn, cidr: IPNetwork) -> IPNetwork:
    prefix = draw(st.integers(cidr.prefixlen, cidr.max_prefixlen))
    offset = draw(st.integers(0, cidr.num_addresses - 1))
    return network(int(cidr.network_address) + offset, prefix, cidr.version)


def addresses(cidr: IPNetwork) -> list[IPAddress]:
    return [cidr[spot] for spot in range(cidr.num_addresses)]


def hosts(cidr: IPNetwork) -> set[IPAddress]:
    """What the standard library takes for host addresses."""
    return set(cidr.hosts()) or set(addresses(cidr))


def members(ranges: tuple[Range, ...]) -> list[IPAddress]:
    return [
        ip_address(number) if one.start.version == 4 else ipaddress.IPv6Address(number)
        for one in ranges
        for number in range(int(one.start), int(one.end) + 1)
    ]


@given(networks())
def test_the_ends_are_the_first_and_last_host(cidr: IPNetwork) -> None:
    expected = sorted(hosts(cidr))
    assert ends(cidr) == (int(expected[0]), int(expected[-1]))


@given(st.data())
def test_ranges_are_exactly_what_is_left(data: st.DataObject) -> None:
    cidr = data.draw(networks())
    within = data.draw(st.none() | parts(cidr))
    kept_out = data.draw(st.sets(st.sampled_from(addresses(cidr)), max_size=12))
    left = {one for one in hosts(cidr) if one not in kept_out and (within is None or one in within)}
    if not left:
        with pytest.raises(KurierError, match=r"Nothing of .* is left to give out") as raised:
            allocation_ranges(cidr, within, kept_out)
        assert raised.value.code is Code.BAD_REQUEST
        return
    ranges = allocation_ranges(cidr, within, kept_out)
    assert members(ranges) == sorted(left)
    assert all(int(low.end) + 1 < int(high.start) for low, high in itertools.pairwise(ranges))


@given(st.data())
def test_a_hole_outside_the_network_changes_nothing(data: st.DataObject) -> None:
    cidr = data.draw(networks().filter(lambda one: one.num_addresses > 2))
    outside = [ip_address("198.51.100.1"), ip_address("2001:db8:ffff::1")]
    away = [address for address in outside if address not in cidr]
    assert allocation_ranges(cidr, None, away) == allocation_ranges(cidr, None, ())


@given(networks())
def test_the_gateway_nobody_named_is_a_host(cidr: IPNetwork) -> None:
    check_address(cidr, first_host(cidr))


@given(st.data())
def test_every_host_is_accepted_and_nothing_else(data: st.DataObject) -> None:
    cidr = data.draw(networks())
    address = data.draw(st.sampled_from(addresses(cidr)))
    if address in hosts(cidr):
        check_address(cidr, address)
        return
    with pytest.raises(KurierError, match="network or broadcast address") as raised:
        check_address(cidr, address)
    assert raised.value.code is Code.ADDRESS_INVALID


@pytest.mark.parametrize("address", ["10.2.0.1", "10.1.255.255", "fd00::1"])
def test_an_address_elsewhere_is_refused_with_the_range(address: str) -> None:
    with pytest.raises(KurierError, match=r"not in the range 10\.2\.1\.0/24") as raised:
        check_address(ip_network("10.2.1.0/24"), ip_address(address))
    assert raised.value.code is Code.ADDRESS_INVALID


@given(st.data())
def test_any_part_of_a_network_may_be_its_ip_range(data: st.DataObject) -> None:
    cidr = data.draw(networks())
    check_range(cidr, data.draw(st.none() | parts(cidr)))


@pytest.mark.parametrize("within", ["10.2.0.0/23", "10.2.2.0/25", "fd00::/120"])
def test_an_ip_range_elsewhere_is_refused(within: str) -> None:
    with pytest.raises(KurierError, match="is not inside --subnet") as raised:
        check_range(ip_network("10.2.1.0/24"), ip_network(within))
    assert raised.value.code is Code.BAD_REQUEST
