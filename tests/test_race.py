"""The compiled race against stock gym and Box2D: the same bits of every body, reward and end.

gym's class is stepped without its drawing, which has no effect on anything else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gym.envs.box2d.car_racing import CarRacing
from gym.utils import seeding

from worldmodels.car_racing.car_shape import HULL, WHEEL
from worldmodels.car_racing.race import LAP, OFF_FIELD
from worldmodels.car_racing.trigonometry import sincos
from worldmodels.car_racing.world import Races

F = np.float32
ONE = np.arange(1)
Driver = Callable[[Any, int, np.random.Generator], np.ndarray]


class Undrawn(CarRacing):
    def _render(self, mode: str) -> None:
        return None


def on_the_road(speed: float, ahead: int, noise: float = 0.0) -> Driver:
    """Steers to a point ahead."""

    def act(env: Any, step: int, rng: np.random.Generator) -> np.ndarray:
        hull = env.car.hull
        x, y = hull.position
        track = np.array(env.track)[:, 2:]
        nearest = int(np.argmin(((track - (x, y)) ** 2).sum(axis=1)))
        to_x, to_y = track[(nearest + ahead) % len(track)]
        left = (math.atan2(x - to_x, to_y - y) - hull.angle + math.pi) % (2 * math.pi) - math.pi
        now = math.hypot(*hull.linearVelocity)
        steering = np.clip(-2 * left + noise * rng.normal(), -1, 1)
        return np.array([steering, 0.5 * (now < speed), 0.3 * (now > speed + 10)])

    return act


def out_of_range(env: Any, step: int, rng: np.random.Generator) -> np.ndarray:
    return np.random.default_rng(step // 7).uniform([-1.2, -0.2, 0], [1.2, 1.2, 1])


def white_noise(env: Any, step: int, rng: np.random.Generator) -> np.ndarray:
    return rng.uniform([-1, 0, 0], [1, 1, 1])


def full_gas_in_curves(env: Any, step: int, rng: np.random.Generator) -> np.ndarray:
    return np.array([1.0 if step // 90 % 2 else -1.0, 1.0, 0.0])


def on_the_grass(env: Any, step: int, rng: np.random.Generator) -> np.ndarray:
    """Off the road at once, then in curves with little gas."""
    return np.array([1.0 if step < 60 else math.sin(step / 15), 0.3, 0.0])


def circle(env: Any, step: int, rng: np.random.Generator) -> np.ndarray:
    return np.array([1.0, 0.3, 0.0])


def locked_wheels(env: Any, step: int, rng: np.random.Generator) -> np.ndarray:
    side = 1.0 if step // 40 % 2 else -1.0
    return np.array([side, 1.0, 0.0]) if step % 60 < 40 else np.array([side, 0.0, 1.0])


def stop_and_go(env: Any, step: int, rng: np.random.Generator) -> np.ndarray:
    if step % 250 < 60:
        return np.array([0.0, 0.6, 0.0])
    return np.array([0.1 * (step % 250 > 150), 0.0, 0.8 if step % 250 < 120 else 0.0])


def off_the_field(env: Any, step: int, rng: np.random.Generator) -> np.ndarray:
    return np.array([0.6 if env.car.hull.angle > -1.2 else 0.0, 0.7, 0.0])


def nothing(env: Any, step: int, rng: np.random.Generator) -> np.ndarray:
    return np.zeros(3)


DRIVERS = {
    "at 50": on_the_road(50, 6),
    "a lap at 35": on_the_road(35, 3),
    "at 70": on_the_road(70, 7, 0.3),
    "noisy": on_the_road(60, 5, 1.0),
    **{
        one.__name__: one
        for one in (
            *(out_of_range, white_noise, full_gas_in_curves, on_the_grass, circle, locked_wheels),
            *(stop_and_go, off_the_field, nothing),
        )
    },
}


def state_of_gym(env: Any) -> np.ndarray:
    values: list[float] = []
    for body in (env.car.hull, *env.car.wheels):
        values += [*body.position, *body.worldCenter, body.angle]
        values += [*body.linearVelocity, body.angularVelocity]
    for wheel in env.car.wheels:
        values += [wheel.omega, wheel.phase, wheel.joint.angle, wheel.gas, bool(wheel.tiles)]
    return np.array([*values, env.reward, env.tile_visited_count])


def state(races: Races) -> np.ndarray:
    car, race = races.cars[0], races.races[0]
    values: list[float] = []
    for body in range(5):
        values += [*car["position"][body], *car["centre"][body], car["angle"][body]]
        values += [*car["velocity"][body]]
    for wheel in range(4):
        angle = F(car["angle"][wheel + 1] - car["angle"][0])
        values += [car["omega"][wheel], car["phase"][wheel], angle, car["gas"][wheel]]
        values += [car["on_road"][wheel]]
    return np.array([*values, race["reward"], race["visited_count"]])


def require_equal(env: Any, races: Races, step: int) -> None:
    expected, got = state_of_gym(env), state(races)
    assert np.array_equal(got, expected), f"step {step}: {np.flatnonzero(got != expected)}"


def compare(driver: Driver, *, seed: int, steps: int, races: Races) -> str:
    """Drive both until an episode ends; how it did."""
    env = Undrawn()
    env.reset(seed=seed)
    rng, _ = seeding.np_random(seed)
    races.make_track(0, rng)
    assert rng.bit_generator.state == env.np_random.bit_generator.state
    track = races.tracks[0]
    assert np.array_equal(track["line"][: track["tiles"]], np.array(env.track))
    races.start(0)
    require_equal(env, races, 0)
    noise = np.random.default_rng(seed)
    for step in range(1, steps + 1):
        action = driver(env, step, noise)
        _, reward, terminated, truncated, _ = env.step(action)
        rewards, ends = races.step(ONE, action[None])
        require_equal(env, races, step)
        assert rewards[0] == reward
        assert ends[0] == OFF_FIELD * terminated + LAP * truncated
        if step % 50 == 0:
            touched = np.array([tile.color[0] == 102.0 for tile in env.road])
            shaded = np.arange(len(touched)) % 3 != 0
            assert np.array_equal(
                touched & shaded, races.races[0]["touched"][: len(touched)] & shaded
            )
        if terminated or truncated:
            return "off the field" if terminated else "a lap"
    return "still driving"


@pytest.mark.parametrize("name", DRIVERS)
def test_an_episode_is_gym_s_to_the_bit(name: str) -> None:
    steps = 3000 if name == "a lap at 35" else 600
    end = compare(DRIVERS[name], seed=6, steps=steps, races=Races(1))
    expected = {"a lap at 35": "a lap", "off_the_field": "off the field"}
    assert end == expected.get(name, "still driving")


@pytest.mark.slow
@pytest.mark.parametrize("first_seed", range(1000, 1200, 10))
def test_many_episodes_are_gym_s_to_the_bit(first_seed: int) -> None:
    races = Races(1)  # one after the other in the same one
    for seed in range(first_seed, first_seed + 10):
        driver = list(DRIVERS.values())[seed % len(DRIVERS)]
        compare(driver, seed=seed, steps=1000, races=races)


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 2**31, 2**32 - 1])
def test_tracks_are_gym_s_to_the_bit(seed: int) -> None:
    compare(nothing, seed=seed, steps=1, races=Races(1))


def test_bodies_have_the_masses_that_box2d_gives_them() -> None:
    env = Undrawn()
    env.reset(seed=0)
    for body, ours in ((env.car.hull, HULL), (env.car.wheels[0], WHEEL)):
        assert F(1) / F(body.mass) == ours.inverse_mass
        assert np.array_equal(np.array(body.localCenter, F), ours.centre)
        shapes = [np.array(fixture.shape.vertices, F) for fixture in body.fixtures]
        assert all(map(np.array_equal, sorted(map(len, shapes)), sorted(map(len, ours.polygons))))


def test_a_slot_and_its_company_make_no_difference() -> None:
    """Each race in a block of its own order, and alone."""
    rng = np.random.default_rng(0)
    actions = rng.uniform([-1, 0, 0], [1, 1, 0.5], (60, 5, 3))
    together, order = Races(5), np.array([3, 0, 4, 1, 2])
    for index in range(5):
        together.make_track(index, np.random.default_rng(index))
        together.start(index)
    for row in actions:
        together.step(order, row[order])
    for index in range(5):
        alone = Races(1)
        alone.make_track(0, np.random.default_rng(index))
        alone.start(0)
        for row in actions:
            alone.step(ONE, row[index : index + 1])
        assert alone.cars[0].tobytes() == together.cars[index].tobytes()
        assert np.array_equal(alone.frames(ONE)[0], together.frames(np.array([index]))[0])


def test_sine_and_cosine_are_the_c_library_s() -> None:
    import ctypes

    library = ctypes.CDLL("libm.so.6")
    for name in ("sinf", "cosf"):
        getattr(library, name).restype = ctypes.c_float
        getattr(library, name).argtypes = [ctypes.c_float]
    rng = np.random.default_rng(0)
    angles = np.concatenate([rng.uniform(-200, 200, 20_000), rng.normal(size=5000) * 1e5])
    for angle in angles.astype(F):
        sine, cosine = sincos(angle)
        assert sine == F(library.sinf(angle))
        assert cosine == F(library.cosf(angle))
