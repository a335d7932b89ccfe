"""Fit the VAE to the frames of a round's episodes, or keep that of the round before."""

from __future__ import annotations

import sys
from functools import partial
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from worldmodels.car_racing.env_params import EnvParams
from worldmodels.core.checkpoint import Checkpoint
from worldmodels.core.metrics import write_curve, write_metrics
from worldmodels.core.params import BaseParams, load_group
from worldmodels.core.progress import announce
from worldmodels.data.episodes import EpisodeFiles, split_episodes
from worldmodels.data.frame_batches import FrameBatches
from worldmodels.inspection.pictures import frame_grid, write_png
from worldmodels.models.determinism import ComputeParams, make_deterministic, use_threads
from worldmodels.models.vae import VAE, VAEParams
from worldmodels.models.vision import CALIBRATION_FRAMES, calibrate
from worldmodels.pipeline.rounds import Round, chosen_round
from worldmodels.pipeline.stage_run import run_resumable_stage
from worldmodels.training.augmentation import augmented
from worldmodels.training.vae_training import fit_vae, training_precision, validator

PICTURES = 10  # frames in the grid of reconstructions


def main(round_: Round, checkpoint: Checkpoint) -> None:
    base = load_group("base", BaseParams)
    env = load_group("env", EnvParams)
    params = load_group("vae", VAEParams, round_name=round_.name)
    use_threads(load_group("compute", ComputeParams).threads)
    make_deterministic(base.seed)
    files = EpisodeFiles(*round_.all_episodes)
    files.require_image_shape(env.image_shape)
    train, held_out = split_episodes(len(files.episodes), base.validation_share)
    training = FrameBatches(files, train, batch_size=params.batch_size, seed=base.seed)
    validation = _held_out(files, held_out, maximum=params.batch_size, seed=base.seed)
    announce(
        checkpoint.stage,
        f"{training.frames} frames, epochs: {params.epochs}, in {training_precision(params)}",
    )
    rng = np.random.default_rng(base.seed)
    if round_.previous:
        vae = VAE.load(f"{round_.previous.models}/vae.h5")
        vae.require_image_shape(env.image_shape)
    else:
        vae = VAE(env.image_shape, params.latent_dim, precision=params.precision, rng=rng)
    rows = fit_vae(vae, params, training, validation, seed=base.seed, checkpoint=checkpoint)
    curve = list(rows)
    if params.epochs and params.precision == "int8":
        some = _some(training, CALIBRATION_FRAMES)
        calibrate(vae, augmented(some, params.augmentation, rng=np.random.default_rng(base.seed)))
    vae.save(f"{round_.models}/vae.h5")
    write_curve(f"{round_.metrics}/vae_curve.csv", curve)
    ages = {"after": vae}
    if round_.previous and params.epochs:
        ages = {"before": VAE.load(f"{round_.previous.models}/vae.h5"), **ages}
    measured = {
        name: _mse_by_round(one, params, files, held_out, seed=base.seed)
        for name, one in ages.items()
    }
    write_metrics(f"{round_.metrics}/vae_held_out.json", {"held_out_mse": measured})
    best = min(curve, key=lambda row: row["val_loss"])
    write_metrics(f"{round_.metrics}/vae.json", {round_.metric("val_elbo"): best["val_elbo"]})
    shown = _held_out(files, held_out, maximum=PICTURES, seed=base.seed)
    frames = next(iter(shown.epoch(0))).numpy()
    grid = frame_grid([frames, vae.reconstruct(frames, rng=rng)], scale=2)
    write_png(f"{round_.metrics}/vae_reconstructions.png", grid)


def _some(batches: FrameBatches, count: int) -> NDArray[np.uint8]:
    """The first frames of an epoch: at least `count`, or all."""
    return np.concatenate(list(islice(batches.epoch(0), -(-count // batches.batch_size))))


def _held_out(files: EpisodeFiles, episodes: list[int], *, maximum: int, seed: int) -> FrameBatches:
    """Batches of `maximum` frames, of fewer where there are not as many."""
    frames = FrameBatches(files, episodes, batch_size=1, seed=seed).frames
    return FrameBatches(files, episodes, batch_size=min(maximum, frames), seed=seed)


def _mse_by_round(
    vae: VAE, params: VAEParams, files: EpisodeFiles, held_out: list[int], *, seed: int
) -> dict[str, float]:
    """V's squared error on the held-out frames of each round that has some."""
    validate = validator(vae, params, seed=seed)
    measured = {}
    for folder in files.folders:
        episodes = [index for index in held_out if files.episodes[index].shard.parent == folder]
        if episodes:
            batches = _held_out(files, episodes, maximum=params.batch_size, seed=seed)
            measured[folder.name] = validate(batches).mean("mse")
    return measured


if __name__ == "__main__":
    chosen = chosen_round(sys.argv[1:])
    run_resumable_stage(chosen.stage("train_vae"), partial(main, chosen))
