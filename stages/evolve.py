"""Evolve a round's linear controller by CMA-ES, in the environment or in M's dream."""

from __future__ import annotations

import sys
from functools import partial

import numpy as np
from numpy.typing import NDArray

from worldmodels.car_racing.env_params import EnvParams
from worldmodels.car_racing.task import CarRacingTask
from worldmodels.core.checkpoint import Checkpoint
from worldmodels.core.metrics import write_curve, write_metrics
from worldmodels.core.params import BaseParams, load_group
from worldmodels.core.progress import Progress, announce
from worldmodels.dream.dream_engine import DreamEngine
from worldmodels.dream.dream_params import DreamParams
from worldmodels.dream.starts import DreamStarts
from worldmodels.models.agent_policy import policy_maker
from worldmodels.models.controller import LinearController, linear_layer
from worldmodels.models.determinism import hide_gpu
from worldmodels.models.memory import MDNRNN
from worldmodels.models.vae import VAE
from worldmodels.pipeline.rounds import Round, chosen_round
from worldmodels.pipeline.stage_run import run_resumable_stage
from worldmodels.rollouts.engine import make_engine
from worldmodels.rollouts.local_engine import worker_count
from worldmodels.training.controller_params import ControllerParams
from worldmodels.training.evolution import (
    Dream,
    Generation,
    best_validated,
    evolve,
    validated,
    validation_curve,
)
from worldmodels.training.evolution_log import CURRENT, EvolutionLog


def main(round_: Round, checkpoint: Checkpoint) -> None:
    base = load_group("base", BaseParams)
    env = load_group("env", EnvParams)
    params = load_group("controller", ControllerParams, round_name=round_.name)
    dreaming = load_group("dream", DreamParams, round_name=round_.name)
    hide_gpu()
    VAE.load(f"{round_.models}/vae.h5").require_image_shape(env.image_shape)
    memory = MDNRNN.load(f"{round_.models}/memory.h5")
    layer = linear_layer(
        params.inputs, latent_dim=memory.latent_dim, hidden_units=memory.hidden_units
    )
    starts = _starts(round_)
    tracks = f"{params.episodes} tracks"
    if params.track_pool > 1:
        tracks = f"the hardest {params.episodes} of {params.tracks_per_generation} tracks"
    if params.finalist_episodes:
        tracks += f", the better {params.finalists} on {params.finalist_episodes} more"
    in_dream = 0 if params.environment == "car_racing" else dreaming.generations
    in_reality = 0 if params.environment == "dream" else params.generations
    announce(
        checkpoint.stage,
        " and ".join(
            f"{generations} generations {place}"
            for generations, place in (
                (in_dream, f"on {params.episodes} dreams"),
                (in_reality, f"on {tracks}"),
            )
            if generations
        )
        + f", of {params.population} candidates with {layer.parameters} parameters each",
    )

    def controller(generation: Generation) -> LinearController:
        weights = generation.mean_vector.reshape(layer.shape).astype(np.float32)
        return LinearController(weights, params.inputs, params.latent)

    log = EvolutionLog(checkpoint)
    driven = len(log.results)  # generations, by an earlier run
    generations: list[Generation] = []
    engine = make_engine(
        CarRacingTask(),
        policy_maker(round_.models, inputs=params.inputs, latent=params.latent),
        image_shape=env.image_shape,
        batch_size=params.batch_size,
    )
    generations_in_all = in_dream + in_reality
    progress = Progress(checkpoint.stage, generations_in_all, "generations", done=driven)
    dream = None
    if in_dream:
        dream_engine = DreamEngine(
            memory,
            DreamStarts.load(round_.dream_starts, memory),
            dreaming,
            inputs=params.inputs,
            threads=worker_count(),
        )
        dream = Dream(dream_engine, in_dream)
    with engine, progress:
        run = evolve(
            params, engine, starts=list(starts.values()), seed=base.seed, log=log, dream=dream
        )
        for generation in run:
            generations.append(generation)
            controller(generation).save(checkpoint.folder / CURRENT)
            if generation.generation <= driven:  # or 0, a start
                continue
            figures = {"population": generation.return_mean, "sigma": generation.sigma}
            if params.track_pool > 1:
                figures["pool"] = generation.pool_return
            if generation.validation is not None:
                figures["validation"] = generation.validation.return_mean
            progress.advance(1, **figures)
    tried, evolved = generations[: len(starts)], generations[len(starts) :]
    start, _ = best_validated(tried)
    # A later round starts from a controller, the first from zeros.
    best, validation = best_validated([start, *evolved] if round_.previous else evolved)
    controller(best).save(f"{round_.models}/controller.h5")
    write_curve(
        f"{round_.metrics}/evolution_curve.csv",
        [generation.row() for generation in evolved],
    )
    write_curve(f"{round_.metrics}/validations.csv", validation_curve([start, *evolved]))
    write_metrics(
        f"{round_.metrics}/controller.json",
        {round_.metric("val_return"): validation.return_mean},
    )
    write_metrics(
        f"{round_.metrics}/evolution.json",
        {
            "generations": in_reality,
            "dream_generations": in_dream,
            "frames": generations[-1].frames,
            "best_generation": best.generation,
            "sigma": generations[-1].sigma,
            "starts_validation_return_mean": {
                name: one.return_mean
                for name, (_, one) in zip(starts, validated(tried), strict=True)
            },
        },
    )


def _starts(round_: Round) -> dict[str, NDArray[np.float64]]:
    """What the search may begin with: zeros in the first round; in a later one the controller of
    the round before, transferred to the new V and M, or as it was."""
    if round_.previous is None:
        paths = {"zeros": round_.initial_controller}
    else:
        as_it_was = f"{round_.previous.models}/controller.h5"
        paths = {"transferred": round_.initial_controller, "as_it_was": as_it_was}
    return {name: LinearController.load(path).parameters for name, path in paths.items()}


if __name__ == "__main__":
    chosen = chosen_round(sys.argv[1:])
    run_resumable_stage(chosen.stage("evolve"), partial(main, chosen))
