"""Fits the VAE: Adam on the negative ELBO, one row of the training curve an epoch, in the end the
weights of the best epoch. Read `fit_vae`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import tensorflow as tf

from worldmodels.checkpoints import Checkpoint
from worldmodels.errors import WorldModelsError
from worldmodels.frame_batches import FrameBatches
from worldmodels.keras_on_tensorflow import keras
from worldmodels.progress import Progress
from worldmodels.training_checkpoint import Means, Position, TrainingCheckpoint
from worldmodels.vae import VAE, VAEParams

TERMS = ("loss", "reconstruction", "mse", "kl", "free_kl", "elbo")  # of `VAE.negative_elbo`


@dataclass(frozen=True)
class VAEEpoch:
    """One row of the training curve: the terms of `VAE.negative_elbo`, means over an epoch's
    frames; `val_` are those of held-out frames after the epoch."""

    epoch: int
    loss: float
    reconstruction: float
    mse: float
    kl: float
    free_kl: float
    elbo: float
    val_loss: float
    val_reconstruction: float
    val_mse: float
    val_kl: float
    val_free_kl: float
    val_elbo: float


def fit_vae(
    vae: VAE,
    params: VAEParams,
    training: FrameBatches,
    validation: FrameBatches,
    *,
    seed: int,
    checkpoint: Checkpoint | None = None,
) -> Iterator[VAEEpoch]:
    """Train in place; yield a row after every epoch. When the rows have ended, the weights are
    those of the epoch with the lowest validation loss.

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

    train_step = training_step(vae, optimizer, kl_tolerance=params.kl_tolerance, beta=params.beta)
    validate = validator(vae, params, seed=seed)
    best = [tf.Variable(weight, trainable=False) for weight in vae.weights]
    state = TrainingCheckpoint(checkpoint, [*vae.weights, *optimizer.variables, *best])
    at = state.restore()
    yield from (VAEEpoch(**row) for row in at.rows)
    done = at.epoch * training.steps + at.step
    name = checkpoint.stage if checkpoint else "train_vae"
    with Progress(name, total, "batch", done=done) as progress:
        while at.epoch < params.epochs and not _given_up(at.rows, params.patience):
            for frames in training.epoch(at.epoch, first_step=at.step):
                noise = _noise(seed, at.epoch, at.step, frames, vae.latent_dim)
                at.means.add(train_step(frames, noise))
                at.step += 1
                progress.advance(1, loss=at.means.mean("loss"))
                state.save_if_due(at)
            validated = validate(validation)
            row = VAEEpoch(
                at.epoch + 1,
                *(at.means.mean(term) for term in TERMS),
                *(validated.mean(term) for term in TERMS),
            )
            if not np.isfinite([row.loss, row.val_loss]).all():
                raise WorldModelsError(
                    f"the loss is not a number in epoch {row.epoch} ({row}); "
                    f"lower this round's vae.learning_rate (it is {params.learning_rate})"
                )
            at = Position(epoch=at.epoch + 1, rows=[*at.rows, asdict(row)])
            if best_epoch(at.rows) == row.epoch:
                _assign(best, vae.weights)
            state.save(at)
            yield row
    _assign(vae.weights, best)


def best_epoch(rows: Sequence[Mapping[str, float]]) -> int:
    """The epoch with the lowest validation loss, the first of equals; `rows` are the curve's."""
    return int(min(rows, key=lambda row: row["val_loss"])["epoch"])


def _given_up(rows: Sequence[Mapping[str, float]], patience: int | None) -> bool:
    """Have so many epochs brought nothing better?"""
    return patience is not None and len(rows) > 0 and len(rows) - best_epoch(rows) >= patience


def _assign(variables: Sequence[tf.Variable], values: Sequence[tf.Variable]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def training_step(
    vae: VAE, optimizer: keras.optimizers.Optimizer, *, kl_tolerance: float, beta: float
) -> Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
    """A compiled step: frames and noise to the terms of `VAE.negative_elbo`, before the update."""

    @tf.function(reduce_retracing=True, autograph=False)
    def step(frames: tf.Tensor, noise: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            terms = vae.negative_elbo(frames, noise, kl_tolerance=kl_tolerance, beta=beta)
        gradients = tape.gradient(terms["loss"], vae.weights)
        optimizer.apply_gradients(zip(gradients, vae.weights, strict=True))
        return terms

    return step


def validator(vae: VAE, params: VAEParams, *, seed: int) -> Callable[[FrameBatches], Means]:
    """A compiled measure: batches of frames to the means of the terms of `VAE.negative_elbo`, with
    noise that is the same every time."""

    @tf.function(reduce_retracing=True, autograph=False)
    def step(frames: tf.Tensor, noise: tf.Tensor) -> dict[str, tf.Tensor]:
        return vae.negative_elbo(frames, noise, kl_tolerance=params.kl_tolerance, beta=params.beta)

    def validate(batches: FrameBatches) -> Means:
        means = Means()
        for index, frames in enumerate(batches.epoch(0)):
            noise = _noise(seed, params.epochs, index, frames, vae.latent_dim)
            means.add(step(frames, noise))
        return means

    return validate


def _noise(seed: int, epoch: int, step: int, frames: tf.Tensor, latent_dim: int) -> tf.Tensor:
    rng = np.random.default_rng([seed, epoch, step])
    return tf.constant(rng.standard_normal((len(frames), latent_dim), dtype=np.float32))
