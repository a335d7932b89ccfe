"""A frame's rows above the indicators, resized as `cv2.resize` does it by INTER_LINEAR, to the bit.

OpenCV weighs the two pixels nearest to a place in 2048ths, along rows first, then down columns, in
integers. Read `resize`.
"""

from functools import cache

import numpy as np

from worldmodels.car_racing.compiled import compiled

ROWS = 84
TWO, FOUR, SIXTEEN = np.int32(2), np.int32(4), np.int32(16)
ONE = 2048  # OpenCV's INTER_RESIZE_COEF_SCALE


@cache
def taps(source: int, target: int) -> tuple[np.ndarray, np.ndarray]:
    """The two pixels that each one is made of, (2, target) uint64, and their weights, (2, target)
    int32."""
    places = ((np.arange(target) + 0.5) * (source / target) - 0.5).astype(np.float32)
    first = np.floor(places).astype(np.int64)
    share = places - first
    share[(first < 0) | (first >= source - 1)] = 0
    first = np.clip(first, 0, source - 1)
    weights = np.rint(np.stack([1 - share, share]) * np.float32(ONE)).astype(np.int32)
    return np.stack([first, np.minimum(first + 1, source - 1)]).astype(np.uint64), weights


@compiled
def resize(planes, rows, row_weights, columns, column_weights, out):
    """Resize red, green and blue, (3, rows, columns) uint8, of which the first 84 rows count.

    Args:
        rows, row_weights, columns, column_weights: `taps` of both directions.
        out: (height, width, 3) uint8.
    """
    height, width = rows.shape[1], columns.shape[1]
    wide = np.empty((ROWS, width), np.int32)
    high = np.empty((3, width), np.uint8)
    for channel in range(3):
        for row in range(ROWS):
            line, into = planes[channel, row], wide[row]
            for column in range(width):
                first = np.int32(line[columns[0, column]]) * column_weights[0, column]
                second = np.int32(line[columns[1, column]]) * column_weights[1, column]
                into[column] = np.int32(first + second) >> FOUR
        for row in range(height):
            above, below = wide[rows[0, row]], wide[rows[1, row]]
            for column in range(width):
                upper = np.int32(row_weights[0, row] * above[column]) >> SIXTEEN
                lower = np.int32(row_weights[1, row] * below[column]) >> SIXTEEN
                high[0, column] = np.uint8(np.int32(upper + lower + TWO) >> TWO)
            for column in range(width):
                out[row, column, channel] = high[0, column]
