"""The picture of a race, above the indicators: what gym draws in 1000 x 800 pixels and shrinks to
96 x 84, drawn in these at once, each with the exact share of it that every polygon covers.

A polygon's edges are added one by one: in the column of pixels below a piece of an edge, all lies
inside. So an edge leaves its share in the pixels that it crosses and the rest in those below them,
and sums down the columns give what is covered. Read `draw`.
"""

import math

import numpy as np

from worldmodels.car_racing.car_state import F
from worldmodels.car_racing.compiled import compiled
from worldmodels.car_racing.race import PLAYFIELD

ROWS, COLUMNS = 84, 96
WIDTH, HEIGHT = F(COLUMNS), F(ROWS)
# Pixels of the state in one of gym's; gym's car stands in the middle, three quarters down.
ACROSS, DOWN = F(96 / 1000), F(96 / 800)
CAR_COLUMN, CAR_ROW = F(48), F(72)
FULL_ZOOM = 2.7 * 6.0  # gym's pixels in a world unit, from the second second on
FIRST_ZOOM = 0.1 * 6.0
SQUARE = F(PLAYFIELD / 20)  # side of a square of the lawn, light where both numbers are even
SQUARES = 20  # of them from the middle to the border
BORDER = F(PLAYFIELD)
ZERO, ONE, TWO, HALF = F(0), F(1), F(2), F(0.5)

# What is summed: shares of the field and of its light squares; of the road, and its colours.
FIELD, LIGHT, ROAD, LAYERS = 0, 1, 2, 6

COLOURS = np.dtype([("lawn", F, 3), ("light", F, 3), ("road", F, 3)])


@compiled
def shrunk(colour):
    """What pygame's smoothscale leaves of a colour: it truncates once along x, once along y."""
    return max(F(np.int64(colour)) - TWO, ZERO)


@compiled
def zoom_at(seconds):
    """gym's pixels in a world unit; it moves in during the first second."""
    return FIRST_ZOOM * max(1 - seconds, 0.0) + FULL_ZOOM * min(seconds, 1.0)


@compiled
def draw(car, track, race, colours, sums, place, planes):
    """Draw field and road as the camera above the car sees them.

    Args:
        colours: of `COLOURS`. sums: (85, 6, 96) float32 of zeros, and again zeros afterwards.
        place: (96,) uint64, where each column lies in a row; see `resize`.
        planes: (3, 84, 96) uint8 or more rows: red, green and blue, to draw into.
    """
    view = _view(car, zoom_at(race.seconds))
    inside = _draw_field(view, sums, place)
    _draw_road(view, track, race, colours, sums, place)
    _paint(colours, sums, inside, planes)


@compiled
def _view(car, zoom):
    """Where the hull is, and what a step along x and along y in the world is in pixels."""
    across, down = F(zoom) * ACROSS, F(zoom) * DOWN
    sine, cosine = car.sine[0], car.cosine[0]
    return (
        car.position[0, 0],
        car.position[0, 1],
        across * cosine,
        down * sine,
        across * sine,
        -down * cosine,
    )


@compiled
def _pixel(view, x, y):
    """Column and row of a place in the world."""
    hull_x, hull_y, right_x, down_x, right_y, down_y = view
    x, y = x - hull_x, y - hull_y
    return CAR_COLUMN + right_x * x + right_y * y, CAR_ROW + down_x * x + down_y * y


@compiled
def _draw_field(view, sums, place):
    """Add the light squares in view, and the field's border if it is; whether all is inside."""
    hull_x, hull_y, right_x, down_x, right_y, down_y = view
    # Corners of the picture, in the world: by the inverse of the view.
    over = ONE / (right_x * down_y - right_y * down_x)
    low_x = low_y = F(np.inf)
    high_x = high_y = -F(np.inf)
    for corner in range(4):
        column = (ZERO if corner & 1 else WIDTH) - CAR_COLUMN
        row = (ZERO if corner & 2 else HEIGHT) - CAR_ROW
        x = hull_x + (column * down_y - row * right_y) * over
        y = hull_y + (row * right_x - column * down_x) * over
        low_x, high_x = min(low_x, x), max(high_x, x)
        low_y, high_y = min(low_y, y), max(high_y, y)
    pair = TWO * SQUARE
    half = SQUARES // 2
    first_x, last_x = max(-half, math.floor(low_x / pair)), min(half - 1, math.floor(high_x / pair))
    first_y, last_y = max(-half, math.floor(low_y / pair)), min(half - 1, math.floor(high_y / pair))
    for square_x in range(first_x, last_x + 1):
        for square_y in range(first_y, last_y + 1):
            x, y = F(square_x) * pair, F(square_y) * pair
            _square(view, x, y, x + SQUARE, y + SQUARE, sums, place, LIGHT)
    inside = max(abs(low_x), abs(high_x), abs(low_y), abs(high_y)) < BORDER
    if not inside:
        _square(view, -BORDER, -BORDER, BORDER, BORDER, sums, place, FIELD)
    return inside


