"""Draws the results: rates as dots, side by side, and the closed loop's time as bars."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

COLOURS = plt.get_cmap("tab10").colors  # type: ignore[attr-defined]
WIDE = 30  # times the lowest rate is the highest, from which on the axis is logarithmic
Section = dict[str, list[float]]


def draw(sections: dict[str, Section], shares: dict[str, float], path: Path) -> None:
    """Write a PNG.

    Args:
        sections: what was measured side by side, by its title. shares: of the closed loop's time.
    """
    rows = -(-(len(sections) + 1) // 2)
    figure, axes = plt.subplots(rows, 2, figsize=(13, 3.2 * rows), layout="constrained")
    for place, (title, rates) in zip(axes.flat, sections.items(), strict=False):
        _rates(place, title, rates)
    _shares(axes.flat[len(sections)], shares)
    for place in axes.flat[len(sections) + 1 :]:
        place.axis("off")
    figure.savefig(path, dpi=100, metadata={"Software": ""})
    plt.close(figure)


def _rates(axes: Axes, title: str, rates: Section) -> None:
    medians = [median(values) for values in rates.values()]
    axes.plot(medians, list(rates), "o", color=COLOURS[0])
    if max(medians) > WIDE * min(medians):
        axes.set_xscale("log")
    axes.grid(visible=True, axis="x", alpha=0.3)
    for place, value in enumerate(medians):
        axes.annotate(
            f"{value:,.0f}", (value, place), (7, 0), textcoords="offset points", va="center"
        )
    axes.set(title=title, xlabel="a second")
    axes.invert_yaxis()
    axes.margins(y=0.2)
    low, high = min(medians), max(medians)
    if axes.get_xscale() == "log":
        axes.set_xlim(low / 2, high * (high / low) ** 0.3)  # room for the number beside the dot
    else:
        axes.set_xlim(0, 1.2 * high)


def _shares(axes: Axes, shares: dict[str, float]) -> None:
    percent = [100 * share for share in shares.values()]
    bars = axes.barh(list(shares), percent, color=COLOURS[1])
    axes.bar_label(bars, [f"{value:.0f} %" for value in percent], padding=3)
    axes.set(title="Closed loop: where the time goes", xlabel="% of the time of all workers")
    axes.invert_yaxis()
    axes.margins(x=0.18)
