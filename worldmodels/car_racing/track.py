"""gym's random track, from the same random numbers to the same bits: `CarRacing._create_track`.

Read `TRACK`, what is known of a track, then `make_track`.
"""

import math

import numpy as np

from worldmodels.car_racing.car_state import F
from worldmodels.car_racing.compiled import compiled

SCALE = 6.0
RADIUS = 900 / SCALE
DETAIL_STEP = 21 / SCALE
TURN_RATE = 0.31
WIDTH = 40 / SCALE
BORDER = 8 / SCALE
BORDER_MIN_COUNT = 4
CHECKPOINTS = 12
MAX_POINTS = 2500  # of the line that gym follows for five laps
MAX_TILES = 1024
RANDOM_NUMBERS = 2 * CHECKPOINTS

TRACK = np.dtype(
    [
        ("tiles", np.int64),  # how many there are
        ("line", np.float64, (MAX_TILES, 4)),  # alpha, heading, x, y: gym's `track`
        ("corners", F, (MAX_TILES, 4, 2)),  # as gym draws them
        ("kerb", np.uint8, MAX_TILES),
        ("kerb_corners", F, (MAX_TILES, 4, 2)),
        ("hull", F, (MAX_TILES, 4, 2)),  # as Box2D has them
        ("hull_corners", np.int8, MAX_TILES),
        ("sides", F, (MAX_TILES, 4, 3)),  # of the hull: normal outwards, offset
        ("bounds", F, (MAX_TILES, 4)),  # lowest x and y, highest x and y
    ],
    align=True,
)


@compiled
def make_track(track, draws):
    """Make a track of 24 numbers from 0 to 1; False where gym would draw anew."""
    checkpoints = np.empty((CHECKPOINTS, 3))
    points = np.empty((MAX_POINTS, 4))
    _place_checkpoints(checkpoints, draws)
    count = _follow(points, checkpoints)
    first, after = _second_lap(points, count)
    if first < 0:
        return False
    tiles = after - first
    for tile in range(tiles):
        for column in range(4):
            track.line[tile, column] = points[first + tile, column]
    heading = track.line[0, 1]
    gap_x = math.cos(heading) * (track.line[0, 2] - track.line[tiles - 1, 2])
    gap_y = math.sin(heading) * (track.line[0, 3] - track.line[tiles - 1, 3])
    if math.sqrt(gap_x * gap_x + gap_y * gap_y) > DETAIL_STEP:
        return False  # head and tail do not meet
    track.tiles = tiles
    _mark_kerbs(track)
    for tile in range(tiles):
        _lay_tile(track, tile)
    return True


@compiled
def _place_checkpoints(checkpoints, draws):
    """Angle, x and y of twelve points around the field."""
    for index in range(CHECKPOINTS):
        noise = 0.0 + (2 * math.pi * 1 / CHECKPOINTS - 0.0) * draws[2 * index]
        alpha = 2 * math.pi * index / CHECKPOINTS + noise
        radius = RADIUS / 3 + (RADIUS - RADIUS / 3) * draws[2 * index + 1]
        if index == 0:
            alpha, radius = 0.0, 1.5 * RADIUS
        if index == CHECKPOINTS - 1:
            alpha, radius = 2 * math.pi * index / CHECKPOINTS, 1.5 * RADIUS
        checkpoints[index, 0] = alpha
        checkpoints[index, 1] = radius * math.cos(alpha)
        checkpoints[index, 2] = radius * math.sin(alpha)


@compiled
def _follow(points, checkpoints):
    """Drive from one checkpoint to the next for five laps; how many points that takes."""
    x, y, beta = 1.5 * RADIUS, 0.0, 0.0
    target = laps = count = 0
    other_side = False
    while laps <= 4 and count < MAX_POINTS:
        alpha = math.atan2(y, x)
        if other_side and alpha > 0:
            laps += 1
            other_side = False
        if alpha < 0:
            other_side = True
            alpha += 2 * math.pi
        while alpha > checkpoints[target % CHECKPOINTS, 0]:
            target += 1
            if target % CHECKPOINTS == 0:
                alpha -= 2 * math.pi
        along_x, along_y = math.cos(beta), math.sin(beta)
        off_x = checkpoints[target % CHECKPOINTS, 1] - x
        off_y = checkpoints[target % CHECKPOINTS, 2] - y
        projection = along_x * off_x + along_y * off_y
        while beta - alpha > 1.5 * math.pi:
            beta -= 2 * math.pi
        while beta - alpha < -1.5 * math.pi:
            beta += 2 * math.pi
        before = beta
        projection *= SCALE
        if projection > 0.3:
            beta -= min(TURN_RATE, abs(0.001 * projection))
        if projection < -0.3:
            beta += min(TURN_RATE, abs(0.001 * projection))
        x += -along_y * DETAIL_STEP
        y += along_x * DETAIL_STEP
        points[count, 0], points[count, 1] = alpha, before * 0.5 + beta * 0.5
        points[count, 2], points[count, 3] = x, y
        count += 1
    return count


