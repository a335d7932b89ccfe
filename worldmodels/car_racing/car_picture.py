"""The car in the picture: drawn as pygame draws it in gym's 1000 x 800 pixels, then shrunk.

The camera turns with the hull, so at a given zoom only a wheel's steering and rolling make a
difference, and a quarter of the car with one wheel is drawn once for each of these. Read `put_car`.
"""

import math
from functools import cache

import numpy as np

from worldmodels.car_racing.car_shape import HULL_POLYGONS, UNIT, WHEELS_AT
from worldmodels.car_racing.car_state import WHEELS, F
from worldmodels.car_racing.compiled import compiled
from worldmodels.car_racing.picture import FULL_ZOOM, zoom_at

TOP, LEFT, QUARTER_ROWS, QUARTER_COLUMNS = 66, 44, 6, 4  # of the picture, what the car can touch
ANGLE_STEPS = 24  # in a radian of steering: a tip of a wheel is at most 1/50 pixel off
MAX_ANGLE = 12  # steps to either side; a wheel is steered by 0.4 radians and little more
PHASE_STEPS = 32  # in a turn of a wheel
STRIPE = 1.2  # radians of the tyre that are light
TYRE, STRIPE_LIGHT, HULL_RED = 0, 77, 204  # gym's (0, 0, 0), (77, 77, 77) and (204, 0, 0)

# The part of gym's picture in which the car is drawn: pixels, and its first column and row.
CANVAS_COLUMNS, CANVAS_ROWS = 84, 100
CANVAS_LEFT, CANVAS_TOP = 458, 150  # rows count upwards, as gym flips its picture
NOTHING, IS_TYRE, IS_STRIPE, IS_HULL = 0, 1, 2, 3

MAX_CORNERS = max(len(polygon) for polygon in HULL_POLYGONS)
HULL_CORNERS = np.array([len(polygon) for polygon in HULL_POLYGONS])
# Corners in the order that Box2D puts them: pygame's rounding depends on it.
_ORDERED = (
    ((60, 110), (60, 130), (-60, 130), (-60, 110)),
    ((20, 20), (15, 120), (-15, 120), (-20, 20)),
    ((50, -40), (50, -10), (25, 20), (-25, 20), (-50, -10), (-50, -40), (-20, -90), (20, -90)),
    ((50, -120), (50, -90), (-50, -90), (-50, -120)),
)
HULL = np.zeros((len(_ORDERED), MAX_CORNERS, 2))
for _index, _polygon in enumerate(_ORDERED):
    HULL[_index, : len(_polygon)] = _polygon
WHEEL = np.array([(14, -27), (14, 27), (-14, 27), (-14, -27)], np.float64)
WHEEL_AT = np.array(WHEELS_AT, np.float64)


@compiled
def put_car(car, race, table, place, planes):
    """Draw the car into a picture, (3, 84, 96) uint8 or more rows.

    Args:
        table: `quarters()`. place: where each column lies in a row; see `resize`.
    """
    quarter = np.empty((2, 3, QUARTER_ROWS, QUARTER_COLUMNS), F)
    steering = np.float64(car.angle[1] - car.angle[0])
    angle = min(max(int(np.rint(steering * ANGLE_STEPS)), -MAX_ANGLE), MAX_ANGLE)
    for corner in range(WHEELS):
        turned = angle if corner < 2 else 0
        phase = int(np.rint(car.phase[corner] * (PHASE_STEPS / (2 * math.pi)))) % PHASE_STEPS
        if race.seconds < 1.0:
            _draw_quarter(corner, zoom_at(race.seconds), turned, phase, quarter)
            _put(quarter, corner, place, planes)
        else:
            _put(table[corner, turned + MAX_ANGLE, phase], corner, place, planes)


@cache
def quarters():
    """Every quarter at full zoom, (4, angles, phases, 2, 3, 6, 4) float32: by what to multiply the
    picture, and what to add to it."""
    shape = (WHEELS, 2 * MAX_ANGLE + 1, PHASE_STEPS, 2, 3, QUARTER_ROWS, QUARTER_COLUMNS)
    table = np.empty(shape, F)
    _fill_table(table)
    return table


@compiled
def _fill_table(table):
    for corner in range(WHEELS):
        for angle in range(-MAX_ANGLE, MAX_ANGLE + 1):
            for phase in range(PHASE_STEPS):
                quarter = table[corner, angle + MAX_ANGLE, phase]
                _draw_quarter(corner, FULL_ZOOM, angle, phase, quarter)


@compiled
def _put(quarter, corner, place, planes):
    top = TOP + corner // 2 * QUARTER_ROWS
    left = LEFT + corner % 2 * QUARTER_COLUMNS
    for channel in range(3):
        for row in range(QUARTER_ROWS):
            for column in range(QUARTER_COLUMNS):
                at = place[left + column]
                below = F(planes[channel, top + row, at])
                mixed = below * quarter[0, channel, row, column] + quarter[1, channel, row, column]
                planes[channel, top + row, at] = np.uint8(np.int32(mixed))


