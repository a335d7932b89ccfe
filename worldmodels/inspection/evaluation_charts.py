"""Charts of an evaluation: the returns of all episodes, and the lines driven on a few tracks.

Read `draw_returns`, then `draw_lines`. The same input gives the same bytes of PNG.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from worldmodels.car_racing.telemetry import ROAD_HALF_WIDTH
from worldmodels.inspection.figures import save_figure
from worldmodels.rollouts.episode import Trace
from worldmodels.training.evaluation import SOLVED, score

BLUE, RED, ROAD = "#0072B2", "#D55E00", "#D0D0D0"
MAX_BARS = 50
WIDTHS = (5, 10, 20, 50, 100)  # of a bar, points of return
QUANTILES = {0.05: "5 %", 0.25: "25 %", 0.5: "median", 0.75: "75 %", 0.95: "95 %"}
ARROW = 25.0  # units long
BESIDE = 12.0  # units of nothing around road and line


def draw_returns(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A histogram of the returns with mean, standard deviation and quantiles.

    Args:
        path: where to. rows: as in metrics/episodes.csv.
    """
    returns = np.array([row["return"] for row in rows])
    found = score(returns.tolist())
    mean, std = found["return_mean"], found["return_std"]
    figure = Figure(figsize=(10, 4.8), layout="constrained")
    axes = figure.subplots()
    width = next((w for w in WIDTHS if np.ptp(returns) <= w * MAX_BARS), WIDTHS[-1])
    first, last = np.floor(returns.min() / width), np.floor(returns.max() / width) + 1
    edges = width * np.arange(first, last + 1)
    axes.hist(returns, edges.tolist(), color=BLUE, edgecolor="white", linewidth=0.6)
    axes.axvspan(mean - std, mean + std, color=BLUE, alpha=0.12, linewidth=0)
    axes.axvline(mean, color="black", linewidth=1.6, label=f"mean {mean:.1f}")
    axes.plot([], [], color=BLUE, alpha=0.2, linewidth=8, label=f"± {std:.1f}, standard deviation")
    if edges[0] - width <= SOLVED <= edges[-1] + width:
        axes.axvline(
            SOLVED,
            color=RED,
            linewidth=1.2,
            linestyle="--",
            label=f"{SOLVED:.0f}: solved, for the mean",
        )
    quantiles = {name: np.quantile(returns, share) for share, name in QUANTILES.items()}
    axes.plot(
        list(quantiles.values()),
        [0.0] * len(quantiles),
        "^",
        color="black",
        clip_on=False,
        zorder=3,
        label=", ".join(f"{name} {value:.0f}" for name, value in quantiles.items()),
    )
    best, worst = rows[int(returns.argmax())], rows[int(returns.argmin())]
    axes.set_title(
        f"Returns on stock gym CarRacing-v2, episodes: {len(rows)}\n"
        f"worst {_episode(worst)}; best {_episode(best)}",
        fontsize=11,
    )
    axes.set_xlabel("return")
    axes.set_ylabel(f"episodes, in bars of {width} points")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    axes.margins(y=0.1)
    _open(axes)
    save_figure(figure, path)


def _episode(row: Mapping[str, Any]) -> str:
    return f"{row['return']:.1f} on track {row['seed']}"


def shown_episodes(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Which rows' lines are drawn, by what they are: `best`, `median`, `worst`; each once.

    The median of an even number of episodes is the better one of the middle two.
    """
    order = sorted(range(len(rows)), key=lambda index: -float(rows[index]["return"]))
    places = {"best": order[0], "median": order[(len(order) - 1) // 2], "worst": order[-1]}
    named: dict[int, list[str]] = {}
    for name, index in places.items():
        named.setdefault(index, []).append(name)
    return {" and ".join(names): index for index, names in named.items()}


def draw_lines(path: str | Path, drives: Mapping[str, tuple[Mapping[str, Any], Trace]]) -> None:
    """The line of each of these drives on its track, coloured by speed, all to one scale.

    Args:
        path: where to.
        drives: what each is, its row of metrics/episodes.csv, and where the car went.
    """
    figure = Figure(figsize=(5.4 * len(drives) + 0.9, 6.2), layout="constrained")
    all_axes = figure.subplots(1, len(drives), squeeze=False)[0]
    boxes = {name: _box(trace) for name, (_, trace) in drives.items()}
    half = max(float((high - low).max()) for low, high in boxes.values()) / 2
    fastest = max(float(trace.path[:, 2].max()) for _, trace in drives.values())
    for axes, (name, (row, trace)) in zip(all_axes, drives.items(), strict=True):
        axes.add_collection(PolyCollection(list(road_tiles(trace.road)), color=ROAD, linewidth=0.5))
        places, speed = trace.path[:, :2], trace.path[:, 2]
        line = LineCollection(
            list(np.stack([places[:-1], places[1:]], axis=1)),
            array=speed[1:],
            cmap="plasma",
            norm=Normalize(0.0, max(fastest, 1.0)),
            linewidth=2.0,
        )
        axes.add_collection(line)
        away = np.flatnonzero(np.hypot(*(places - places[0]).T) > ARROW)
        if len(away):
            arrow = {"arrowstyle": "-|>", "color": "black", "shrinkA": 0, "mutation_scale": 16}
            axes.annotate("", places[away[0]], places[0], arrowprops=arrow)
        ends = {"markeredgecolor": "black", "markersize": 9, "linestyle": "none"}
        axes.plot(*places[0], "o", markerfacecolor="white", label="start", **ends)
        axes.plot(*places[-1], "X", markerfacecolor="white", label="end", **ends)
        x, y = boxes[name].mean(axis=0)
        axes.set(xlim=(x - half, x + half), ylim=(y - half, y + half), aspect="equal")
        axes.set_title(
            f"{name}: track {row['seed']}, return {row['return']:.1f}\n"
            f"{row['steps']} steps, {row['tiles']} of {len(trace.road)} tiles, "
            f"ended by: {str(row['end']).replace('_', ' ')}",
            fontsize=11,
        )
        axes.set_xlabel("units")
        axes.legend(frameon=False, fontsize=9)
        _open(axes)
    all_axes[0].set_ylabel("units")
    figure.colorbar(line, ax=list(all_axes), label="speed, units / s", shrink=0.8)
    figure.suptitle(
        "Driven lines; grey: the road, 13 units wide; the arrow: where the drive sets out"
    )
    save_figure(figure, path)


def _box(trace: Trace) -> NDArray[np.float64]:
    """The lowest and the highest x and y of road and line, (2, 2), and a little beside them."""
    places = np.concatenate([trace.road[:, 1:], trace.path[:, :2]]).astype(np.float64)
    return np.stack([places.min(axis=0) - BESIDE, places.max(axis=0) + BESIDE])


def road_tiles(road: NDArray[np.float32]) -> NDArray[np.float64]:
    """The corners of a road's tiles, (tiles, 4, 2), from its `Trace.road`."""
    heading, middle = road[:, 0].astype(np.float64), road[:, 1:].astype(np.float64)
    across = ROAD_HALF_WIDTH * np.stack([np.cos(heading), np.sin(heading)], axis=1)
    left, right = middle - across, middle + across
    return np.stack([left, right, np.roll(right, 1, axis=0), np.roll(left, 1, axis=0)], axis=1)


def _open(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
