# SPDX-License-Identifier: Apache-2.0
"""Draws the ratios of a run: `python -m bench.picture NUMBERS.json STEM` makes STEM.png and .svg.

Runs in an environment that has the drawing library and nothing of Kurier's.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

_BASE = "bridge"
# Distinguishable without red and green (Okabe and Ito); what is not Kurier stands back.
_COLOURS = {
    "none": "#d9d9d9",
    "default-bridge": "#b3b3b3",
    "floor": "#7f7f7f",
    "kurier": "#0072b2",
    "kurier-cold": "#56b4e9",
    "kuryr-libnetwork": "#d55e00",
}
_NAMES = {
    "none": "no network",
    "default-bridge": "default bridge",
    "floor": "a driver that does nothing",
    "kurier": "Kurier",
    "kurier-cold": "Kurier, pools off",
}
_STARTS = ("run", "start", "burst20", "burst100", "churn")
_AXIS = (
    "wall time; Docker's user-defined bridge network = 1, to the left is quicker, to the right "
    "slower (logarithmic);\nthe line on a bar is the 95 % interval of the mean"
)
_TICKS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200)
_GAP = 1.4  # bars' heights for a group's title
_BAR = 0.24  # inches of height
_HEAD = 1.5  # inches for titles and legend


def main(numbers: Path, stem: Path) -> None:
    """Reads the run's numbers and draws them: starts on the left, all else on the right."""
    run = json.loads(numbers.read_text())
    drawn = {name: one for name, one in run["measures"].items() if _ratios(one)}
    starts = [one for name, one in drawn.items() if name in _STARTS]
    others = [one for name, one in drawn.items() if name not in _STARTS]
    columns = [column for column in (starts, others) if column]
    rows = max(sum(len(_ratios(one)) + _GAP for one in column) for column in columns)
    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "kurier", "font.size": 9})
    size = (5.5 * len(columns), rows * _BAR + _HEAD)
    figure, panes = plt.subplots(1, len(columns), figsize=size, layout="constrained", squeeze=False)
    for axes, column in zip(panes[0], columns, strict=True):
        _bars(axes, column, rows)
        _dress(axes, column)
    figure.suptitle(_title(run["machine"]), x=0.01, ha="left", fontsize=10)
    figure.supxlabel(_AXIS, fontsize=9)
    figure.savefig(f"{stem}.svg", metadata={"Date": None})
    figure.savefig(f"{stem}.png", dpi=130)


def _ratios(measure: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    found = measure["ratios"].get(_BASE, {})
    return {who: found[who] for who in _COLOURS if found.get(who)}


def _bars(axes: Axes, measures: Sequence[Mapping[str, Any]], rows: float) -> None:
    """One group of bars a measure, each from 1, which is the bridge."""
    axes.set_xscale("log")
    place = 0.0
    for measure in measures:
        _group_title(axes, place, measure["title"])
        for who, ratio in _ratios(measure).items():
            place += 1
            _bar(axes, place, who, ratio)
        place += _GAP
    axes.set_ylim(rows - 0.4, -0.6)


def _group_title(axes: Axes, place: float, title: str) -> None:
    across = axes.get_yaxis_transform()
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    axes.text(0, place, title, transform=across, weight="bold", va="center", bbox=box, zorder=5)


def _bar(axes: Axes, place: float, who: str, ratio: Mapping[str, float]) -> None:
    mean = ratio["mean"]
    axes.barh(place, mean - 1, left=1, height=0.8, color=_COLOURS[who], zorder=2)
    # A single value has no spread to show.
    if ratio["count"] > 1:
        axes.plot([ratio["low"], ratio["high"]], [place, place], color="black", lw=1, zorder=3)
    label = f" {mean:.2f}  {_NAMES.get(who, who)}"
    end = max(mean, ratio["high"], 1.0)
    axes.text(end, place, label, va="center", ha="left", fontsize=8, zorder=4)


def _dress(axes: Axes, measures: Sequence[Mapping[str, Any]]) -> None:
    ratios = [ratio for one in measures for ratio in _ratios(one).values()]
    low = min(*(ratio["low"] for ratio in ratios), 0.7)
    high = max(*(ratio["high"] for ratio in ratios), 2.0)
    axes.set_xlim(low * 0.85, high * (high / low) ** 0.6)  # room for the last label
    axes.xaxis.set_major_locator(FixedLocator(_TICKS))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.axvline(1, color="black", lw=1, zorder=3)
    axes.grid(axis="x", color="#eeeeee", zorder=0)
    axes.set_yticks([])
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)


def _title(machine: Mapping[str, Any]) -> str:
    return (
        f"Docker {machine['docker']}, {machine['cores']} cores shared by engine, driver, Neutron "
        "and its database"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
