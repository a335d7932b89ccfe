"""A race: one car on one track, step by step, as gym's `CarRacing.step` goes, but for the picture.

Read `step`, then `touch_tiles`.
"""

import numpy as np

from worldmodels.car_racing.car_shape import HULL, WHEEL
from worldmodels.car_racing.car_state import TIME_STEP, WHEELS, F, control, drive, place
from worldmodels.car_racing.compiled import compiled
from worldmodels.car_racing.island import solve
from worldmodels.car_racing.overlap import overlaps, surely
from worldmodels.car_racing.track import MAX_TILES

PLAYFIELD = 2000 / 6  # half a side of the field, in world units

RACE = np.dtype(
    [
        ("visited", np.uint8, MAX_TILES),  # by a wheel: they pay
        ("touched", np.uint8, MAX_TILES),  # by the hull or a wheel: they have lost their shade
        ("visited_count", np.int64),
        ("lap_complete_share", np.float64),
        ("new_lap", np.uint8),
        ("reward", np.float64),  # in all, that of tiles under the car at the start included
        ("paid", np.float64),  # of it
        ("score", np.float64),  # as the picture shows it: gym draws before it takes 0.1 for a frame
        ("seconds", np.float64),
        # Tiles around the place where they were last looked for.
        ("near", np.int16, MAX_TILES),
        ("near_count", np.int64),
        ("near_x", F),
        ("near_y", F),
    ],
    align=True,
)

# How an episode ends.
RUNNING, LAP, OFF_FIELD = 0, 1, 2

NEAR = F(8.0)  # world units that a car can go before near tiles are looked for again
REACH = F(2.9)  # of a car's polygons from its hull's origin
WHEEL_HALF_WIDTH, WHEEL_HALF_LENGTH = F(14 * 0.02), F(27 * 0.02)
HULL_HALF_WIDTH, HULL_HALF_LENGTH, HULL_MIDDLE = F(1.2), F(2.5), F(0.1)  # a box around it
WHEEL_POLYGON = WHEEL.polygons[0]
HULL_CORNERS = np.array([len(polygon) for polygon in HULL.polygons])
HULL_POLYGONS = np.zeros((len(HULL.polygons), HULL_CORNERS.max(), 2), F)
for _index, _polygon in enumerate(HULL.polygons):
    HULL_POLYGONS[_index, : len(_polygon)] = _polygon


@compiled
def start(car, track, race, start_tile, lap_complete_share):
    """Put a new car on a tile and let it settle for a step, as gym's `reset` does."""
    for tile in range(track.tiles):
        race.visited[tile] = race.touched[tile] = False
    race.visited_count = 0
    race.lap_complete_share = lap_complete_share
    race.new_lap = False
    race.reward = race.paid = race.seconds = 0.0
    race.near_x = race.near_y = F(np.inf)
    place(car, track.line[start_tile, 1], track.line[start_tile, 2], track.line[start_tile, 3])
    _advance(car, track, race)


@compiled
def step(car, track, race, steering, gas, brake):
    """Take an action for a fiftieth of a second; the reward, and how the episode ended if so."""
    control(car, steering, gas, brake)
    _advance(car, track, race)
    race.reward -= 0.1
    reward = race.reward - race.paid
    race.paid = race.reward
    end = RUNNING
    if race.visited_count == track.tiles or race.new_lap:
        end |= LAP
    x, y = np.float64(car.position[0, 0]), np.float64(car.position[0, 1])
    if abs(x) > PLAYFIELD or abs(y) > PLAYFIELD:
        end |= OFF_FIELD
        reward = -100.0
    return reward, end


@compiled
def _advance(car, track, race):
    drive(car)
    touch_tiles(car, track, race)
    solve(car)
    race.seconds += TIME_STEP
    race.score = race.reward


@compiled
def touch_tiles(car, track, race):
    """b2ContactManager::Collide with gym's FrictionDetector: which wheels are on the road, and what
    tiles they visit for the first time. Tiles are looked at where the bodies stand now."""
    _find_near_tiles(car, track, race)
    for wheel in range(WHEELS):
        car.on_road[wheel] = False
    x, y = car.position[0, 0], car.position[0, 1]
    for index in range(race.near_count):
        tile = race.near[index]
        low_x, low_y, high_x, high_y = track.bounds[tile]
        if low_x > x + REACH or high_x < x - REACH or low_y > y + REACH or high_y < y - REACH:
            continue
        for wheel in range(WHEELS):
            if car.on_road[wheel] and race.visited[tile]:
                continue  # nothing new to learn
            if _wheel_touches(car, track, wheel, tile):
                car.on_road[wheel] = True
                race.touched[tile] = True
                if not race.visited[tile]:
                    _visit(track, race, tile)
        if not race.touched[tile]:
            race.touched[tile] = _hull_touches(car, track, tile)


@compiled
def _find_near_tiles(car, track, race):
    x, y = car.position[0, 0], car.position[0, 1]
    if abs(x - race.near_x) <= NEAR and abs(y - race.near_y) <= NEAR:
        return
    race.near_x, race.near_y = x, y
    reach = NEAR + REACH
    count = 0
    for tile in range(track.tiles):
        low_x, low_y, high_x, high_y = track.bounds[tile]
        if (
            low_x <= x + reach
            and high_x >= x - reach
            and low_y <= y + reach
            and high_y >= y - reach
        ):
            race.near[count] = tile
            count += 1
    race.near_count = count


@compiled
def _visit(track, race, tile):
    race.visited[tile] = True
    race.reward += 1000.0 / track.tiles
    race.visited_count += 1
    if tile == 0 and race.visited_count / track.tiles > race.lap_complete_share:
        race.new_lap = True


@compiled
def _wheel_touches(car, track, wheel, tile):
    body = wheel + 1
    x, y = car.position[body, 0], car.position[body, 1]
    sine, cosine = car.sine[body], car.cosine[body]
    sure = surely(track.sides[tile], WHEEL_HALF_WIDTH, WHEEL_HALF_LENGTH, x, y, sine, cosine)
    if sure >= 0:
        return sure == 1
    hull, corners = track.hull[tile], track.hull_corners[tile]
    return overlaps(hull, corners, WHEEL_POLYGON, 4, x, y, sine, cosine)


@compiled
def _hull_touches(car, track, tile):
    x, y = car.position[0, 0], car.position[0, 1]
    sine, cosine = car.sine[0], car.cosine[0]
    middle_x, middle_y = x - sine * HULL_MIDDLE, y + cosine * HULL_MIDDLE
    sides = track.sides[tile]
    if surely(sides, HULL_HALF_WIDTH, HULL_HALF_LENGTH, middle_x, middle_y, sine, cosine) == 0:
        return False
    hull, corners = track.hull[tile], track.hull_corners[tile]
    for part in range(len(HULL_CORNERS)):
        polygon = HULL_POLYGONS[part]
        if overlaps(hull, corners, polygon, HULL_CORNERS[part], x, y, sine, cosine):
            return True
    return False