@compiled
def _square(view, low_x, low_y, high_x, high_y, sums, place, layer):
    x0, y0 = _pixel(view, low_x, low_y)
    x1, y1 = _pixel(view, high_x, low_y)
    x2, y2 = _pixel(view, high_x, high_y)
    x3, y3 = _pixel(view, low_x, high_y)
    if max(x0, x1, x2, x3) <= ZERO or min(x0, x1, x2, x3) >= WIDTH:
        return
    if max(y0, y1, y2, y3) <= ZERO or min(y0, y1, y2, y3) >= HEIGHT:
        return
    weights = np.ones(1, F)
    _edge(
        x1, y1, x0, y0, sums, place, layer, weights
    )  # against the clock in the world, so with it here
    _edge(x2, y2, x1, y1, sums, place, layer, weights)
    _edge(x3, y3, x2, y2, sums, place, layer, weights)
    _edge(x0, y0, x3, y3, sums, place, layer, weights)


@compiled
def _draw_road(view, track, race, colours, sums, place):
    """Add the tiles in view, and their kerbs. A tile begins where the one before ends: that edge is
    added once, for both, by the difference of their colours."""
    margin = max(abs(view[2]), abs(view[4]), abs(view[3]), abs(view[5])) * F(18)
    weights = np.empty(4, F)
    before = np.zeros(4, F)  # the tile before; zeros where there is none in view
    for tile in range(track.tiles):
        left, right = track.corners[tile, 0], track.corners[tile, 1]
        x0, y0 = _pixel(view, left[0], left[1])
        if x0 < -margin or x0 > WIDTH + margin or y0 < -margin or y0 > HEIGHT + margin:
            if before[0] != ZERO:
                _end_road(view, track, tile - 1, sums, place, before)
            continue
        x1, y1 = _pixel(view, right[0], right[1])
        _weigh_tile(race, colours, tile, weights)
        for layer in range(4):
            before[layer] = weights[layer] - before[layer]
        back_left, back_right = track.corners[tile, 3], track.corners[tile, 2]
        x3, y3 = _pixel(view, back_left[0], back_left[1])
        x2, y2 = _pixel(view, back_right[0], back_right[1])
        _edge(x2, y2, x3, y3, sums, place, ROAD, before)
        _edge(x3, y3, x0, y0, sums, place, ROAD, weights)
        _edge(x1, y1, x2, y2, sums, place, ROAD, weights)
        before[:] = weights
        if track.kerb[tile]:
            _draw_kerb(view, track, tile, sums, place)
    if before[0] != ZERO:
        _end_road(view, track, track.tiles - 1, sums, place, before)


@compiled
def _weigh_tile(race, colours, tile, weights):
    """A tile's share of the road, 1, and its colour: three shades in turn, until it is touched."""
    weights[0] = ONE
    shade = F(0) if race.touched[tile] else F(0.01 * (tile % 3) * 255)
    for channel in range(3):
        weights[channel + 1] = shrunk(colours.road[channel] + shade)


@compiled
def _end_road(view, track, tile, sums, place, weights):
    """Close the last tile of a piece of road that is in view."""
    left, right = track.corners[tile, 0], track.corners[tile, 1]
    x0, y0 = _pixel(view, left[0], left[1])
    x1, y1 = _pixel(view, right[0], right[1])
    _edge(x0, y0, x1, y1, sums, place, ROAD, weights)
    weights[:] = ZERO


