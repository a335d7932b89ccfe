"""A matrix product whose every row has the same bits, wherever it stands and beside whatever.

TensorFlow's own product of a whole batch rounds its last rows in another order than the others, so
an agent's action would depend on the slot that it happened to get. Training does not need this.
"""

from __future__ import annotations

import tensorflow as tf

# Elementwise functions, too, treat the last numbers of a batch apart unless it fills whole vectors.
WHOLE_ROWS = 16


def row_product(rows: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """(batch, inputs) times (inputs, outputs), each row on its own: (batch, outputs)."""
    return tf.matmul(rows[:, None, :], matrix[None])[:, 0]


def whole_batch(rows: int) -> int:
    """The next batch size that fills whole vectors: `rows`, rounded up to a multiple of 16."""
    return -(-rows // WHOLE_ROWS) * WHOLE_ROWS
