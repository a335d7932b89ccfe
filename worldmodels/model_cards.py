"""Writes docs/models.md, the cards of V, M and C of the run that dvc.lock records:
`python -m worldmodels.model_cards`.

Every number comes from dvc.lock, parameters included, or from a metrics file that dvc.lock vouches
for, so the same run gives the same page. Read `model_cards`.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from worldmodels.core.errors import WorldModelsError
from worldmodels.core.files import atomic_write
from worldmodels.core.plain_yaml import read_mapping
from worldmodels.models.controller import linear_layer
from worldmodels.pipeline.all_params import AllParams, RoundParams, all_of

PAGE = Path("docs/models.md")
POOR = 800.0  # a return below it counts as a failure; 900 is what gym calls solved
SHOWN = 5  # of those, by name
NAMES = {"vae": "V", "memory": "M", "controller": "C"}

ELBO = "evidence lower bound of held-out frames, nats a frame"

VISION = {  # of metrics/vision.json
    "psnr": "PSNR of reconstructions, dB",
    "edge_psnr": "the same where road and grass meet, dB",
    "active_units": "latent dimensions that it uses",
    "aggregate_kl": "all z as one Gaussian against N(0, I), nats",
    "r2_distance": "R² of a linear map from z to the distance from the centre line",
    "r2_curvature": "R² of the same to the curvature ahead",
}
DREAMS = {  # of metrics/dreams.json
    "nll": "negative log likelihood of the next z, nats a dimension that V uses",
    "nll_linear": "the same of a linear function of the last two z and the action",
    "error_25": "squared error of z over its variance, 25 steps dreamt",
    "error_100": "the same, 100 steps dreamt",
    "progress_r_50": "correlation of expected with real progress, 50 steps dreamt",
}


class RecordedRun:
    """The run that dvc.lock in the folder `root` records: its outputs and parameters.

    Raises:
        WorldModelsError: dvc.lock is missing, or its run has not ended.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        stages: Any = read_mapping(root / "dvc.lock").get("stages", {})
        self._outs = {out["path"]: out for stage in stages.values() for out in stage["outs"]}
        if not {"check_params", "evaluate"} <= set(stages):
            raise WorldModelsError(
                f"dvc.lock: expected a whole run, got one of {len(stages)} stages without "
                "check_params or evaluate: `dvc repro` runs what is missing"
            )
        self.params: AllParams = all_of(stages["check_params"]["params"]["params.yaml"])

    def out(self, path: str) -> Mapping[str, Any]:
        """What dvc.lock says of an output: md5, and size in bytes.

        Raises:
            WorldModelsError: dvc.lock does not have it.
        """
        if path not in self._outs:
            raise WorldModelsError(
                f"{path}: expected in dvc.lock, got nothing: `dvc repro` runs what is missing"
            )
        return self._outs[path]

    def metrics(self, path: str) -> dict[str, Any]:
        """What a JSON file says.

        Raises:
            WorldModelsError: it is missing, or not the one of the run.
        """
        found: dict[str, Any] = json.loads(self._read(path))
        return found

    def table(self, path: str) -> pd.DataFrame:
        """The rows of a CSV file.

        Raises:
            WorldModelsError: it is missing, or not the one of the run.
        """
        return pd.read_csv(io.BytesIO(self._read(path)))

    def _read(self, path: str) -> bytes:
        """Of a metrics file, if it is the one that the run wrote."""
        expected = self.out(path)["md5"]
        file = self._root / path
        content = file.read_bytes() if file.is_file() else None
        got = "no file" if content is None else hashlib.md5(content).hexdigest()
        if content is None or got != expected:
            raise WorldModelsError(
                f"{path}: expected the one that dvc.lock records, {expected}, got {got}: "
                "`git restore metrics dvc.lock` brings the committed ones back"
            )
        return content


def model_cards(root: Path) -> str:
    """The page on the models of the run that dvc.lock records, in Markdown.

    Args:
        root: folder of dvc.lock and metrics/.

    Raises:
        WorldModelsError: there is no whole run, or metrics are not those of the run.
    """
    run = RecordedRun(root)
    last = run.params.rounds[run.params.evaluation.round]
    rounds = [run.params.rounds[name] for name in (*last.round.before, last.round.name)]
    parts = [_head(run, last), _data(run, rounds)]
    parts += [_vision(run, rounds), _memory(run, rounds), _controller(run, rounds)]
    return "\n".join(parts)


