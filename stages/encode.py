"""Encode every frame of the episodes to its mean and log variance."""

from __future__ import annotations

import numpy as np

from worldmodels.determinism import (
    ComputeParams,
    hide_gpu,
    make_deterministic,
    use_threads,
)
from worldmodels.encoding import Encoder, EncodingParams
from worldmodels.episodes import EpisodeFiles, read_episodes
from worldmodels.latents import LatentWriter
from worldmodels.metrics import write_metrics
from worldmodels.model_files import file_digest
from worldmodels.params import load_group
from worldmodels.progress import Progress, announce
from worldmodels.stage_run import run_stage
from worldmodels.vae import VAE

FRAMES_A_SECOND = 1700  # of a default run on two cores without AVX512
ACTIVE = 0.01  # variance of a mean above which a latent dimension counts as used


def main() -> None:
    params = load_group("encoding", EncodingParams)
    hide_gpu()
    use_threads(load_group("compute", ComputeParams).threads)
    make_deterministic(seed=0)
    files = EpisodeFiles("data/episodes")
    vae = VAE.load("models/vae.h5")
    files.require_image_shape(vae.image_shape)
    announce("encode", f"{files.rows} frames", seconds=files.rows / FRAMES_A_SECOND)
    encoder = Encoder(vae, batch_size=params.batch_size)
    sums, squares, kl = np.zeros(vae.latent_dim), np.zeros(vae.latent_dim), 0.0
    writer = LatentWriter(
        "data/latents.h5", files.rows, vae.latent_dim, vae_digest=file_digest("models/vae.h5")
    )
    with writer, Progress("encode", files.rows, "frames") as progress:
        for episode in read_episodes("data/episodes"):
            mean, log_var = encoder.encode(episode.frames)
            writer.write(mean, log_var, episode.actions)
            sums += mean.sum(axis=0, dtype=np.float64)
            squares += np.square(mean, dtype=np.float64).sum(axis=0)
            kl += 0.5 * float((np.square(mean) + np.exp(log_var) - 1 - log_var).sum())
            progress.advance(len(mean))
    variance = squares / files.rows - (sums / files.rows) ** 2
    write_metrics(
        "metrics/encode.json",
        {
            "frames": files.rows,
            "kl": kl / files.rows,
            "active_dimensions": int((variance > ACTIVE).sum()),
        },
    )


if __name__ == "__main__":
    run_stage("encode", main)
