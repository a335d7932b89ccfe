"""A matrix product whose every row has the same bits, wherever it stands and beside whatever.

TensorFlow's own product of a whole batch rounds its last rows in another order than the others, so
an agent's action would depend on the slot that it happened to get. Training does not need this.
"""

from __future__ import annotations

import tensorflow as tf

# Elementwise functions, too, treat the last numbers of a batch apart unless it fills whole vectors,
# of 16 numbers at most: so rows come in fours, and a row has a multiple of four numbers.
ROWS = 4


def row_product(rows: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """(batch, inputs) times (inputs, outputs), each row on its own: (batch, outputs)."""
    return tf.matmul(rows[:, None, :], matrix[None])[:, 0]


def batch_shapes(largest: int) -> list[int]:
    """Batch sizes to compile graphs for, growing twofold; the last holds `largest` rows."""
    shapes = [ROWS]
    while shapes[-1] < largest:
        shapes.append(min(2 * shapes[-1], -(-largest // ROWS) * ROWS))
    return shapes