@compiled
def _draw_quarter(corner, zoom, angle, phase, quarter):
    canvas = np.zeros((CANVAS_ROWS, CANVAS_COLUMNS), np.uint8)
    cosine, sine = math.cos(angle / ANGLE_STEPS), math.sin(angle / ANGLE_STEPS)
    corners = np.empty((4, 2))
    for index in range(4):
        _turn(WHEEL[index, 0], WHEEL[index, 1], corner, cosine, sine, corners[index])
    _fill(canvas, corners, 4, zoom, IS_TYRE)
    first = phase * 2 * math.pi / PHASE_STEPS
    sine1, sine2 = math.sin(first), math.sin(first + STRIPE)
    end1, end2 = math.cos(first), math.cos(first + STRIPE)
    if sine1 <= 0 or sine2 <= 0:  # else the stripe is below the wheel
        end1 = math.copysign(1.0, end1) if sine1 > 0 else end1
        end2 = math.copysign(1.0, end2) if sine2 > 0 else end2
        for index in range(4):
            x = -14.0 if index in (0, 3) else 14.0
            y = 27 * (end1 if index < 2 else end2)
            _turn(x, y, corner, cosine, sine, corners[index])
        _fill(canvas, corners, 4, zoom, IS_STRIPE)
    for part in range(len(HULL_CORNERS)):
        _fill(canvas, HULL[part], HULL_CORNERS[part], zoom, IS_HULL)
    _shrink(canvas, corner, quarter)


@compiled
def _turn(x, y, corner, cosine, sine, out):
    out[0] = x * cosine + y * -sine + WHEEL_AT[corner, 0]
    out[1] = x * sine + y * cosine + WHEEL_AT[corner, 1]


@compiled
def _fill(canvas, corners, count, zoom, kind):
    """pygame's draw_fillpoly: corners and crossings are cut to whole pixels, and lines filled from
    one crossing to the next, both ends included."""
    xs = np.empty(count, np.int64)
    ys = np.empty(count, np.int64)
    for index in range(count):
        xs[index] = int(corners[index, 0] * (UNIT * zoom) + (500 - CANVAS_LEFT))
        ys[index] = int(corners[index, 1] * (UNIT * zoom) + (200 - CANVAS_TOP))
    low, high = ys.min(), ys.max()
    if low == high:
        _fill_line(canvas, low, xs.min(), xs.max(), kind)
        return
    crossings = np.empty(count, np.int64)
    for y in range(low, high + 1):
        found = 0
        for index in range(count):
            before = index - 1 if index else count - 1
            x1, y1, x2, y2 = xs[before], ys[before], xs[index], ys[index]
            if y1 == y2:
                continue
            if y1 > y2:
                x1, y1, x2, y2 = x2, y2, x1, y1
            if (y1 <= y < y2) or (y == high and y2 == high):
                crossings[found] = int((y - y1) * (x2 - x1) / (y2 - y1) + x1)
                found += 1
        ordered = np.sort(crossings[:found])
        for pair in range(0, found - 1, 2):
            _fill_line(canvas, y, ordered[pair], ordered[pair + 1], kind)
    for index in range(count):
        before = index - 1 if index else count - 1
        if low < ys[index] < high and ys[before] == ys[index]:
            first, last = min(xs[index], xs[before]), max(xs[index], xs[before])
            _fill_line(canvas, ys[index], first, last, kind)


@compiled
def _fill_line(canvas, y, first, last, kind):
    if 0 <= y < CANVAS_ROWS:
        for x in range(max(first, 0), min(last, CANVAS_COLUMNS - 1) + 1):
            canvas[y, x] = kind


@compiled
def _shrink(canvas, corner, quarter):
    """To pixels of the state: what share of each is covered, and how bright that is."""
    across, down = 1000 / 96, 800 / 96
    for row in range(QUARTER_ROWS):
        top = (TOP + corner // 2 * QUARTER_ROWS + row) * down  # in gym's rows, from the top
        for column in range(QUARTER_COLUMNS):
            left = (LEFT + corner % 2 * QUARTER_COLUMNS + column) * across
            covered = grey = red = 0.0
            for y in range(int(top), math.ceil(top + down)):
                height = min(top + down, y + 1.0) - max(top, float(y))
                for x in range(int(left), math.ceil(left + across)):
                    at_x, at_y = x - CANVAS_LEFT, 799 - y - CANVAS_TOP
                    if not (0 <= at_x < CANVAS_COLUMNS and 0 <= at_y < CANVAS_ROWS):
                        continue
                    kind = canvas[at_y, at_x]
                    if kind == NOTHING:
                        continue
                    width = min(left + across, x + 1.0) - max(left, float(x))
                    share = height * width / (across * down)
                    covered += share
                    if kind == IS_STRIPE:
                        grey += share * STRIPE_LIGHT
                    elif kind == IS_HULL:
                        red += share * HULL_RED
            for channel in range(3):
                light = grey + (red if channel == 0 else 0.0)
                quarter[0, channel, row, column] = 1 - covered
                # Less 2 for smoothscale's truncation, and half more, as the sum will be truncated.
                quarter[1, channel, row, column] = max(light - 2 * covered, 0.0) + 0.5
