"""A picture of disturbances: what the agent sees under each, what V makes of it, and the scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from worldmodels.inspection.figures import save_figure

BLUE = "#0072B2"


def draw_disturbances(
    path: str | Path,
    frames: Mapping[str, NDArray[np.uint8]],
    reconstructions: Sequence[NDArray[np.uint8]],
    scores: Mapping[str, tuple[float, float]],
) -> None:
    """Frames over their reconstructions, and below a bar for each score.

    Args:
        path: where to.
        frames: what is seen, (height, width, 3) uint8 each, by disturbance.
        reconstructions: of each, in the same order.
        scores: mean and standard deviation, by disturbance.
    """
    figure = Figure(figsize=(1.7 * len(frames), 6.0), layout="constrained")
    grid = figure.subplots(3, len(frames), squeeze=False, height_ratios=(1, 1, 1.6))
    for column, (name, frame) in enumerate(frames.items()):
        grid[0, column].set_title(said(name), fontsize=10)
        for axes, picture in zip(grid[:2, column], (frame, reconstructions[column]), strict=True):
            axes.imshow(picture)
            axes.set(xticks=[], yticks=[])
        grid[2, column].remove()
    for axes, label in zip(grid[:2, 0], ("seen", "by V"), strict=True):
        axes.set_ylabel(label)
    axes = figure.add_subplot(grid[2, 0].get_gridspec()[2, :])
    means, deviations = np.array(list(scores.values())).T
    names = [f"{said(name)}\n{mean:.0f} ± {std:.0f}" for name, (mean, std) in scores.items()]
    axes.bar(names, means, yerr=deviations, color=BLUE, capsize=3)
    axes.set_ylabel("mean return")
    axes.axhline(0.0, color="black", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)


def said(disturbance: str) -> str:
    """A disturbance's name in words."""
    return disturbance.replace("_", " ")
