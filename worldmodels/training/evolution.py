"""Evolution of the controller: CMA-ES asks for candidates, the rollout engine says how they drive.

All candidates of a generation drive the same tracks, and every generation has new ones; with
`finalist_episodes` the better half drives further ones, since CMA-ES weighs that half most. With
`track_pool` they are the hardest of many new ones: ranks do not tell how much a lap lost, so on
tracks as they come a little speed counts as much as not leaving the road. What counts as the result
is the mean of the search distribution, scored on validation tracks that no candidate is ever ranked
on; the luckiest candidate is never kept. The first generations may drive in a dream: no reward of
the real environment reaches them. Read `evolve` first, the main loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cma
import numpy as np
from numpy.typing import NDArray

from worldmodels.core.errors import WorldModelsError
from worldmodels.rollouts.engine import Engine
from worldmodels.rollouts.episode import Episode, noise_seed
from worldmodels.training.controller_params import ControllerParams
from worldmodels.training.evolution_log import EvolutionLog, GenerationResult, Validation


@dataclass(frozen=True)
class Generation:
    """What a generation came to; generation 0 is a start, before any candidate drove.

    frames: driven by all candidates so far, and by the mean vectors in the pool; those of a dream
        do not count.
    return_mean, return_std, return_max: over the candidates' mean returns on the training tracks
        that all of them drove; not a number for a start.
    pool_return: of the mean vector before the update, over all tracks of the pool; not a number
        where there is none.
    sigma: mean standard deviation over the dimensions, after the update.
    mean_vector: the search distribution's mean after the update, (parameters,).
    validation: of the mean vector, in the generations where it was validated.
    """

    generation: int
    frames: int
    return_mean: float
    return_std: float
    return_max: float
    pool_return: float
    sigma: float
    mean_vector: NDArray[np.float64]
    validation: Validation | None

    def row(self) -> dict[str, float]:
        """The generation as a row of the evolution curve; `pool_return` where there is one."""
        row = {
            "generation": self.generation,
            "frames": self.frames,
            "return_mean": self.return_mean,
            "return_std": self.return_std,
            "return_max": self.return_max,
            "sigma": self.sigma,
        }
        if np.isfinite(self.pool_return):
            row["pool_return"] = self.pool_return
        return row


@dataclass(frozen=True)
class Dream:
    """Where candidates drive at first. engine: dreams. generations: how many."""

    engine: Engine
    generations: int


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
    engine: Engine,
    *,
    starts: Sequence[NDArray[np.float64]],
    seed: int,
    log: EvolutionLog,
    dream: Dream | None = None,
) -> Iterator[Generation]:
    """Evolve a controller; yield each start, then after every generation.

    Args:
        params: the `controller` group.
        engine: plays episodes with candidates of as many numbers as a start has.
        starts: mean vectors, (parameters,) each; the search begins with the one that drives the
            validation tracks best, the first of equals.
        seed: `base.seed`.
        log: where to save, and to go on from. Generations that were driven before are yielded
            again.
        dream: where the first generations drive; None if all drive in the environment.

    Raises:
        WorldModelsError: a return is not a number.
    """
    for start in starts[len(log.starts) :]:
        log.add_start(_validate(start, params, engine, seed=seed))
    tried = [
        Generation(0, 0, np.nan, np.nan, np.nan, np.nan, params.sigma, start, validation)
        for start, validation in zip(starts, log.starts, strict=True)
    ]
    yield from tried
    rng = np.random.default_rng(seed)
    strategy = _strategy(best_validated(tried)[0].mean_vector, params.sigma, params, rng=rng)
    frames = 0
    dreamt = dream.generations if dream else 0
    last = dreamt + (0 if params.environment == "dream" else params.generations)
    for generation in range(1, last + 1):
        dreams = dream is not None and generation <= dreamt
        if _restarts(generation, params.restart_every) or generation == dreamt + 1 > 1:
            # The spread that was searched last: sigma itself runs on where max_sigma caps it.
            sigma = min(float(np.mean(strategy.stds)), params.max_sigma)
            strategy = _strategy(strategy.mean, sigma, params, rng=rng)
        candidates = np.array(strategy.ask())
        result = log.results.get(generation)
        if result is not None:
            strategy.tell(candidates, _costs(result))
            log.check(generation, strategy.mean)
        else:
            where = dream.engine if dream and dreams else engine
            new = params.generation_seeds(generation if dreams else generation - dreamt)
            tracks, pool_returns, pool_frames = _select_hardest(
                strategy.mean, new, params, where, seed=seed
            )
            returns, scores, frames_here = _rank(candidates, tracks, params, where, seed=seed)
            result = GenerationResult(returns, scores, pool_returns, frames_here + pool_frames)
            strategy.tell(candidates, _costs(result))
            log.add(generation, result, strategy.mean)
        frames += 0 if dreams else result.frames
        validation = None
        if generation % params.validation_every == 0 or generation == last:
            validation = log.validations.get(generation)
            if validation is None:
                validation = _validate(strategy.mean, params, engine, seed=seed)
                log.add_validation(generation, validation)
        yield Generation(
            generation,
            frames,
            float(np.mean(result.returns)),
            float(np.std(result.returns)),
            float(np.max(result.returns)),
            float(np.mean(result.pool_returns)) if result.pool_returns else np.nan,
            float(np.mean(strategy.stds)),  # sigma itself runs on where max_sigma caps it
            strategy.mean.copy(),
            validation,
        )


def _strategy(
    mean: NDArray[np.float64], sigma: float, params: ControllerParams, *, rng: np.random.Generator
) -> cma.CMAEvolutionStrategy:
    """CMA-ES before it has been told anything."""
    return cma.CMAEvolutionStrategy(
        mean,
        sigma,
        {
            "popsize": params.population,
            "maxstd": params.max_sigma,
            "CMA_diagonal": params.covariance == "diagonal",
            "randn": lambda *shape: rng.standard_normal(shape),
            "seed": np.nan,  # cma must not seed NumPy's global generator
            "verbose": -9,
            "verb_log": 0,  # no outcmaes/ folder
        },
    )


def _restarts(generation: int, restart_every: int | None) -> bool:
    """Whether the search forgets its covariance before this generation, from 1 on."""
    return restart_every is not None and generation > 1 and (generation - 1) % restart_every == 0


def _costs(result: GenerationResult) -> NDArray[np.float64]:
    """What CMA-ES minimises."""
    return -np.array(result.scores)


def _select_hardest(
    mean: NDArray[np.float64],
    tracks: range,
    params: ControllerParams,
    engine: Engine,
    *,
    seed: int,
) -> tuple[Sequence[int], list[float], int]:
    """A generation's tracks, the hardest for its mean vector first, what that scored on each of
    `tracks`, and the frames it took. Without a pool the tracks as they come, and nothing."""
    if params.track_pool == 1:
        return tracks, [], 0
    steps, patience = params.steps, params.patience
    returns, frames = drive_all(
        mean[None], tracks, engine, steps=steps, patience=patience, seed=seed
    )
    hardest_first = _best_first(-returns[0])
    return [tracks[index] for index in hardest_first], returns[0].tolist(), frames


def _rank(
    candidates: NDArray[np.float64],
    tracks: Sequence[int],
    params: ControllerParams,
    engine: Engine,
    *,
    seed: int,
) -> tuple[list[float], list[float], int]:
    """Let a generation's candidates drive; their returns, in scores how they rank, and frames."""

    def drive(some: NDArray[np.float64], seeds: Sequence[int]) -> tuple[NDArray[np.float64], int]:
        steps, patience = params.steps, params.patience
        return drive_all(some, seeds, engine, steps=steps, patience=patience, seed=seed)

    returns, frames = drive(candidates, tracks[: params.episodes])  # (candidates, tracks)
    means = returns.mean(axis=1)
    decay = params.weight_decay * np.square(candidates).mean(axis=1)
    scores = means - decay
    if params.finalist_episodes:
        order = _best_first(scores)
        finalists, others = np.sort(order[: params.finalists]), order[params.finalists :]
        all_tracks = params.episodes + params.finalist_episodes
        further, more_frames = drive(candidates[finalists], tracks[params.episodes : all_tracks])
        frames += more_frames
        over_all = np.concatenate([returns[finalists], further], axis=1).mean(axis=1)
        finalists = finalists[_best_first(over_all - decay[finalists])]
        # Means over different tracks do not compare. CMA-ES looks at nothing but the order, so it
        # is told that: as many points as there are candidates for the first, 1 for the last.
        scores[np.concatenate([finalists, others])] = np.arange(len(candidates), 0, -1)
    return means.tolist(), scores.tolist(), frames


def _best_first(scores: NDArray[np.float64]) -> NDArray[np.intp]:
    """Indices from the highest score to the lowest, of equals the first first."""
    return np.argsort(-scores, kind="stable")


def _validate(
    mean: NDArray[np.float64], params: ControllerParams, engine: Engine, *, seed: int
) -> Validation:
    returns, _ = drive_all(
        mean[None],
        params.validation_seeds,
        engine,
        steps=params.steps,
        patience=None,
        seed=seed,
    )
    return Validation(float(returns.mean()), float(returns.std()))


def drive_all(
    candidates: NDArray[np.float64],
    seeds: Sequence[int],
    engine: Engine,
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
