# SPDX-License-Identifier: Apache-2.0
"""Reads Kurier's own stop-watch: the histograms of its calls, in Prometheus' text."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

_FAMILY = "kurier_rpc_seconds"


@dataclass(frozen=True, slots=True)
class Histogram:
    """`buckets` are upper bounds in seconds with the cumulated count, the last bound infinite."""

    buckets: tuple[tuple[float, float], ...] = ()
    seconds: float = 0.0
    count: float = 0.0

    def __sub__(self, earlier: Histogram) -> Histogram:
        """What came since an earlier reading of the same histogram."""
        before = dict(earlier.buckets)
        buckets = tuple((bound, count - before.get(bound, 0.0)) for bound, count in self.buckets)
        return Histogram(buckets, self.seconds - earlier.seconds, self.count - earlier.count)

    def __add__(self, other: Histogram) -> Histogram:
        """Both together; their bounds must be the same, or one of them empty."""
        if not self.buckets or not other.buckets:
            buckets = self.buckets or other.buckets
        else:
            pairs = zip(self.buckets, other.buckets, strict=True)
            buckets = tuple((bound, count + more) for (bound, count), (_, more) in pairs)
        return Histogram(buckets, self.seconds + other.seconds, self.count + other.count)

    def quantile(self, share: float) -> float:
        """Seconds below which a share (0 to 1) of the calls lies, even within a bucket.

        NaN where there was no call; the highest finite bound where it lies above that.
        """
        if not self.count:
            return math.nan
        wanted, lower, below = share * self.count, 0.0, 0.0
        for bound, count in self.buckets:
            if count >= wanted:
                if math.isinf(bound):
                    return lower
                within = (wanted - below) / (count - below) if count > below else 1.0
                return lower + (bound - lower) * within
            lower, below = bound, count
        return lower


def rpc_histograms(text: str) -> dict[str, Histogram]:
    """By call, from the text of `/metrics`."""
    buckets: dict[str, list[tuple[float, float]]] = defaultdict(list)
    totals: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families(text):
        if family.name != _FAMILY:
            continue
        for sample in family.samples:
            call = sample.labels["call"]
            if "le" in sample.labels:
                buckets[call].append((float(sample.labels["le"]), sample.value))
            else:
                totals[call, sample.name.removeprefix(f"{_FAMILY}_")] = sample.value
    return {
        call: Histogram(tuple(sorted(bounds)), totals[call, "sum"], totals[call, "count"])
        for call, bounds in buckets.items()
    }


def since(now: Mapping[str, Histogram], before: Mapping[str, Histogram]) -> dict[str, Histogram]:
    """What came between two readings; calls that were not made are left out."""
    changes = {call: one - before.get(call, Histogram()) for call, one in now.items()}
    return {call: one for call, one in changes.items() if one.count}


def together(histograms: Iterable[Mapping[str, Histogram]]) -> dict[str, Histogram]:
    """Several stretches of time as one, by call."""
    sums: dict[str, Histogram] = defaultdict(Histogram)
    for one in histograms:
        for call, histogram in one.items():
            sums[call] += histogram
    return dict(sums)


def seconds(histograms: Mapping[str, Histogram]) -> float:
    """The time of all calls together."""
    return sum(one.seconds for one in histograms.values())