def _head(run: RecordedRun, last: RoundParams) -> str:
    files = {name: f"{last.round.models}/{name}.h5" for name in NAMES}
    rows = []
    for name, letter in NAMES.items():
        out = run.out(files[name])
        rows.append((letter, f"`{files[name]}`", f"{out['size']:,}", f"`{out['md5']}`"))
    score = run.metrics("metrics/evaluation.json")
    return f"""\
# The models

Cards of V, M and C of the recorded run: together the agent that scored \
{score["return_mean"]:.0f} ± {score["return_std"]:.0f}.
`python -m worldmodels.model_cards` wrote this page from `dvc.lock` and `metrics/`; do not edit it.
[Results](results.md) says how other runs did.

{_table(("", "file", "bytes", "MD5"), rows)}
`make models` brings these files, and those of the rounds before, into `models/` of a clone.
`dvc get URL {files["controller"]}` brings one without a clone, and `dvc artifacts get` one of a \
[tagged version](experiments.md#a-model-by-its-name).
`worldmodels.Agent.load("{last.round.models}")` drives with all three.

All stages derive their generators from `base.seed: {run.params.base.seed}`.
This is one run: other seeds give other agents.
They know stock CarRacing and nothing else: its car, its colours, its tracks, no weather.
"""


def _data(run: RecordedRun, rounds: list[RoundParams]) -> str:
    rows = []
    for one in rounds:
        sampled = run.metrics(f"{one.round.metrics}/sample.json")
        noisy = ", half of it with noise" if any(one.sampling.noise) else ""
        policy = one.sampling.policy
        driver = f"the agent of `{one.round.before[-1]}`{noisy}" if policy == "agent" else policy
        rows.append(
            (
                f"`{one.round.name}`",
                driver,
                sampled["episodes"],
                f"{sampled['frames']:,}",
                f"{sampled['return_mean']:.0f}",
                f"{100 * sampled['on_road_share']:.0f} %",
                _span(one.sampling.seeds),
            )
        )
    columns = ("round", "driven by", "episodes", "frames", "mean return", "on the road", "tracks")
    frames = run.metrics(f"{rounds[-1].round.metrics}/encode.json")["frames"]
    height, width = run.params.env.image_shape
    return f"""\
## The data

{_table(columns, rows)}
{frames:,} frames of {height} by {width} pixels in all, recorded in this project's own CarRacing.
{100 * run.params.base.validation_share:.0f} % of the episodes are held out from training V and M.
A round learns from its own episodes and from those of the rounds before.
Tracks are given by the seed of their `reset`; of those on this page none serves two purposes, \
but that rounds validate on the same.
"""


def _vision(run: RecordedRun, rounds: list[RoundParams]) -> str:
    last, driving = rounds[-1], run.params.driving
    elbo = last.round.metric("val_elbo")
    held_out = run.metrics(f"{last.round.metrics}/vae.json")
    judged = run.metrics("metrics/vision.json")
    probes = run.metrics("metrics/vision_details.json")["driving"].get("probes", {})
    speed = f", of which the linear map has R² {probes['speed']:.2f}" if "speed" in probes else ""
    return f"""\
## V, the VAE

A frame of CarRacing's, cropped and resized, to mean and log variance of {last.vae.latent_dim} \
numbers, and back.
Trained with Adam for at most {_each(rounds, lambda one: one.vae.epochs)} epochs, \
with beta {last.vae.beta:g} and {last.vae.kl_tolerance:g} free nats a dimension.
The encoder computes in {last.vae.precision}.

{_scores({elbo: ELBO, **VISION}, {**held_out, **judged})}
All but the first on {driving.episodes} episodes of a scripted driver \
(tracks {_span(driving.seeds)}), on which nothing was trained; [vision](vision.md) explains them.

Limits: one frame hardly shows speed{speed}.
The road's edges are reconstructed {judged["psnr"] - judged["edge_psnr"]:.1f} dB worse than \
the whole frame.
Other colours or another crop are frames that it has never seen.
"""


def _memory(run: RecordedRun, rounds: list[RoundParams]) -> str:
    memory = rounds[-1].memory
    dreamt = run.table("metrics/dreams_open_loop.csv")
    lost = dreamt["step"][dreamt["memory"] > 1]
    horizon = (
        f"from step {lost.iloc[0]} of a dream on its error exceeds the variance of z, "
        "so that the mean is the better guess"
        if len(lost)
        else f"it was measured for {len(dreamt)} steps of a dream, and no further"
    )
    return f"""\
## M, the MDN-RNN

An LSTM of {memory.hidden_units} units from z and action to the next z, a mixture of \
{memory.mixtures} Gaussians for each number, and to progress and end of the episode.
Trained with Adam for {_each(rounds, lambda one: one.memory.epochs)} epochs, \
on windows of {memory.sequence_length} steps.

{_scores(DREAMS, run.metrics("metrics/dreams.json"))}
All on held-out episodes; [the dream](dream.md) explains them.

Limits: {horizon}.
It knows what the episodes above show; where an agent would drive otherwise, its dream is a guess.
"""


