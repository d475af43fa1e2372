# SPDX-License-Identifier: Apache-2.0
"""What the server answers to well-formed calls."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_interface, ip_network

import pytest

from kurier.model.ids import DockerNetworkId, EndpointId, PoolId
from kurier.service.requests import (
    AddressAsk,
    EndpointAsk,
    JoinAsk,
    NetworkAsk,
    PoolAsk,
    PoolData,
)
from tests.wire.conftest import Wire

NETWORK = "n" * 64
ENDPOINT = "e" * 64
BOTH = {"NetworkID": NETWORK, "EndpointID": ENDPOINT}


async def test_it_activates_as_both_drivers(wire: Wire) -> None:
    status, answer = await wire.raw("Plugin.Activate", b"")
    assert (status, answer) == (200, {"Implements": ["NetworkDriver", "IpamDriver"]})


async def test_it_tells_its_capabilities_without_a_body(wire: Wire) -> None:
    assert await wire.raw("NetworkDriver.GetCapabilities", b"") == (
        200,
        {"Scope": "local", "ConnectivityScope": "global", "GwAllocChecker": True},
    )
    assert await wire.raw("IpamDriver.GetCapabilities", b"") == (
        200,
        {"RequiresMACAddress": False, "RequiresRequestReplay": False},
    )


async def test_the_address_spaces_differ(wire: Wire) -> None:
    spaces = await wire.call("IpamDriver.GetDefaultAddressSpaces")
    assert spaces["LocalDefaultAddressSpace"] != spaces["GlobalDefaultAddressSpace"]


async def test_the_answers_are_of_the_plugins_media_type(wire: Wire) -> None:
    async with wire.client.post("http://plugin/Plugin.Activate") as reply:
        assert reply.headers["Content-Type"] == "application/vnd.docker.plugins.v1.2+json"


@pytest.mark.parametrize("internal", [True, False])
async def test_an_internal_network_needs_no_gateway_address(wire: Wire, internal: bool) -> None:
    body = {"Options": {"com.docker.network.internal": True} if internal else {}}
    answer = await wire.call("NetworkDriver.GwAllocCheck", body)
    assert answer == {"SkipIPv4": internal, "SkipIPv6": internal}


async def test_a_pool_without_a_range_brings_its_gateway(wire: Wire) -> None:
    body = {"AddressSpace": "KurierLocal", "Pool": "", "SubPool": "", "Options": None, "V6": False}
    answer = await wire.call("IpamDriver.RequestPool", body)
    assert wire.driver.asked == [("request_pool", PoolAsk("KurierLocal", None, None, {}, v6=False))]
    assert answer == {
        "PoolID": "pool-1",
        "Pool": "10.77.0.0/24",
        "Data": {"com.docker.network.gateway": "10.77.0.1/24"},
    }


async def test_a_pool_with_a_range_and_options(wire: Wire) -> None:
    body = {
        "AddressSpace": "KurierLocal",
        "Pool": "2001:db8::5/64",
        "SubPool": "2001:db8::/80",
        "Options": {"neutron.pool.v6.name": "six", "count": 5, "flag": True},
        "V6": True,
    }
    answer = await wire.call("IpamDriver.RequestPool", body)
    options = {"neutron.pool.v6.name": "six", "count": "5", "flag": "true"}
    ask = PoolAsk(
        "KurierLocal", ip_network("2001:db8::/64"), ip_network("2001:db8::/80"), options, v6=True
    )
    assert wire.driver.asked == [("request_pool", ask)]
    assert answer == {"PoolID": "pool-1", "Pool": "2001:db8::/64", "Data": {}}


async def test_addresses_are_asked_for_and_released(wire: Wire) -> None:
    gateway = {"RequestAddressType": "com.docker.network.gateway"}
    calls = [
        {"PoolID": "p", "Address": "10.77.0.1", "Options": gateway},
        {"PoolID": "p", "Address": "", "Options": None},
    ]
    answers = [await wire.call("IpamDriver.RequestAddress", call) for call in calls]
    await wire.call("IpamDriver.ReleaseAddress", {"PoolID": "p", "Address": "10.77.0.5"})
    await wire.call("IpamDriver.ReleasePool", {"PoolID": "p"})
    assert [answer["Address"] for answer in answers] == ["10.77.0.1/24", "10.77.0.5/24"]
    assert wire.driver.asked == [
        ("request_address", AddressAsk(PoolId("p"), IPv4Address("10.77.0.1"), gateway=True)),
        ("request_address", AddressAsk(PoolId("p"), None)),
        ("release_address", "p", IPv4Address("10.77.0.5")),
        ("release_pool", "p"),
    ]


async def test_a_network_with_nulls_where_maps_could_be(wire: Wire) -> None:
    body = {
        "NetworkID": NETWORK,
        "Options": {"com.docker.network.generic": None},
        "IPv4Data": [{"AddressSpace": "KurierLocal", "Pool": "10.77.0.0/24"}],
        "IPv6Data": None,
    }
    assert await wire.call("NetworkDriver.CreateNetwork", body) == {}
    pools = (PoolData(ip_network("10.77.0.0/24"), ours=True),)
    ask = NetworkAsk(DockerNetworkId(NETWORK), {}, internal=False, ipv6=False, pools=pools)
    assert wire.driver.asked == [("create_network", ask)]


async def test_an_endpoint_is_answered_only_what_was_added(wire: Wire) -> None:
    given = {"Address": "10.77.0.5/24", "AddressIPv6": "", "MacAddress": "FA:16:3E:00:00:09"}
    without = {**given, "MacAddress": ""}
    calls = [{**BOTH, "Interface": interface, "Options": None} for interface in (without, given)]
    answers = [await wire.call("NetworkDriver.CreateEndpoint", call) for call in calls]
    assert answers == [{"Interface": {"MacAddress": "fa:16:3e:00:00:01"}}, {"Interface": {}}]
    ask = wire.driver.asked[1][1]
    assert isinstance(ask, EndpointAsk)
    assert (ask.mac, ask.address_v4) == ("fa:16:3e:00:00:09", ip_interface("10.77.0.5/24"))


async def test_a_join_is_answered_with_device_gateway_and_routes(wire: Wire) -> None:
    options = {"com.docker.network.portmap": [], "com.docker.network.x": 1}
    answer = await wire.call(
        "NetworkDriver.Join", {**BOTH, "SandboxKey": "/run/x/1", "Options": options}
    )
    ids = DockerNetworkId(NETWORK), EndpointId(ENDPOINT)
    assert wire.driver.asked == [("join", JoinAsk(*ids, "/run/x/1", {"com.docker.network.x": "1"}))]
    assert answer == {
        "InterfaceName": {"SrcName": "tc-1", "DstPrefix": "eth"},
        "Gateway": "10.77.0.1",
        "GatewayIPv6": "",
        "StaticRoutes": [
            {"Destination": "10.88.0.0/24", "RouteType": 0, "NextHop": "10.77.0.2"},
            {"Destination": "169.254.169.254/32", "RouteType": 1, "NextHop": ""},
        ],
        "DisableGatewayService": True,
    }


async def test_the_calls_of_an_endpoint_reach_the_driver(wire: Wire) -> None:
    info = await wire.call("NetworkDriver.EndpointOperInfo", BOTH)
    for name in (
        "ProgramExternalConnectivity",
        "RevokeExternalConnectivity",
        "Leave",
        "DeleteEndpoint",
    ):
        assert await wire.call(f"NetworkDriver.{name}", BOTH) == {}
    assert await wire.call("NetworkDriver.DeleteNetwork", {"NetworkID": NETWORK}) == {}
    assert info == {"Value": {"neutron.port.uuid": "one"}}
    assert wire.driver.asked == [
        *(
            (name, NETWORK, ENDPOINT)
            for name in (
                "endpoint_info",
                "program_external",
                "revoke_external",
                "leave",
                "delete_endpoint",
            )
        ),
        ("delete_network", NETWORK),
    ]


async def test_discovery_changes_nothing(wire: Wire) -> None:
    body = {"DiscoveryType": 1, "DiscoveryData": {"Address": "10.9.0.1", "Self": True}}
    assert await wire.call("NetworkDriver.DiscoverNew", body) == {}
    assert await wire.call("NetworkDriver.DiscoverDelete", body) == {}
    assert wire.driver.asked == []