@compiled
def _second_lap(points, count):
    """The first point of the last whole lap, and the one after its last; -1 if there is none."""
    start = 2 * math.pi * (-0.5) / CHECKPOINTS
    end = -1
    for index in range(count - 1, 0, -1):
        if points[index, 0] > start and points[index - 1, 0] <= start:
            if end >= 0:
                return index, end - 1
            end = index
    return -1, -1


@compiled
def _mark_kerbs(track):
    """Kerbs lie beside tiles of which four in a row turn hard to one side."""
    for tile in range(track.tiles):
        hard = True
        to_one_side = 0
        for back in range(BORDER_MIN_COUNT):
            turn = track.line[_wrapped(track, tile - back), 1]
            turn -= track.line[_wrapped(track, tile - back - 1), 1]
            hard &= abs(turn) > TURN_RATE * 0.2
            to_one_side += 1 if turn > 0 else (-1 if turn < 0 else 0)
        track.kerb[tile] = hard and abs(to_one_side) == BORDER_MIN_COUNT
    for tile in range(track.tiles):
        for back in range(BORDER_MIN_COUNT):
            track.kerb[_wrapped(track, tile - back)] |= track.kerb[tile]


@compiled
def _wrapped(track, tile):
    return tile if tile >= 0 else tile + track.tiles


@compiled
def _lay_tile(track, tile):
    """Corners of a tile and of its kerb, and the tile's convex hull as Box2D makes it."""
    _, beta1, x1, y1 = track.line[tile]
    _, beta2, x2, y2 = track.line[_wrapped(track, tile - 1)]
    cos1, sin1, cos2, sin2 = math.cos(beta1), math.sin(beta1), math.cos(beta2), math.sin(beta2)
    corners = track.corners[tile]
    corners[0, 0], corners[0, 1] = F(x1 - WIDTH * cos1), F(y1 - WIDTH * sin1)
    corners[1, 0], corners[1, 1] = F(x1 + WIDTH * cos1), F(y1 + WIDTH * sin1)
    corners[2, 0], corners[2, 1] = F(x2 + WIDTH * cos2), F(y2 + WIDTH * sin2)
    corners[3, 0], corners[3, 1] = F(x2 - WIDTH * cos2), F(y2 - WIDTH * sin2)
    if track.kerb[tile]:
        side = 1.0 if beta2 > beta1 else (-1.0 if beta2 < beta1 else 0.0)
        inner, outer = side * WIDTH, side * (WIDTH + BORDER)
        kerb = track.kerb_corners[tile]
        kerb[0, 0], kerb[0, 1] = F(x1 + inner * cos1), F(y1 + inner * sin1)
        kerb[1, 0], kerb[1, 1] = F(x1 + outer * cos1), F(y1 + outer * sin1)
        kerb[2, 0], kerb[2, 1] = F(x2 + outer * cos2), F(y2 + outer * sin2)
        kerb[3, 0], kerb[3, 1] = F(x2 + inner * cos2), F(y2 + inner * sin2)
    _wrap(track, tile)
    for axis in range(2):
        track.bounds[tile, axis] = track.bounds[tile, axis + 2] = corners[0, axis]
        for corner in range(1, 4):
            at = corners[corner, axis]
            track.bounds[tile, axis] = min(track.bounds[tile, axis], at)
            track.bounds[tile, axis + 2] = max(track.bounds[tile, axis + 2], at)


@compiled
def _wrap(track, tile):
    """b2PolygonShape::Set: gift wrapping from the rightmost corner, the lowest of equals."""
    corners, hull = track.corners[tile], track.hull[tile]
    first = 0
    for index in range(1, 4):
        if corners[index, 0] > corners[first, 0] or (
            corners[index, 0] == corners[first, 0] and corners[index, 1] < corners[first, 1]
        ):
            first = index
    count = 0
    at = first
    while True:
        hull[count, 0], hull[count, 1] = corners[at, 0], corners[at, 1]
        count += 1
        following = 0
        for index in range(1, 4):
            if following == at:
                following = index
                continue
            rx, ry = corners[following, 0] - corners[at, 0], corners[following, 1] - corners[at, 1]
            vx, vy = corners[index, 0] - corners[at, 0], corners[index, 1] - corners[at, 1]
            cross = rx * vy - ry * vx
            if cross < F(0) or (cross == F(0) and vx * vx + vy * vy > rx * rx + ry * ry):
                following = index
        at = following
        if at == first or count == 4:
            break
    track.hull_corners[tile] = count
    for index in range(count, 4):
        hull[index, 0], hull[index, 1] = hull[0, 0], hull[0, 1]
    for index in range(4):
        following = (index + 1) % 4
        x, y = hull[following, 0] - hull[index, 0], hull[following, 1] - hull[index, 1]
        length = np.sqrt(x * x + y * y)
        side = track.sides[tile, index]
        side[0] = side[1] = side[2] = F(0)
        if length > F(0):  # of a triangle, one side has none: every point is inside of it
            side[0], side[1] = y / length, -x / length
            side[2] = side[0] * hull[index, 0] + side[1] * hull[index, 1]
