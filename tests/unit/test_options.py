# SPDX-License-Identifier: Apache-2.0
"""The options of networks and endpoints: all that is known is read, all that is not is refused."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kurier.model.errors import Code, KurierError
from kurier.model.options import (
    NETWORK_KEYS,
    POLICY_KEYS,
    NetworkOptions,
    Policy,
    parse_endpoint_policy,
    parse_network_options,
)

ID = "11111111-2222-3333-4444-55555555555f"
BOOLEANS = {
    "neutron.net.shared",
    "kurier.gateway_service",
    "kurier.pool.wait",
    "kurier.port_security",
}
words = st.text(min_size=1).map(str.strip).filter(bool)
truths = st.sampled_from(["true", "1", "yes", "on", "TRUE", " True "]).map(lambda one: (one, True))
lies = st.sampled_from(["false", "0", "no", "off", "FALSE"]).map(lambda one: (one, False))
policies = st.builds(
    Policy,
    st.none() | st.lists(words, max_size=3).map(tuple),
    st.none() | words,
    st.none() | st.booleans(),
)


NUMBERS = ("kurier.pool.min", "kurier.pool.max")


def a_value(key: str) -> str:
    if key in BOOLEANS:
        return "true"
    if key in NUMBERS:
        return "7"
    return ID if key.endswith("uuid") else "some-name"


@pytest.mark.parametrize("key", NETWORK_KEYS)
def test_every_network_key_says_something(key: str) -> None:
    assert parse_network_options({key: a_value(key)}) != NetworkOptions()


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize("value", ["-1", "many", "4097", "1.5"])
def test_a_pools_size_is_a_whole_number(key: str, value: str) -> None:
    with pytest.raises(KurierError, match=f"{key}={value} is not a whole number between 0 and"):
        parse_network_options({key: value})


def test_a_pools_minimum_is_not_above_its_maximum() -> None:
    with pytest.raises(KurierError, match=r"kurier.pool.min=9 is more than kurier.pool.max=8"):
        parse_network_options({"kurier.pool.min": "9", "kurier.pool.max": "8"})


@pytest.mark.parametrize("key", POLICY_KEYS)
def test_every_policy_key_says_something_for_an_endpoint(key: str) -> None:
    assert parse_endpoint_policy({key: a_value(key)}) != Policy()


@pytest.mark.parametrize("key", NETWORK_KEYS)
@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_value_is_refused(key: str, value: str) -> None:
    with pytest.raises(KurierError, match=f"Option {key} is empty") as raised:
        parse_network_options({key: value})
    assert raised.value.code is Code.BAD_REQUEST


@pytest.mark.parametrize("key", [key for key in NETWORK_KEYS if key.endswith("uuid")])
@given(value=words.filter(lambda one: len(one) != 36))
def test_a_name_is_no_uuid(key: str, value: str) -> None:
    with pytest.raises(KurierError, match=f"use {key.removesuffix('uuid')}name"):
        parse_network_options({key: value})


@given(st.uuids())
def test_a_uuid_is_taken_in_any_case(some: uuid.UUID) -> None:
    found = parse_network_options({"neutron.net.uuid": str(some).upper()})
    assert found.network.id == str(some)


@pytest.mark.parametrize("key", sorted(BOOLEANS))
@given(pair=truths | lies)
def test_a_truth_is_read(key: str, pair: tuple[str, bool]) -> None:
    text, truth = pair
    options = parse_network_options({key: text})
    values = {
        "neutron.net.shared": options.shared,
        "kurier.gateway_service": options.gateway_service,
        "kurier.pool.wait": options.pool_wait,
        "kurier.port_security": options.policy.port_security,
    }
    assert values[key] is truth


@pytest.mark.parametrize("key", sorted(BOOLEANS))
def test_a_word_is_no_truth(key: str) -> None:
    with pytest.raises(KurierError, match="neither true nor false"):
        parse_network_options({key: "maybe"})


def test_each_family_has_its_own_subnet_and_pool() -> None:
    options = parse_network_options(
        {
            "neutron.subnet.name": "four",
            "neutron.subnet.v6.name": "six",
            "neutron.pool.name": "pool-four",
            "neutron.pool.v6.name": "pool-six",
        }
    )
    assert [options.subnet(version).name for version in (4, 6)] == ["four", "six"]
    assert [options.pool(version).name for version in (4, 6)] == ["pool-four", "pool-six"]


@given(st.lists(words.filter(lambda one: "," not in one), min_size=1, max_size=5))
def test_groups_are_separated_by_commas(names: list[str]) -> None:
    found = parse_network_options({"kurier.security_groups": " , ".join(names)})
    assert found.policy.security_groups == tuple(names)


@given(st.sampled_from(NETWORK_KEYS), st.integers(0, 40), st.sampled_from("xyz_"))
def test_a_slip_of_the_pen_is_named(key: str, spot: int, letter: str) -> None:
    spot = min(max(spot, len("neutron.")), len(key))
    slipped = key[:spot] + letter + key[spot:]
    with pytest.raises(KurierError, match=r"is not known here: did you mean \S+\?"):
        parse_network_options({slipped: "x"})


@given(st.dictionaries(st.text().map("com.docker.".__add__), st.text(), max_size=4))
def test_other_drivers_options_pass_unread(options: dict[str, str]) -> None:
    assert parse_network_options({**options, "encrypted": ""}) == NetworkOptions()


def test_a_network_key_is_none_of_an_endpoint() -> None:
    with pytest.raises(KurierError, match=r"neutron\.net\.uuid is not known here") as raised:
        parse_endpoint_policy({"neutron.net.uuid": ID})
    assert raised.value.code is Code.BAD_REQUEST


@given(policies, policies, policies)
def test_the_narrower_policy_wins_at_every_level(a: Policy, b: Policy, c: Policy) -> None:
    assert a.over(b).over(c) == a.over(b.over(c))
    assert Policy().over(a) == a == a.over(Policy())
    mixed = a.over(b)
    for name in ("security_groups", "qos_policy", "port_security"):
        own, wider = getattr(a, name), getattr(b, name)
        assert getattr(mixed, name) == (wider if own is None else own)
