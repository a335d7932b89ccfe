"""What the page's JavaScript must compute: tracks, drives, pictures and sines of the simulator in
Python, as JSON that a test writes. Numbers survive JSON to the bit, float32 and doubles alike.

Read `make_vectors`.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from gym.utils import seeding
from test_race import DRIVERS, ONE, Driver

from worldmodels.car_racing.car_shape import HULL, WHEEL
from worldmodels.car_racing.overlap import overlaps
from worldmodels.car_racing.race import LAP, OFF_FIELD
from worldmodels.car_racing.race_view import RaceView
from worldmodels.car_racing.trigonometry import sincos
from worldmodels.car_racing.world import Races

F = np.float32
FLOAT32 = ("position", "centre", "angle", "sine", "cosine", "velocity", "force")
FLOAT32_OF_JOINTS = ("impulse", "motor_impulse", "limit_impulse", "motor_speed")
DOUBLES = ("gas", "phase", "omega")
STATE = (*FLOAT32, *FLOAT32_OF_JOINTS, *DOUBLES, "limit", "on_road")
TRACK = ("line", "corners", "kerb", "kerb_corners", "hull", "hull_corners", "sides", "bounds")
FRAME_SHAPES = ((60, 80), (84, 96), (64, 64))


def smoothed_noise(env: Any, step: int, rng: np.random.Generator) -> np.ndarray:
    """Random sums of slow waves: long bends, gas and brake that come and go."""
    place = np.array([0.031, 0.017, 0.023]) * step + np.random.default_rng(8).uniform(0, 6, 3)
    steering, gas, brake = np.sin(place) + 0.5 * np.sin(2.7 * place)
    return np.array([np.clip(steering, -1, 1), np.clip(gas, 0, 1), np.clip(brake - 1, 0, 1)])


def bang_bang(env: Any, step: int, rng: np.random.Generator) -> np.ndarray:
    """All or nothing, for a while each."""
    return np.random.default_rng(step // 11).integers([-1, 0, 0], [2, 2, 2]).astype(float)


def full_gas(env: Any, step: int, rng: np.random.Generator) -> np.ndarray:
    return np.array([0.05 * np.sin(step / 9), 1.0, 0.0])


def spin(env: Any, step: int, rng: np.random.Generator) -> np.ndarray:
    """Round and round, for angles of many turns."""
    return np.array([1.0, 1.0, 0.0])


# Each with the seed of its track, and for how many steps it goes on at most.
DRIVES: dict[str, tuple[Driver, int, int]] = {
    "smoothed noise": (smoothed_noise, 11, 500),
    "bang-bang": (bang_bang, 12, 500),
    "full gas": (full_gas, 13, 500),
    "spin": (spin, 14, 500),
    **{
        name: (DRIVERS[name], seed, steps)
        for name, seed, steps in (
            *(("white_noise", 15, 500), ("locked_wheels", 16, 500), ("stop_and_go", 17, 500)),
            *(("nothing", 18, 100), ("out_of_range", 19, 500), ("on_the_grass", 20, 500)),
            *(("at 70", 21, 1000), ("a lap at 35", 3, 2000), ("off_the_field", 6, 600)),
        )
    },
}


def make_vectors(*, tracks: int, frame_every: int) -> dict[str, Any]:
    """All of them.

    Args:
        tracks: of how many seeds.
        frame_every: so many steps of a drive, a frame of it.
    """
    return {
        "sines": _sines(20000),
        "overlaps": _overlaps(1000),
        "tracks": [_track(seed, _races(seed)) for seed in _seeds(tracks)],
        "drives": [_drive(name, frame_every=frame_every) for name in DRIVES],
    }


def _seeds(count: int) -> list[int]:
    """Small ones and large ones, of up to 53 bits, which both languages know as numbers."""
    rng = np.random.default_rng(0)
    return [int(rng.integers(2 ** (1 + index * 52 // count))) for index in range(count)]


def _races(seed: int) -> Races:
    races = Races(1)
    rng, _ = seeding.np_random(seed)
    races.make_track(0, rng)
    races.start(0)
    return races


def _track(seed: int, races: Races) -> dict[str, Any]:
    record = races.tracks[0]
    tiles = int(record["tiles"])
    numbers = {name: record[name][:tiles].ravel().tolist() for name in TRACK}
    return {"seed": seed, "tiles": tiles, **numbers}


def _drive(name: str, *, frame_every: int) -> dict[str, Any]:
    driver, seed, steps = DRIVES[name]
    races, noise = _races(seed), np.random.default_rng(seed)
    view = RaceView(races, 0)
    frames: list[dict[str, Any]] = []
    states, actions, rewards, ends = [_state(races)], [], [], []
    for step in range(steps):
        if step % frame_every == 0 or step in (5, 20, 45):  # the camera moves until step 49
            frames.append(_frame(races, step, FRAME_SHAPES[len(frames) % len(FRAME_SHAPES)]))
        action = driver(view, step, noise)
        reward, end = races.step(ONE, action[None])
        actions.append(action.tolist())
        rewards.append(float(reward[0]))
        ends.append([bool(end[0] & OFF_FIELD), bool(end[0] & LAP)])
        states.append(_state(races))
        if end[0]:
            break
    return {
        "name": name,
        "track": _track(seed, races),
        "actions": actions,
        "rewards": rewards,
        "ends": ends,
        "states": states,
        "frames": frames,
    }


def _state(races: Races) -> list[float]:
    """The car's numbers in the order of `STATE`, then the race's."""
    car, race = races.cars[0], races.races[0]
    values = [value for name in STATE for value in np.ravel(car[name]).tolist()]
    tiles = int(races.tracks[0]["tiles"])
    touched = int(race["touched"][:tiles].sum())
    return [*values, race["reward"].item(), race["visited_count"].item(), touched]


def _frame(races: Races, step: int, shape: tuple[int, int]) -> dict[str, Any]:
    pixels = races.resized(ONE, shape)[0]
    return {"step": step, "shape": shape, "pixels": base64.b64encode(pixels.tobytes()).decode()}


def _overlaps(count: int) -> list[dict[str, Any]]:
    """Tiles, polygons of the car as near as float32 knows to where they begin to touch, and whether
    they do."""
    rng, track = np.random.default_rng(0), _races(0).tracks[0]
    polygons = [*HULL.polygons, *WHEEL.polygons]
    cases = []
    for index in range(count):
        tile = track["hull"][rng.integers(track["tiles"])].copy()
        corners = 4 - index % 2
        if corners == 3:  # where a bend is tight, tiles are triangles
            tile[3] = tile[0]
        polygon = polygons[rng.integers(len(polygons))]
        pose, touches = _at_the_border(tile, corners, polygon, rng)
        case = {"tile": tile.ravel().tolist(), "corners": corners, "touches": touches}
        cases.append({**case, "polygon": polygon.ravel().tolist(), "pose": pose})
    return cases


def _at_the_border(
    tile: np.ndarray, corners: int, polygon: np.ndarray, rng: np.random.Generator
) -> tuple[dict[str, float], bool]:
    """A place for a polygon, found by halving the way from the tile's middle to far outside."""
    sine, cosine = map(F, sincos(F(rng.uniform(-4, 4))))
    way = rng.uniform(0, 2 * np.pi)
    middle = tile[:corners].mean(axis=0) - polygon.mean(axis=0)
    near, far = 0.0, 30.0
    while True:
        half = (near + far) / 2
        x, y = F(middle[0] + half * np.cos(way)), F(middle[1] + half * np.sin(way))
        touches = bool(overlaps(tile, corners, polygon, len(polygon), x, y, sine, cosine))
        if far - near < 1e-5:
            pose = {"x": float(x), "y": float(y), "sine": float(sine), "cosine": float(cosine)}
            return pose, touches
        near, far = (half, far) if touches else (near, half)


def _sines(count: int) -> list[list[float]]:
    """Angles of all sizes, of both signs, with sine and cosine."""
    rng = np.random.default_rng(0)
    angles = rng.choice([-1, 1], count) * 2 ** rng.uniform(-14, 11, count)
    return [[float(one), *map(float, sincos(one))] for one in angles.astype(np.float32)]
