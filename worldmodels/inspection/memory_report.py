"""M's report: its measures as metrics, a table and a picture. Read `inspect_memory`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from worldmodels.core.metrics import Metrics, write_curve, write_metrics
from worldmodels.data.latents import LatentSequences
from worldmodels.inspection.figures import save_figure
from worldmodels.inspection.memory_measures import (
    BINS,
    SHOWN,
    OneStep,
    OpenLoop,
    one_step,
    open_loop,
)
from worldmodels.models.decoding import Decoder
from worldmodels.models.memory import MDNRNN, Latent
from worldmodels.models.vae import VAE

WINDOW = 200  # steps that M reads in a row, when it is measured one step ahead
WORLDS = {
    "memory": ("M, the mean of what it expects", "#0072B2", "-"),
    "copy": ("nothing changes", "#D55E00", "--"),
    "velocity": ("goes on as it did last", "#999999", "--"),
}


def inspect_memory(
    memory: MDNRNN,
    vae: VAE,
    path: str,
    *,
    training: Sequence[int],
    validation: Sequence[int],
    latent: Latent = "mean",
    folder: str | Path = "metrics",
) -> None:
    """Measure M and write `dreams.json`, a few measures, `dreams_details.json`, all of them,
    `dreams_open_loop.csv` and `dreams.png` to `folder`.

    Args:
        memory: what is judged. vae: shows what it dreams.
        path: of the latents that it was fitted to.
        training, validation: which episodes.
        latent: what M was trained to predict one step ahead.

    Raises:
        LatentFileError: no such file, another kind of file, or a damaged one.
    """
    folder = Path(folder)
    predicted = one_step(
        memory,
        LatentSequences(path, length=WINDOW),
        training=training,
        validation=validation,
        latent=latent,
    )
    dreamt = open_loop(memory, Decoder(vae).decode, path, validation)
    few = {
        "nll": predicted.nll_active["memory"],
        "nll_linear": predicted.nll_active["linear"],
        "error_25": float(dreamt.error["memory"][min(25, dreamt.steps) - 1]),
        "error_100": float(dreamt.error["memory"][min(100, dreamt.steps) - 1]),
    }
    if 50 in dreamt.progress:
        few["progress_r_50"] = dreamt.progress[50]
    write_metrics(folder / "dreams.json", few)
    write_metrics(folder / "dreams_details.json", _details(predicted, dreamt))
    rows = [
        {"step": step + 1, **{name: float(error[step]) for name, error in dreamt.error.items()}}
        for step in range(dreamt.steps)
    ]
    write_curve(folder / "dreams_open_loop.csv", rows)
    _draw(predicted, dreamt, folder / "dreams.png")


def _details(predicted: OneStep, dreamt: OpenLoop) -> Metrics:
    error = {
        name: {str(step): float(of[step - 1]) for step in SHOWN if step <= dreamt.steps}
        for name, of in dreamt.error.items()
    }
    details: dict[str, Metrics] = {
        "nll": predicted.nll,
        "nll_active": predicted.nll_active,
        "coverage": {f"{share:g}": found for share, found in predicted.coverage.items()},
        "open_loop_error": error,
        "open_loop_pixel_mse": {
            name: {str(step): mse for step, mse in of.items()} for name, of in dreamt.pixels.items()
        },
        "progress_r": {str(span): r for span, r in dreamt.progress.items()},
        "progress_ratio": {str(span): ratio for span, ratio in dreamt.ratio.items()},
    }
    if predicted.end_auc is not None:
        details["end"] = {"roc_auc": predicted.end_auc}
    return details


def _draw(predicted: OneStep, dreamt: OpenLoop, path: Path) -> None:
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    loop, calibration = figure.subplots(1, 2, width_ratios=(3, 2))
    for name, (label, colour, style) in WORLDS.items():
        steps = np.arange(1, dreamt.steps + 1)
        loop.plot(steps, dreamt.error[name], style, color=colour, label=label)
    loop.axhline(2.0, color="#CCCCCC", linewidth=1)
    loop.annotate("two moments that have nothing to do with each other", (1, 2.05), fontsize=8)
    loop.set(
        title="M in open loop, on the recorded actions of held-out episodes",
        xlabel="steps dreamt",
        ylabel="squared error of z, over its variance",
        ylim=(0, 3),
    )
    loop.legend()
    edges = np.linspace(0, 1, BINS + 1)
    calibration.stairs(BINS * predicted.pit, edges, fill=True, color="#0072B2", alpha=0.7)
    calibration.axhline(1.0, color="black", linewidth=1, linestyle="--")
    calibration.set(
        title="Where the next z falls in what M expected",
        xlabel="share of the mixture below it",
        ylabel="density; flat if M knows how sure it is",
    )
    save_figure(figure, path)
