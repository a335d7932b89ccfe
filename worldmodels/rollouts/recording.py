"""Records episodes to a folder of shards, and goes on where an interrupted run was. Read
`record_episodes`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worldmodels.car_racing.task import Task
from worldmodels.core.checkpoint import Checkpoint
from worldmodels.core.progress import Progress
from worldmodels.data.episodes import (
    EpisodeWriter,
    keep_whole_shards,
    place_shards,
    read_episodes,
    refuse_episodes,
)
from worldmodels.rollouts.engine import Engine
from worldmodels.rollouts.episode import Episode
from worldmodels.rollouts.sampling import SamplingSummary


def record_episodes(
    folder: str | Path,
    episodes: Sequence[Episode],
    engine: Engine,
    *,
    task: Task,
    candidates: NDArray[np.float64] | None = None,
    policy: str,
    seed: int,
    image_shape: tuple[int, int],
    checkpoint: Checkpoint,
) -> SamplingSummary:
    """Play episodes and store them; shards that the checkpoint holds are not played again.

    Args:
        folder: for the shards.
        episodes: to play, each with `record`.
        engine: plays them; it is closed in the end. task: what it plays.
        candidates: for its policies.
        policy: who drives, stored in the files. seed: `base.seed`, stored too.
        image_shape: height and width of the frames.

    Raises:
        EpisodeFileError: the folder holds episodes already.
    """
    with engine:
        refuse_episodes(folder)
        shards = checkpoint.folder / "episodes"
        driven = keep_whole_shards(shards)
        summary = SamplingSummary()
        if driven:
            checkpoint.resuming(f"{driven} episodes")
            for episode in read_episodes(shards):
                summary.add(episode)
        writer = EpisodeWriter(
            shards,
            environment=task.name,
            policy=policy,
            seed=seed,
            image_shape=image_shape,
            privileged_columns=task.columns,
            resume=True,
        )
        progress = Progress(checkpoint.stage, len(episodes), "episodes", done=driven)
        with writer, progress:
            for outcome in engine.play(episodes[driven:], candidates):
                writer.write(outcome.recorded)
                summary.add(outcome.recorded)
                progress.advance(1)
    place_shards(shards, folder)
    return summary