@compiled
def _draw_kerb(view, track, tile, sums, place):
    corners = track.kerb_corners[tile]
    weights = np.empty(4, F)
    weights[0] = ONE
    weights[1] = shrunk(F(255))
    weights[2] = weights[3] = weights[1] if tile % 2 == 0 else ZERO  # white and red in turn
    x = np.empty(4, F)
    y = np.empty(4, F)
    for corner in range(4):
        x[corner], y[corner] = _pixel(view, corners[corner, 0], corners[corner, 1])
    area = (x[2] - x[0]) * (y[3] - y[1]) - (x[3] - x[1]) * (y[2] - y[0])
    for corner in range(4):
        following = (corner + 1) % 4
        if area > ZERO:
            _edge(x[corner], y[corner], x[following], y[following], sums, place, ROAD, weights)
        else:
            _edge(x[following], y[following], x[corner], y[corner], sums, place, ROAD, weights)


@compiled
def _edge(x0, y0, x1, y1, sums, place, layer, weights):
    """Add what lies below an edge that goes to the right, and take away what lies below one that
    goes to the left.

    Args:
        x0, y0, x1, y1: its ends, in pixels, y downwards.
        sums: (rows + 1, layers, columns). layer, weights: the first layer, and what each gets.
    """
    if x0 == x1:
        return
    sign = ONE
    if x0 > x1:
        x0, y0, x1, y1 = x1, y1, x0, y0
        sign = -ONE
    if x1 <= ZERO or x0 >= WIDTH or (y0 >= HEIGHT and y1 >= HEIGHT):
        return
    slope = (y1 - y0) / (x1 - x0)
    if x0 < ZERO:
        y0 -= x0 * slope
        x0 = ZERO
    x1 = min(x1, WIDTH)
    first, after = int(x0), math.ceil(x1)
    y = y0
    for column in range(first, after):
        left = x0 if column == first else F(column)
        right = x1 if column == after - 1 else F(column + 1)
        following = y + slope * (right - left)
        low, high = min(y, following), max(y, following)
        y = following
        low, high = max(low, ZERO), min(max(high, ZERO), HEIGHT)
        if low < HEIGHT:
            _column(place[column], low, high, sign * (right - left), sums, layer, weights)


@compiled
def _column(column, low, high, share, sums, layer, weights):
    """Add the share of a column below a piece of an edge, which goes from row `low` to row `high`:
    to each row what it has more than the row above it."""
    row = int(low)
    if high <= F(row + 1):
        below = share * (HALF * (low + high) - F(row))
        for index in range(len(weights)):
            sums[row, layer + index, column] += (share - below) * weights[index]
            sums[row + 1, layer + index, column] += below * weights[index]
        return
    steepness = share / (high - low)
    above = ZERO
    top = low
    while True:
        bottom = F(row + 1)
        end = min(high, bottom)
        covered = steepness * ((end - top) * (bottom - HALF * (top + end)) + (top - low))
        for index in range(len(weights)):
            sums[row, layer + index, column] += (covered - above) * weights[index]
        if high <= bottom:
            for index in range(len(weights)):
                sums[row + 1, layer + index, column] += (share - covered) * weights[index]
            return
        above = covered
        top = bottom
        row += 1


@compiled
def _paint(colours, sums, inside, planes):
    """Sum down the columns, and turn shares into colours. Where tiles overlap they share."""
    total = np.zeros((LAYERS, COLUMNS), F)
    if inside:
        total[FIELD, :] = ONE
    for row in range(ROWS):
        for layer in range(LAYERS):
            for column in range(COLUMNS):
                total[layer, column] += sums[row, layer, column]
                sums[row, layer, column] = ZERO
        for channel in range(3):
            lawn = shrunk(colours.lawn[channel])
            lighter = shrunk(colours.light[channel]) - lawn
            for column in range(COLUMNS):
                road = total[ROAD, column]
                ground = lawn * total[FIELD, column] + lighter * total[LIGHT, column]
                light = total[ROAD + 1 + channel, column] / max(road, ONE)
                mixed = ground * max(ONE - road, ZERO) + light
                planes[channel, row, column] = np.uint8(np.int32(mixed + HALF))
    sums[ROWS] = ZERO
