"""The bar of indicators below the picture: score, speed, wheels, steering, gyro.

gym draws rectangles and a text into 1000 x 800 pixels, and pygame's smoothscale shrinks them in
integers. Both are done here without the large picture, to the same bits but where two rectangles
share a pixel. Read `draw_indicators`.
"""

import math
from functools import cache
from pathlib import Path

import numpy as np

from worldmodels.car_racing.compiled import compiled
from worldmodels.car_racing.picture import COLUMNS, ROWS

TOP = ROWS  # of the picture
BAR_ROWS = 12
BLACK_TOP = 700  # the first of gym's rows that are black
SCORE_COLUMNS = 12
LOWEST_SCORE, HIGHEST_SCORE = -999, 2000
LEAST = 1e-4  # gym draws nothing for less
UNIT = 65536  # smoothscale's 1

# How gym's pixels become one of the state: the rest of a pixel that the one before began, whole
# pixels, a part of a last one. Columns: that first pixel, its weight, first whole, after the last
# whole, which is the part's, and its weight.
FIRST, FIRST_WEIGHT, WHOLE, LAST, LAST_WEIGHT = range(5)


def _taps(source: int, target: int) -> tuple[np.ndarray, int]:
    """What filter_shrink_X and _Y of pygame's transform.c read for each pixel, (target, 5); and
    one over the pixels in it, in 65536ths."""
    space = UNIT * source // target
    taps = np.zeros((target, 5), np.int64)
    counter, pixel = space, 0
    for at in range(target):
        taps[at, FIRST], taps[at, FIRST_WEIGHT] = pixel - 1, space - counter
        taps[at, WHOLE] = pixel
        while counter > UNIT:
            counter -= UNIT
            pixel += 1
        taps[at, LAST], taps[at, LAST_WEIGHT] = pixel, counter
        counter = space - (UNIT - counter)
        pixel += 1
    return taps, UNIT * UNIT // space


ACROSS, ACROSS_RECIPROCAL = _taps(1000, COLUMNS)
DOWN, DOWN_RECIPROCAL = _taps(800, COLUMNS)


@compiled
def draw_indicators(car, race, scores, rounded, planes):
    """Draw the last 12 rows of a picture, (3, 96, 96) uint8.

    Args:
        scores: `score_pictures()`.
        rounded: the score is, as gymnasium shows it; gym truncates it.
    """
    planes[:, TOP:, :] = 0
    _draw_score(race.score, scores, rounded, planes)
    vx, vy = np.float64(car.velocity[0, 0]), np.float64(car.velocity[0, 1])
    _upright(5, 0.02 * math.sqrt(vx * vx + vy * vy), 25, 255, 255, 255, planes)
    for wheel in range(4):
        # pygame fills both edges: three bars would share their last with the next one's first.
        width = 25 if wheel == 3 else 24
        red = 0 if wheel < 2 else 51
        _upright(7 + wheel, 0.01 * car.omega[wheel], width, red, 0, 255, planes)
    _level(20, -10.0 * np.float64(car.angle[1] - car.angle[0]), 0, 255, 0, planes)
    _level(30, -0.8 * np.float64(car.velocity[0, 2]), 255, 0, 0, planes)


@compiled
def _upright(place, value, width, red, green, blue, planes):
    """A bar that grows upwards from gym's row 780, by 20 rows for each 1."""
    if abs(value) * (50 if place == 5 else 100) > LEAST:
        tip = int(800 - (20.0 + 20.0 * value))
        _rectangle(
            place * 25, place * 25 + width, min(tip, 780), max(tip, 780), red, green, blue, planes
        )


@compiled
def _level(place, value, red, green, blue, planes):
    """A bar that grows to the right from its place, by 25 columns for each 1."""
    if abs(value) / (10.0 if place == 20 else 0.8) > LEAST:
        tip = int((place + value) * 25.0)
        _rectangle(min(tip, place * 25), max(tip, place * 25), 720, 760, red, green, blue, planes)


@compiled
def _rectangle(left, right, top, bottom, red, green, blue, planes):
    """Add a rectangle of gym's pixels, ends included, as smoothscale leaves it."""
    top, bottom = max(top, BLACK_TOP), min(bottom, 799)
    left, right = max(left, 0), min(right, 999)
    for channel in range(3):
        colour = red if channel == 0 else (green if channel == 1 else blue)
        if colour == 0:
            continue
        for column in range(
            max(left * COLUMNS // 1000 - 1, 0), min(right * COLUMNS // 1000 + 2, COLUMNS)
        ):
            shrunk = _shrink(ACROSS[column], ACROSS_RECIPROCAL, left, right, colour)
            if shrunk == 0:
                continue
            for row in range(TOP, TOP + BAR_ROWS):
                light = _shrink(DOWN[row], DOWN_RECIPROCAL, top, bottom, shrunk)
                planes[channel, row, column] = np.uint8(planes[channel, row, column] + light)


@compiled
def _shrink(tap, reciprocal, low, high, value):
    """One pixel of the state, of gym's pixels from `low` to `high` that have this value."""
    total = 0
    if low <= tap[FIRST] <= high:
        total += (value * tap[FIRST_WEIGHT]) >> 16
    total += value * max(min(high + 1, tap[LAST]) - max(low, tap[WHOLE]), 0)
    if low <= tap[LAST] <= high:
        total += (value * tap[LAST_WEIGHT]) >> 16
    return (total * reciprocal) >> 16


@compiled
def _draw_score(reward, scores, rounded, planes):
    number = int(np.rint(reward)) if rounded else int(reward)
    score = min(max(number, LOWEST_SCORE), HIGHEST_SCORE) - LOWEST_SCORE
    if rounded and number == 0 and reward < 0:
        score = len(scores) - 1
    for row in range(BAR_ROWS):
        for column in range(SCORE_COLUMNS):
            for channel in range(3):
                planes[channel, TOP + row, column] = scores[score, row, column]


@cache
def score_pictures(*, rounded: bool) -> np.ndarray:
    """The score from -999 to 2000, (scores, 12, 12) uint8, and last -000, which gymnasium shows for
    a little less than nothing: the default font in size 42, shrunk, of pygame for gym, and of
    pygame-ce, which draws it otherwise, for gymnasium."""
    with np.load(Path(__file__).with_name("scores.npz")) as file:
        return file["gymnasium" if rounded else "gym"]
