"""Drive CarRacing, exploring and along the centre line, and store whole episodes."""

from __future__ import annotations

from worldmodels.car_racing.frames import EnvParams
from worldmodels.car_racing.task import CarRacingTask
from worldmodels.core.checkpoint import Checkpoint
from worldmodels.core.metrics import write_metrics
from worldmodels.core.params import BaseParams, load_group
from worldmodels.core.progress import announce
from worldmodels.data.episodes import EpisodeWriter, refuse_episodes
from worldmodels.pipeline.rounds import EXPLORED
from worldmodels.pipeline.stage_run import run_resumable_stage
from worldmodels.rollouts.driver import POLICY, DrivingParams, drive, driving_episodes
from worldmodels.rollouts.engine import make_engine
from worldmodels.rollouts.episode import EpisodePlay
from worldmodels.rollouts.policies import POLICIES
from worldmodels.rollouts.recording import record_episodes
from worldmodels.rollouts.sampling import SamplingParams, SamplingSummary, sampling_episodes

DRIVING = "data/driving"
ENVIRONMENTS_PER_WORKER = 8


def main(checkpoint: Checkpoint) -> None:
    base = load_group("base", BaseParams)
    env = load_group("env", EnvParams)
    params = load_group("sampling", SamplingParams)
    driving = load_group("driving", DrivingParams)
    announce(
        "sample",
        f"{params.episodes} episodes of at most {params.steps} steps by the {params.policy} policy",
    )
    refuse_episodes(DRIVING)
    summary = record_episodes(
        EXPLORED,
        sampling_episodes(params, seed=base.seed),
        make_engine(
            CarRacingTask(),
            POLICIES[params.policy],
            image_shape=env.image_shape,
            batch_size=ENVIRONMENTS_PER_WORKER,
        ),
        task=CarRacingTask(),
        policy=params.policy,
        seed=base.seed,
        image_shape=env.image_shape,
        checkpoint=checkpoint,
    )
    driven_well = _drive(driving, env, seed=base.seed).metrics()
    metrics = {f"driving_{key}": value for key, value in driven_well.items()}
    write_metrics("metrics/sample.json", summary.metrics() | metrics)


def _drive(params: DrivingParams, env: EnvParams, *, seed: int) -> SamplingSummary:
    """Store the scripted driver's episodes, to measure V with: neither V, M nor C trains on them.

    They take seconds, so an interrupted stage drives them anew.
    """
    summary = SamplingSummary()
    play = EpisodePlay(CarRacingTask(), env.image_shape)
    with EpisodeWriter(
        DRIVING,
        environment=CarRacingTask().name,
        policy=POLICY,
        seed=seed,
        image_shape=env.image_shape,
        privileged_columns=CarRacingTask().columns,
    ) as writer:
        for episode, speed in driving_episodes(params, seed=seed):
            outcome = drive(play, episode, speed=speed)
            writer.write(outcome.recorded, outcome.reason)
            summary.add(outcome.recorded)
    return summary


if __name__ == "__main__":
    run_resumable_stage("sample", main)
