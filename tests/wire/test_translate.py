# SPDX-License-Identifier: Apache-2.0
"""What endpoints' and networks' free-form options become, however an engine spells them."""

from __future__ import annotations

import contextlib
from ipaddress import ip_address, ip_network
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kurier.docker import translate, wire
from kurier.model.errors import KurierError
from kurier.model.neutron import Rule
from kurier.service.requests import EndpointAsk, NetworkAsk, PoolData

POLICY = {"kurier.security_groups": "web,db"}
EXPOSED = {"com.docker.network.endpoint.exposedports": [{"Proto": 6, "Port": 80}]}
MAPPED = {
    "com.docker.network.portmap": [
        {"Proto": 6, "IP": "", "Port": 80, "HostIP": "", "HostPort": 8080, "HostPortEnd": 8080}
    ]
}


def endpoint(options: object, v4: str = "10.1.0.5/24", v6: str = "") -> EndpointAsk:
    interface = {"Address": v4, "AddressIPv6": v6, "MacAddress": ""}
    body = {"NetworkID": "n", "EndpointID": "e", "Interface": interface, "Options": options}
    return translate.endpoint_ask(msgspec.convert(body, wire.CreateEndpoint))


def network(options: object, **data: object) -> NetworkAsk:
    body = {"NetworkID": "n", "Options": options, **data}
    return translate.network_ask(msgspec.convert(body, wire.CreateNetwork))


@pytest.mark.parametrize(
    "options",
    [
        POLICY,
        {"com.docker.network.generic": POLICY},
        {"com.docker.network.generic": {"kurier.security_groups": "wider"}, **POLICY},
        {**POLICY, "com.docker.network.endpoint.dnsservers": None, "other": "x"},
    ],
)
def test_a_policy_is_found_at_the_top_and_below_generic(options: dict[str, Any]) -> None:
    assert endpoint(options).policy_options == POLICY


@pytest.mark.parametrize("options", [EXPOSED, MAPPED, {**EXPOSED, **MAPPED}])
def test_exposing_and_mapping_open_the_containers_port_once(options: dict[str, Any]) -> None:
    assert endpoint(options).exposed == (Rule("tcp", 80, 80, "IPv4"),)


@pytest.mark.parametrize(
    ("v4", "v6", "families"),
    [
        ("10.1.0.5/24", "", ["IPv4"]),
        ("", "fd00::5/64", ["IPv6"]),
        ("10.1.0.5/24", "fd00::5/64", ["IPv4", "IPv6"]),
        ("", "", ["IPv4"]),
    ],
)
def test_a_port_opens_for_each_family_of_the_endpoint(
    v4: str, v6: str, families: list[str]
) -> None:
    assert [rule.ethertype for rule in endpoint(EXPOSED, v4, v6).exposed] == families


@pytest.mark.parametrize(
    ("protocol", "name"), [(6, "tcp"), (17, "udp"), (132, "sctp"), ("udp", "udp")]
)
def test_protocols_are_told_by_number_or_name(protocol: object, name: str) -> None:
    ports = {"com.docker.network.portmap": [{"Proto": protocol, "Port": 53}]}
    assert endpoint(ports).exposed == (Rule(name, 53, 53, "IPv4"),)


@pytest.mark.parametrize(
    "options",
    [
        {"com.docker.network.generic": {}, "com.docker.network.internal": True},
        {"com.docker.network.generic": None, "com.docker.network.internal": "true"},
    ],
)
def test_an_internal_network_is_told_by_a_boolean_or_a_word(options: dict[str, Any]) -> None:
    assert network(options).internal


def test_a_dual_stack_network_has_both_ranges_and_its_options_as_text() -> None:
    ask = network(
        {
            "com.docker.network.enable_ipv4": True,
            "com.docker.network.enable_ipv6": True,
            "com.docker.network.generic": {"neutron.net.shared": True, "kurier.qos_policy": "slow"},
        },
        IPv4Data=[
            {
                "AddressSpace": "KurierLocal",
                "Pool": "10.1.0.0/24",
                "Gateway": "10.1.0.1/24",
                "AuxAddresses": {"router": "10.1.0.2/24"},
            }
        ],
        IPv6Data=[{"Pool": "fd00::/64", "Gateway": "fd00::1/64"}],
    )
    assert ask.ipv6
    assert ask.options == {"neutron.net.shared": "true", "kurier.qos_policy": "slow"}
    assert ask.pools == (
        PoolData(
            ip_network("10.1.0.0/24"),
            ip_address("10.1.0.1"),
            {"router": ip_address("10.1.0.2")},
            ours=True,
        ),
        PoolData(ip_network("fd00::/64"), ip_address("fd00::1"), {}),
    )


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
KEYS = st.sampled_from([wire.GENERIC, wire.INTERNAL, wire.EXPOSED_PORTS, wire.PORT_MAP, "kurier.x"])


@given(st.dictionaries(KEYS, ANYTHING))
def test_strange_options_are_read_or_refused_in_words(options: dict[str, Any]) -> None:
    with contextlib.suppress(KurierError):
        assert all(isinstance(value, str) for value in endpoint(options).policy_options.values())
