"""Pictures of frames, as PNG."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from worldmodels.core.files import atomic_write

GAP = 2  # pixels of white between frames, before enlarging


def frame_grid(rows: list[NDArray[np.uint8]], *, scale: int) -> NDArray[np.uint8]:
    """Frames side by side.

    Args:
        rows: each (columns, height, width, 3) uint8, all of one shape.
        scale: how much larger each pixel becomes.

    Returns:
        One picture, (height, width, 3) uint8.
    """
    framed = np.pad(
        np.stack(rows), ((0, 0), (0, 0), (0, GAP), (0, GAP), (0, 0)), constant_values=255
    )
    count, columns, height, width, _ = framed.shape
    grid = framed.transpose(0, 2, 1, 3, 4).reshape(count * height, columns * width, 3)
    grid = grid[:-GAP, :-GAP]
    return grid.repeat(scale, axis=0).repeat(scale, axis=1)


def write_png(path: str | Path, picture: NDArray[np.uint8]) -> None:
    """Write an RGB picture, (height, width, 3) uint8."""
    _, encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    with atomic_write(path) as temporary:
        temporary.write_bytes(encoded.tobytes())
