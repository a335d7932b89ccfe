"""M's training: Adam on windows of latents and of what came of them.

Unless `memory.latent` is `mean`, z is drawn anew from the stored mean and log variance in every
batch, so that M learns how sure V is. Read `fit_memory`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from worldmodels.car_racing.task import ACTIONS
from worldmodels.core.checkpoint import Checkpoint
from worldmodels.core.errors import WorldModelsError
from worldmodels.data.latents import LatentSequences, Sequences
from worldmodels.models.keras_on_tensorflow import keras
from worldmodels.models.memory import MDNRNN, MemoryBatch, MemoryParams, z_and_target
from worldmodels.training.loop import Row, Step, fit
from worldmodels.training.training_checkpoint import Means

WARM_UP = 8  # steps of a window, at least, before M reads its own predictions


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
    memory.has_outcome = params.outcome_weight > 0
    schedule = keras.optimizers.schedules.CosineDecay(params.learning_rate, params.epochs * steps)
    optimizer = keras.optimizers.Adam(schedule, clipvalue=params.gradient_clip)
    optimizer.build(memory.weights)
    shape = (params.batch_size, params.sequence_length)
    of_z, of_action, of_number = (
        tf.TensorSpec((*shape, *size), tf.float32)
        for size in ((memory.latent_dim,), (ACTIONS,), ())
    )
    others = [of_number] * (len(MemoryBatch._fields) - 3)
    signature = MemoryBatch(of_z, of_z, of_action, *others)
    train_step = training_step(memory, optimizer, params)
    validation_step = tf.function(
        partial(memory.loss, outcome_weight=params.outcome_weight),
        input_signature=(signature,),
        autograph=False,
    )

    def batches(windows: NDArray[np.int64], epoch: int, *, first_step: int = 0) -> tf.data.Dataset:
        return tf.data.Dataset.from_generator(
            lambda: _batches(sequences, windows, params, seed=[seed, epoch], first_step=first_step),
            output_signature=signature,
        ).prefetch(4)

    def train(epoch: int, first_step: int) -> Iterator[Step]:
        windows = sequences.windows(training, rng=np.random.default_rng([seed, epoch]))
        for step, batch in enumerate(batches(windows, epoch, first_step=first_step), first_step):
            drawn_by = tf.constant([seed, 2 * (epoch * steps + step)], tf.int32)
            yield train_step(batch, drawn_by), _steps_in(batch.mask)

    def validate() -> Means:
        means = Means()
        for batch in batches(sequences.windows(validation, rng=None), params.epochs):
            means.add(validation_step(batch), _steps_in(batch.mask))
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
    memory: MDNRNN, optimizer: keras.optimizers.Optimizer, params: MemoryParams
) -> Callable[[MemoryBatch, tf.Tensor], dict[str, tf.Tensor]]:
    """A compiled step: a batch, and the seed of own predictions, to the terms of `MDNRNN.loss`,
    before the update."""
    # A step at a time takes half as long again as Keras' LSTM on whole windows.
    reads_own = params.own_predictions > 0

    @tf.function(autograph=False)
    def step(batch: MemoryBatch, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            terms = memory.loss(
                batch, outcome_weight=params.outcome_weight, seed=seed if reads_own else None
            )
        gradients = tape.gradient(
            terms["loss"], memory.weights, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
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
    params: MemoryParams,
    *,
    seed: Sequence[int],
    first_step: int = 0,
) -> Iterator[MemoryBatch]:
    """Windows, with z drawn for each, and where M reads its own predictions."""
    for step, read in _read(sequences, windows, params.batch_size, first_step=first_step):
        rng = np.random.default_rng([*seed, step])
        z, target = z_and_target(read, params.latent, rng)
        yield MemoryBatch(
            z,
            target,
            read.action,
            read.mask,
            read.acted,
            read.progress,
            read.ended,
            read.later_progress,
            read.later_known,
            _own(params, rng),
        )


def _own(params: MemoryParams, rng: np.random.Generator) -> NDArray[np.float32]:
    """1 where M reads its own predictions: a stretch in some windows, (batch, steps) float32."""
    steps = np.arange(params.sequence_length)
    first = rng.integers(WARM_UP, max(params.sequence_length, WARM_UP + 1), params.batch_size)
    behind = first + rng.integers(1, params.own_steps + 1, params.batch_size)
    chosen = rng.random(params.batch_size) < params.own_predictions
    own = chosen[:, None] & (steps >= first[:, None]) & (steps < behind[:, None])
    return own.astype(np.float32)


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
        padding = np.zeros((batch_size - len(batch), batch.shape[1]), np.int64)
        yield step, sequences.read(np.concatenate([batch, padding]))
