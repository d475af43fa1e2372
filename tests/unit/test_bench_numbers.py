# SPDX-License-Identifier: Apache-2.0
"""The benchmark's arithmetic: ratios of pairs, spreads, histograms, and what it reads."""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from bench import figures, growth, idle, metrics, report, results
from bench.kurier_daemon import is_ready
from bench.metrics import Histogram
from bench.neutron_log import Calls, NeutronLog
from bench.recorder import Sample
from bench.usage import Usage, usage
from kurier.docker.meter import Meter

VALUES = st.lists(st.floats(0.01, 1000), min_size=1, max_size=20)
MIB = 1024 * 1024


def sample(
    contender: str,
    measure: str,
    number: int,
    seconds: float,
    *,
    containers: int = 1,
    failures: int = 0,
    rpc: float | None = None,
) -> Sample:
    histograms = {} if rpc is None else {"Join": Histogram(((math.inf, 1.0),), rpc, 1.0)}
    neutron = Calls(reads=1, writes=2)
    return Sample(
        contender, measure, number, seconds, containers, failures, neutron, 0.01, histograms
    )


def metrics_text(*calls: tuple[str, float]) -> str:
    """What a daemon that answered these calls shows."""
    registry = CollectorRegistry()
    meter = Meter(registry)
    for call, seconds in calls:
        meter.ended(call, seconds, None)
    return generate_latest(registry).decode()


# ── figures ──────────────────────────────────────────────────────────────────


def test_ratios_pair_the_same_round() -> None:
    assert figures.ratios({0: 2.0, 1: 9.0}, {0: 1.0, 1: 3.0}) == [2.0, 3.0]


def test_rounds_that_one_side_lacks_make_no_ratio() -> None:
    assert figures.ratios({0: 2.0, 2: 5.0}, {0: 1.0, 1: 3.0}) == [2.0]


@given(VALUES)
def test_a_spread_lies_within_its_values(values: list[float]) -> None:
    found = figures.spread(values)
    assert found is not None
    tiny = 1e-9 * max(values)
    assert min(values) - tiny <= found.low <= found.high <= max(values) + tiny
    assert found.median == statistics.median(values)


def test_more_rounds_make_a_narrower_interval() -> None:
    few, many = figures.spread([1.0, 2.0] * 3), figures.spread([1.0, 2.0] * 60)
    assert few is not None
    assert many is not None
    assert many.high - many.low < few.high - few.low


def test_no_values_have_no_spread() -> None:
    assert figures.spread([]) is None


@given(VALUES)
def test_the_middle_quantile_is_the_median(values: list[float]) -> None:
    assert math.isclose(figures.quantile(values, 0.5), statistics.median(values))


# ── the daemon's histograms ──────────────────────────────────────────────────


def test_histograms_are_read_as_the_daemon_shows_them() -> None:
    text = metrics_text(("NetworkDriver.Join", 0.002), ("NetworkDriver.Join", 0.3))
    (call,) = metrics.rpc_histograms(text).items()
    assert call[0] == "NetworkDriver.Join"
    assert call[1].count == 2
    assert math.isclose(call[1].seconds, 0.302)


def test_only_what_came_between_two_readings_counts() -> None:
    earlier = metrics.rpc_histograms(metrics_text(("Join", 0.002), ("Leave", 0.01)))
    later = metrics.rpc_histograms(
        metrics_text(("Join", 0.002), ("Leave", 0.01), ("Join", 0.3), ("Create", 0.02))
    )
    between = metrics.since(later, earlier)
    assert set(between) == {"Join", "Create"}
    assert math.isclose(metrics.seconds(between), 0.32)
    assert 0.25 <= between["Join"].quantile(0.5) <= 0.5


def test_stretches_together_are_as_if_they_were_one() -> None:
    apart = [metrics.rpc_histograms(metrics_text(("Join", at))) for at in (0.002, 0.3)]
    one = metrics.rpc_histograms(metrics_text(("Join", 0.002), ("Join", 0.3)))
    assert metrics.together(apart) == one


def test_a_quantile_is_even_within_its_bucket() -> None:
    histogram = Histogram(((1.0, 10.0), (2.0, 20.0), (math.inf, 20.0)), 25.0, 20.0)
    assert histogram.quantile(0.5) == 1.0
    assert histogram.quantile(0.75) == 1.5


def test_a_quantile_above_all_bounds_is_the_last_bound() -> None:
    assert Histogram(((1.0, 0.0), (math.inf, 3.0)), 9.0, 3.0).quantile(0.5) == 1.0


def test_no_call_has_no_quantile() -> None:
    assert math.isnan(Histogram().quantile(0.5))


# ── from samples to numbers ──────────────────────────────────────────────────


def test_a_measure_compares_seconds_per_container() -> None:
    samples = [
        sample("bridge", "churn", 0, 60.0, containers=100),
        sample("kurier", "churn", 0, 60.0, containers=50),
    ]
    measure = results.measures(samples, {"churn": "churn"})["churn"]
    assert measure["ratios"]["bridge"]["kurier"]["mean"] == pytest.approx(2.0)
    assert "floor" not in measure["ratios"]


def test_a_round_with_a_failure_is_counted_and_left_out() -> None:
    samples = [
        sample("bridge", "run", 0, 1.0),
        sample("bridge", "run", 1, 1.0),
        sample("kurier", "run", 0, 0.1, failures=1),
        sample("kurier", "run", 1, 2.0),
    ]
    measure = results.measures(samples, {"run": "docker run"})["run"]
    assert measure["failures"]["kurier"] == 1
    assert measure["ratios"]["bridge"]["kurier"]["mean"] == pytest.approx(2.0)


