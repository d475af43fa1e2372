# SPDX-License-Identifier: Apache-2.0
"""What the two protocols' calls cost and how they end, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Meter:
    """The metrics of the plugin socket, in the registry given."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "kurier_rpc_seconds",
            "Time from a call's whole request to its answer, by call.",
            ["call"],
            registry=registry,
            buckets=_SECONDS,
        )
        self._failures = Counter(
            "kurier_rpc_errors",
            "Calls that ended in an error, by call and code.",
            ["call", "code"],
            registry=registry,
        )
        self.in_flight = Gauge(
            "kurier_rpc_in_flight", "Calls being answered now.", registry=registry
        )

    def ended(self, call: str, seconds: float, code: str | None) -> None:
        """Counts one call; `code` None where it succeeded."""
        self._seconds.labels(call).observe(seconds)
        if code is not None:
            self._failures.labels(call, code).inc()
