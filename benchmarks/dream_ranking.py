"""Does the dream rank controllers as CarRacing does? `python -m benchmarks.dream_ranking ROUND`.

Takes a round's C and others whose weights differ from it a little, lets them drive in CarRacing
(tracks that nothing else drives) and in dreams, and prints Spearman's correlation of their returns:
all that CMA-ES asks of a dream. Run it where `dvc repro evolve@ROUND` ran. Read `agreement`.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from worldmodels.car_racing.env_params import EnvParams
from worldmodels.car_racing.task import CarRacingTask
from worldmodels.core.params import load_group, read_params
from worldmodels.dream.dream_engine import DreamEngine
from worldmodels.dream.dream_params import DreamParams
from worldmodels.dream.starts import DreamStarts
from worldmodels.models.agent_policy import policy_maker
from worldmodels.models.controller import LinearController
from worldmodels.models.determinism import hide_gpu
from worldmodels.models.memory import MDNRNN
from worldmodels.pipeline.rounds import rounds_of
from worldmodels.rollouts.engine import make_engine
from worldmodels.rollouts.local_engine import worker_count
from worldmodels.training.controller_params import ControllerParams
from worldmodels.training.evolution import drive_all

FIRST_TRACK = 20_000_000  # far from all of params.yaml
SPREADS = (0.03, 0.06, 0.1)  # standard deviations of what is added to C's weights


@dataclass(frozen=True)
class Agreement:
    """Spearman's correlations over candidates.

    between: of mean returns in the dream with those in CarRacing.
    tracks, dreams: of those on every other track, or dream, with those on the others: how well so
        many of them tell the candidates apart.
    """

    between: float
    tracks: float
    dreams: float


def agreement(real: NDArray[np.float64], dreamt: NDArray[np.float64]) -> Agreement:
    """Of returns of the same candidates, (candidates, tracks) and (candidates, dreams)."""

    def alike(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
        ranks, others = (pd.Series(each.mean(axis=1)).rank() for each in (one, other))
        return float(ranks.corr(others))

    def halves(returns: NDArray[np.float64]) -> float:
        return alike(returns[:, ::2], returns[:, 1::2])

    return Agreement(alike(real, dreamt), halves(real), halves(dreamt))


def neighbours(controller: NDArray[np.float64], count: int, *, seed: int) -> NDArray[np.float64]:
    """C itself, and so many that differ from it, (count + 1, parameters)."""
    rng = np.random.default_rng(seed)
    spreads = np.resize(SPREADS, count)[:, None]
    changes = spreads * rng.standard_normal((count, len(controller)))
    return np.concatenate([controller[None], controller + changes])


def _seeds(count: int) -> range:
    return range(FIRST_TRACK, FIRST_TRACK + count)


def main() -> None:
    """Drive, dream, and print."""
    rounds = rounds_of(read_params("params.yaml"))
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dream_ranking")
    parser.add_argument("round", choices=list(rounds))
    parser.add_argument("--candidates", type=int, default=72, help="beside C")
    parser.add_argument("--tracks", type=int, default=24)
    parser.add_argument("--dreams", type=int, default=96)
    arguments = parser.parse_args()
    folder = rounds[arguments.round].models
    params = load_group("controller", ControllerParams, round_name=arguments.round)
    dreaming = load_group("dream", DreamParams, round_name=arguments.round)
    hide_gpu()
    memory = MDNRNN.load(f"{folder}/memory.h5")
    controller = LinearController.load(f"{folder}/controller.h5").parameters
    candidates = neighbours(controller, arguments.candidates, seed=0)
    starts = DreamStarts.load(f"{folder}/dream_starts.h5", memory)
    dream = DreamEngine(memory, starts, dreaming, inputs=params.inputs, threads=worker_count())
    with dream:
        dreamt, _ = drive_all(
            candidates, _seeds(arguments.dreams), dream, steps=params.steps, patience=None, seed=0
        )
    car_racing = make_engine(
        CarRacingTask(),
        policy_maker(folder, inputs=params.inputs, latent=params.latent),
        image_shape=load_group("env", EnvParams).image_shape,
        batch_size=params.batch_size,
    )
    with car_racing:
        real, _ = drive_all(
            candidates,
            _seeds(arguments.tracks),
            car_racing,
            steps=params.steps,
            patience=params.patience,
            seed=0,
        )
    found = agreement(real, dreamt)
    print(
        f"C: {real[0].mean():.0f} in CarRacing, {dreamt[0].mean():.0f} in the dream; "
        f"{len(real) - 1} others: {real[1:].mean():.0f} and {dreamt[1:].mean():.0f}\n"
        f"ranked alike by {found.between:.2f}; half the tracks and the other half by "
        f"{found.tracks:.2f}, half the dreams and the other half by {found.dreams:.2f}"
    )


if __name__ == "__main__":
    main()
