"""Drive CarRacing with an exploring policy and store whole episodes."""

from __future__ import annotations

from worldmodels.car_racing import FastCarRacing
from worldmodels.checkpoints import Checkpoint
from worldmodels.episodes import (
    EpisodeWriter,
    keep_whole_shards,
    place_shards,
    read_episodes,
    refuse_episodes,
)
from worldmodels.frames import EnvParams
from worldmodels.metrics import write_metrics
from worldmodels.params import BaseParams, load_group
from worldmodels.policies import POLICIES
from worldmodels.progress import Progress, announce
from worldmodels.rollout import RolloutEngine
from worldmodels.sampling import SamplingParams, SamplingSummary, sampling_episodes
from worldmodels.stage_run import run_resumable_stage
from worldmodels.telemetry import COLUMNS

EPISODES = "data/episodes"
ENVIRONMENTS_A_WORKER = 8
EPISODES_A_SECOND = 12.0  # of a default run on two cores without AVX512


def main(checkpoint: Checkpoint) -> None:
    base = load_group("base", BaseParams)
    env = load_group("env", EnvParams)
    params = load_group("sampling", SamplingParams)
    announce(
        "sample",
        f"{params.episodes} episodes of at most {params.steps} steps by the {params.policy} policy",
        seconds=params.episodes / EPISODES_A_SECOND,
    )
    refuse_episodes(EPISODES)
    shards = checkpoint.folder / "episodes"
    driven = keep_whole_shards(shards)
    summary = SamplingSummary()
    if driven:
        checkpoint.going_on(f"{driven} episodes")
        for episode in read_episodes(shards):
            summary.add(episode)
    engine = RolloutEngine(
        FastCarRacing,
        POLICIES[params.policy],
        image_shape=env.image_shape,
        batch_size=ENVIRONMENTS_A_WORKER,
    )
    writer = EpisodeWriter(
        shards,
        environment="FastCarRacing-v2",
        policy=params.policy,
        seed=base.seed,
        image_shape=env.image_shape,
        privileged_columns=COLUMNS,
        going_on=True,
    )
    progress = Progress("sample", params.episodes, "episodes", done=driven)
    with engine, writer, progress:
        for outcome in engine.play(sampling_episodes(params, seed=base.seed)[driven:]):
            writer.write(outcome)
            summary.add(outcome.recorded)
            progress.advance(1)
    place_shards(shards, EPISODES)
    write_metrics("metrics/sample.json", summary.metrics())


if __name__ == "__main__":
    run_resumable_stage("sample", main)
