"""Charts by which V is judged: dimensions, probes, the map of the latent space, coverage.

Colours: `driving` is blue, `explored` orange and `agent` green throughout (Okabe & Ito's, for all
eyes). The same input gives the same bytes of PNG. `vision_pictures` draws the grids of frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from worldmodels.car_racing.telemetry import COLUMNS, ROAD_HALF_WIDTH
from worldmodels.inspection.figures import save_figure
from worldmodels.inspection.probes import Probes
from worldmodels.inspection.vision_coverage import BINS, Coverage
from worldmodels.inspection.vision_frames import WHOSE
from worldmodels.inspection.vision_measures import ACTIVE, Dimensions, evenly

COLOURS = {
    "driving": "#0072B2",
    "explored": "#E69F00",
    "agent": "#009E73",
    "training": "#D55E00",
}
UNUSED = "#999999"
SMALLEST_KL = 1e-4  # nats, that are drawn; a dimension may have 0
UNITS = {
    "speed": "units / s",
    "steering_angle": "rad",
    "angular_velocity": "rad / s",
    "road_distance": "units",
    "road_angle": "rad",
    "curvature_ahead": "rad / unit",
}
SCATTERED = 400  # points of a set
BEYOND = 0.005  # of what is true or predicted, at each end, that may lie beyond the axes
THUMBNAIL = 60  # pixels wide
MAP_SIDE = 1200  # pixels


def words(name: str) -> str:
    """A name as it stands in a chart."""
    return name.replace("_", " ")


def draw_dimensions(path: str | Path, of: Mapping[str, Dimensions]) -> None:
    """KL of each dimension as a point, a chart for each set; sorted, the active ones in colour.

    Points on a logarithmic axis that holds all of them: those of next to no KL show as well.
    """
    figure = Figure(figsize=(10, 3.4 * len(of)), layout="constrained")
    all_axes = figure.subplots(len(of), 1, squeeze=False, sharey=True)[:, 0]
    for axes, (name, found) in zip(all_axes, of.items(), strict=True):
        order = np.argsort(-found.kl, kind="stable")
        active = found.active[order]
        places = np.arange(len(order))
        drawn = np.maximum(found.kl[order], SMALLEST_KL)
        for chosen, colour, label in (
            (active, COLOURS[name], f"active: variance of the mean > {ACTIVE}"),
            (~active, UNUSED, "not active"),
        ):
            if chosen.any():
                label = f"{label} ({chosen.sum()})"
                axes.scatter(
                    places[chosen], drawn[chosen], s=36, color=colour, label=label, zorder=3
                )
        shown = places[:: -(-len(places) // 40)]
        axes.set_xticks(shown, [str(order[place]) for place in shown], fontsize=8)
        axes.set_xlim(-0.8, len(order) - 0.2)
        axes.set_yscale("log")
        axes.grid(visible=True, axis="y", alpha=0.3)
        axes.set_title(f"{name}: KL of each latent dimension, {found.kl.sum():.1f} nats in all")
        axes.set_xlabel("latent dimension, by its KL")
        axes.set_ylabel(f"nats a frame ({SMALLEST_KL:g} at least)")
        axes.legend(frameon=False)
        _open(axes)
    figure.suptitle(f"{WHOSE}: what each dimension says")
    save_figure(figure, path)


def draw_probe_scores(path: str | Path, of: Mapping[str, Probes]) -> None:
    """R2 of the linear probes as bars, the sets side by side."""
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    thick = 0.8 / len(of)
    for place, (name, probes) in enumerate(of.items()):
        scores = np.array([probes.r2[column] for column in COLUMNS])
        at = np.arange(len(COLUMNS)) + (place - (len(of) - 1) / 2) * thick
        axes.barh(at, np.maximum(scores, 0), thick * 0.92, color=COLOURS[name], label=name)
        for y, score in zip(at, scores, strict=True):
            text = f"{round(score, 2) + 0.0:.2f}"  # no -0.00
            axes.text(max(score, 0) + 0.01, y, text, va="center", fontsize=9)
    axes.set_yticks(np.arange(len(COLUMNS)), [words(column) for column in COLUMNS])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.08)
    axes.set_xlabel("R² on episodes that the probe was not fitted to (negative ones drawn as 0)")
    axes.set_title(f"{WHOSE}: linear probes from z to what the simulator knows")
    axes.legend(frameon=False, loc="lower right")
    _open(axes)
    save_figure(figure, path)


def draw_probe_predictions(path: str | Path, of: Mapping[str, Probes]) -> None:
    """Predicted against true, a chart for each value, the sets over each other."""
    figure = Figure(figsize=(12, 7.8), layout="constrained")
    all_axes = figure.subplots(2, 3).ravel()
    for column, (axes, name) in enumerate(zip(all_axes, COLUMNS, strict=True)):
        seen = []
        for label, probes in of.items():
            chosen = evenly(len(probes.true), SCATTERED)
            true, predicted = probes.true[chosen, column], probes.predicted[chosen, column]
            axes.scatter(
                true,
                predicted,
                s=7,
                alpha=0.5,
                linewidths=0,
                color=COLOURS[label],
                label=label,
            )
            seen.append(np.concatenate([true, predicted]))
        low, high = np.percentile(np.concatenate(seen), [100 * BEYOND, 100 * (1 - BEYOND)])
        spare = 0.08 * (high - low) + 1e-6
        limits = (low - spare, high + spare)
        axes.plot(limits, limits, color="black", linewidth=0.8)
        axes.set(xlim=limits, ylim=limits)
        axes.set_title(_title(name, of), fontsize=9)
        axes.set_xlabel(f"true, {UNITS[name]}")
        axes.set_ylabel(f"predicted, {UNITS[name]}")
        axes.locator_params(nbins=5)
        _open(axes)
    figure.legend(
        *all_axes[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=len(of),
        frameon=False,
        markerscale=2,
    )
    figure.suptitle(
        f"{WHOSE}: linear probes on episodes that they were not fitted to\n"
        f"{SCATTERED} frames of each set at most; the line is a perfect prediction; up to "
        f"{BEYOND:.1%} of the values at either end lie beyond the axes"
    )
    save_figure(figure, path)


def _title(name: str, of: Mapping[str, Probes]) -> str:
    scores = ", ".join(
        f"{label} {round(probes.r2[name], 2) + 0.0:.2f}" for label, probes in of.items()
    )
    return f"{words(name)}\nR²: {scores}"


def draw_thumbnails(
    path: str | Path, places: NDArray[np.float64], frames: NDArray[np.uint8], note: str
) -> None:
    """Frames at their places on the map, as many as do not overlap.

    Args:
        path: where to. places: (frames, 2). frames: (frames, height, width, 3) uint8.
        note: what the map is of.
    """
    height, width = frames.shape[1:3]
    tall = max(1, THUMBNAIL * height // width)
    canvas = np.full((MAP_SIDE, MAP_SIDE, 3), 255, np.uint8)
    taken = np.zeros((MAP_SIDE, MAP_SIDE), bool)
    low, high = places.min(axis=0), places.max(axis=0)
    room = np.array([MAP_SIDE - THUMBNAIL, MAP_SIDE - tall])
    corners = np.rint((places - low) / np.maximum(high - low, 1e-9) * room).astype(int)
    shown = 0
    for (left, up), frame in zip(corners, frames, strict=True):
        top = MAP_SIDE - tall - up
        box = np.s_[max(top - 1, 0) : top + tall + 1, max(left - 1, 0) : left + THUMBNAIL + 1]
        if taken[box].any():
            continue
        taken[box] = True
        rows, columns = np.arange(tall) * height // tall, np.arange(THUMBNAIL) * width // THUMBNAIL
        canvas[top : top + tall, left : left + THUMBNAIL] = frame[rows][:, columns]
        shown += 1
    figure = Figure(figsize=((MAP_SIDE + 40) / 100, (MAP_SIDE + 100) / 100))
    size = np.array([MAP_SIDE + 40, MAP_SIDE + 100])
    axes = figure.add_axes((20 / size[0], 20 / size[1], MAP_SIDE / size[0], MAP_SIDE / size[1]))
    axes.imshow(canvas, interpolation="none", aspect="auto")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(
        f"{WHOSE}: t-SNE map of its means, the frames at their places\n{note}; {shown} shown"
    )
    save_figure(figure, path)


def draw_coloured_map(
    path: str | Path,
    places: NDArray[np.float64],
    names: Sequence[str],
    privileged: NDArray[np.float32],
    note: str,
) -> None:
    """The points of the map coloured by speed, by distance from the road, and by set.

    Args:
        path: where to. places: (frames, 2). names: of each frame's set.
        privileged: (frames, 6), columns as `telemetry.COLUMNS`. note: what the map is of.
    """
    figure = Figure(figsize=(13, 5), layout="constrained")
    by_speed, by_distance, by_set = figure.subplots(1, 3)
    speed = privileged[:, COLUMNS.index("speed")]
    distance = np.abs(privileged[:, COLUMNS.index("road_distance")])
    x, y = places.T
    for axes, values, title, most in (
        (by_speed, speed, "speed, units / s", np.percentile(speed, 99)),
        (by_distance, distance, "distance from the centre line, units", 3 * ROAD_HALF_WIDTH),
    ):
        points = axes.scatter(x, y, c=values, s=8, cmap="viridis", vmin=0, vmax=max(most, 1e-6))
        bar = figure.colorbar(points, ax=axes, orientation="horizontal", extend="max", aspect=30)
        bar.set_label(title)
        axes.set_title(f"by {title.split(',')[0]}")
    bar.ax.axvline(ROAD_HALF_WIDTH, color="white", linewidth=2)
    bar.set_label("distance from the centre line, units; white line: the road's edge")
    for name in dict.fromkeys(names):
        chosen = np.array([other == name for other in names])
        by_set.scatter(x[chosen], y[chosen], s=8, color=COLOURS[name], label=name)
    by_set.set_title("by set")
    by_set.legend(loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=3, frameon=False)
    for axes in (by_speed, by_distance, by_set):
        axes.set_xticks([])
        axes.set_yticks([])
    figure.suptitle(f"{WHOSE}: t-SNE map of its means, {note}")
    save_figure(figure, path)


def draw_coverage(path: str | Path, coverage: Coverage) -> None:
    """Histograms of the training frames over those of driving, a chart for each quantity."""
    figure = Figure(figsize=(12, 3.9), layout="constrained")
    for axes, (quantity, edges) in zip(figure.subplots(1, 3), BINS.items(), strict=True):
        for name, shares in coverage.shares.items():
            label = f"{name}, {coverage.frames[name]} frames"
            colour = COLOURS[name]
            axes.stairs(100 * shares[quantity], edges, fill=True, alpha=0.3, color=colour)
            axes.stairs(100 * shares[quantity], edges, color=colour, linewidth=1.5, label=label)
        axes.set_xlabel(f"{words(quantity)}, {UNITS[quantity]}")
        axes.set_ylabel("% of the frames")
        axes.set_xlim(edges[0], edges[-1])
        axes.locator_params(axis="x", nbins=5)
        _open(axes)
        if quantity == "road_distance":
            for side in (-ROAD_HALF_WIDTH, ROAD_HALF_WIDTH):
                axes.axvline(side, color="black", linewidth=0.8, linestyle="--")
            axes.set_title("dashed: the road's edges", fontsize=10)
        if quantity == "speed":
            axes.legend(frameon=False, fontsize=9)
    figure.suptitle(
        f"{WHOSE}: what it was trained on, and what driving needs (outermost bins hold all beyond)"
    )
    save_figure(figure, path)


def _open(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
