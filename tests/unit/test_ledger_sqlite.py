# SPDX-License-Identifier: Apache-2.0
"""The ledger keeps what it was told, all or nothing, for one process at a time."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest

from kurier.ledger import Opened, SqliteLedger
from kurier.ledger.file import SCHEMA
from kurier.model.errors import Code, KurierError
from kurier.model.ids import DockerNetworkId, EndpointId, NetworkId, PoolId, PortKey
from kurier.model.neutron import Rule
from kurier.model.port import PortRecord, Stage
from kurier.model.records import Job, NetworkRecord, NetworkState, PoolRecord

LEDGERS = Path(__file__).parent / "ledgers"
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
POOL = PoolRecord(PoolId("pool"), ip_network("10.1.0.0/24"), NOW)
NETWORK = NetworkRecord(DockerNetworkId("n" * 64), NetworkState.ACTIVE, NOW)
LEASED = PortRecord(
    PortKey("leased"),
    Stage.LEASED,
    NETWORK.id,
    NetworkId("neutron"),
    NOW,
    endpoint=EndpointId("e" * 64),
)
READY = PortRecord(PortKey("ready"), Stage.READY, NETWORK.id, NetworkId("neutron"), NOW)
JOB = Job("settle", "lease", NOW, payload={"a": "b"})


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    opened = SqliteLedger(tmp_path, now=lambda: NOW)
    yield opened
    opened.close()


def fill(ledger: SqliteLedger) -> None:
    ledger.set_meta("environment", "one")
    ledger.put_pool(POOL)
    ledger.put_network(NETWORK)
    ledger.put_port(LEASED)
    ledger.put_port(READY)
    ledger.put_job(JOB)


def content(ledger: SqliteLedger) -> list[object]:
    return [
        ledger.meta("environment"),
        *(ledger.pools(), ledger.networks(), ledger.ports(), ledger.jobs()),
    ]


def reopened(ledger: SqliteLedger) -> SqliteLedger:
    ledger.close()
    return SqliteLedger(ledger.path.parent, now=lambda: NOW)


def test_what_was_put_is_there_after_a_restart(ledger: SqliteLedger) -> None:
    fill(ledger)
    before = content(ledger)
    again = reopened(ledger)
    assert content(again) == before == ["one", [POOL], [NETWORK], [LEASED, READY], [JOB]]
    assert (again.opened, again.note) == (Opened.EXISTING, "")
    again.close()


def test_what_was_dropped_is_gone_after_a_restart(ledger: SqliteLedger) -> None:
    fill(ledger)
    for _ in range(2):
        ledger.drop_pool(POOL.id)
        ledger.drop_network(NETWORK.id)
        ledger.drop_port(LEASED.id)
        ledger.drop_port(READY.id)
        ledger.drop_job(JOB.kind, JOB.key)
    again = reopened(ledger)
    assert content(again) == ["one", [], [], [], []]
    again.close()


def test_records_are_found_by_their_keys(ledger: SqliteLedger) -> None:
    fill(ledger)
    assert ledger.opened is Opened.FRESH
    assert ledger.pool(POOL.id) == POOL
    assert ledger.network(NETWORK.id) == NETWORK
    assert ledger.port(LEASED.id) == LEASED
    assert ledger.port_of_endpoint(EndpointId("e" * 64)) == LEASED
    assert ledger.ports(NETWORK.id) == [LEASED, READY]
    assert ledger.ports(DockerNetworkId("other")) == []
    assert ledger.job("settle", "lease") == JOB
    assert ledger.job("settle", "other") is None


def test_an_endpoint_has_the_port_that_is_not_being_released(ledger: SqliteLedger) -> None:
    endpoint = EndpointId("e" * 64)
    old = replace(LEASED, id=PortKey("a"), stage=Stage.RELEASING)
    ledger.put_port(old)
    assert ledger.port_of_endpoint(endpoint) == old
    ledger.put_port(LEASED)
    assert ledger.port_of_endpoint(endpoint) == LEASED
    ledger.put_port(replace(LEASED, endpoint=None))
    assert ledger.port_of_endpoint(endpoint) == old
    ledger.drop_port(old.id)
    assert ledger.port_of_endpoint(endpoint) is None


def test_a_port_that_changed_its_network_is_found_on_the_new_one_alone(
    ledger: SqliteLedger,
) -> None:
    ledger.put_port(READY)
    other = DockerNetworkId("other")
    ledger.put_port(replace(READY, network=other))
    assert ledger.ports(NETWORK.id) == []
    assert [port.id for port in ledger.ports(other)] == [READY.id]
    assert len(ledger.ports()) == 1


def test_a_job_replaces_the_one_of_its_kind_and_key(ledger: SqliteLedger) -> None:
    ledger.put_job(JOB)
    later = replace(JOB, attempts=3, last_error="Neutron is away.")
    ledger.put_job(later)
    assert ledger.jobs() == [later]


def test_nobody_changes_a_kept_payload_from_outside(ledger: SqliteLedger) -> None:
    payload = {"a": "b"}
    ledger.put_job(replace(JOB, payload=payload))
    payload["a"] = "changed"
    ledger.jobs()[0].payload["a"] = "changed"
    kept = ledger.job("settle", "lease")
    assert kept is not None
    assert kept.payload == {"a": "b"}


def test_a_failed_transaction_leaves_nothing(ledger: SqliteLedger) -> None:
    fill(ledger)
    before = content(ledger)
    with suppress(LookupError), ledger.transaction():
        ledger.drop_port(LEASED.id)
        ledger.drop_port(READY.id)
        ledger.put_pool(replace(POOL, id=PoolId("another")))
        ledger.set_meta("environment", "two")
        raise LookupError
    assert content(ledger) == before
    again = reopened(ledger)
    assert content(again) == before
    again.close()


def test_an_inner_transaction_goes_with_the_outer(ledger: SqliteLedger) -> None:
    with suppress(LookupError), ledger.transaction():
        with ledger.transaction():
            ledger.put_pool(POOL)
        raise LookupError
    assert ledger.pools() == []


def test_a_failed_inner_transaction_takes_only_its_own(ledger: SqliteLedger) -> None:
    with ledger.transaction():
        ledger.put_pool(POOL)
        with suppress(LookupError), ledger.transaction():
            ledger.drop_pool(POOL.id)
            ledger.put_network(NETWORK)
            raise LookupError
        assert (ledger.pools(), ledger.networks()) == ([POOL], [])
    again = reopened(ledger)
    assert (again.pools(), again.networks()) == ([POOL], [])
    again.close()


async def test_another_tasks_write_does_not_slip_into_a_transaction(ledger: SqliteLedger) -> None:
    async def write() -> None:
        ledger.put_pool(POOL)

    with ledger.transaction():
        with pytest.raises(RuntimeError, match="another task"):
            await asyncio.create_task(write())
        ledger.put_network(NETWORK)
    assert (ledger.pools(), ledger.networks()) == ([], [NETWORK])


def test_the_files_are_roots_alone(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "state")
    ledger.set_meta("a", "b")
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "state").iterdir()}
    assert {"ledger.db", "ledger.lock"} <= modes.keys()
    assert set(modes.values()) == {0o600}
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    ledger.close()


def test_a_second_process_is_told_who_has_the_ledger(ledger: SqliteLedger, tmp_path: Path) -> None:
    script = (
        "import sys, pathlib; from kurier.ledger import SqliteLedger\n"
        "try: SqliteLedger(pathlib.Path(sys.argv[1]))\n"
        "except Exception as error: print(error.code, error.sentence)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout.startswith("conflict ")
    assert f"process {os.getpid()}" in done.stdout


def test_a_killed_process_leaves_every_finished_write(tmp_path: Path) -> None:
    script = (
        "import os, sys, pathlib; from kurier.ledger import SqliteLedger\n"
        "ledger = SqliteLedger(pathlib.Path(sys.argv[1]))\n"
        "ledger.set_meta('done', 'yes')\n"
        "with ledger.transaction():\n"
        "    ledger.set_meta('undone', 'yes'); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == -9
    ledger = SqliteLedger(tmp_path)
    assert (ledger.meta("done"), ledger.meta("undone")) == ("yes", None)
    ledger.close()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def scribble(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[4096:] = os.urandom(len(whole) - 4096)
    path.write_bytes(whole)


def garble_a_document(path: Path) -> None:
    whole = path.read_bytes()
    assert b'"10.1.0.0/24"' in whole
    path.write_bytes(whole.replace(b'"10.1.0.0/24"', b'"10.1.0.0/99"'))


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        scribble,
        garble_a_document,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no database at all" * 100),
    ],
)
def test_a_damaged_file_is_moved_aside_and_told(
    damage: Callable[[Path], object], tmp_path: Path
) -> None:
    ledger = SqliteLedger(tmp_path, now=lambda: NOW)
    fill(ledger)
    ledger.close()
    damage(ledger.path)
    ruin = ledger.path.read_bytes()
    again = SqliteLedger(tmp_path, now=lambda: NOW)
    assert again.opened is Opened.DAMAGED
    assert content(again) == [None, [], [], [], []]
    assert (tmp_path / "ledger.db.damaged-20260501T120000Z").read_bytes() == ruin
    assert "damaged" in again.note
    fill(again)
    again.close()


def test_a_second_ruin_does_not_cover_the_first(tmp_path: Path) -> None:
    for content_ in (b"one", b"two"):
        (tmp_path / "ledger.db").write_bytes(content_)
        SqliteLedger(tmp_path, now=lambda: NOW).close()
    ruins = sorted(path.read_bytes() for path in tmp_path.glob("ledger.db.damaged-*"))
    assert ruins == [b"one", b"two"]


def test_a_newer_ledger_is_refused_and_left_alone(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path)
    fill(ledger)
    ledger.close()
    whole = bytearray(ledger.path.read_bytes())
    whole[60:64] = (7).to_bytes(4, "big")  # user_version, as SQLite's file format places it
    ledger.path.write_bytes(whole)
    with pytest.raises(KurierError) as refusal:
        SqliteLedger(tmp_path)
    assert refusal.value.code is Code.UNSUPPORTED
    assert "schema 7" in refusal.value.sentence
    assert ledger.path.read_bytes() == whole
    whole[60:64] = SCHEMA.to_bytes(4, "big")
    ledger.path.write_bytes(whole)
    again = SqliteLedger(tmp_path)
    assert again.pools() == [POOL]
    again.close()


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").mkdir()
    with pytest.raises(KurierError) as refusal:
        SqliteLedger(tmp_path)
    assert refusal.value.code is Code.INTERNAL
    assert "cannot be used" in refusal.value.sentence


def test_a_file_of_the_first_schema_is_brought_up_to_date(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path)
    ledger.put_network(NETWORK)
    ledger.close()
    old = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    old.executescript(
        "DROP TABLE ports; CREATE TABLE leases (id TEXT PRIMARY KEY, document BLOB);"
        "PRAGMA user_version = 1;"
    )
    old.close()

    ledger = SqliteLedger(tmp_path)

    assert ledger.opened is Opened.EXISTING
    assert ledger.networks() == [NETWORK]
    assert ledger.ports() == []
    ledger.close()


def old_ledger(folder: Path) -> sqlite3.Connection:
    """A ledger as the release with schema 2 wrote it."""
    database = sqlite3.connect(folder / "ledger.db", isolation_level=None)
    database.executescript((LEDGERS / "schema_2.sql").read_text())
    return database


def test_leases_and_ready_ports_of_the_second_schema_become_ports(tmp_path: Path) -> None:
    old_ledger(tmp_path).close()

    ledger = SqliteLedger(tmp_path)

    assert (ledger.opened, ledger.note) == (Opened.EXISTING, "")
    stages = {int(port.id, 16): port.stage for port in ledger.ports()}
    in_use = (Stage.REQUESTED, Stage.ALLOCATED, Stage.LEASED, Stage.RELEASING)
    pooled = (Stage.MAKING, Stage.BOUND, Stage.READY, Stage.COOLING, Stage.RELEASING)
    assert stages == dict(zip((*range(10, 14), *range(20, 25)), (*in_use, *pooled), strict=True))
    leased = ledger.port_of_endpoint(EndpointId("e" * 64))
    assert leased is not None
    assert (leased.container, leased.device, leased.recycle) == ("web", "tapc", True)
    assert [str(one.address) for one in leased.addresses] == ["10.1.0.12"]
    assert leased.exposed == (Rule("tcp", 80, 80),)
    (adopted,) = (port.before for port in ledger.ports() if port.before is not None)
    assert (adopted.name, adopted.tags) == ("vip", ("a", "b"))
    cooling = [port for port in ledger.ports() if port.exposing_group == "open"]
    assert {port.stage for port in cooling} == {Stage.LEASED, Stage.COOLING}
    assert {(job.kind, job.key.lstrip("0")) for job in ledger.jobs()} == {
        ("settle", "c"),
        ("drop-port", "d"),
        ("drop-port", "18"),
        ("drop-stray", "port-99"),
        ("name-network", "n" * 64),
    }
    ledger.close()


def test_a_ledger_that_cannot_be_brought_up_to_date_is_moved_aside(tmp_path: Path) -> None:
    database = old_ledger(tmp_path)
    database.execute("UPDATE leases SET document = CAST('{}' AS BLOB)")
    database.close()
    ledger = SqliteLedger(tmp_path, now=lambda: NOW)
    assert (ledger.opened, ledger.ports()) == (Opened.DAMAGED, [])
    assert "schema 2" in ledger.note
    aside = sqlite3.connect(tmp_path / "ledger.db.damaged-20260501T120000Z")
    assert aside.execute("SELECT count(*) FROM leases").fetchone() == (4,)
    aside.close()
    ledger.close()


def test_what_was_stored_by_a_clock_that_was_ahead_counts_as_stored_now(tmp_path: Path) -> None:
    ahead, behind = NOW + timedelta(days=1), NOW - timedelta(days=1)
    ledger = SqliteLedger(tmp_path, now=lambda: NOW)
    ledger.put_port(replace(READY, since=ahead))
    ledger.put_port(replace(LEASED, since=behind))
    ledger.put_pool(replace(POOL, requested_at=ahead))
    ledger.put_job(replace(JOB, created_at=ahead, due=ahead + timedelta(seconds=12)))
    ledger.put_job(replace(JOB, key="b", created_at=behind, due=NOW + timedelta(seconds=5)))
    again = reopened(ledger)
    assert {port.id: port.since for port in again.ports()} == {READY.id: NOW, LEASED.id: behind}
    assert [pool.requested_at for pool in again.pools()] == [NOW]
    assert {job.key: (job.created_at, job.due) for job in again.jobs()} == {
        JOB.key: (NOW, NOW + timedelta(seconds=12)),
        "b": (behind, NOW + timedelta(seconds=5)),
    }
    again.close()
