"""What C scored, round by round, that learnt in dreams: `python -m benchmarks.dream_rounds FOLDER`.

FOLDER is that of a run of the preset `dream`, or what is kept of one in benchmarks/runs. Prints a
table and draws docs/dream_rounds.png. Read `rounds_table`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import pandas as pd
from matplotlib import pyplot as plt

from worldmodels.core.params import read_params
from worldmodels.pipeline.rounds import rounds_of

PICTURE = Path("docs/dream_rounds.png")


def rounds_table(run: Path) -> pd.DataFrame:
    """A row a round. Columns:

    round: its name. frames: of CarRacing so far, all that was driven to learn from.
    dream: what a candidate of the last generation expects of a dream, the population's mean.
    evolved, std: the mean vector in CarRacing, on validation tracks. kept: the better one of it and
    of what the round began with.
    """
    rows = []
    frames = 0.0
    for name, round_ in rounds_of(read_params(run / "params.yaml")).items():
        metrics = run / round_.metrics
        frames += json.loads((metrics / "sample.json").read_text())["frames"]
        curve = pd.read_csv(metrics / "evolution_curve.csv")
        validated = pd.read_csv(metrics / "validations.csv").iloc[-1]
        kept = json.loads((metrics / "controller.json").read_text())[round_.metric("val_return")]
        rows.append(
            {
                "round": name,
                "frames": frames,
                "dream": float(curve["return_mean"].iloc[-1]),
                "evolved": float(validated["validation_return"]),
                "std": float(validated["validation_std"]),
                "kept": kept,
            }
        )
    return pd.DataFrame(rows)


def in_markdown(table: pd.DataFrame) -> str:
    """The table as docs/dream.md has it."""
    lines = [
        "| round | real frames so far | return in the dream | evolved there, in CarRacing | kept |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['round']} | {row['frames'] / 1000:.0f},000 | {row['dream']:.0f} "
        f"| {row['evolved']:.0f} ± {row['std']:.0f} | {row['kept']:.0f} |"
        for _, row in table.iterrows()
    ]
    return "\n".join(lines)


def draw(table: pd.DataFrame, path: Path) -> None:
    """Returns in the dream and in CarRacing, by round, as a PNG."""
    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    at = range(len(table))
    axes.plot(at, table["dream"], "o--", color="grey", label="in the dream, 150 steps and later")
    axes.errorbar(at, table["evolved"], table["std"], marker="o", capsize=3, label="in CarRacing")
    axes.plot(at, table["kept"], "k_", markersize=14, label="kept")
    axes.set_xticks(list(at), table["round"].tolist(), rotation=45)
    axes.set(ylabel="return; bars: ± standard deviation over tracks")
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110, metadata={"Software": ""})
    plt.close(figure)


def main() -> None:
    """Print and draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dream_rounds")
    parser.add_argument("run", type=Path, help="folder of a run of the preset dream")
    table = rounds_table(parser.parse_args().run)
    print(in_markdown(table))
    draw(table, PICTURE)


if __name__ == "__main__":
    main()
