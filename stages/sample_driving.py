"""Let a scripted driver follow the centre line and store whole episodes, to measure V with.

Neither V, M nor C trains on them.
"""

from __future__ import annotations

from worldmodels.car_racing.env_params import EnvParams
from worldmodels.car_racing.task import CarRacingTask
from worldmodels.core.metrics import write_metrics
from worldmodels.core.params import BaseParams, load_group
from worldmodels.core.progress import announce
from worldmodels.data.episodes import EpisodeWriter
from worldmodels.pipeline.stage_run import run_stage
from worldmodels.rollouts.driver import POLICY, DrivingParams, drive, driving_episodes
from worldmodels.rollouts.episode_batch import EpisodeBatch
from worldmodels.rollouts.sampling import SamplingSummary


def main() -> None:
    base = load_group("base", BaseParams)
    env = load_group("env", EnvParams)
    params = load_group("driving", DrivingParams)
    announce("sample_driving", f"{params.episodes} episodes of at most {params.steps} steps")
    task, summary = CarRacingTask(), SamplingSummary()
    batch = EpisodeBatch(task, slots=1, image_shape=env.image_shape)
    with EpisodeWriter(
        "data/driving",
        environment=task.name,
        policy=POLICY,
        seed=base.seed,
        image_shape=env.image_shape,
        privileged_columns=task.columns,
    ) as writer:
        for episode, speed in driving_episodes(params, seed=base.seed):
            outcome = drive(batch, episode, speed=speed)
            writer.write(outcome.recorded)
            summary.add(outcome.recorded)
    write_metrics("metrics/driving.json", summary.metrics())


if __name__ == "__main__":
    run_stage("sample_driving", main)
