# SPDX-License-Identifier: Apache-2.0
"""What a guest has to know of its Neutron port."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address, ip_network
from typing import Any

Interface = IPv4Interface | IPv6Interface
Gateway = IPv4Address | IPv6Address


@dataclass(frozen=True)
class GuestPort:
    """A Neutron port as its guest configures it; nothing of it is asked from Neutron here."""

    port_id: str
    mac: str
    addresses: tuple[Interface, ...]
    gateways: tuple[Gateway, ...] = ()
    mtu: int = 1442

    @classmethod
    def from_neutron(
        cls, port: Mapping[str, Any], subnets: Iterable[Mapping[str, Any]], mtu: int
    ) -> GuestPort:
        """Of a port and its subnets as the API shows them, and the network's MTU in octets."""
        by_id = {subnet["id"]: subnet for subnet in subnets}
        addresses: list[Interface] = []
        gateways: list[Gateway] = []
        for fixed in port["fixed_ips"]:
            subnet = by_id[fixed["subnet_id"]]
            length = ip_network(subnet["cidr"]).prefixlen
            text = f"{fixed['ip_address']}/{length}"
            addresses.append(IPv6Interface(text) if ":" in text else IPv4Interface(text))
            if subnet["gateway_ip"]:
                gateways.append(ip_address(subnet["gateway_ip"]))
        return cls(port["id"], port["mac_address"], tuple(addresses), tuple(gateways), mtu)
