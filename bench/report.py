# SPDX-License-Identifier: Apache-2.0
"""Prints the numbers of `results` for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bench.recorder import WHOLE

_MIB = 1024 * 1024


def lines(numbers: Mapping[str, Any]) -> Iterator[str]:
    """All of it, line by line."""
    for measure in numbers["measures"].values():
        yield from _measure(measure)
    for name, daemon in numbers["daemons"].items():
        yield from _daemon(name, daemon)


def _measure(measure: Mapping[str, Any]) -> Iterator[str]:
    if not measure["seconds"] and not any(measure["failures"].values()):
        return
    bases = list(measure["ratios"])
    yield f"\n{measure['title']}"
    heads = "".join(
        f"   {f'mean against {base} (95 %)':<28}{'median':>7}{'sd':>7}" for base in bases
    )
    yield f"{'':18}{'n':>4}{'s each':>10}{heads}"
    for who, seconds in measure["seconds"].items():
        if not seconds:
            continue
        cells = "".join(_ratio(measure["ratios"][base].get(who)) for base in bases)
        note = "" if not _is_churn(measure) else f"   {measure['containers'][who]} containers"
        yield f"{who:18}{seconds['count']:4}{seconds['median']:10.3f}{cells}{note}"
    for who, failures in measure["failures"].items():
        if failures:
            yield f"{who:18}{failures} FAILED; those rounds are left out"


def _is_churn(measure: Mapping[str, Any]) -> bool:
    return "for" in measure["title"].split()


def _ratio(spread: Mapping[str, float] | None) -> str:
    if not spread:
        return f"   {'-':<28}{'':>14}"
    mean = f"{spread['mean']:.3f} ({spread['low']:.3f} to {spread['high']:.3f})"
    return f"   {mean:<28}{spread['median']:7.3f}{spread['deviation']:7.3f}"


def _daemon(name: str, daemon: Mapping[str, Any]) -> Iterator[str]:
    yield f"\n{name}: its daemon"
    yield (
        f"  {daemon['cpu_seconds']:.1f} s of CPU since its start, "
        f"{daemon['resident'] / _MIB:.0f} MiB resident, {daemon['peak'] / _MIB:.0f} at most"
    )
    for measure, calls in daemon["neutron"].items():
        what = f"{measure.removesuffix(WHOLE)}, start to settled" if _whole(measure) else measure
        cpu = daemon["cpu_ms_per_container"].get(measure, 0.0)
        yield (
            f"  {what:28} Neutron {calls['writes']:6.2f} writes {calls['reads']:6.2f} reads, "
            f"CPU {cpu:7.2f} ms, per container"
        )
    for measure, times in daemon["per_start_ms"].items():
        yield (
            f"  {measure:28} all calls of one: mean {times['mean']:8.2f} ms, median "
            f"{times['median']:8.2f}, p99 {times['p99']:8.2f} (n {times['count']})"
        )
    for call, one in daemon["calls"].items():
        yield (
            f"  {call:46} mean {one['mean_ms']:8.2f} ms, median {one['median_ms']:8.2f}, "
            f"p99 {one['p99_ms']:8.2f} ({one['count']} calls)"
        )


def _whole(measure: str) -> bool:
    return measure.endswith(WHOLE)
