"""Evolution of the controller: CMA-ES asks for candidates, the rollout engine says how they drive.

All candidates of a generation drive the same tracks, and every generation has new ones. What counts
as the result is the mean of the search distribution, scored on validation tracks that no candidate
is ever ranked on; the luckiest candidate is never kept. Read `evolve` first, the main loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cma
import numpy as np
from numpy.typing import NDArray

from worldmodels.checkpoints import Checkpoint
from worldmodels.controller import Latent, require_inputs
from worldmodels.episode_play import STEPS_AT_MOST, Episode, noise_seed
from worldmodels.errors import WorldModelsError
from worldmodels.evolution_log import EvolutionLog, Told, Validation
from worldmodels.params import require, require_seeds, require_together
from worldmodels.rollout import RolloutEngine

AT_MOST = {  # the paper: 16 episodes, 1,800 generations
    "episodes": 10_000,
    "generations": 100_000,
    "validation_every": 100_000,
    "validation_episodes": 100_000,
}
EPISODES_A_GENERATION = 2**20  # their list and what came of them take half a gigabyte
ENVIRONMENTS_A_WORKER = 256  # of 6 MB each


@dataclass(frozen=True)
class ControllerParams:
    """The `controller` group of params.yaml; its comments there say more.

    inputs: what C reads: [z] or [z, h].
    latent: "sample" or "mean".
    population: candidates a generation.
    episodes: tracks that each candidate of a generation drives.
    generations: how many.
    steps: of an episode at most, training and validation alike.
    sigma: standard deviation of the search at the start. max_sigma: the most it may grow to.
    patience: steps without a new tile after which a training episode is given up; null for never.
    batch_size: environments a worker steps at once; the graph's batch shape.
    first_seed: the first training track; population plays no part, so there are generations *
        episodes of them.
    validation_every: generations between validations of the mean vector.
    validation_episodes: tracks it is validated on. validation_first_seed: the first of them.
    """

    inputs: tuple[str, ...]
    latent: Latent
    population: int
    episodes: int
    generations: int
    steps: int
    sigma: float
    max_sigma: float
    patience: int | None
    batch_size: int
    first_seed: int
    validation_every: int
    validation_episodes: int
    validation_first_seed: int

    def __post_init__(self) -> None:
        require_inputs(self.inputs)
        require("population", self.population, 2 <= self.population <= 4096, "2 to 4096")
        for name, at_most in AT_MOST.items():
            fits = 1 <= getattr(self, name) <= at_most
            require(name, getattr(self, name), fits, f"1 to {at_most}")
        require_together(
            "episodes a generation",
            self.population * self.episodes,
            EPISODES_A_GENERATION,
            {"episodes": self.episodes, "population": self.population},
        )
        require("steps", self.steps, 1 <= self.steps <= STEPS_AT_MOST, f"1 to {STEPS_AT_MOST}")
        # tanh is flat long before weights of 1000; what moves them by less than 1e-6 is a mistake.
        require("sigma", self.sigma, 1e-6 <= self.sigma <= 1000, "1e-06 to 1000")
        max_sigma_fits = self.sigma <= self.max_sigma <= 1000
        require("max_sigma", self.max_sigma, max_sigma_fits, f"sigma, {self.sigma}, to 1000")
        require(
            "patience",
            self.patience,
            self.patience is None or 1 <= self.patience <= STEPS_AT_MOST,
            f"1 to {STEPS_AT_MOST}, or null",
        )
        batch_size_fits = 1 <= self.batch_size <= ENVIRONMENTS_A_WORKER
        require("batch_size", self.batch_size, batch_size_fits, f"1 to {ENVIRONMENTS_A_WORKER}")
        require_seeds("first_seed", self.first_seed, self.generations * self.episodes)
        validations = self.validation_episodes
        require_seeds("validation_first_seed", self.validation_first_seed, validations)

    @property
    def training_seeds(self) -> range:
        """Track seeds that candidates are ranked on."""
        return range(self.first_seed, self.first_seed + self.generations * self.episodes)

    @property
    def validation_seeds(self) -> range:
        """Track seeds that the mean vector is chosen on."""
        first = self.validation_first_seed
        return range(first, first + self.validation_episodes)


@dataclass(frozen=True)
class Generation:
    """What a generation came to.

    frames: driven by all candidates so far.
    return_mean, return_std, return_max: over the candidates' mean returns on the training tracks.
    sigma: mean standard deviation over the dimensions, after the update.
    mean_vector: the search distribution's mean after the update, (parameters,).
    validation: of the mean vector, in the generations where it was validated.
    """

    generation: int
    frames: int
    return_mean: float
    return_std: float
    return_max: float
    sigma: float
    mean_vector: NDArray[np.float64]
    validation: Validation | None

    def row(self) -> dict[str, float]:
        """The generation as a row of the evolution curve."""
        return {
            "generation": self.generation,
            "frames": self.frames,
            "return_mean": self.return_mean,
            "return_std": self.return_std,
            "return_max": self.return_max,
            "sigma": self.sigma,
        }


def validated(generations: Sequence[Generation]) -> list[tuple[Generation, Validation]]:
    """The generations whose mean vector was validated."""
    return [(one, one.validation) for one in generations if one.validation is not None]


def best_validated(generations: Sequence[Generation]) -> tuple[Generation, Validation]:
    """The generation whose mean vector did best on the validation tracks, the first of equals."""
    return max(validated(generations), key=lambda pair: pair[1].return_mean)


def validation_curve(generations: Sequence[Generation]) -> list[dict[str, float]]:
    """A row for every validation of the mean vector."""
    return [
        {
            "generation": generation.generation,
            "frames": generation.frames,
            "validation_return": validation.return_mean,
            "validation_std": validation.return_std,
        }
        for generation, validation in validated(generations)
    ]


def evolve(
    params: ControllerParams,
    engine: RolloutEngine,
    *,
    dimensions: int,
    seed: int,
    checkpoint: Checkpoint | None = None,
) -> Iterator[Generation]:
    """Evolve a controller; yield after every generation.

    Args:
        params: the `controller` group.
        engine: plays episodes with candidates of `dimensions` numbers.
        dimensions: length of a candidate.
        seed: `base.seed`.
        checkpoint: where to save, and to go on from. Generations that were driven before are
            yielded again.

    Raises:
        WorldModelsError: a return is not a number.
    """
    rng = np.random.default_rng(seed)
    strategy = cma.CMAEvolutionStrategy(
        np.zeros(dimensions),
        params.sigma,
        {
            "popsize": params.population,
            "maxstd": params.max_sigma,
            "randn": lambda *shape: rng.standard_normal(shape),
            "seed": np.nan,  # cma must not seed NumPy's global generator
            "verbose": -9,
            "verb_log": 0,  # no outcmaes/ folder
        },
    )
    log = EvolutionLog(checkpoint)
    frames = 0
    for generation in range(1, params.generations + 1):
        candidates = np.array(strategy.ask())
        told = log.told.get(generation)
        if told is not None:
            strategy.tell(candidates, _costs(told))
            log.check(generation, strategy.mean)
        else:
            first = params.first_seed + (generation - 1) * params.episodes
            returns, driven = _drive(
                candidates,
                range(first, first + params.episodes),
                engine,
                steps=params.steps,
                patience=params.patience,
                seed=seed,
            )
            told = Told(returns.mean(axis=1).tolist(), driven)
            strategy.tell(candidates, _costs(told))
            log.add(generation, told, strategy.mean)
        frames += told.frames
        validation = None
        if generation % params.validation_every == 0 or generation == params.generations:
            validation = log.validations.get(generation)
            if validation is None:
                validation = _validate(strategy.mean, params, engine, seed=seed)
                log.add_validation(generation, validation)
        yield Generation(
            generation,
            frames,
            float(np.mean(told.scores)),
            float(np.std(told.scores)),
            float(np.max(told.scores)),
            float(np.mean(strategy.stds)),  # sigma itself runs on where max_sigma caps it
            strategy.mean.copy(),
            validation,
        )


def _costs(told: Told) -> NDArray[np.float64]:
    """What CMA-ES minimises."""
    return -np.array(told.scores)


def _validate(
    mean: NDArray[np.float64], params: ControllerParams, engine: RolloutEngine, *, seed: int
) -> Validation:
    returns, _ = _drive(
        mean[None],
        params.validation_seeds,
        engine,
        steps=params.steps,
        patience=None,
        seed=seed,
    )
    return Validation(float(returns.mean()), float(returns.std()))


def _drive(
    candidates: NDArray[np.float64],
    seeds: range,
    engine: RolloutEngine,
    *,
    steps: int,
    patience: int | None,
    seed: int,
) -> tuple[NDArray[np.float64], int]:
    """Returns (candidates, tracks) of all candidates on all tracks, and the frames it took."""
    episodes = [
        Episode(
            track_seed=track,
            noise_seed=noise_seed(seed, track),
            candidate=candidate,
            steps=steps,
            patience=patience,
        )
        for candidate in range(len(candidates))
        for track in seeds
    ]
    outcomes = list(engine.play(episodes, candidates))
    returns = np.array([outcome.episode_return for outcome in outcomes])
    if not np.isfinite(returns).all():
        bad = outcomes[int(np.argmin(np.isfinite(returns)))]
        raise WorldModelsError(
            f"expected a finite return, got {bad.episode_return} from {bad.episode}"
        )
    frames = sum(outcome.steps for outcome in outcomes)
    return returns.reshape(len(candidates), len(seeds)), frames
