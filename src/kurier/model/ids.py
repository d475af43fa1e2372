# SPDX-License-Identifier: Apache-2.0
"""Identifiers as types of their own, so that a port's id is never passed for an endpoint's."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NewType

DockerNetworkId = NewType("DockerNetworkId", str)
"""The engine's network id: 64 hexadecimal digits, or 25 characters for a Swarm network."""
EndpointId = NewType("EndpointId", str)
"""The engine's endpoint id, 64 hexadecimal digits."""
PoolId = NewType("PoolId", str)
"""The id that the IPAM driver gave to one RequestPool."""
PortKey = NewType("PortKey", str)
"""The ledger's id of a port, 32 hexadecimal digits; also the Neutron port's first `device_id`."""
NetworkId = NewType("NetworkId", str)
"""A Neutron network's UUID."""
SubnetId = NewType("SubnetId", str)
SubnetPoolId = NewType("SubnetPoolId", str)
PortId = NewType("PortId", str)
SecurityGroupId = NewType("SecurityGroupId", str)
QosPolicyId = NewType("QosPolicyId", str)
EnvironmentId = NewType("EnvironmentId", str)
"""What names one container control plane; see :func:`kurier.model.tags.environment_mark`."""

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network
