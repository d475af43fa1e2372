# SPDX-License-Identifier: Apache-2.0
"""A port that waits is as it was made, in every field, or it is told what is not."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

import pytest

from kurier.model.ids import (
    DockerNetworkId,
    EndpointId,
    NetworkId,
    PortId,
    PortKey,
    QosPolicyId,
    SecurityGroupId,
    SubnetId,
)
from kurier.model.likeness import as_made, lost_word, ready_tags, undressing, unlike
from kurier.model.neutron import FixedIp, Port, PortChange
from kurier.model.port import PortAddress, PortRecord, Stage
from kurier.model.tags import LEASED, READY, endpoint_tags

SUBNET = SubnetId("subnet")
NEW = Port(
    PortId("port"),
    NetworkId("neutron"),
    "fa:16:3e:00:00:01",
    (FixedIp(SUBNET, ip_address("10.1.0.5")),),
    name="kuryr-01234567",
    description="Kurier: ready for Docker network blue",
    device_id="01234567",
    device_owner="compute:kuryr",
    host_id="here",
    security_groups=(SecurityGroupId("default"),),
    tags=frozenset({"kurier.env:1", "kurier.host:here", READY}),
    others=(("admin_state_up", "true"),),
)
RECORD = PortRecord(
    PortKey("01234567"),
    Stage.READY,
    DockerNetworkId("blue"),
    NEW.network_id,
    datetime(2026, 5, 1, 12, tzinfo=UTC),
    NEW.id,
    NEW.mac,
    (PortAddress(SUBNET, ip_address("10.1.0.5")),),
    made=as_made(NEW),
)
CHANGES: dict[str, tuple[Any, str]] = {
    "mac": ("fa:16:3e:ff:ff:ff", "MAC address"),
    "fixed_ips": ((*NEW.fixed_ips, FixedIp(SUBNET, ip_address("10.1.0.6"))), "addresses"),
    "name": ("web", "name"),
    "description": ("of a container", "description"),
    "device_id": ("c0ffee", "device id"),
    "device_owner": ("trunk:subport", "device owner"),
    "host_id": ("there", "host"),
    "security_groups": ((*NEW.security_groups, SecurityGroupId("ops")), "security groups"),
    "qos_policy_id": (QosPolicyId("gold"), "QoS policy"),
    "port_security": (False, "port security"),
    "dns_name": ("web", "dns name"),
    "tags": (NEW.tags | {"billing:alice"}, "tags"),
    "others": ((*NEW.others, ("allowed_address_pairs", "[1]")), "allowed address pairs"),
}
NEUTRONS_OWN = {
    "id",
    "network_id",
    "status",
    "vif_type",
    "vif_hybrid_plug",
    "bound_driver",
    "created_at",
    "revision",
}


@pytest.fixture
def new() -> Port:
    return NEW


def test_a_new_port_is_like_itself(new: Port) -> None:
    assert unlike(RECORD, new) == ""
    assert undressing(RECORD, new) == PortChange()
    assert ready_tags(RECORD, new) == new.tags


def test_every_field_is_judged_or_neutrons_own() -> None:
    assert {field.name for field in fields(Port)} == CHANGES.keys() | NEUTRONS_OWN


@pytest.mark.parametrize("field", CHANGES)
def test_whatever_was_changed_is_told(field: str, new: Port) -> None:
    value, told = CHANGES[field]
    assert unlike(RECORD, replace(new, **{field: value})) == f"it was changed in Neutron: {told}"


def test_fields_of_which_the_model_knows_nothing_are_told_by_their_names(new: Port) -> None:
    changed = replace(new, others=(("admin_state_up", "false"), ("from_the_future", "1")))
    assert unlike(RECORD, changed).endswith(": administrative state, from_the_future")
    assert unlike(RECORD, replace(new, others=())).endswith(": administrative state")


def test_a_port_that_nobody_remembers_is_not_trusted(new: Port) -> None:
    assert "earlier release" in unlike(replace(RECORD, made=None), new)


def test_what_a_container_had_of_kurier_is_taken_off(new: Port) -> None:
    published = SecurityGroupId("kurier-expose")
    dressed = replace(
        new,
        name="web",
        description="Kurier: container web",
        device_id="c0ffee",
        dns_name="web",
        security_groups=(*new.security_groups, published),
    )
    change = undressing(replace(RECORD, exposing_group=published), dressed)
    assert change == PortChange(
        name=new.name,
        description=new.description,
        device_id=new.device_id,
        dns_name="",
        security_groups=new.security_groups,
    )


ENDPOINT = EndpointId("e" * 64)
LEASE = replace(RECORD, stage=Stage.LEASED, endpoint=ENDPOINT, container_id="c0ffee")


@pytest.fixture
def leased(new: Port) -> Port:
    tags = (new.tags - {READY}) | {LEASED, *endpoint_tags(ENDPOINT)}
    return replace(new, device_id="c0ffee", name="web", tags=tags)


@pytest.mark.parametrize(
    "change",
    [
        {"device_id": ""},
        {"device_owner": ""},
        {"host_id": ""},
        {"tags": frozenset()},
        {"tags": frozenset({"env:prod"})},
    ],
)
def test_what_kurier_told_of_a_container_and_somebody_took_away_is_missed(
    leased: Port, change: dict[str, Any]
) -> None:
    assert not lost_word(LEASE, leased)
    assert lost_word(LEASE, replace(leased, **change))


@pytest.mark.parametrize("field", ["name", "security_groups", "port_security", "others", "tags"])
def test_what_an_operator_may_set_on_a_containers_port_is_his(leased: Port, field: str) -> None:
    value: Any = leased.tags | {"billing:alice"} if field == "tags" else CHANGES[field][0]
    assert not lost_word(LEASE, replace(leased, **{field: value}))


def test_a_port_that_another_host_has_is_left_to_it(leased: Port) -> None:
    assert not lost_word(LEASE, replace(leased, host_id="there", device_id="", tags=frozenset()))
