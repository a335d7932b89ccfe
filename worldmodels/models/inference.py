"""Graphs that compute an agent's part of a step: by OpenVINO, or by TensorFlow where OpenVINO has
no wheel. A function in TensorFlow says what is computed, for both. Read `make_graph`.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from worldmodels.models.openvino_graph import LARGEST_BATCH, OpenVINOGraph, has_openvino, padded

if TYPE_CHECKING:
    import tensorflow as tf

Precision = Literal["float32", "bfloat16", "int8"]


class Graph(Protocol):
    """Computes rows, each the same to the bit whatever is beside it. Workers get it pickled."""

    def __call__(self, *inputs: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
        """Inputs of as many rows each, to outputs of as many."""


def make_graph(
    function: Callable[..., tuple[tf.Tensor, ...]],
    inputs: Sequence[tf.TensorSpec],
    *,
    precision: Precision = "float32",
    threads: int = 1,
) -> Graph:
    """The graph of a function, as it is now: later changes of a model's weights do not reach it.

    Args:
        function: takes and returns tensors of as many rows; picklable.
        inputs: shapes and types of what it takes, (None, ...) for any number of rows.
        precision: what it is computed in. bfloat16 takes a processor that has it, float32 is what
            others do; a function for int8 says itself what is rounded and how.
        threads: that share a batch; they change no result.
    """
    if has_openvino():
        return OpenVINOGraph(function, inputs, bfloat16=precision == "bfloat16", threads=threads)
    _announce_tensorflow()
    return TensorFlowGraph(function, inputs)


@cache
def _announce_tensorflow() -> None:
    print(
        "worldmodels: no OpenVINO here; TensorFlow computes V, M and C, in float32, and slower",
        file=sys.stderr,
        flush=True,
    )


class TensorFlowGraph:
    """A `Graph` by TensorFlow.

    Args:
        function: takes and returns tensors of as many rows; picklable. It has to see to it itself
            that rows do not depend on each other, as `row_product` does.
        inputs: their shapes and types, (None, ...) for any number of rows.
    """

    def __init__(
        self, function: Callable[..., tuple[tf.Tensor, ...]], inputs: Sequence[tf.TensorSpec]
    ) -> None:
        self._pickled = pickle.dumps((function, list(inputs)))
        self._graphs: dict[int, Callable[..., tuple[tf.Tensor, ...]]] = {}

    def __getstate__(self) -> bytes:
        return self._pickled

    def __setstate__(self, state: bytes) -> None:
        if "tensorflow" not in sys.modules:  # a worker, which has one core
            from worldmodels.models.determinism import use_one_core

            use_one_core()
        self._pickled, self._graphs = state, {}

    def __call__(self, *inputs: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
        """As `Graph` says."""
        if not self._graphs:
            self._graphs = self._made()
        outputs = []
        for start in range(0, len(inputs[0]), LARGEST_BATCH):
            parts = [part[start : start + LARGEST_BATCH] for part in inputs]
            rows = len(parts[0])
            batch = next(batch for batch in self._graphs if batch >= rows)
            computed = self._graphs[batch](*(padded(part, batch) for part in parts))
            outputs.append([output.numpy()[:rows] for output in computed])
        return tuple(np.concatenate(output) for output in zip(*outputs, strict=True))

    def _made(self) -> dict[int, Callable[..., tuple[tf.Tensor, ...]]]:
        import tensorflow as tf

        from worldmodels.models.row_product import batch_shapes

        function, inputs = pickle.loads(self._pickled)

        def traced(batch: int) -> Callable[..., tuple[tf.Tensor, ...]]:
            of_batch = [tf.TensorSpec((batch, *spec.shape[1:]), spec.dtype) for spec in inputs]
            # Autograph would leave a temporary file behind for each function, in each worker.
            return tf.function(function, input_signature=of_batch, autograph=False)

        return {batch: traced(batch) for batch in batch_shapes(LARGEST_BATCH)}
