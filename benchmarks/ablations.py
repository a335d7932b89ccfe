"""What each part of the agent is worth: `python -m benchmarks.ablations --seeds 0 1 2`.

Runs each variant once a seed, as an experiment (`dvc exp run`), and writes its score on stock gym
and how well M predicts to benchmarks/runs/ablations.csv; what stands there is not run again.
Without seeds it prints the table of what is there. Read `VARIANTS` first.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path

import pandas as pd

RUNS = Path("benchmarks/runs/ablations.csv")
COLUMNS = ["variant", "seed", "return_mean", "return_std", "frames", "val_nll"]

# V learns for two epochs, not five; a search has 24 generations of 64 candidates on two tracks.
COMMON = {
    "vae.epochs": "2",
    "rounds.second.controller.generations": "12",
    "rounds.second.controller.track_pool": "1",
    "rounds.second.controller.validation_episodes": "16",
}
STANDARD = {
    "controller.inputs": "[z,h]",
    "controller.latent": "mean",
    "controller.generations": "24",
    "memory.mixtures": "5",
    "memory.latent": "sample",
    "memory.epochs": "40",
    "memory.learning_rate": "0.001",
    "evaluation.round": "first",
}
VARIANTS: dict[str, dict[str, str]] = {
    "z and h, one round": {},
    "z alone": {"controller.inputs": "[z]"},
    "h of an untrained memory": {"memory.epochs": "1", "memory.learning_rate": "1e-9"},
    "z is sampled": {"controller.latent": "sample"},
    "one mixture": {"memory.mixtures": "1"},
    "M predicts means": {"memory.latent": "sample_to_mean"},
    "two rounds of half the generations": {
        "controller.generations": "12",
        "evaluation.round": "second",
    },
}


def settings(variant: str, seed: int) -> list[str]:
    """Arguments of `dvc exp run`: all that any variant changes, so that none inherits another's."""
    values = {"base.seed": str(seed), **COMMON, **STANDARD, **VARIANTS[variant]}
    return [part for key, value in values.items() for part in ("-S", f"{key}={value}")]


def scored(variant: str, seed: int) -> dict[str, str | int | float]:
    """A row of the finished run that lies in metrics/."""
    evaluation = json.loads(Path("metrics/evaluation.json").read_text())
    last = {**STANDARD, **VARIANTS[variant]}["evaluation.round"]
    rounds = ("first",) if last == "first" else ("first", "second")
    frames = sum(
        json.loads(Path(f"metrics/{name}/{file}.json").read_text())["frames"]
        for name in rounds
        for file in ("sample", "evolution")
    )
    memory = json.loads(Path("metrics/first/memory.json").read_text())
    nll = memory["val_nll_first"]  # nats a latent dimension of the first round's held-out episodes
    return {"variant": variant, "seed": seed, **evaluation, "frames": frames, "val_nll": nll}


def table(runs: pd.DataFrame) -> str:
    """Means over seeds with their standard errors, in Markdown."""
    rows = ["| | score | seeds | driven frames | M's loss, nats |", "|---|---|---|---|---|"]
    for variant in VARIANTS:
        of_it = runs[runs["variant"] == variant]
        if of_it.empty:
            continue
        scores = of_it["return_mean"].to_numpy(float)
        error = scores.std(ddof=1) / len(scores) ** 0.5 if len(scores) > 1 else float("nan")
        seeds = ", ".join(f"{score:.0f}" for score in scores)
        frames, nll = of_it["frames"].mean() / 1e6, of_it["val_nll"].mean()
        parts = (f"{scores.mean():.0f} ± {error:.0f}", seeds, f"{frames:.2f} M", f"{nll:.3f}")
        rows.append(f"| {variant} | {' | '.join(parts)} |")
    return "\n".join(rows)


def main() -> None:
    """Run what is missing of the asked seeds, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="*", default=[])
    arguments = parser.parse_args()
    runs = pd.read_csv(RUNS) if RUNS.exists() else pd.DataFrame(columns=COLUMNS)
    for seed in arguments.seeds:
        for variant in VARIANTS:
            if ((runs["variant"] == variant) & (runs["seed"] == seed)).any():
                continue
            subprocess.run(["dvc", "exp", "run", "evaluate", *settings(variant, seed)], check=True)
            row = pd.DataFrame([scored(variant, seed)])
            runs = row if runs.empty else pd.concat([runs, row], ignore_index=True)
            runs.to_csv(RUNS, index=False)
    print(table(runs))


if __name__ == "__main__":
    main()
