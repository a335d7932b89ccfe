"""V's training: Adam on the negative ELBO of batches of frames. Read `fit_vae`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from worldmodels.core.checkpoint import Checkpoint
from worldmodels.core.environment import has_bfloat16
from worldmodels.data.frame_batches import FrameBatches
from worldmodels.models.keras_on_tensorflow import keras
from worldmodels.models.vae import VAE, TrainingPrecision, VAEParams
from worldmodels.training.augmentation import augmented
from worldmodels.training.loop import Row, Step, fit
from worldmodels.training.training_checkpoint import Means

AUGMENTING = 1  # beside what the noise of a step is drawn from


def fit_vae(
    vae: VAE,
    params: VAEParams,
    training: FrameBatches,
    validation: FrameBatches,
    *,
    seed: int,
    checkpoint: Checkpoint | None = None,
) -> Iterator[Row]:
    """Train in place; yield a row after every epoch, the terms of `VAE.negative_elbo`. When the
    rows have ended, the weights are those of the best epoch; see `training.loop.fit`. Without
    epochs there is one row, of held-out frames alone.

    Args:
        vae: the model.
        params: the `vae` group.
        training, validation: batches of frames.
        seed: of the noise and of the augmentation; step s of epoch e always draws the same.
        checkpoint: where to save, and to resume from.

    Raises:
        WorldModelsError: the loss is no longer a finite number.
    """
    validate = validator(vae, params, seed=seed)
    if params.epochs == 0:
        means = validate(validation)
        yield {"epoch": 0, **{f"val_{term}": means.mean(term) for term in means.sums}}
        return
    total = params.epochs * training.steps
    schedule = keras.optimizers.schedules.CosineDecay(params.learning_rate, total)
    optimizer = keras.optimizers.Adam(schedule)
    optimizer.build(vae.weights)
    train_step = training_step(
        vae,
        optimizer,
        kl_tolerance=params.kl_tolerance,
        beta=params.beta,
        precision=training_precision(params),
    )

    def train(epoch: int, first_step: int) -> Iterator[Step]:
        batches = training.epoch(epoch, first_step=first_step)
        for step, frames in enumerate(batches, start=first_step):
            noise = _noise(seed, epoch, step, frames, vae.latent_dim)
            seen = None
            if params.augmentation:
                rng = np.random.default_rng([seed, epoch, step, AUGMENTING])
                seen = tf.constant(augmented(frames.numpy(), params.augmentation, rng=rng))
            yield train_step(frames, noise, seen), 1.0

    yield from fit(
        vae.weights,
        optimizer,
        train,
        lambda: validate(validation),
        label="train_vae",
        epochs=params.epochs,
        steps=training.steps,
        patience=params.patience,
        checkpoint=checkpoint,
        learning_rate=f"vae.learning_rate (it is {params.learning_rate})",
    )


def training_precision(params: VAEParams) -> TrainingPrecision:
    """The one that was asked for, or float32 where this processor has no other."""
    return params.training_precision if has_bfloat16() else "float32"


def training_step(
    vae: VAE,
    optimizer: keras.optimizers.Optimizer,
    *,
    kl_tolerance: float,
    beta: float,
    precision: TrainingPrecision = "float32",
) -> Callable[..., dict[str, tf.Tensor]]:
    """A compiled step: frames, noise and what V sees of the frames, the frames themselves if None,
    to the terms of `VAE.negative_elbo`, before the update."""

    @tf.function(reduce_retracing=True, autograph=False)
    def step(
        frames: tf.Tensor, noise: tf.Tensor, seen: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        with vae.computing_in(precision), tf.GradientTape() as tape:
            terms = vae.negative_elbo(
                frames, noise, kl_tolerance=kl_tolerance, beta=beta, seen=seen
            )
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
