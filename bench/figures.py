# SPDX-License-Identifier: Apache-2.0
"""What samples say: ratios of pairs of the same round, and how far they may be trusted."""

from __future__ import annotations

import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_RESAMPLES = 4000
_SEED = 20  # the same samples give the same interval


@dataclass(frozen=True, slots=True)
class Spread:
    """Some values. `low` to `high` holds their mean with 95 %, by bootstrap."""

    count: int
    mean: float
    median: float
    deviation: float
    """The sample's standard deviation; 0 for a single value."""
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread | None:
    """None of no values."""
    if not values:
        return None
    low, high = _interval(values)
    return Spread(
        len(values),
        statistics.fmean(values),
        statistics.median(values),
        statistics.stdev(values) if len(values) > 1 else 0.0,
        low,
        high,
    )


def ratios(samples: Mapping[int, float], base: Mapping[int, float]) -> list[float]:
    """Each round's sample over the base's of the same round; rounds that either lacks are out."""
    return [value / base[number] for number, value in samples.items() if base.get(number)]


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which a share (0 to 1) lies, interpolated. Raises on no values."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    lower = int(place)
    upper = min(lower + 1, len(ordered) - 1)
    return ordered[lower] + (ordered[upper] - ordered[lower]) * (place - lower)


def _interval(values: Sequence[float]) -> tuple[float, float]:
    chance = random.Random(_SEED)
    means = [statistics.fmean(chance.choices(values, k=len(values))) for _ in range(_RESAMPLES)]
    return quantile(means, 0.025), quantile(means, 0.975)
