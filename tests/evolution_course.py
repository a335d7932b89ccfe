"""A course for evolution without an environment: what `test_evolution*.py` share.

`Course` plays in place of the rollout engine: a candidate's return is a function of its numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodels.core.checkpoint import Checkpoint
from worldmodels.rollouts.episode import Episode, Outcome
from worldmodels.training.controller_params import ControllerParams
from worldmodels.training.evolution import Generation, evolve
from worldmodels.training.evolution_log import EvolutionLog

DIMENSIONS = 5

PARAMS = ControllerParams(
    environment="car_racing",
    inputs=("z", "h"),
    latent="mean",
    population=8,
    episodes=2,
    generations=6,
    steps=100,
    sigma=0.1,
    max_sigma=0.3,
    covariance="full",
    restart_every=None,
    weight_decay=0.0,
    finalist_episodes=0,
    track_pool=1,
    patience=30,
    batch_size=4,
    first_seed=0,
    validation_every=4,
    validation_episodes=3,
    validation_first_seed=1000,
)


def hill(candidate: NDArray[np.float64], episode: Episode) -> float:
    """Best where every number is 1; a track favours some directions a little."""
    slope = np.random.default_rng(episode.track_seed).normal(scale=0.1, size=len(candidate))
    return float(slope @ candidate - 100 * ((candidate - 1) ** 2).sum())


class Course:
    """Keeps what it was asked to play."""

    def __init__(self, return_of: Callable[[NDArray[np.float64], Episode], float] = hill) -> None:
        self.return_of = return_of
        self.plays: list[tuple[list[Episode], NDArray[np.float64]]] = []

    def play(
        self, episodes: Sequence[Episode], candidates: NDArray[np.float64]
    ) -> Iterator[Outcome]:
        self.plays.append((list(episodes), candidates.copy()))
        for episode in episodes:
            value = self.return_of(candidates[episode.candidate], episode)
            yield Outcome(episode, value, 10, 3, "time_limit")


START = np.zeros(DIMENSIONS)


def run_from(
    *starts: NDArray[np.float64],
    seed: int = 0,
    course: Course | None = None,
    params: ControllerParams = PARAMS,
    checkpoint: Checkpoint | None = None,
) -> list[Generation]:
    """All generations, the starts as the first."""
    engine: Any = course or Course()
    return list(evolve(params, engine, starts=starts, seed=seed, log=EvolutionLog(checkpoint)))


def run(**how: Any) -> list[Generation]:
    """The generations after the start, which is all zeros; see `run_from`."""
    return run_from(START, **how)[1:]


def vectors(generations: list[Generation]) -> list[bytes]:
    return [generation.mean_vector.tobytes() for generation in generations]
