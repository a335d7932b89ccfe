"""A graph that OpenVINO computes: rows in, rows out, on one core or more, without TensorFlow.

OpenVINO's graphs have one batch size; so there is one for each of a few, made when it is first
needed. A row's bits do not depend on the batch size or the number of threads. Read
`OpenVINOGraph.__call__`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import tensorflow as tf

LARGEST_BATCH = 64  # rows; more are computed in parts

# OpenVINO would tell its makers, over the network, that it is imported; without this package it
# cannot, and works as well.
TELEMETRY = "openvino_telemetry"


def has_openvino() -> bool:
    """Is there a wheel of it for this machine?"""
    return find_spec("openvino") is not None


@cache
def _openvino() -> Any:
    sys.modules.setdefault(TELEMETRY, None)  # type: ignore[arg-type]
    import openvino  # type: ignore[import-untyped]

    return openvino


@cache
def _core() -> Any:
    return _openvino().Core()


class OpenVINOGraph:
    """A `inference.Graph` by OpenVINO.

    Args:
        function: takes and returns tensors of as many rows.
        inputs: their shapes and types, (None, ...) for any number of rows.
        bfloat16: compute in it, on a processor that has it.
        threads: that share a batch; they change no result.
    """

    def __init__(
        self,
        function: Callable[..., tuple[tf.Tensor, ...]],
        inputs: Sequence[tf.TensorSpec],
        *,
        bfloat16: bool = False,
        threads: int = 1,
    ) -> None:
        import tensorflow as tf  # whoever has such a function has it; who unpickles need not

        traced = tf.function(function, input_signature=inputs, autograph=False)
        graph = traced.get_concrete_function()
        # Copies of the weights: TensorFlow's are gone with the model that they belong to.
        model = _openvino().convert_model(graph, share_weights=False)
        # It takes what the function computes and nobody reads for one more output.
        outputs = [model.output(output.name) for output in graph.outputs]
        self._model = _openvino().Model(outputs, model.get_parameters())
        self._settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
            "ENABLE_CPU_PINNING": False,  # workers would all be pinned to the same core
        }
        self._requests: dict[int, Any] = {}  # by batch size

    def __getstate__(self) -> tuple[bytes, bytes, dict[str, Any]]:
        with TemporaryDirectory() as folder:  # it writes to files alone
            _openvino().serialize(self._model, f"{folder}/graph.xml", f"{folder}/graph.bin")
            layers, weights = (
                Path(folder, f"graph.{kind}").read_bytes() for kind in ("xml", "bin")
            )
        return layers, weights, self._settings

    def __setstate__(self, state: tuple[bytes, bytes, dict[str, Any]]) -> None:
        layers, weights, self._settings = state
        self._model = _core().read_model(layers, weights)
        self._requests = {}

    def __call__(self, *inputs: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
        """As `inference.Graph` says."""
        rows = len(inputs[0])
        if rows > LARGEST_BATCH:
            starts = range(0, rows, LARGEST_BATCH)
            parts = [self(*(part[at : at + LARGEST_BATCH] for part in inputs)) for at in starts]
            return tuple(np.concatenate(outputs) for outputs in zip(*parts, strict=True))
        batch = 1
        while batch < rows:
            batch *= 2
        request = self._requests.get(batch)
        if request is None:
            request = self._requests[batch] = self._compiled(batch)
        request.infer([padded(part, batch) for part in inputs], share_inputs=True)
        return tuple(output.data[:rows].copy() for output in request.output_tensors)

    def _compiled(self, batch: int) -> Any:
        model = self._model.clone()
        model.reshape({port: [batch, *port.partial_shape[1:]] for port in model.inputs})
        return _core().compile_model(model, "CPU", self._settings).create_infer_request()


def padded(part: NDArray[Any], rows: int) -> NDArray[Any]:
    """`part` with zeros behind it, up to so many rows, whose results nobody looks at."""
    padding = np.zeros((rows - len(part), *part.shape[1:]), part.dtype)
    return np.concatenate([part, padding]) if len(padding) else part
