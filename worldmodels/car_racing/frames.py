"""What the agent sees: gym's frame turned into the VAE's input.

`preprocess` is the only place where a frame is cropped and resized. Sampling, evolution, evaluation
and `Agent.act` all go through it, so that V meets the same pictures everywhere. Pictures stay uint8
until the graph that consumes them divides by 255.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from worldmodels.core.errors import WorldModelsError

GYM_FRAME_SHAPE = (96, 96, 3)
ROWS_ABOVE_INDICATORS = 84  # of 96: the rest is the bar of indicators (Ha & Schmidhuber's crop)
SMALLEST_SIDE, LARGEST_SIDE = 32, 96


def preprocess(frame: NDArray[np.uint8], image_shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Crop the indicator bar off a gym frame and resize it bilinearly.

    Args:
        frame: (96, 96, 3) uint8, as CarRacing returns it.
        image_shape: height and width of the result.

    Returns:
        (height, width, 3) uint8.

    Raises:
        WorldModelsError: the frame is not (96, 96, 3) uint8.
    """
    if frame.shape != GYM_FRAME_SHAPE or frame.dtype != np.uint8:
        raise WorldModelsError(
            f"frame: expected {GYM_FRAME_SHAPE} uint8, as CarRacing returns it, "
            f"got {frame.shape} {frame.dtype}"
        )
    height, width = image_shape
    cropped = frame[:ROWS_ABOVE_INDICATORS]
    if (height, width) == cropped.shape[:2]:
        return cropped.copy()
    return cv2.resize(cropped, (width, height), interpolation=cv2.INTER_LINEAR).astype(
        np.uint8, copy=False
    )