def test_a_daemons_time_of_a_start_is_that_of_all_its_calls() -> None:
    samples = [
        sample("kurier", "burst20", 0, 5.0, containers=20, rpc=0.1),
        sample("kurier", "burst20-whole", 0, 9.0, containers=20, rpc=0.3),
    ]
    daemon = results.daemons(samples, {"kurier": Usage(1.0, 2, 3)})["kurier"]
    assert daemon["per_start_ms"]["burst20"]["median"] == pytest.approx(5.0)
    assert daemon["calls"]["Join"]["count"] == 1
    assert daemon["neutron"]["burst20-whole"] == {"reads": 0.05, "writes": 0.1}


def test_numbers_are_kept_and_told_as_they_are() -> None:
    samples = [sample("bridge", "run", 0, 1.0), sample("kurier", "run", 0, 3.0, rpc=0.004)]
    numbers = {
        "measures": results.measures(samples, {"run": "docker run", "churn": "never done"}),
        "daemons": results.daemons(samples, {"kurier": Usage(1.5, 80 * MIB, 90 * MIB)}),
    }
    text = "\n".join(report.lines(numbers))
    assert "3.000 (3.000 to 3.000)" in text
    assert "80 MiB resident, 90 at most" in text
    assert "never done" not in text
    assert "\n".join(report.lines(json.loads(json.dumps(numbers)))) == text


# ── what is read from elsewhere ──────────────────────────────────────────────


def test_neutrons_calls_are_those_of_the_host_that_is_watched(tmp_path: Path) -> None:
    log = tmp_path / "neutron.log"

    def line(source: str, request: str) -> str:
        return (
            f"[pid: 7|app: 0|req: 4/4] {source} () {{26 vars in 301 bytes}} [Tue Nov 24 03:54:09] "
            f"{request} => generated 114 bytes in 1 msecs (HTTP/1.1 201) 5 headers in 227 bytes\n"
        )

    log.write_text(line("10.99.1.3", "POST /v2.0/ports"))
    ours, all_ = NeutronLog(log, "10.99.1.3"), NeutronLog(log)
    mark = ours.mark()
    with log.open("a") as file:
        file.write(line("10.99.1.3", "POST /v2.0/ports"))
        file.write(line("10.99.1.3", "GET /v2.0/ports?device_id=7"))
        file.write(line("10.99.1.2", "DELETE /v2.0/ports/7"))
        file.write("INFO neutron.wsgi says something of /v2.0/ports\n")
    assert ours.since(mark) == Calls(reads=1, writes=1)
    assert all_.since(mark) - ours.since(mark) == Calls(reads=0, writes=1)


def test_a_process_is_measured_whatever_its_name() -> None:
    found = usage(os.getpid())
    assert 0 < found.resident <= found.peak
    assert found.cpu_seconds > 0


def test_a_name_with_parentheses_and_blanks_misleads_nobody(tmp_path: Path) -> None:
    process = tmp_path / "7"
    process.mkdir()
    numbers = " ".join(["0"] * 10)
    (process / "stat").write_text(f"7 (a) b) S {numbers} 150 50 0 0\n")
    (process / "status").write_text("Name:\ta\nVmHWM:\t 90 kB\nVmRSS:\t 80 kB\n")
    ticks = os.sysconf("SC_CLK_TCK")
    assert usage(7, tmp_path) == Usage(200 / ticks, 80 * 1024, 90 * 1024)


# ── when a pool is ready ─────────────────────────────────────────────────────


def pool(network: str = "blue", **changed: int) -> dict[str, object]:
    """A pool that is full and at rest."""
    full = {"maximum": 30, "target": 30, "ready": 30, "coming": 0, "cooling": 0}
    return {"network": network, **full, **changed}


def test_a_full_pool_at_rest_is_ready() -> None:
    assert is_ready([pool()], "blue", 20)


def test_cooling_ports_are_nothing_to_wait_for() -> None:
    assert is_ready([pool(ready=25, cooling=5)], "blue", 20)


@pytest.mark.parametrize(
    ("why", "row"),
    [
        ("too few", pool(ready=15, cooling=15)),
        ("more are being made", pool(ready=25, coming=2)),
        ("more will be made", pool(ready=25)),
        ("surplus ports will be deleted", pool(ready=30, cooling=5)),
        ("another network's pool is at work", pool("red", coming=1)),
    ],
)
def test_a_pool_is_not_ready(why: str, row: dict[str, object]) -> None:
    others = [] if row["network"] == "blue" else [pool()]
    assert not is_ready([*others, row], "blue", 20), why


def test_a_network_without_a_pool_is_never_ready() -> None:
    assert not is_ready([pool("red")], "blue", 1)


def test_growths_points_are_networks_by_ports() -> None:
    assert growth.points("1x10,50x2") == (growth.Point(1, 10), growth.Point(50, 2))


@pytest.mark.parametrize("text", ["", "10", "1x", "ax2", "1x2x3"])
def test_other_points_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="such as"):
        growth.points(text)


def test_what_idling_costs_is_a_share_of_one_core() -> None:
    before, after = Usage(10.0, 70 * 2**20, 75 * 2**20), Usage(11.5, 72 * 2**20, 80 * 2**20)
    found = idle.measured(before, after, ports=100, seconds=300.0)
    assert found["core_share"] == pytest.approx(0.005)
    assert "0.50% of one core (1.50 s), 72 MiB resident" in next(iter(idle.lines(found)))
