"""Fit the VAE to the frames of the episodes."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from worldmodels.checkpoints import Checkpoint
from worldmodels.determinism import ComputeParams, make_deterministic, use_threads
from worldmodels.episodes import EpisodeFiles, split_episodes
from worldmodels.frame_batches import FrameBatches
from worldmodels.frames import EnvParams
from worldmodels.metrics import write_curve, write_metrics
from worldmodels.params import BaseParams, load_group
from worldmodels.pictures import frame_grid, write_png
from worldmodels.progress import announce
from worldmodels.stage_run import run_resumable_stage
from worldmodels.vae import VAE, VAEParams
from worldmodels.vae_training import best_epoch, fit_vae

PICTURES = 10  # frames in the grid of reconstructions
FRAMES_A_SECOND = 260  # of a default run on two cores without AVX512


def main(checkpoint: Checkpoint) -> None:
    base = load_group("base", BaseParams)
    env = load_group("env", EnvParams)
    params = load_group("vae", VAEParams)
    use_threads(load_group("compute", ComputeParams).threads)
    make_deterministic(base.seed)
    files = EpisodeFiles("data/episodes")
    files.require_image_shape(env.image_shape)
    train, held_out = split_episodes(len(files.episodes), base.validation_share)
    training = FrameBatches(files, train, batch_size=params.batch_size, seed=base.seed)
    validation_frames = FrameBatches(files, held_out, batch_size=1, seed=base.seed).frames
    validation = FrameBatches(
        files, held_out, batch_size=min(params.batch_size, validation_frames), seed=base.seed
    )
    announce(
        "train_vae",
        f"{training.frames} frames, epochs: {params.epochs}",
        seconds=params.epochs * training.frames / FRAMES_A_SECOND,
    )
    rng = np.random.default_rng(base.seed)
    vae = VAE(env.image_shape, params.latent_dim, precision=params.precision, rng=rng)
    rows = fit_vae(vae, params, training, validation, seed=base.seed, checkpoint=checkpoint)
    curve = [asdict(row) for row in rows]
    vae.save("models/vae.h5")
    write_curve("metrics/vae_curve.csv", curve)
    best = curve[best_epoch(curve) - 1]
    write_metrics(
        "metrics/vae.json", {"epochs": len(curve), "best_epoch": best.pop("epoch"), **best}
    )
    shown = FrameBatches(
        files, held_out, batch_size=min(PICTURES, validation_frames), seed=base.seed
    )
    frames = next(iter(shown.epoch(0))).numpy()
    grid = frame_grid([frames, vae.reconstruct(frames, rng=rng)], scale=2)
    write_png("metrics/vae_reconstructions.png", grid)


if __name__ == "__main__":
    run_resumable_stage("train_vae", main)
