"""The compiled picture against gym's, region by region, and its resize against OpenCV's."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from gym.envs.box2d.car_dynamics import Car
from gym.envs.box2d.car_racing import CarRacing
from gym.utils import seeding
from test_race import DRIVERS, ONE

from worldmodels.car_racing.frames import preprocess
from worldmodels.car_racing.resize import columns, resize, rows
from worldmodels.car_racing.world import Races

REGIONS = {
    "road and grass": (slice(0, 66), slice(0, 96)),
    "car": (slice(66, 78), slice(44, 52)),
    "score": (slice(84, 96), slice(0, 12)),
    "speed and wheels": (slice(84, 96), slice(12, 36)),
    "steering and gyro": (slice(84, 96), slice(36, 96)),
}
# Mean absolute differences of a drive, of 255; what was measured, and a half more.
BOUNDS = {
    "road and grass": 0.3,
    "car": 1.0,
    "score": 0.05,
    "speed and wheels": 0.05,
    "steering and gyro": 0.05,
}


@pytest.mark.parametrize(
    "name", ["at 50", "white_noise", "locked_wheels", "on_the_grass", "off_the_field"]
)
def test_frames_are_gym_s_within_half_of_255_everywhere(name: str) -> None:
    env, races = CarRacing(), Races(1)
    expected, _ = env.reset(seed=3)
    rng, _ = seeding.np_random(3)
    races.make_track(0, rng)
    races.start(0)
    noise = np.random.default_rng(0)
    differences = []
    for step in range(120):
        got = races.frames(ONE)[0]
        differences.append(np.abs(got.astype(int) - expected))
        action = DRIVERS[name](env, step, noise)
        expected = env.step(action)[0]
        races.step(ONE, action[None])
    means = np.mean(differences, axis=(0, 3))
    measured = {region: means[at].mean() for region, at in REGIONS.items()}
    assert all(measured[region] <= BOUNDS[region] for region in REGIONS), measured
    assert means[:84].mean() < 0.2
    by_frame = np.array(differences)
    # Every frame, the first second's too, while the camera is far away.
    assert by_frame[:, :84].mean(axis=(1, 2, 3)).max() <= 0.6
    assert by_frame[:, 84:].max() <= 25  # every pixel of the indicators


@pytest.mark.filterwarnings("error")
def test_a_kerb_without_width_is_drawn_as_gym_draws_it() -> None:
    """Where a bend turns neither way for a moment, gym lays one."""
    env, races = CarRacing(), Races(1)
    env.reset(seed=3000010)
    flat = [polygon[0] for polygon, _ in env.road_poly if polygon[0] == polygon[1]]
    assert len(flat) == 2
    races.make_track(0, np.random.default_rng(3000010))
    races.start(0)
    line = np.array(env.track)[:, 2:]
    for corner in flat:
        tile = int(np.argmin(((line - corner) ** 2).sum(axis=1)))
        env.car.destroy()
        env.car = Car(env.world, *env.track[tile - 2][1:4])
        races.move(0, tile - 2)
        for _ in range(60):
            expected = env.step(np.zeros(3))[0]
            races.step(ONE, np.zeros((1, 3)))
        kerbs = (expected[:66, :, 1] < 60).sum()  # red
        assert kerbs > 10
        got = races.frames(ONE)[0]
        assert np.abs(got[:66].astype(int) - expected[:66]).mean() < 0.6


@pytest.mark.parametrize("tile", [20, 21, 22])
def test_a_touched_tile_loses_its_shade_as_gym_recolours_it(tile: int) -> None:
    races = Races(1)
    races.make_track(0, np.random.default_rng(0))
    races.start(0)
    races.move(0, 17)
    for _ in range(60):  # until the camera has come close
        races.step(ONE, np.zeros((1, 3)))
    row, column = middle_of_tile(races, tile)
    # 100, 102 and 105: gym's 102, 104 and 107 as smoothscale leaves them.
    assert (races.frames(ONE)[0, row, column] == (100, 102, 105)[tile % 3]).all()
    races.races["touched"][0, tile] = True
    assert (races.frames(ONE)[0, row, column] == 100).all()


def middle_of_tile(races: Races, tile: int) -> tuple[int, int]:
    """Row and column of its pixel: a tile lies between its place on the line and the one before."""
    middle = races.tracks[0]["line"][[tile, tile - 1], 2:].mean(axis=0)
    x, y = middle - races.cars[0]["position"][0]
    angle = races.cars[0]["angle"][0]
    right, ahead = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    zoom = 2.7 * 6  # gym's pixels in a world unit, of which it draws 1000 x 800
    return int(72 - ahead * zoom * 96 / 800), int(48 + right * zoom * 96 / 1000)


def test_outside_the_field_there_is_black() -> None:
    races = Races(1)
    races.make_track(0, np.random.default_rng(0))
    races.start(0)
    races.cars[0]["position"][0] = (2000 / 6 - 10, 0)
    frame = races.frames(ONE)[0]
    assert (frame[:84] == 0).all(axis=-1).any()
    assert (frame[:84] != 0).any()


def test_other_colours_are_drawn_as_the_default_ones() -> None:
    races = Races(1)
    races.make_track(0, np.random.default_rng(0))
    races.start(0)
    usual = races.frames(ONE)[0][:84]
    races.colours[0] = ((102, 102, 204), (102, 102, 230), (102, 102, 102))
    swapped = races.frames(ONE)[0][:84]
    assert np.array_equal(swapped, usual[:, :, [0, 2, 1]])
    assert not np.array_equal(swapped, usual)


@pytest.mark.parametrize(
    "image_shape", [(60, 80), (64, 64), (32, 32), (96, 96), (42, 48), (33, 91), (85, 33), (96, 80)]
)
def test_resizing_is_opencv_s_to_the_bit(image_shape: tuple[int, int]) -> None:
    height, width = image_shape
    planes = np.random.default_rng(0).integers(0, 256, (3, 96, 96), dtype=np.uint8)
    out = np.empty((height, width, 3), np.uint8)
    kept = columns(width)
    placed = np.empty_like(planes)
    placed[:, :, kept.place] = planes
    resize(placed, *rows(height), kept.starts, kept.weights, out)
    frame = np.ascontiguousarray(planes.transpose(1, 2, 0)[:84])
    assert np.array_equal(out, cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR))


def test_what_v_gets_is_what_preprocess_makes_of_the_frame() -> None:
    races = Races(3)
    indices = np.arange(3)
    for index in indices:
        races.make_track(index, np.random.default_rng(index))
        races.start(index)
    for _ in range(70):
        races.step(indices, np.tile([0.1, 0.5, 0.0], (3, 1)))
    resized = races.resized(indices, (60, 80))
    for frame, small in zip(races.frames(indices), resized, strict=True):
        assert np.array_equal(preprocess(frame, (60, 80)), small)
