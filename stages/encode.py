"""Encode every frame of a round's episodes to its mean and log variance."""

from __future__ import annotations

import sys
from functools import partial
from itertools import chain

import numpy as np

from worldmodels.core.metrics import write_metrics
from worldmodels.core.progress import Progress, announce
from worldmodels.data.episodes import EpisodeFiles, read_episodes
from worldmodels.data.latents import LatentWriter
from worldmodels.models.determinism import hide_gpu
from worldmodels.models.model_files import file_digest
from worldmodels.models.vae import VAE
from worldmodels.models.vision import vision_graph
from worldmodels.pipeline.rounds import Round, chosen_round
from worldmodels.pipeline.stage_run import run_stage
from worldmodels.rollouts.cores import core_count

ACTIVE = 0.01  # variance of a mean above which a latent dimension counts as used


def main(round_: Round) -> None:
    stage = round_.stage("encode")
    vae_path = f"{round_.models}/vae.h5"
    hide_gpu()
    files = EpisodeFiles(*round_.all_episodes)
    vae = VAE.load(vae_path)
    files.require_image_shape(vae.image_shape)
    announce(stage, f"{files.rows} frames")
    encode = vision_graph(vae, threads=core_count())
    sums, squares, kl = np.zeros(vae.latent_dim), np.zeros(vae.latent_dim), 0.0
    writer = LatentWriter(
        round_.latents, files.rows, vae.latent_dim, vae_digest=file_digest(vae_path)
    )
    with writer, Progress(stage, files.rows, "frames") as progress:
        for episode in chain.from_iterable(map(read_episodes, round_.all_episodes)):
            mean, log_var = encode(episode.frames)
            writer.write(mean, log_var, episode.actions, episode.progress, episode.reason)
            sums += mean.sum(axis=0, dtype=np.float64)
            squares += np.square(mean, dtype=np.float64).sum(axis=0)
            kl += 0.5 * float((np.square(mean) + np.exp(log_var) - 1 - log_var).sum())
            progress.advance(len(mean))
    variance = squares / files.rows - (sums / files.rows) ** 2
    write_metrics(
        f"{round_.metrics}/encode.json",
        {
            "frames": files.rows,
            "kl": kl / files.rows,
            "active_dimensions": int((variance > ACTIVE).sum()),
        },
    )


if __name__ == "__main__":
    chosen = chosen_round(sys.argv[1:])
    run_stage(chosen.stage("encode"), partial(main, chosen))
