# SPDX-License-Identifier: Apache-2.0
"""Every record survives its document, whatever is in it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kurier.ledger.codec import Undecodable, decode, encode
from kurier.model.ids import PoolId
from kurier.model.port import PortRecord
from kurier.model.records import Job, NetworkRecord, PoolRecord

st.register_type_strategy(datetime, st.datetimes(timezones=st.just(UTC)))
RECORDS = (PoolRecord, NetworkRecord, PortRecord, Job)
ANY_RECORD = st.one_of(*map(st.from_type, RECORDS))
POOL = PoolRecord(PoolId("p"), ip_network("10.1.0.0/24"), datetime(2026, 5, 1, 12, tzinfo=UTC))


@given(ANY_RECORD)
def test_a_record_survives_its_document(
    record: PoolRecord | NetworkRecord | PortRecord | Job,
) -> None:
    assert decode(type(record), encode(record)) == record


def test_the_family_of_an_address_survives() -> None:
    pool = replace(
        POOL,
        cidr=IPv6Network("2001:db8::/64"),
        gateway=IPv6Address("2001:db8::1"),
        auxiliary=(IPv4Address("10.1.0.9"), IPv6Address("::ffff:10.1.0.9")),
    )
    found = decode(PoolRecord, encode(pool))
    assert [type(address) for address in found.auxiliary] == [IPv4Address, IPv6Address]
    assert found == pool


def test_a_field_unknown_here_is_ignored_and_a_missing_one_takes_its_default() -> None:
    document = msgspec.json.decode(encode(POOL))
    del document["unbounded"]
    document["from_the_future"] = {"a": 1}
    assert decode(PoolRecord, msgspec.json.encode(document)) == POOL


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        encode(POOL)[:-5],
        encode(POOL).replace(b"10.1.0.0/24", b"10.1.0.0/99"),
        encode(POOL).replace(b"2026-", b"20-"),
        encode(POOL).replace(b'"id":"p"', b'"id":7'),
        encode(POOL).replace(b'"auxiliary":[]', b'"auxiliary":5'),
    ],
)
def test_a_document_that_tells_no_record_is_damage(document: bytes) -> None:
    assert document != encode(POOL)
    with pytest.raises(Undecodable):
        decode(PoolRecord, document)
