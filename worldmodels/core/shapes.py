"""Arrays and tensors that people hand in, held against what is expected: `require_shape`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from worldmodels.core.errors import WorldModelsError

if TYPE_CHECKING:
    import tensorflow as tf


def require_shape(
    name: str,
    got: np.ndarray[Any, Any] | tf.Tensor,
    expected: tuple[int | str, ...],
    dtype: DTypeLike | None = None,
) -> None:
    """Refuse an array of another shape or type, or one that is empty.

    Args:
        name: what it is called in the error.
        got: an array, or a tensor, of which some sides may be unknown in a graph.
        expected: its shape; a text stands for a side of any length above 0.
        dtype: its type; any, if None.

    Raises:
        WorldModelsError: says what was expected and what came.
    """
    shape = getattr(got, "shape", None)
    sides = [] if shape is None or getattr(shape, "rank", 0) is None else list(shape)
    fits = len(sides) == len(expected) and all(
        side is None or (side > 0 if isinstance(wanted, str) else side == wanted)
        for side, wanted in zip(sides, expected, strict=True)
    )
    if fits and (dtype is None or np.dtype(dtype) == got.dtype):
        return
    of_type = "" if dtype is None else f" {np.dtype(dtype)}"
    came = f"a {type(got).__name__}" if shape is None else f"{tuple(sides)} {np.dtype(got.dtype)}"
    wanted = ", ".join(map(str, expected)) + ("," if len(expected) == 1 else "")
    raise WorldModelsError(f"{name}: expected ({wanted}){of_type}, got {came}")
