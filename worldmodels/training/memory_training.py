"""M's training: Adam on the negative log likelihood of windows of latents.

z is drawn anew from the stored mean and log variance in every batch, so that M learns how sure V
is. Read `fit_memory`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from worldmodels.car_racing.task import ACTIONS
from worldmodels.core.checkpoint import Checkpoint
from worldmodels.core.errors import WorldModelsError
from worldmodels.data.latents import LatentSequences, Sequences
from worldmodels.models.keras_on_tensorflow import keras
from worldmodels.models.memory import MDNRNN, MemoryParams
from worldmodels.training.loop import Row, Step, fit
from worldmodels.training.training_checkpoint import Means


def fit_memory(
    memory: MDNRNN,
    params: MemoryParams,
    sequences: LatentSequences,
    *,
    training: Sequence[int],
    validation: Sequence[int],
    seed: int,
    checkpoint: Checkpoint | None = None,
) -> Iterator[Row]:
    """Train in place; yield a row after every epoch, the terms of `MDNRNN.loss`; see
    `training.loop.fit`. The weights stay those of the last epoch: its learning rate is next to
    zero, and in eight recorded trainings its validation loss was never more than 0.00002 nats above
    the best.

    Args:
        memory: the model.
        params: the `memory` group.
        sequences: windows of latents.
        training, validation: which episodes.
        seed: of the order and the noise; step s of epoch e always draws the same.
        checkpoint: where to save, and to resume from.

    Raises:
        WorldModelsError: no windows to train or validate on, or the loss is no longer a finite
            number.
    """
    steps = _steps(sequences, training, params)
    _steps(sequences, validation, params)
    schedule = keras.optimizers.schedules.CosineDecay(params.learning_rate, params.epochs * steps)
    optimizer = keras.optimizers.Adam(schedule, clipvalue=params.gradient_clip)
    optimizer.build(memory.weights)
    signature = (
        tf.TensorSpec(
            (params.batch_size, params.sequence_length + 1, memory.latent_dim), tf.float32
        ),
        tf.TensorSpec((params.batch_size, params.sequence_length, ACTIONS), tf.float32),
        tf.TensorSpec((params.batch_size, params.sequence_length), tf.float32),
    )
    train_step = training_step(memory, optimizer)
    validation_step = tf.function(memory.loss, input_signature=signature, autograph=False)

    def batches(windows: NDArray[np.int64], epoch: int, *, first_step: int = 0) -> tf.data.Dataset:
        return tf.data.Dataset.from_generator(
            lambda: _batches(
                sequences, windows, params.batch_size, seed=[seed, epoch], first_step=first_step
            ),
            output_signature=signature,
        ).prefetch(4)

    def train(epoch: int, first_step: int) -> Iterator[Step]:
        windows = sequences.windows(training, rng=np.random.default_rng([seed, epoch]))
        for z, action, mask in batches(windows, epoch, first_step=first_step):
            yield train_step(z, action, mask), _steps_in(mask)

    def validate() -> Means:
        means = Means()
        for z, action, mask in batches(sequences.windows(validation, rng=None), params.epochs):
            means.add(validation_step(z, action, mask), _steps_in(mask))
        return means

    yield from fit(
        memory.weights,
        optimizer,
        train,
        validate,
        label="train_memory",
        epochs=params.epochs,
        steps=steps,
        keep_best=False,
        checkpoint=checkpoint,
        learning_rate=f"memory.learning_rate (it is {params.learning_rate})",
    )


def measure_feature_mean(
    memory: MDNRNN, params: MemoryParams, sequences: LatentSequences, episodes: Sequence[int]
) -> NDArray[np.float32]:
    """What `MDNRNN.feature_mean` is after training: the mean of [z, h] over all windows of these
    episodes, z the posterior's mean, h from zeros at the start of each window."""
    windows = sequences.windows(episodes, rng=None)
    hidden_of = tf.function(memory.lstm, autograph=False)
    known, steps = np.zeros(memory.latent_dim + memory.hidden_units), 0.0
    for _, read in _read(sequences, windows, params.batch_size):
        z = read.mean[:, :-1]
        hidden = hidden_of(np.concatenate([z, read.action], axis=-1)).numpy()
        both = np.concatenate([z, hidden], axis=-1, dtype=np.float64)
        known += np.einsum("bsk,bs->k", both, read.mask)
        steps += float(read.mask.sum())
    return (known / steps).astype(np.float32)


def training_step(
    memory: MDNRNN, optimizer: keras.optimizers.Optimizer
) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
    """A compiled step: the arguments of `MDNRNN.loss` to its terms, before the update."""

    @tf.function(autograph=False)
    def step(z: tf.Tensor, action: tf.Tensor, mask: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            terms = memory.loss(z, action, mask)
        gradients = tape.gradient(terms["loss"], memory.weights)
        optimizer.apply_gradients(zip(gradients, memory.weights, strict=True))
        return terms

    return step


def _steps_in(mask: tf.Tensor) -> float:
    """How many steps of a batch count."""
    return float(tf.reduce_sum(mask))


def _steps(sequences: LatentSequences, episodes: Sequence[int], params: MemoryParams) -> int:
    windows = len(sequences.windows(episodes, rng=None))
    if windows == 0:
        raise WorldModelsError(
            "expected episodes of at least 2 steps, got none; raise sampling.steps"
        )
    return -(-windows // params.batch_size)


def _batches(
    sequences: LatentSequences,
    windows: NDArray[np.int64],
    batch_size: int,
    *,
    seed: Sequence[int],
    first_step: int = 0,
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]]:
    """z drawn for each window, its actions, its mask."""
    for step, read in _read(sequences, windows, batch_size, first_step=first_step):
        rng = np.random.default_rng([*seed, step])
        noise = rng.standard_normal(read.mean.shape, dtype=np.float32)
        yield read.mean + np.exp(0.5 * read.log_var) * noise, read.action, read.mask


def _read(
    sequences: LatentSequences,
    windows: NDArray[np.int64],
    batch_size: int,
    *,
    first_step: int = 0,
) -> Iterator[tuple[int, Sequences]]:
    """Batches of windows from `first_step` on, numbered; empty windows fill the last one."""
    for step in range(first_step, -(-len(windows) // batch_size)):
        start = step * batch_size
        batch = windows[start : start + batch_size]
        padding = np.zeros((batch_size - len(batch), 2), np.int64)
        yield step, sequences.read(np.concatenate([batch, padding]))
