"""Fits the VAE: Adam on the negative ELBO, one row of the training curve an epoch. Read
`fit_vae`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import keras
import numpy as np
import tensorflow as tf

from worldmodels.checkpoints import Checkpoint
from worldmodels.errors import WorldModelsError
from worldmodels.frame_batches import FrameBatches
from worldmodels.progress import Progress
from worldmodels.training_checkpoint import Means, Position, TrainingCheckpoint
from worldmodels.vae import VAE, VAEParams

TERMS = ("loss", "squared_error", "kl")


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
    checkpoint: Checkpoint | None = None,
) -> Iterator[VAEEpoch]:
    """Train in place; yield a row after every epoch.

    Args:
        vae: the model.
        params: the `vae` group.
        training, validation: batches of frames.
        seed: of the noise; step s of epoch e always draws the same.
        checkpoint: where to save, and to go on from. The rows of epochs that were done before are
            yielded again.

    Raises:
        WorldModelsError: the loss is no longer a number.
    """
    total = params.epochs * training.steps
    schedule = keras.optimizers.schedules.CosineDecay(params.learning_rate, total)
    optimizer = keras.optimizers.Adam(schedule)
    optimizer.build(vae.weights)

    train_step = training_step(vae, optimizer, kl_tolerance=params.kl_tolerance)

    @tf.function(reduce_retracing=True, autograph=False)
    def validation_step(frames: tf.Tensor, noise: tf.Tensor) -> dict[str, tf.Tensor]:
        return vae.negative_elbo(frames, noise, kl_tolerance=params.kl_tolerance)

    def validate() -> Means:
        means = Means()
        for step, frames in enumerate(validation.epoch(0)):
            noise = _noise(seed, params.epochs, step, frames, vae.latent_dim)
            means.add(validation_step(frames, noise))
        return means

    state = TrainingCheckpoint(checkpoint, [*vae.weights, *optimizer.variables])
    at = state.restore()
    yield from (VAEEpoch(**row) for row in at.rows)
    done = at.epoch * training.steps + at.step
    with Progress("train_vae", total, "batch", done=done) as progress:
        while at.epoch < params.epochs:
            for frames in training.epoch(at.epoch, first_step=at.step):
                noise = _noise(seed, at.epoch, at.step, frames, vae.latent_dim)
                at.means.add(train_step(frames, noise))
                at.step += 1
                progress.advance(1, loss=at.means.mean("loss"))
                state.save_if_due(at)
            validated = validate()
            row = VAEEpoch(
                at.epoch + 1,
                *(at.means.mean(term) for term in TERMS),
                *(validated.mean(term) for term in TERMS),
            )
            if not np.isfinite([row.loss, row.val_loss]).all():
                raise WorldModelsError(
                    f"the loss is not a number in epoch {row.epoch} ({row}); "
                    f"lower vae.learning_rate (it is {params.learning_rate})"
                )
            at = Position(epoch=at.epoch + 1, rows=[*at.rows, asdict(row)])
            state.save(at)
            yield row


def training_step(
    vae: VAE, optimizer: keras.optimizers.Optimizer, *, kl_tolerance: float
) -> Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
    """A compiled step: frames and noise to the terms of `VAE.negative_elbo`, before the update."""

    @tf.function(reduce_retracing=True, autograph=False)
    def step(frames: tf.Tensor, noise: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            terms = vae.negative_elbo(frames, noise, kl_tolerance=kl_tolerance)
        gradients = tape.gradient(terms["loss"], vae.weights)
        optimizer.apply_gradients(zip(gradients, vae.weights, strict=True))
        return terms

    return step


def _noise(seed: int, epoch: int, step: int, frames: tf.Tensor, latent_dim: int) -> tf.Tensor:
    rng = np.random.default_rng([seed, epoch, step])
    return tf.constant(rng.standard_normal((len(frames), latent_dim), dtype=np.float32))