def _controller(run: RecordedRun, rounds: list[RoundParams]) -> str:
    last, evaluation = rounds[-1], run.params.evaluation
    layer = linear_layer(
        last.controller.inputs,
        latent_dim=last.vae.latent_dim,
        hidden_units=last.memory.hidden_units,
    )
    rows = []
    for one in rounds:
        searched = run.metrics(f"{one.round.metrics}/evolution.json")
        validated = run.metrics(f"{one.round.metrics}/controller.json")
        rows.append(
            (
                f"`{one.round.name}`",
                searched["generations"],
                searched["dream_generations"],
                f"{searched['frames']:,}",
                _span(one.controller.training_seeds),
                f"{validated[one.round.metric('val_return')]:.0f}",
                _span(one.controller.validation_seeds),
            )
        )
    searches = ("round", "generations", "in dreams", "frames driven", "tracks")
    validations = ("validation", "its tracks")
    score = run.metrics("metrics/evaluation.json")
    details = run.metrics("metrics/evaluation_details.json")
    episodes = run.table("metrics/episodes.csv")
    ends = ", ".join(f"{n} by {end}" for end, n in episodes["end"].value_counts().items())
    poor = episodes[episodes["return"] < POOR].sort_values("return")
    worst = "; the worst:" if len(poor) > SHOWN else ":" if len(poor) else ""
    shown = poor[["return", "seed"]].head(SHOWN).itertuples(index=False)
    failures = ",".join(f" {value:.0f} on {seed}" for value, seed in shown)
    return f"""\
## C, the controller

One linear layer of {layer.parameters:,} numbers from [{", ".join(last.controller.inputs)}] \
to steering, gas and brake.
Evolved by CMA-ES with {last.controller.population} candidates a generation; \
kept is the mean of the search where it validated best.

{_table((*searches, *validations), rows)}
Scored on stock gym CarRacing-v2, {evaluation.episodes} tracks ({_span(evaluation.seeds)}) that \
nothing was trained or chosen on, {evaluation.steps} steps at most:

{_returns(score, details)}
Limits: {len(poor)} of {len(episodes)} tracks below {POOR:.0f}{worst}{failures}.
Of the episodes ended {ends}.
On a processor of another kind the last bits differ, and then the returns a little: \
[what is promised](reliability.md).
"""


def _returns(score: Mapping[str, float], details: Mapping[str, float]) -> str:
    """The table of what the agent scored."""
    values = {
        "mean": score["return_mean"],
        "standard deviation over the tracks": score["return_std"],
        "standard error": details["return_standard_error"],
        "median": details["return_median"],
        "worst": details["return_min"],
        "best": details["return_max"],
        "random actions": details["random_policy_return_mean"],
    }
    return _table(values, [[f"{value:.1f}" for value in values.values()]])


def _each(rounds: list[RoundParams], value: Callable[[RoundParams], int]) -> str:
    """A value of every round, the first one first."""
    return " and then ".join(str(value(one)) for one in rounds)


def _scores(meanings: Mapping[str, str], metrics: Mapping[str, float]) -> str:
    """A table of what was measured; a very small run measures less."""
    rows = [(said, f"{metrics[key]:.4g}") for key, said in meanings.items() if key in metrics]
    return _table(("measured", ""), rows)


def _span(seeds: range) -> str:
    return f"{seeds.start} to {seeds.stop - 1}"


def _table(columns: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    columns = list(columns)
    rule = "|---" * len(columns) + "|\n"
    head, *body = (f"| {' | '.join(map(str, line))} |\n" for line in (columns, *rows))
    return "".join((head.replace("|  |", "| |"), rule, *body))


def main(arguments: list[str] | None = None) -> int:
    """Write docs/models.md; the exit status is 1 where metrics and dvc.lock do not fit."""
    parser = argparse.ArgumentParser(
        prog="python -m worldmodels.model_cards",
        description=f"Write {PAGE}, the models' cards, from dvc.lock and metrics/.",
    )
    parser.parse_args(arguments)
    try:
        text = model_cards(Path())
        with atomic_write(PAGE) as temporary:
            temporary.write_text(text)
    except WorldModelsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{PAGE} written")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
