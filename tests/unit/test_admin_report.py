# SPDX-License-Identifier: Apache-2.0
"""How unsettled work is summed up, and what a scrape shows of the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from kurier.admin.metrics import CloudCalls, WorldCollector
from kurier.admin.report import outbox_status
from kurier.ledger import SqliteLedger
from kurier.model.ids import DockerNetworkId, NetworkId, PortKey
from kurier.model.port import PortRecord, Stage
from kurier.model.records import Job

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
JOB = Job("settle", "one", NOW, created_at=NOW - timedelta(seconds=30))
LEASED = PortRecord(PortKey("a"), Stage.LEASED, DockerNetworkId("n"), NetworkId("neutron"), NOW)


class Noon:
    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    opened = SqliteLedger(tmp_path)
    yield opened
    opened.close()


def test_an_empty_outbox_has_no_lag() -> None:
    status = outbox_status([], NOW)
    assert (status.depth, status.oldest_seconds, status.failing) == (0, 0.0, ())


def test_the_lag_is_the_oldest_jobs_age_and_failures_are_named() -> None:
    failed = replace(JOB, key="two", attempts=2, last_error="Neutron is away.", created_at=NOW)
    status = outbox_status([JOB, failed], NOW)
    assert (status.depth, status.oldest_seconds) == (2, 30.0)
    assert [(job.key, job.attempts, job.error) for job in status.failing] == [
        ("two", 2, "Neutron is away.")
    ]


def test_a_scrape_reads_the_ledger_as_it_is_now(ledger: SqliteLedger) -> None:
    registry = CollectorRegistry()
    calls = CloudCalls({("GET", "ports"): 3}, {("GET", "ports"): 0.5}, {"cloud-away": 2})
    WorldCollector(registry, ledger, Noon(), lambda: calls)
    assert registry.get_sample_value("kurier_leases", {"state": "leased"}) is None
    ledger.put_port(LEASED)
    ledger.put_port(replace(LEASED, id=PortKey("b"), stage=Stage.READY))
    ledger.put_job(JOB)
    labels = {"method": "GET", "resource": "ports"}
    assert registry.get_sample_value("kurier_leases", {"state": "leased"}) == 1
    assert registry.get_sample_value("kurier_leases", {"state": "ready"}) is None
    assert registry.get_sample_value("kurier_outbox_jobs", {"kind": "settle"}) == 1
    assert registry.get_sample_value("kurier_outbox_lag_seconds") == 30
    assert registry.get_sample_value("kurier_cloud_calls_total", labels) == 3
    assert registry.get_sample_value("kurier_cloud_errors_total", {"code": "cloud-away"}) == 2
