"""Drive CarRacing for a round, exploring or with the agent of the round before, and store whole
episodes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from worldmodels.car_racing.env_params import EnvParams
from worldmodels.car_racing.task import CarRacingTask
from worldmodels.core.checkpoint import Checkpoint
from worldmodels.core.metrics import write_metrics
from worldmodels.core.params import BaseParams, load_group
from worldmodels.core.progress import announce
from worldmodels.data.episodes import place_shards
from worldmodels.models.agent_policy import policy_maker
from worldmodels.models.controller import LinearController
from worldmodels.models.determinism import hide_gpu
from worldmodels.pipeline.rounds import Round, chosen_round
from worldmodels.pipeline.stage_run import run_resumable_stage
from worldmodels.rollouts.engine import make_engine
from worldmodels.rollouts.noisy_policy import noisy_policy
from worldmodels.rollouts.policies import POLICIES, Policy
from worldmodels.rollouts.recording import record_episodes
from worldmodels.rollouts.sampling import SamplingParams, sampling_episodes

ENVIRONMENTS_PER_WORKER = 8


def main(round_: Round, checkpoint: Checkpoint) -> None:
    base = load_group("base", BaseParams)
    env = load_group("env", EnvParams)
    params = load_group("sampling", SamplingParams, round_name=round_.name)
    hide_gpu()
    announce(
        checkpoint.stage,
        f"{params.episodes} episodes of at most {params.steps} steps by the {params.policy} policy",
    )
    policy, candidates = _driver(params, round_, seed=base.seed)
    if any(params.noise):
        policy = partial(noisy_policy, policy=policy, noise=params.noise, noisy=params.noisy_seeds)
    summary = record_episodes(
        round_.episodes,
        sampling_episodes(params, seed=base.seed),
        make_engine(
            CarRacingTask(),
            policy,
            image_shape=env.image_shape,
            batch_size=ENVIRONMENTS_PER_WORKER,
        ),
        candidates=candidates,
        task=CarRacingTask(),
        policy=params.policy,
        seed=base.seed,
        image_shape=env.image_shape,
        checkpoint=checkpoint,
    )
    if round_.previous:  # V and M learn from those of the rounds before as well
        for source, target in zip(
            round_.previous.all_episodes, round_.all_episodes[:-1], strict=True
        ):
            place_shards(source, target)
    write_metrics(f"{round_.metrics}/sample.json", summary.metrics())


def _driver(
    params: SamplingParams, round_: Round, *, seed: int
) -> tuple[Callable[[int], Policy], NDArray[np.float64] | None]:
    """Who drives, for an engine: a maker of policies, and the candidates for them."""
    if params.policy != "agent":
        return POLICIES[params.policy], None
    assert round_.previous is not None  # check_params has seen to it
    models = round_.previous.models
    controller = LinearController.load(f"{models}/controller.h5")
    maker = policy_maker(models, inputs=controller.inputs, latent=controller.latent)
    return maker, params.candidates(controller.parameters, seed=seed)


if __name__ == "__main__":
    chosen = chosen_round(sys.argv[1:])
    run_resumable_stage(chosen.stage("sample"), partial(main, chosen))
