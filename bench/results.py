# SPDX-License-Identifier: Apache-2.0
"""From samples to the numbers that are printed, kept and drawn. All plain values, for JSON."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench import figures, metrics
from bench.recorder import Sample
from bench.usage import Usage

BASES = ("bridge", "floor")
"""What the others are compared with."""
_MS = 1000.0


def measures(samples: Sequence[Sample], titles: Mapping[str, str]) -> dict[str, Any]:
    """By measure: seconds per container and, against each base, ratios, by contender."""
    return {name: _measure(samples, name, title) for name, title in titles.items()}


def daemons(samples: Sequence[Sample], used: Mapping[str, Usage]) -> dict[str, Any]:
    """By contender with a daemon: its own time, its calls to Neutron, its CPU and memory."""
    return {
        name: {
            "calls": _calls([one for one in samples if one.contender == name]),
            "per_start_ms": _per_start([one for one in samples if one.contender == name]),
            "neutron": _neutron([one for one in samples if one.contender == name]),
            "cpu_ms_per_container": _cpu([one for one in samples if one.contender == name]),
            **asdict(usage),
        }
        for name, usage in used.items()
    }


def _measure(samples: Sequence[Sample], name: str, title: str) -> dict[str, Any]:
    values: dict[str, dict[int, float]] = defaultdict(dict)
    failed: dict[str, int] = defaultdict(int)
    containers: dict[str, int] = defaultdict(int)
    for one in samples:
        if one.measure != name:
            continue
        failed[one.contender] += one.failures
        containers[one.contender] += one.containers
        if not one.failures:  # what failed early would look quick
            values[one.contender][one.round] = one.seconds / max(one.containers, 1)
    return {
        "title": title,
        "samples": values,
        "containers": containers,
        "failures": failed,
        "seconds": {who: _spread(list(own.values())) for who, own in values.items()},
        "ratios": {
            base: {who: _spread(figures.ratios(own, values[base])) for who, own in values.items()}
            for base in BASES
            if base in values
        },
    }


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    found = figures.spread(values)
    return asdict(found) if found else None


def _calls(samples: Sequence[Sample]) -> dict[str, Any]:
    """The daemon's time per call, from its own histograms."""
    stretches = (one.rpc for one in samples if not one.whole)
    return {
        call: {
            "count": int(one.count),
            "mean_ms": one.seconds / one.count * _MS,
            "median_ms": one.quantile(0.5) * _MS,
            "p99_ms": one.quantile(0.99) * _MS,
        }
        for call, one in sorted(metrics.together(stretches).items())
    }


def _per_start(samples: Sequence[Sample]) -> dict[str, Any]:
    """The daemon's time of all calls of a start, or of a removal, together, by measure.

    Where a stretch held many containers each value is their mean, so the 99th percentile is that
    of stretches.
    """
    times: dict[str, list[float]] = defaultdict(list)
    for one in samples:
        if one.rpc and one.containers and not one.whole:
            times[one.measure].append(metrics.seconds(one.rpc) / one.containers * _MS)
    return {
        measure: {
            "count": len(values),
            "mean": statistics.fmean(values),
            "median": statistics.median(values),
            "p99": figures.quantile(values, 0.99),
        }
        for measure, values in times.items()
    }


def _neutron(samples: Sequence[Sample]) -> dict[str, Any]:
    """Calls per container that Neutron served: by measure on the way, and in a whole life."""
    found: dict[str, dict[str, float]] = {}
    for measure, own in _by_measure(samples).items():
        containers = sum(one.containers for one in own)
        if containers:
            found[measure] = {
                "reads": sum(one.neutron.reads for one in own) / containers,
                "writes": sum(one.neutron.writes for one in own) / containers,
            }
    return found


def _cpu(samples: Sequence[Sample]) -> dict[str, float]:
    """The daemon's CPU time per container, by measure; a whole life includes what follows."""
    found = {}
    for measure, own in _by_measure(samples).items():
        containers = sum(one.containers for one in own)
        if containers:
            found[measure] = sum(one.cpu_seconds or 0.0 for one in own) / containers * _MS
    return found


def _by_measure(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = defaultdict(list)
    for one in samples:
        found[one.measure].append(one)
    return found
