# SPDX-License-Identifier: Apache-2.0
"""The bodies of libnetwork's remote driver and remote IPAM protocols, as they travel.

Engines differ in what they leave out or send as null, so only what a call cannot do without is
required; fields unknown here are ignored.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import field

MEDIA_TYPE = "application/vnd.docker.plugins.v1.2+json"
GENERIC = "com.docker.network.generic"
INTERNAL = "com.docker.network.internal"
ENABLE_IPV6 = "com.docker.network.enable_ipv6"
GATEWAY = "com.docker.network.gateway"
EXPOSED_PORTS = "com.docker.network.endpoint.exposedports"
PORT_MAP = "com.docker.network.portmap"
ADDRESS_TYPE = "RequestAddressType"

Filled = Annotated[str, msgspec.Meta(min_length=1)]
Options = dict[str, Any]
"""Free-form: booleans, numbers, lists and maps stand beside strings."""


class OfNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """DeleteNetwork, FreeNetwork."""

    network: Filled = field(name="NetworkID")


class OfEndpoint(OfNetwork, frozen=True, kw_only=True):
    """DeleteEndpoint, Leave, EndpointOperInfo, ProgramExternalConnectivity and its revocation."""

    endpoint: Filled = field(name="EndpointID")


class IpamData(msgspec.Struct, frozen=True, kw_only=True):
    space: str | None = field(name="AddressSpace", default=None)
    """One range of a network; gateway and auxiliary addresses are in CIDR notation."""

    pool: str | None = field(name="Pool", default=None)
    gateway: str | None = field(name="Gateway", default=None)
    auxiliary: dict[str, str] | None = field(name="AuxAddresses", default=None)


class CreateNetwork(OfNetwork, frozen=True, kw_only=True):
    options: Options | None = field(name="Options", default=None)
    ipv4: list[IpamData] | None = field(name="IPv4Data", default=None)
    ipv6: list[IpamData] | None = field(name="IPv6Data", default=None)


class GwAllocCheck(msgspec.Struct, frozen=True, kw_only=True):
    options: Options | None = field(name="Options", default=None)


class Interface(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    address: str | None = field(name="Address", default=None)
    address_ipv6: str | None = field(name="AddressIPv6", default=None)
    mac: str | None = field(name="MacAddress", default=None)


class CreateEndpoint(OfEndpoint, frozen=True, kw_only=True):
    interface: Interface | None = field(name="Interface", default=None)
    options: Options | None = field(name="Options", default=None)


class Join(OfEndpoint, frozen=True, kw_only=True):
    sandbox: str | None = field(name="SandboxKey", default=None)
    options: Options | None = field(name="Options", default=None)


class Discovery(msgspec.Struct, frozen=True, kw_only=True):
    kind: int | None = field(name="DiscoveryType", default=None)


LOCAL_SPACE, GLOBAL_SPACE = "KurierLocal", "KurierGlobal"
"""The names of the address spaces of Kurier's IPAM driver."""


class RequestPool(msgspec.Struct, frozen=True, kw_only=True):
    space: str | None = field(name="AddressSpace", default=None)
    pool: str | None = field(name="Pool", default=None)
    sub_pool: str | None = field(name="SubPool", default=None)
    options: Options | None = field(name="Options", default=None)
    v6: bool = field(name="V6", default=False)


class OfPool(msgspec.Struct, frozen=True, kw_only=True):
    """ReleasePool."""

    pool: Filled = field(name="PoolID")


class RequestAddress(OfPool, frozen=True, kw_only=True):
    address: str | None = field(name="Address", default=None)
    options: Options | None = field(name="Options", default=None)


class ReleaseAddress(OfPool, frozen=True, kw_only=True):
    address: str | None = field(name="Address", default=None)


class Activated(msgspec.Struct, frozen=True):
    implements: tuple[str, ...] = field(name="Implements")


class DriverCapabilities(msgspec.Struct, frozen=True, kw_only=True):
    scope: str = field(name="Scope")
    connectivity_scope: str = field(name="ConnectivityScope")
    gw_alloc_checker: bool = field(name="GwAllocChecker")


class IpamCapabilities(msgspec.Struct, frozen=True, kw_only=True):
    requires_mac: bool = field(name="RequiresMACAddress")
    requires_replay: bool = field(name="RequiresRequestReplay")


class AddressSpaces(msgspec.Struct, frozen=True, kw_only=True):
    local_space: str = field(name="LocalDefaultAddressSpace")
    global_space: str = field(name="GlobalDefaultAddressSpace")


class GatewaysSkipped(msgspec.Struct, frozen=True, kw_only=True):
    ipv4: bool = field(name="SkipIPv4")
    ipv6: bool = field(name="SkipIPv6")


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    id: str = field(name="PoolID")
    cidr: str = field(name="Pool")
    data: dict[str, str] = field(name="Data")


class Address(msgspec.Struct, frozen=True, kw_only=True):
    address: str = field(name="Address")
    data: dict[str, str] = field(name="Data")


class EndpointMade(msgspec.Struct, frozen=True):
    interface: Interface = field(name="Interface")


class EndpointInfo(msgspec.Struct, frozen=True):
    value: dict[str, str] = field(name="Value")


class InterfaceName(msgspec.Struct, frozen=True, kw_only=True):
    source: str = field(name="SrcName")
    prefix: str = field(name="DstPrefix")


class StaticRoute(msgspec.Struct, frozen=True, kw_only=True):
    """`kind` 0 goes by `next_hop`, 1 is on the link."""

    destination: str = field(name="Destination")
    kind: int = field(name="RouteType")
    next_hop: str = field(name="NextHop")


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    name: InterfaceName = field(name="InterfaceName")
    gateway: str = field(name="Gateway")
    gateway_ipv6: str = field(name="GatewayIPv6")
    routes: tuple[StaticRoute, ...] = field(name="StaticRoutes")
    disable_gateway_service: bool = field(name="DisableGatewayService")


class Nothing(msgspec.Struct, frozen=True):
    """The answer of a call that has none."""


class Failure(msgspec.Struct, frozen=True):
    """`Err` is read by the network driver's and the plugin's client, `Error` by the IPAM client."""

    err: str = field(name="Err")
    error: str = field(name="Error")
