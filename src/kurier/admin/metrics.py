# SPDX-License-Identifier: Apache-2.0
"""What is read only when Prometheus asks: leases, networks, the outbox, and calls to Neutron."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from kurier.admin.report import leases_by_stage, outbox_status
from kurier.model.trouble import Kind, Trouble
from kurier.service.keeper import PoolView
from kurier.service.protocols import Clock, Ledger


@dataclass(frozen=True, slots=True)
class CloudCalls:
    """Requests to Neutron since the start."""

    count: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """By HTTP method and resource."""
    seconds: Mapping[tuple[str, str], float] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)
    """By code."""


class WorldCollector(Collector):
    """Registers itself; reads the ledger and `calls` at each scrape."""

    def __init__(
        self,
        registry: CollectorRegistry,
        ledger: Ledger,
        clock: Clock,
        calls: Callable[[], CloudCalls],
        pools: Callable[[], Sequence[PoolView]] = tuple,
        troubles: Callable[[], Sequence[Trouble]] = tuple,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._calls = calls
        self._pools = pools
        self._troubles = troubles
        registry.register(self)

    def describe(self) -> list[Metric]:
        """Nothing: else the registry would scrape to learn the names."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every metric, as it is now."""
        leases = leases_by_stage(self._ledger)
        yield _gauge("kurier_leases", "Ports in use, by state.", "state", leases)
        networks = Counter(network.state.value for network in self._ledger.networks())
        yield _gauge("kurier_networks", "Engine networks, by state.", "state", networks)
        troubles = dict.fromkeys(map(str, Kind), 0) | Counter(str(o.kind) for o in self._troubles())
        yield _gauge("kurier_troubles", "What only people can mend, by kind.", "kind", troubles)
        yield from self._outbox()
        yield from self._pool_depth()
        yield from self._cloud()

    def _pool_depth(self) -> Iterator[Metric]:
        depth = GaugeMetricFamily(
            "kurier_pool_ports", "Ports of pools, by stage.", labels=["network", "stage"]
        )
        target = GaugeMetricFamily(
            "kurier_pool_target", "How many ports should be ready.", labels=["network"]
        )
        resting = GaugeMetricFamily(
            "kurier_pool_resting", "Whether Neutron refused to let a pool grow.", labels=["network"]
        )
        for pool in self._pools():
            name = pool.name or pool.network[:12]
            for stage in ("making", "bound", "ready", "cooling"):
                depth.add_metric([name, stage], getattr(pool.counts, stage))
            target.add_metric([name], pool.target)
            resting.add_metric([name], float(bool(pool.reason)))
        yield from (depth, target, resting)

    def _outbox(self) -> Iterator[Metric]:
        jobs = self._ledger.jobs()
        status = outbox_status(jobs, self._clock.now())
        kinds = Counter(str(job.kind) for job in jobs)
        yield _gauge("kurier_outbox_jobs", "Unsettled work, by kind.", "kind", kinds)
        yield GaugeMetricFamily(
            "kurier_outbox_failing", "Unsettled work that failed.", value=len(status.failing)
        )
        yield GaugeMetricFamily(
            "kurier_outbox_lag_seconds", "Age of the oldest unsettled work.", status.oldest_seconds
        )

    def _cloud(self) -> Iterator[Metric]:
        calls = self._calls()
        labels = ["method", "resource"]
        count = CounterMetricFamily("kurier_cloud_calls", "Requests to Neutron.", labels=labels)
        for names, number in calls.count.items():
            count.add_metric(names, number)
        seconds = CounterMetricFamily(
            "kurier_cloud_seconds", "Time that requests to Neutron took.", labels=labels
        )
        for names, spent in calls.seconds.items():
            seconds.add_metric(names, spent)
        errors = CounterMetricFamily(
            "kurier_cloud_errors", "Requests to Neutron that failed, by code.", labels=["code"]
        )
        for code, number in calls.errors.items():
            errors.add_metric([code], number)
        yield from (count, seconds, errors)


def _gauge(name: str, text: str, label: str, values: Mapping[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family
