"""The training loop that V and M share: epochs of steps, a row of the curve after each, checkpoints
between steps, in the end the weights of the best epoch.

What a step, a validation and a loss are is the model's business: `vae_training` and
`memory_training` say it. Read `fit`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from worldmodels.core.checkpoint import Checkpoint
from worldmodels.core.errors import WorldModelsError
from worldmodels.core.progress import Progress
from worldmodels.models.keras_on_tensorflow import keras
from worldmodels.training.training_checkpoint import Means, Position, TrainingCheckpoint

Row = dict[str, float]  # of the training curve
# The terms of a loss over one batch, `loss` among them, and what the batch weighs in their means.
Step = tuple[Mapping[str, tf.Tensor], float]


def fit(
    weights: Sequence[tf.Variable],
    optimizer: keras.optimizers.Optimizer,
    train: Callable[[int, int], Iterator[Step]],
    validate: Callable[[], Means],
    *,
    label: str,
    epochs: int,
    steps: int,
    patience: int | None = None,
    keep_best: bool = True,
    checkpoint: Checkpoint | None = None,
    learning_rate: str,
) -> Iterator[Row]:
    """Train in place; yield a row of the curve after every epoch. When the rows have ended, the
    weights are those of the epoch with the lowest validation loss.

    Args:
        weights: the model's. optimizer: changes them.
        train: takes the steps of an epoch, from a given one on: (epoch, first step).
        validate: measures the terms of the loss on held-out data.
        label: what the progress bar calls it, without a checkpoint.
        epochs: at most. steps: of an epoch.
        patience: epochs without a lower validation loss after which training ends; None for never.
        keep_best: or else the weights stay those of the last epoch.
        checkpoint: where to save, and to resume from. The rows of epochs that were done before are
            yielded again.
        learning_rate: the parameter to lower when the loss is not finite, and its value.

    Returns:
        rows of `epoch`, every term's mean over the epoch, and the same of held-out data after it,
        `val_` before their names.

    Raises:
        WorldModelsError: a term of the loss is no longer a finite number. The checkpoint is of
            before that.
    """
    optimizer.build(weights)
    best = [tf.Variable(weight, trainable=False) for weight in weights] if keep_best else []
    state = TrainingCheckpoint(checkpoint, [*weights, *optimizer.variables, *best])
    at = state.restore()
    yield from at.rows
    done = at.epoch * steps + at.step
    name = checkpoint.stage if checkpoint else label
    with Progress(name, epochs * steps, "batch", done=done) as progress:
        while at.epoch < epochs and not _out_of_patience(at.rows, patience):
            for terms, weight in train(at.epoch, at.step):
                where = f"in step {at.step + 1} of epoch {at.epoch + 1}"
                _require_finite(terms, where, learning_rate)
                at.means.add(terms, weight)
                at.step += 1
                progress.advance(1, loss=at.means.mean("loss"))
                state.save_if_due(at)
            row = _row(at.epoch + 1, at.means, validate())
            _require_finite(row, f"after epoch {at.epoch + 1}", learning_rate)
            at = Position(epoch=at.epoch + 1, rows=[*at.rows, row])
            if best_epoch(at.rows) == at.epoch:
                _assign(best, weights[: len(best)])
            state.save(at)
            yield row
    _assign(weights[: len(best)], best)


def best_epoch(rows: Sequence[Mapping[str, float]]) -> int:
    """The epoch with the lowest validation loss, the first of equals; `rows` are the curve's."""
    return int(min(rows, key=lambda row: row["val_loss"])["epoch"])


def _out_of_patience(rows: Sequence[Mapping[str, float]], patience: int | None) -> bool:
    return patience is not None and len(rows) > 0 and len(rows) - best_epoch(rows) >= patience


def _require_finite(terms: Mapping[str, tf.Tensor], where: str, learning_rate: str) -> None:
    numbers = {name: float(value) for name, value in terms.items()}
    bad = [f"{name} {number}" for name, number in numbers.items() if not np.isfinite(number)]
    if bad:
        raise WorldModelsError(
            f"the loss {where}: expected finite numbers, got {', '.join(bad)}; "
            f"lower this round's {learning_rate}"
        )


def _row(epoch: int, training: Means, validation: Means) -> Row:
    return {
        "epoch": epoch,
        **{term: training.mean(term) for term in training.sums},
        **{f"val_{term}": validation.mean(term) for term in training.sums},
    }


def _assign(variables: Sequence[tf.Variable], values: Sequence[tf.Variable]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
