"""The compiled picture against gym's, region by region, and its resize against OpenCV's."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
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


@pytest.mark.parametrize("name", ["at 50", "white_noise", "locked_wheels", "off_the_field"])
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
    "image_shape", [(60, 80), (64, 64), (32, 32), (96, 96), (42, 48), (33, 91)]
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
