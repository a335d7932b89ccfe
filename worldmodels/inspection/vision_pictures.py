"""Pictures of frames by which V is judged: what it keeps of them, draws, and makes between them.

Every picture is a grid of frames with words around it, `Panel`s one below the other. The same
input gives the same bytes of PNG. Read `draw_panels`; `vision_charts` draws what is no frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from worldmodels.inspection.figures import DPI, save_figure
from worldmodels.inspection.pictures import frame_grid
from worldmodels.inspection.reconstruction import MOMENT, Reconstruction, worst_moments
from worldmodels.inspection.vision_frames import FIRST_SECOND, SETS, WHOSE, HeldOut
from worldmodels.inspection.vision_measures import (
    PATHS,
    Decode,
    Dimensions,
    Seen,
    choose_pairs,
    to_frames,
)

FRAME = 160  # pixels wide, about, that a frame is drawn
TITLE, PANEL_TITLE, LINE, MARGIN = 40, 30, 16, 12  # pixels high; the margin on all sides
LETTER, TITLE_LETTER = 8, 11  # pixels wide at most, on average, in labels and in the title

COLUMNS = 8  # frames side by side
WORST = 16
AMPLIFIED = 4
TRAVERSED = 9  # dimensions
VALUES = np.linspace(-2.0, 2.0, 5)  # standard deviations
INTERPOLATED = 4  # pairs, of so many drawn at random the nearest to the furthest apart
DRAWN_PAIRS = 64
DRAWN_PATH = 5  # frames of an interpolation that is drawn


@dataclass(frozen=True)
class Panel:
    """A grid of frames.

    title: above it. rows: each (columns, height, width, 3) uint8.
    row_labels: to the left, one a row. column_labels: above the first row, one a column, or none.
    captions: below each frame of the last row, or none.
    """

    title: str
    rows: Sequence[NDArray[np.uint8]]
    row_labels: Sequence[str]
    column_labels: Sequence[str] = ()
    captions: Sequence[str] = ()


def draw_panels(path: str | Path, title: str, panels: Sequence[Panel]) -> None:
    """Draw panels one below the other, each pixel of a frame as a square of whole pixels."""
    scale = max(1, round(FRAME / panels[0].rows[0].shape[2]))
    grids = [frame_grid(list(panel.rows), scale=scale) for panel in panels]
    label = LETTER * max(len(text) for panel in panels for text in panel.row_labels) + 8
    above = [PANEL_TITLE + _lines(panel.column_labels) for panel in panels]
    below = [_lines(panel.captions) + MARGIN for panel in panels]
    width = 2 * MARGIN + max(
        TITLE_LETTER * len(title),
        *(
            label + max(grid.shape[1], LETTER * len(panel.title))
            for panel, grid in zip(panels, grids, strict=True)
        ),
    )
    heights = [
        over + len(grid) + under for over, grid, under in zip(above, grids, below, strict=True)
    ]
    height = TITLE + sum(heights) + MARGIN
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    figure.text(MARGIN / width, 1 - MARGIN / height, title, fontsize=12, weight="bold", va="top")
    top = TITLE
    for panel, grid, over, whole in zip(panels, grids, above, heights, strict=True):
        left, rows, columns = MARGIN + label, len(grid), grid.shape[1]
        figure.text(left / width, 1 - (top + 6) / height, panel.title, fontsize=10, va="top")
        bottom = height - top - over - rows
        axes = figure.add_axes(
            (left / width, bottom / height, columns / width, rows / height), frameon=False
        )
        axes.imshow(grid, interpolation="none", aspect="auto", extent=(0, columns, rows, 0))
        axes.set_xticks([])
        axes.set_yticks([])
        across, down = columns / len(panel.rows[0]), rows / len(panel.rows)
        for index, text in enumerate(panel.row_labels):
            axes.text(-6, (index + 0.5) * down, text, fontsize=9, ha="right", va="center")
        for index, text in enumerate(panel.column_labels):
            axes.text((index + 0.5) * across, -4, text, fontsize=9, ha="center", va="bottom")
        for index, text in enumerate(panel.captions):
            axes.text((index + 0.5) * across, rows + 3, text, fontsize=9, ha="center", va="top")
        top += whole
    save_figure(figure, path)


def _lines(texts: Sequence[str]) -> int:
    """Pixels that the highest of these labels takes."""
    return max((LINE * (1 + text.count("\n")) for text in texts), default=0)


def draw_reconstructions(
    path: str | Path, sets: Sequence[Seen], *, rng: np.random.Generator
) -> None:
    """Random frames of each set, their reconstructions and the difference."""
    panels = []
    for seen in sets:
        count = min(COLUMNS, len(seen.mean))
        chosen = np.sort(rng.choice(len(seen.mean), count, replace=False))
        true, drawn = seen.held_out.frames[chosen], seen.reconstructions[chosen]
        difference = np.abs(true.astype(np.int16) - drawn)
        amplified = np.minimum(AMPLIFIED * difference, 255).astype(np.uint8)
        panels.append(
            Panel(
                f"{seen.held_out.name}, driven by {SETS[seen.held_out.name]}: held-out frames, "
                "drawn at random",
                [true, drawn, amplified],
                ["frame", "reconstruction", f"difference, {AMPLIFIED} times"],
            )
        )
    title = f"{WHOSE}: reconstructions of the posterior's mean, and their absolute difference"
    draw_panels(path, title, panels)


def draw_worst(path: str | Path, seen: Seen, of: Reconstruction) -> None:
    """The frames of a set that are reconstructed worst, of each moment the worst alone."""
    worst = worst_moments(of.frame_errors, seen.held_out, WORST)
    half = WORST // 2
    panels: list[Panel] = []
    for row in (worst[:half], worst[half:]):
        captions = [
            f"MSE {of.frame_errors[index]:.2g}\n{_words(of.kinds[index])}\n"
            f"episode {seen.held_out.episodes[index]}\nstep {seen.held_out.steps[index]}"
            for index in row
        ]
        frames = [seen.held_out.frames[row], seen.reconstructions[row]]
        if len(row):
            title = f"{1 + half * len(panels)} to {half * len(panels) + len(row)}"
            panels.append(Panel(title, frames, ["frame", "reconstruction"], captions=captions))
    title = f"{WHOSE}: its worst reconstructions of {len(seen.mean)} {seen.held_out.name} frames"
    apart = f"at least {MOMENT} steps apart; MSE: squared error a pixel value, 0 to 1"
    draw_panels(path, f"{title} ({apart})", panels)


def _words(name: str) -> str:
    return name.replace("_", " ")


def draw_generated(
    path: str | Path,
    held_out: HeldOut,
    decode: Decode,
    *,
    latent_dim: int,
    rng: np.random.Generator,
) -> None:
    """Decoded noise above real frames, both drawn at random."""
    count = 2 * COLUMNS
    noise = rng.standard_normal((count, latent_dim), dtype=np.float32)
    drawn = to_frames(decode(noise))
    chosen = rng.choice(len(held_out.frames), count, replace=len(held_out.frames) < count)
    real = held_out.frames[np.sort(chosen)]
    panels = [
        Panel(title, [frames[:COLUMNS], frames[COLUMNS:]], ["", ""])
        for title, frames in (
            ("decoded noise, z from N(0, I)", drawn),
            (f"{held_out.name}: held-out frames, drawn at random", real),
        )
    ]
    draw_panels(path, f"{WHOSE}: what it draws from noise, and what there is to see", panels)


def draw_traversals(path: str | Path, seen: Seen, of: Dimensions, decode: Decode) -> None:
    """One latent dimension changes along each row, the most informative first."""
    order = np.argsort(-of.kl, kind="stable")[:TRAVERSED]
    later = np.flatnonzero(seen.held_out.steps >= FIRST_SECOND)
    chosen = later if len(later) else np.arange(len(seen.mean))
    start = seen.mean[chosen[len(chosen) // 2]]
    z = np.tile(start, (len(order), len(VALUES), 1))  # (dimensions, values, latent_dim)
    for row, dimension in enumerate(order):
        z[row, :, dimension] = of.centre[dimension] + VALUES * of.std[dimension]
    drawn = to_frames(decode(z.reshape(-1, z.shape[-1])))
    panel = Panel(
        f"a {seen.held_out.name} frame; each row sets one dimension to its mean over all frames, "
        "and standard deviations beside it",
        list(drawn.reshape(*z.shape[:2], *drawn.shape[1:])),
        [f"z{dimension}, {of.kl[dimension]:.2f} nats" for dimension in order],
        column_labels=[f"{value:+g}" if value else "mean" for value in VALUES],
    )
    title = f"{WHOSE}: one latent dimension at a time, the {len(order)} of most KL"
    draw_panels(path, title, [panel])


def draw_interpolations(
    path: str | Path, seen: Seen, decode: Decode, *, rng: np.random.Generator
) -> None:
    """Decoded paths between pairs of frames of different episodes, the frames at both ends."""
    pairs = choose_pairs(seen.held_out.episodes, DRAWN_PAIRS, rng=rng)
    apart = np.linalg.norm(seen.mean[pairs[:, 0]] - seen.mean[pairs[:, 1]], axis=1)
    ranks = np.linspace(0, len(pairs) - 1, INTERPOLATED).astype(int)
    pairs = pairs[np.argsort(apart, kind="stable")[ranks]]
    first, last = seen.held_out.frames[pairs[:, 0]], seen.held_out.frames[pairs[:, 1]]
    rows: list[NDArray[np.uint8]] = []
    labels = []
    paths = {
        name: path_of(seen.mean[pairs[:, 0]], seen.mean[pairs[:, 1]], DRAWN_PATH)
        for name, path_of in PATHS.items()
    }
    for pair in range(len(pairs)):
        for name, z in paths.items():
            drawn = to_frames(decode(z[pair]))
            rows.append(np.concatenate([first[pair][None], drawn, last[pair][None]]))
            labels.append(f"{pair + 1}, {name}")
    share = [f"{value:.3g}" for value in np.linspace(0.0, 1.0, DRAWN_PATH)]
    panel = Panel(
        f"decoded latents between two {seen.held_out.name} frames of different episodes, by the "
        f"share of the way; of {DRAWN_PAIRS} random pairs, from the nearest in z to the furthest",
        rows,
        labels,
        column_labels=["first frame", *share, "last frame"],
    )
    draw_panels(path, f"{WHOSE}: interpolation, linear and spherical", [panel])
