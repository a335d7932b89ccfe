"""Privileged values: their signs and units, on stock gym's CarRacing and on the fast one.

The car is put elsewhere in the record of its body 0, the hull."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from worldmodels.car_racing.environment import FastCarRacing
from worldmodels.car_racing.telemetry import (
    COLUMNS,
    ROAD_HALF_WIDTH,
    TILES_AHEAD,
    Telemetry,
    wrap_angle,
)

if TYPE_CHECKING:
    from worldmodels.car_racing.environment import CompiledCarRacing


@pytest.fixture(scope="module")
def driven() -> CompiledCarRacing:
    return FastCarRacing()


@pytest.fixture
def env(driven: CompiledCarRacing) -> CompiledCarRacing:
    """At the start of a track."""
    driven.reset(seed=0)
    return driven


def measure(env: CompiledCarRacing) -> dict[str, float]:
    return dict(zip(COLUMNS, Telemetry(env).measure().tolist(), strict=True))


def record(env: CompiledCarRacing) -> Any:
    return env.races.cars[0]


def forward(env: CompiledCarRacing) -> NDArray[np.float64]:
    """Where the car looks, of length 1."""
    angle = env.car.hull.angle
    return np.array([-math.sin(angle), math.cos(angle)])


def drive(env: Any, *, steering: float, steps: int) -> dict[str, float]:
    telemetry = Telemetry(env)
    for _ in range(steps):
        env.step(np.array([steering, 0.3, 0.0]))
    return dict(zip(COLUMNS, telemetry.measure().tolist(), strict=True))


def test_values_are_six_float32(env: CompiledCarRacing) -> None:
    values = Telemetry(env).measure()
    assert values.shape == (len(COLUMNS),) == (6,)
    assert values.dtype == np.float32


def test_at_the_start_the_car_stands_on_the_road_and_looks_along_it(env: CompiledCarRacing) -> None:
    for seed in range(3):
        env.reset(seed=seed)
        found = measure(env)
        assert abs(found["road_distance"]) < 1 < ROAD_HALF_WIDTH
        assert abs(found["road_angle"]) < 0.1
        assert found["speed"] < 1
        assert abs(found["steering_angle"]) < 0.01


@pytest.mark.parametrize("offset", [-9.0, -3.0, 3.0, 9.0])
def test_right_of_the_centre_line_is_positive(env: CompiledCarRacing, offset: float) -> None:
    before = measure(env)["road_distance"]
    x, y = forward(env)
    record(env)["position"][0] += offset * np.array([y, -x])
    after = measure(env)["road_distance"]
    assert after - before == pytest.approx(offset, abs=0.5)
    assert (abs(after) < ROAD_HALF_WIDTH) == (abs(offset) < 5)


@pytest.mark.parametrize("turn", [-0.4, 0.4])
def test_heading_left_of_the_road_is_positive(env: CompiledCarRacing, turn: float) -> None:
    ahead = forward(env)
    left = np.array([-ahead[1], ahead[0]])
    before = measure(env)["road_angle"]
    record(env)["angle"][0] += turn
    assert measure(env)["road_angle"] - before == pytest.approx(turn, abs=1e-5)
    now = forward(env)
    assert np.sign(now @ left) == np.sign(turn)
    assert now @ ahead > 0


def test_whole_turns_of_the_hull_do_not_count(env: CompiledCarRacing) -> None:
    before = measure(env)["road_angle"]
    for turns in (-3, 1, 2):
        record(env)["angle"][0] += turns * 2 * math.pi
        assert measure(env)["road_angle"] == pytest.approx(before, abs=1e-4)


@pytest.mark.parametrize(("steering", "left"), [(-1.0, 1), (1.0, -1)])
def test_steering_and_turning_left_are_positive(
    env: CompiledCarRacing, steering: float, left: int
) -> None:
    """gym's action -1 steers to the left."""
    found = drive(env, steering=steering, steps=25)
    assert found["steering_angle"] * left > 0.1
    assert found["angular_velocity"] * left > 0.1
    assert found["speed"] > 5


def test_speed_is_the_length_of_the_velocity(env: CompiledCarRacing) -> None:
    record(env)["velocity"][0] = (3.0, -4.0, 0.0)
    assert measure(env)["speed"] == pytest.approx(5.0)


def test_tiles_are_numbered_in_driving_direction(env: CompiledCarRacing) -> None:
    """What `curvature_ahead` takes for granted."""
    points = np.array([tile[2:4] for tile in env.track])
    assert (points[1] - points[0]) @ forward(env) > 3


def test_curvature_is_the_turn_ahead_a_unit_of_length_positive_to_the_left(
    env: CompiledCarRacing,
) -> None:
    points = np.array([tile[2:4] for tile in env.track])
    telemetry = Telemetry(env)
    lefts = rights = 0
    for tile in range(5, len(points) - TILES_AHEAD - 5, 7):
        record(env)["position"][0] = points[tile]
        curvature = telemetry.measure()[COLUMNS.index("curvature_ahead")]
        way = np.diff(points[tile - 1 : tile + TILES_AHEAD + 2], axis=0)
        (x1, y1), (x2, y2) = way[0] + way[1], way[-1] + way[-2]
        turn = math.atan2(x1 * y2 - y1 * x2, x1 * x2 + y1 * y2)  # of the line through the points
        length = np.hypot(*way[1:-1].T).sum()
        assert curvature == pytest.approx(turn / length, abs=0.01)
        lefts += curvature > 0.01
        rights += curvature < -0.01
    assert lefts > 3
    assert rights > 1


def test_stock_gym_gives_the_same_values(env: CompiledCarRacing) -> None:
    from gym.envs.box2d.car_racing import CarRacing as StockCarRacing

    stock = StockCarRacing()
    stock.reset(seed=0)
    for each in (stock, env):
        drive(each, steering=-0.3, steps=5)
    assert Telemetry(stock).measure() == pytest.approx(Telemetry(env).measure(), abs=1e-3)


@pytest.mark.parametrize(
    ("angle", "wrapped"),
    [(0.0, 0.0), (math.pi, -math.pi), (-math.pi, -math.pi), (3.5, 3.5 - 2 * math.pi), (7.0, 0.717)],
)
def test_angles_are_wrapped_to_half_a_turn(angle: float, wrapped: float) -> None:
    assert wrap_angle(angle) == pytest.approx(wrapped, abs=1e-3)
