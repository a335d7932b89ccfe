"""A picture's rows above the indicators, resized as OpenCV's INTER_LINEAR does it, to the bit.

OpenCV weighs the two pixels nearest to a place in 2048ths, along rows first, then down columns, in
integers. Along a row the places repeat: of 96 columns, each 6 become 5 where V gets 80. So a row is
kept with every sixth column side by side, and what was a search for neighbours is five sums of
whole stretches. Read `Columns`, then `resize`.
"""

from functools import cache
from math import gcd
from typing import NamedTuple

import numpy as np

from worldmodels.car_racing.compiled import compiled

ROWS, COLUMNS = 84, 96
TWO, FOUR, SIXTEEN = np.int32(2), np.int32(4), np.int32(16)
ONE = 2048  # OpenCV's INTER_RESIZE_COEF_SCALE


def taps(source: int, target: int) -> tuple[np.ndarray, np.ndarray]:
    """The two pixels that each one is made of, (2, target) int64, and their weights, (2, target)
    int32."""
    places = ((np.arange(target) + 0.5) * (source / target) - 0.5).astype(np.float32)
    first = np.floor(places).astype(np.int64)
    share = places - first
    weights = np.rint(np.stack([1 - share, share]) * np.float32(ONE)).astype(np.int32)
    return np.clip(np.stack([first, first + 1]), 0, source - 1), weights


class Columns(NamedTuple):
    """How a row is kept, and how it becomes one of another width.

    place: (96,) uint64, where each column lies: columns of one phase side by side.
    starts: (2, phases) int64, of each phase of the result, where its two stretches begin.
    weights: (2, phases, length) int32, of their pixels.
    """

    place: np.ndarray
    starts: np.ndarray
    weights: np.ndarray


@cache
def columns(width: int) -> Columns:
    """The `Columns` of a width from 1 to 96."""
    length = gcd(COLUMNS, width)
    period, phases = COLUMNS // length, width // length
    column = np.arange(COLUMNS)
    place = column % period * length + column // period
    pixels, weights = taps(COLUMNS, width)
    # The second pixel may be the first of the next period, which lies one further on; the last one
    # of a row has no weight then.
    second = pixels[0, :phases] + 1
    starts = np.stack([pixels[0, :phases] * length, np.where(second < period, second * length, 1)])
    by_phase = weights.reshape(2, length, phases).transpose(0, 2, 1)
    return Columns(place.astype(np.uint64), starts, np.ascontiguousarray(by_phase))


@cache
def rows(height: int) -> tuple[np.ndarray, np.ndarray]:
    """`taps` of a height from 1 to 96."""
    return taps(ROWS, height)


NATURAL = np.arange(COLUMNS, dtype=np.uint64)  # columns as they are


@compiled
def resize(planes, pixels, row_weights, starts, weights, out):
    """Resize red, green and blue.

    Args:
        planes: (3, rows, 96) uint8, their columns as `Columns.place` says; the first 84 rows count.
        pixels, row_weights: `rows(height)`. starts, weights: of `columns(width)`.
        out: (height, width, 3) uint8.
    """
    wide = np.empty((ROWS, weights.shape[1] * weights.shape[2]), np.int32)
    for channel in range(3):
        _widen(planes[channel], starts, weights, wide)
        _shorten(wide, pixels, row_weights, weights.shape[1], out[:, :, channel])


# Indices are unsigned below: signed ones might count from the end, and Numba would look each time.


@compiled
def _widen(plane, starts, weights, wide):
    """All 84 rows of a colour, each as wide as it will be, in 128ths."""
    line = np.zeros(COLUMNS + 1, np.int32)  # one more, that has no weight
    length = weights.shape[2]
    for row in range(ROWS):
        for column in range(COLUMNS):
            line[column] = plane[row, column]
        for phase in range(weights.shape[1]):
            first, second = np.uint64(starts[0, phase]), np.uint64(starts[1, phase])
            into = np.uint64(phase * length)
            for step in range(length):
                at = np.uint64(step)
                left = line[first + at] * weights[0, phase, at]
                right = line[second + at] * weights[1, phase, at]
                wide[row, into + at] = np.int32(left + right) >> FOUR


@compiled
def _shorten(wide, pixels, row_weights, phases, out):
    """The rows that there will be, and their columns in order again."""
    width = wide.shape[1]
    length = width // phases
    line = np.empty(width, np.uint8)
    for row in range(pixels.shape[1]):
        above, below = np.uint64(pixels[0, row]), np.uint64(pixels[1, row])
        for column in range(width):
            at = np.uint64(column)
            upper = np.int32(row_weights[0, row] * wide[above, at]) >> SIXTEEN
            lower = np.int32(row_weights[1, row] * wide[below, at]) >> SIXTEEN
            line[at] = np.uint8(np.int32(upper + lower + TWO) >> TWO)
        for phase in range(phases):
            for step in range(length):
                out[row, np.uint64(step * phases + phase)] = line[np.uint64(phase * length + step)]
