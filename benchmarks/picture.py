"""Draws the results: rates as bars, and the closed loop's time as one."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

COLOURS = plt.get_cmap("tab10").colors  # type: ignore[attr-defined]


def draw(results: dict[str, Any], path: Path) -> None:
    """Write a PNG."""
    figure, ((simulators, closed_loop), (training, shares)) = plt.subplots(
        2, 2, figsize=(12, 7), layout="constrained"
    )
    _bars(
        simulators,
        "CarRacing on one core, episodes of 1000 steps",
        "frames a second",
        results["simulators"]["1000"],
    )
    _bars(
        closed_loop,
        "Closed loop: simulator, V, M and C",
        "frames a second",
        results["closed_loop"],
    )
    _bars(training, "Training", "frames (V) or steps (M) a second", results["training"], log=True)
    _shares(shares, results["shares"])
    figure.savefig(path, dpi=110, metadata={"Software": ""})
    plt.close(figure)


def _bars(
    axes: Axes, title: str, unit: str, rates: dict[str, list[float]], *, log: bool = False
) -> None:
    medians = [median(values) for values in rates.values()]
    if log:  # the length of a bar says nothing there
        axes.plot(medians, list(rates), "o", color=COLOURS[0])
        axes.set_xscale("log")
        axes.grid(visible=True, axis="x", alpha=0.3)
    else:
        axes.barh(list(rates), medians, color=COLOURS[0])
    for place, value in enumerate(medians):
        axes.annotate(
            f"{value:,.0f}", (value, place), (7, 0), textcoords="offset points", va="center"
        )
    axes.set(title=title, xlabel=unit)
    axes.invert_yaxis()
    axes.margins(x=0.25, y=0.2)


def _shares(axes: Axes, shares: dict[str, float]) -> None:
    percent = [100 * share for share in shares.values()]
    bars = axes.barh(list(shares), percent, color=COLOURS[1])
    axes.bar_label(bars, [f"{value:.0f} %" for value in percent], padding=3)
    axes.set(title="Closed loop: where the time goes", xlabel="% of the time of all workers")
    axes.invert_yaxis()
    axes.margins(x=0.18)
