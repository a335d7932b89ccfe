"""Let the first round's agent drive, with and without noise, and store whole episodes."""

from __future__ import annotations

from functools import partial

from worldmodels.car_racing.frames import EnvParams
from worldmodels.car_racing.task import CarRacingTask
from worldmodels.core.checkpoint import Checkpoint
from worldmodels.core.metrics import write_metrics
from worldmodels.core.params import BaseParams, load_group
from worldmodels.core.progress import announce
from worldmodels.models.agent import policy_maker
from worldmodels.models.controller import LinearController
from worldmodels.models.determinism import hide_gpu
from worldmodels.pipeline.rounds import DRIVEN, FIRST
from worldmodels.pipeline.stage_run import run_resumable_stage
from worldmodels.rollouts.agent_sampling import AgentSamplingParams, noisy_policy
from worldmodels.rollouts.engine import make_engine
from worldmodels.rollouts.recording import record_episodes
from worldmodels.rollouts.sampling import sampling_episodes

ENVIRONMENTS_PER_WORKER = 8


def main(checkpoint: Checkpoint) -> None:
    base = load_group("base", BaseParams)
    env = load_group("env", EnvParams)
    params = load_group("agent_sampling", AgentSamplingParams)
    hide_gpu()
    controller = LinearController.load(f"{FIRST.models}/controller.h5")
    announce(
        "sample_agent",
        f"{params.episodes} episodes of at most {params.steps} steps, half of them with noise",
    )
    agent = policy_maker(FIRST.models, inputs=controller.inputs, latent=controller.latent)
    summary = record_episodes(
        DRIVEN,
        sampling_episodes(params, seed=base.seed),
        make_engine(
            CarRacingTask(),
            partial(noisy_policy, policy=agent, noise=params.noise, noisy=params.noisy_seeds),
            image_shape=env.image_shape,
            batch_size=ENVIRONMENTS_PER_WORKER,
        ),
        candidates=controller.parameters[None],
        task=CarRacingTask(),
        policy="agent",
        seed=base.seed,
        image_shape=env.image_shape,
        checkpoint=checkpoint,
    )
    write_metrics("metrics/sample_agent.json", summary.metrics())


if __name__ == "__main__":
    run_resumable_stage("sample_agent", main)
