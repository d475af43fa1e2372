# SPDX-License-Identifier: Apache-2.0
"""Which gateway, range and auxiliary address belongs to which `--subnet`, as Docker's own client
matches them: by containment.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

import click

from kurier.model.ids import IPAddress, IPNetwork


def match(
    subnets: Sequence[str],
    gateways: Sequence[str],
    ranges: Sequence[str],
    auxiliary: Sequence[str],
) -> list[dict[str, Any]]:
    """One mapping for each subnet, as the daemon's admin socket reads it; raises UsageError."""
    found: list[dict[str, Any]] = []
    for text in subnets:
        found.append({"cidr": str(_network(text, "--subnet")), "auxiliary": {}})
    for text in gateways:
        _owner(found, _address(text, "--gateway"), "--gateway")["gateway"] = text
    for text in ranges:
        network = _network(text, "--ip-range")
        _owner(found, network.network_address, "--ip-range")["ip_range"] = str(network)
    for pair in auxiliary:
        name, _, text = pair.partition("=")
        address = _address(text, "--aux-address")
        _owner(found, address, "--aux-address")["auxiliary"][name] = str(address)
    return found


def _owner(found: list[dict[str, Any]], address: IPAddress, option: str) -> dict[str, Any]:
    for one in found:
        if address in ipaddress.ip_network(one["cidr"]):
            return one
    raise click.UsageError(f"{option} {address} is in no --subnet: give the subnet that has it.")


def _network(text: str, option: str) -> IPNetwork:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise click.UsageError(f"{option} {text} is no range such as 10.0.0.0/24.") from None


def _address(text: str, option: str) -> IPAddress:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise click.UsageError(f"{option} {text} is no address.") from None
