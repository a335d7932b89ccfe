"""Draws the learning curve of a run beside the paper's: `python -m benchmarks.learning_curve`.

Score against frames, and against core-hours. It reads a finished run's metrics and its stages'
times, logs/stages.csv, so it is drawn where the run was made, or of what is kept in
benchmarks/runs; several runs are named by their folders. Read `learning_curve` first.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.picture import COLOURS
from worldmodels.core.params import read_params
from worldmodels.pipeline.rounds import rounds_of

PICTURE = Path("docs/learning_curve.png")

# Generation and score of the mean vector, from the log beside the paper's code, and at the end the
# score in the paper: 1,800 generations, 1.72e9 frames, 46.6 days on a machine of 64 cores.
PAPER = {25: 823, 50: 867, 200: 880, 625: 895, 1800: 906}
PAPER_FRAMES = 1.72e9 / 1800  # a generation
PAPER_CORE_HOURS = 46.6 * 24 * 64 / 1800  # a generation
# Others' scores by the frames that they say they took.
OTHERS = {"Freeman et al. 2019": (155e6, 865), "AttentionAgent 2020": (8e9, 914)}


@dataclass(frozen=True)
class Point:
    """A score and what it had cost by then; `std` is over the tracks."""

    frames: float
    core_hours: float
    score: float
    std: float


def learning_curve(run: Path) -> tuple[list[Point], Point]:
    """Validations of the mean vector of a run in the folder `run`, and the final score.

    Frames are all that were driven so far, exploring and the agent's own episodes too, but not
    those that only measured: the validations', the evaluation's.
    """
    metrics = run / "metrics"
    log = pd.read_csv(run / "logs" / "stages.csv").drop_duplicates("stage", keep="last")
    seconds = (log["seconds"] * log["workers"]).tolist()
    core_seconds = dict(zip(log["stage"].tolist(), seconds, strict=True))
    frames = spent = 0.0
    points: list[Point] = []
    for round_ in rounds_of(read_params()).values():
        before = ("sample", "train_vae", "encode", "train_memory", "transfer")
        frames += _read(run / round_.metrics / "sample.json")["frames"]
        spent += sum(core_seconds.get(round_.stage(stage), 0.0) for stage in before)
        curve = pd.read_csv(run / round_.metrics / "validations.csv")
        columns = ("frames", "validation_return", "validation_std")
        driven, scores, stds = (curve[column].tolist() for column in columns)
        evolving = core_seconds[round_.stage("evolve")]
        # Of the time of evolution as much as of its frames; the start is validated before any.
        points += [
            Point(frames + at, (spent + evolving * at / driven[-1]) / 3600, score, std)
            for at, score, std in zip(driven, scores, stds, strict=True)
        ]
        frames += driven[-1]
        spent += evolving
    score = _read(metrics / "evaluation.json")
    return points, Point(frames, spent / 3600, score["return_mean"], score["return_std"])


def _read(path: Path) -> dict[str, float]:
    values: dict[str, float] = json.loads(path.read_text())
    return values


def draw(runs: dict[str, tuple[list[Point], Point]], path: Path) -> None:
    """Write a PNG."""
    figure, (frames, core_hours) = plt.subplots(
        1, 2, figsize=(12, 5), sharey=True, layout="constrained"
    )
    generations = list(PAPER)
    _paper(frames, [PAPER_FRAMES * generation for generation in generations])
    _paper(core_hours, [PAPER_CORE_HOURS * generation for generation in generations])
    for marker, (name, (at, score)) in zip("s^", OTHERS.items(), strict=True):
        frames.plot(at, score, marker, color="grey", label=name)
    for number, (name, (points, final)) in enumerate(runs.items()):
        for axes, quantity in ((frames, "frames"), (core_hours, "core_hours")):
            colour = COLOURS[number]
            axes.plot(
                [getattr(point, quantity) for point in points],
                [point.score for point in points],
                ".-",
                color=colour,
                label=f"{name}: mean vector, validation tracks",
            )
            axes.errorbar(
                getattr(final, quantity),
                final.score,
                final.std,
                marker="o",
                capsize=4,
                color=colour,
                label=f"{name}: unseen tracks of stock gym, {final.score:.0f} ± {final.std:.0f}",
            )
    frames.set(
        xlabel="frames driven",
        ylabel="return; bars: ± standard deviation over the tracks",
        title="Score against frames",
    )
    core_hours.set(xlabel="core-hours", title="Score against core-hours")
    for axes in (frames, core_hours):
        axes.set(xscale="log", ylim=(-100, 1000))  # agents begin below 0
        axes.axhline(900, color="grey", linestyle=":", zorder=0, label="900: solved, says gym")
        axes.grid(visible=True, alpha=0.3)
    frames.legend(loc="lower right", fontsize=8)
    figure.savefig(path, dpi=110, metadata={"Software": ""})
    plt.close(figure)


def _paper(axes: Axes, at: list[float]) -> None:
    axes.plot(at, list(PAPER.values()), "o--", color="black", label="Ha & Schmidhuber 2018")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning_curve")
    parser.add_argument(
        "runs", nargs="*", type=Path, default=[Path()], help="folders of finished runs; default: ."
    )
    folders = parser.parse_args(arguments).runs
    for folder in folders:
        if not (folder / "logs" / "stages.csv").exists():
            parser.error(f"{folder}: expected the folder of a finished run, with logs/stages.csv")
    names = ["this project"] if len(folders) == 1 else [folder.name for folder in folders]
    draw(dict(zip(names, map(learning_curve, folders), strict=True)), PICTURE)
    print(PICTURE)


if __name__ == "__main__":
    main()
