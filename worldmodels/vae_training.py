"""Fits the VAE: Adam on the negative ELBO, one row of the training curve an epoch. Read
`fit_vae`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from worldmodels.errors import WorldModelsError
from worldmodels.frame_batches import FrameBatches
from worldmodels.progress import Progress
from worldmodels.vae import VAE, VAEParams


@dataclass(frozen=True)
class VAEEpoch:
    """One row of the training curve: means over an epoch's frames.

    loss and val_loss: negative ELBO with free bits. squared_error: summed over a frame's pixels.
    kl: nats.
    """

    epoch: int
    loss: float
    squared_error: float
    kl: float
    val_loss: float
    val_squared_error: float
    val_kl: float


def fit_vae(
    vae: VAE,
    params: VAEParams,
    training: FrameBatches,
    validation: FrameBatches,
    *,
    seed: int,
) -> Iterator[VAEEpoch]:
    """Train in place; yield a row after every epoch.

    Args:
        vae: the model.
        params: the `vae` group.
        training, validation: batches of frames.
        seed: of the noise; step s of epoch e always draws the same.

    Raises:
        WorldModelsError: the loss is no longer a number.
    """
    schedule = keras.optimizers.schedules.CosineDecay(
        params.learning_rate, params.epochs * training.steps
    )
    optimizer = keras.optimizers.Adam(schedule)

    train_step = training_step(vae, optimizer, kl_tolerance=params.kl_tolerance)

    @tf.function(reduce_retracing=True)
    def validation_step(frames: tf.Tensor, noise: tf.Tensor) -> dict[str, tf.Tensor]:
        return vae.negative_elbo(frames, noise, kl_tolerance=params.kl_tolerance)

    with Progress("train_vae", params.epochs * training.steps, "batch") as progress:
        for epoch in range(params.epochs):
            trained = _Means()
            for step, frames in enumerate(training.epoch(epoch)):
                noise = _noise(seed, epoch, step, frames, vae.latent_dim)
                trained.add(train_step(frames, noise))
                progress.advance(1, loss=trained.mean("loss"))
            validated = _Means()
            for step, frames in enumerate(validation.epoch(0)):
                noise = _noise(seed, params.epochs, step, frames, vae.latent_dim)
                validated.add(validation_step(frames, noise))
            row = VAEEpoch(
                epoch + 1,
                *(trained.mean(term) for term in ("loss", "squared_error", "kl")),
                *(validated.mean(term) for term in ("loss", "squared_error", "kl")),
            )
            if not np.isfinite([row.loss, row.val_loss]).all():
                raise WorldModelsError(
                    f"train_vae: the loss is not a number in epoch {epoch + 1} ({row}); "
                    f"lower vae.learning_rate (it is {params.learning_rate})"
                )
            yield row


def training_step(
    vae: VAE, optimizer: keras.optimizers.Optimizer, *, kl_tolerance: float
) -> Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
    """A compiled step: frames and noise to the terms of `VAE.negative_elbo`, before the update."""

    @tf.function(reduce_retracing=True)
    def step(frames: tf.Tensor, noise: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            terms = vae.negative_elbo(frames, noise, kl_tolerance=kl_tolerance)
        gradients = tape.gradient(terms["loss"], vae.weights)
        optimizer.apply_gradients(zip(gradients, vae.weights, strict=True))
        return terms

    return step


class _Means:
    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._count = 0

    def add(self, terms: dict[str, tf.Tensor]) -> None:
        self._count += 1
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value)

    def mean(self, name: str) -> float:
        return self._sums[name] / self._count


def _noise(seed: int, epoch: int, step: int, frames: tf.Tensor, latent_dim: int) -> tf.Tensor:
    rng = np.random.default_rng([seed, epoch, step])
    return tf.constant(rng.standard_normal((len(frames), latent_dim), dtype=np.float32))
