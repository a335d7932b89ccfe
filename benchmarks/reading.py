"""Does V's training wait for the disk? `python -m benchmarks.reading FOLDER ...`.

Reads recorded episodes as `train_vae` does, with what the system caches of them dropped before, and
trains a V of the sizes in params.yaml: on one batch again and again, then on those that are read.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Iterator
from itertools import islice

import numpy as np
import tensorflow as tf

from worldmodels.core.errors import WorldModelsError
from worldmodels.core.params import BaseParams, load_group
from worldmodels.data.episodes import EpisodeFiles, split_episodes
from worldmodels.data.frame_batches import BLOCKS_PER_BUFFER, FrameBatches
from worldmodels.models.determinism import ComputeParams, make_deterministic, use_threads
from worldmodels.models.keras_on_tensorflow import keras
from worldmodels.models.vae import VAE, VAEParams
from worldmodels.training.vae_training import training_precision, training_step

STEPS = BLOCKS_PER_BUFFER  # of a measurement: two buffers of 4,096 frames, in batches of 64


def drop_cached(files: EpisodeFiles) -> None:
    """Have the system read the shards from the disk again, where it can be told (Linux)."""
    for shard in {rows.shard for rows in files.episodes}:
        with open(shard, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class Reading:
    """V's training and its reading, apart and together. Rates are in frames a second."""

    def __init__(self, files: EpisodeFiles, batches: FrameBatches, params: VAEParams) -> None:
        self._files, self._batches = files, batches
        self._latent_dim = params.latent_dim
        self._epochs = iter(range(10**9))
        self._next_step = 0
        vae = VAE(files.image_shape, params.latent_dim, rng=np.random.default_rng(0))
        optimizer = keras.optimizers.Adam(params.learning_rate)
        self._step = training_step(
            vae,
            optimizer,
            kl_tolerance=params.kl_tolerance,
            beta=params.beta,
            precision=training_precision(params),
        )
        self._one = next(iter(self._epoch()))
        self._train(self._one)

    def _epoch(self) -> Iterator[tf.Tensor]:
        return iter(self._batches.epoch(next(self._epochs)))

    def _train(self, frames: tf.Tensor) -> None:
        noise = tf.zeros((len(frames), self._latent_dim))
        self._step(frames, noise)["loss"].numpy()

    def _rate(self, steps: int, started: float) -> float:
        return steps * self._batches.batch_size / (time.perf_counter() - started)

    def train(self) -> float:
        """Trains on one batch, which is in memory."""
        started = time.perf_counter()
        for _ in range(STEPS):
            self._train(self._one)
        return self._rate(STEPS, started)

    def read(self) -> float:
        """Reads the batches of an epoch."""
        drop_cached(self._files)
        started = time.perf_counter()
        return self._rate(sum(1 for _ in islice(self._epoch(), STEPS)), started)

    def both(self) -> tuple[float, float]:
        """Trains on the batches of an epoch; the rate, and the share of the time that it waited."""
        drop_cached(self._files)
        batches, done, waited = self._epoch(), 0, 0.0
        started = now = time.perf_counter()
        for frames in islice(batches, STEPS):
            waited += time.perf_counter() - now
            self._train(frames)
            done, now = done + 1, time.perf_counter()
        return self._rate(done, started), waited / (now - started)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reading", description=__doc__)
    parser.add_argument(
        "folder", nargs="+", help="of shards, for instance data/episodes/first/first"
    )
    folders = parser.parse_args(arguments).folder
    base, params = load_group("base", BaseParams), load_group("vae", VAEParams)
    try:
        files = EpisodeFiles(*folders)
        training, _ = split_episodes(len(files.episodes), base.validation_share)
        batches = FrameBatches(files, training, batch_size=params.batch_size, seed=base.seed)
    except WorldModelsError as error:
        parser.error(str(error))
    use_threads(load_group("compute", ComputeParams).threads)
    make_deterministic(base.seed)
    reading = Reading(files, batches, params)
    print(f"{len(files.episodes)} episodes, {files.rows} frames")
    print(f"training alone: {reading.train():,.0f} frames a second")
    print(f"reading alone: {reading.read():,.0f} frames a second")
    rate, waiting = reading.both()
    print(f"training on what is read: {rate:,.0f} frames a second")
    print(f"waiting: {100 * waiting:.1f} % of that time, its start included")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory: {peak:,.0f} MiB")


if __name__ == "__main__":
    main()
