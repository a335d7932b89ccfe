"""The fast CarRacing against gym's own, step by step, and what it adds to it.

`Undrawn` is gym's class without its drawing, which has no effect on anything else: with it whole
episodes can be compared. Frames are compared on shorter drives, as gym draws 150 a second.

The texture of the track is private to the simulator; what is drawn on it is looked at here.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gym.envs.box2d.car_racing import CarRacing

from worldmodels.car_racing import simulator as car_racing
from worldmodels.car_racing.simulator import FastCarRacing

Driver = Callable[[Any, int], Any]


class Undrawn(CarRacing):
    def _render(self, mode: str) -> None:
        return None


def on_the_road(env: Any, step: int, *, speed: float = 50, ahead: int = 6) -> np.ndarray:
    """Steer to a point ahead, as a simple driver does; brakes before it gets too fast."""
    hull = env.car.hull
    x, y = hull.position
    track = np.array(env.track)[:, 2:]
    nearest = int(np.argmin(((track - (x, y)) ** 2).sum(axis=1)))
    to_x, to_y = track[(nearest + ahead) % len(track)]
    left = (math.atan2(x - to_x, to_y - y) - hull.angle + math.pi) % (2 * math.pi) - math.pi
    now = math.hypot(*hull.linearVelocity)
    return np.array([np.clip(-2 * left, -1, 1), 0.5 * (now < speed), 0.3 * (now > speed + 10)])


def on_the_grass(env: Any, step: int) -> np.ndarray:
    """Off the road at once, then in curves with little gas."""
    return np.array([1.0 if step < 60 else math.sin(step / 15), 0.3, 0.0])


def off_the_field(env: Any, step: int) -> np.ndarray:
    """Turn right, away from the middle, and go."""
    return np.array([0.6 if env.car.hull.angle > -1.2 else 0.0, 0.7, 0.0])


def locked_and_spinning(env: Any, step: int) -> np.ndarray:
    """Full steering either way, and wheels locked at every third turn."""
    side = 1.0 if step // 40 % 2 else -1.0
    return np.array([side, 1.0, 0.0]) if step % 60 < 40 else np.array([side, 0.0, 1.0])


def at_random(env: Any, step: int) -> np.ndarray:
    """New actions every 7 steps, now and then out of the action space: gym clips the gas."""
    return np.random.default_rng(step // 7).uniform([-1.2, -0.2, 0], [1.2, 1.2, 1])


def drive(stock: Any, fast: Any, driver: Driver, *, seed: int, steps: int) -> tuple[list[Any], str]:
    """Step both with the same actions; returns both frames of each step and how it ended."""
    first, info = stock.reset(seed=seed)
    fast_first, fast_info = fast.reset(seed=seed)
    assert info == fast_info
    frames = [(first, fast_first)]
    for step in range(steps):
        action = driver(stock, step)
        frame, *result = stock.step(action)
        fast_frame, *fast_result = fast.step(action)
        assert fast_result == result, f"step {step}: (reward, terminated, truncated, info)"
        frames.append((frame, fast_frame))
        if result[1] or result[2]:
            return frames, "terminated" if result[1] else "truncated"
    assert stock.reward == fast.reward
    assert tuple(stock.car.hull.position) == tuple(fast.car.hull.position)
    return frames, "still driving"


def differences(frames: list[Any]) -> np.ndarray:
    """Mean absolute difference of each row of each frame, (steps, 96), of 255."""
    pairs = np.array(frames, dtype=np.int16)  # (steps, 2, 96, 96, 3)
    return np.abs(pairs[:, 0] - pairs[:, 1]).mean(axis=(2, 3))


@pytest.mark.parametrize(
    ("driver", "seed"),
    [
        (on_the_road, 0),
        (on_the_road, 1),
        (on_the_grass, 2),
        (locked_and_spinning, 3),
        (at_random, 4),
        (at_random, 5),
    ],
)
def test_an_episode_of_1000_steps_is_gyms(driver: Driver, seed: int) -> None:
    drive(Undrawn(), FastCarRacing(), driver, seed=seed, steps=1000)


def test_an_episode_off_the_field_ends_as_gyms() -> None:
    stock, fast = CarRacing(), FastCarRacing()
    frames, end = drive(stock, fast, off_the_field, seed=6, steps=600)
    assert end == "terminated"
    assert stock.car.hull.position[0] > 2000 / 6
    assert (frames[-1][1][:20] == 0).all(axis=-1).any()  # black outside the field
    assert differences(frames[-60:])[:, :84].mean(axis=1).max() <= 2


def test_a_finished_lap_ends_as_gyms() -> None:
    def slowly(env: Any, step: int) -> np.ndarray:
        return on_the_road(env, step, speed=35, ahead=3)

    _, end = drive(Undrawn(), FastCarRacing(), slowly, seed=7, steps=3000)
    assert end == "truncated"


@pytest.mark.parametrize(
    ("driver", "seed", "domain_randomize"),
    [
        (on_the_road, 8, False),
        (on_the_road, 9, True),
        (on_the_grass, 10, False),
        (locked_and_spinning, 11, False),
        (at_random, 12, False),
    ],
)
def test_frames_are_near_gyms(driver: Driver, seed: int, domain_randomize: bool) -> None:
    stock = CarRacing(domain_randomize=domain_randomize)
    fast = FastCarRacing(domain_randomize=domain_randomize)
    frames, _ = drive(stock, fast, driver, seed=seed, steps=200)
    by_row = differences(frames)
    assert by_row[:, :84].mean(axis=1).max() <= 2  # every frame, the first second's too
    assert by_row.mean(axis=1).max() <= 3
    assert by_row[:, :84].mean() <= 1
    assert by_row[:10, :84].mean() <= 0.7  # while the camera is far away
    by_pixel = np.abs(np.diff(np.array(frames, dtype=np.int16), axis=1))[:, 0]
    assert by_pixel[50:, 66:78, 45:51].mean() <= 1.5  # the car with its wheels
    assert by_pixel[:, 84:].max() <= 25  # the indicators


@pytest.mark.filterwarnings("error")
def test_a_kerb_without_width_is_left_out() -> None:
    fast = FastCarRacing()
    fast.reset(seed=3000010)
    flat = [polygon for polygon, _ in fast.road_poly if polygon[0] == polygon[1]]
    assert len(flat) == 2
    wide = [(polygon, colour) for polygon, colour in fast.road_poly if polygon not in flat]
    lawn, grass = (car_racing._shrunk(colour) for colour in (fast.bg_color, fast.grass_color))
    fast._texture.draw(fast.road_poly, lawn, grass)
    drawn = fast._texture.levels[0].copy()
    fast._texture.draw(wide, lawn, grass)
    assert (fast._texture.levels[0] == drawn).all()


def test_a_touched_tile_is_repainted_as_gym_recolours_it() -> None:
    fast = FastCarRacing()
    fast.reset(seed=0)
    for step in range(100):
        fast.step(on_the_road(fast, step))
    level = fast._texture.levels[0]
    for tile, (_, _, x, y) in zip(fast.road, fast.track, strict=True):
        x2, y2 = fast.track[tile.idx - 1][2:]
        middle = (x + x2) / 2 + 2000 / 6, (y + y2) / 2 + 2000 / 6
        column, row = (int(part * car_racing.TEXELS) for part in middle)
        # 100, 102 and 105: gym's 102, 104 and 107 as smoothscale leaves them.
        grey = 100 if tile.road_visited else (100, 102, 105)[tile.idx % 3]
        assert (level[row, column, :3] == grey).all(), f"tile {tile.idx}"
    assert sum(tile.road_visited for tile in fast.road) > 10


def test_discrete_actions_are_gyms() -> None:
    stock, fast = Undrawn(continuous=False), FastCarRacing(continuous=False)
    drive(stock, fast, lambda _, step: (3, 3, 1, 2, 4, 0)[step // 9 % 6], seed=0, steps=300)


def test_float32_actions_drive_like_the_same_float64_actions() -> None:
    single, double = FastCarRacing(), FastCarRacing()
    single.reset(seed=3)
    double.reset(seed=3)
    for step in range(100):
        action = at_random(None, step).astype(np.float32)
        assert single.step(action)[1] == double.step(action.astype(np.float64))[1]
    assert tuple(single.car.hull.position) == tuple(double.car.hull.position)


def test_rgb_array_is_gyms_own() -> None:
    stock, fast = CarRacing(render_mode="rgb_array"), FastCarRacing(render_mode="rgb_array")
    drive(stock, fast, on_the_road, seed=1, steps=60)
    picture = fast.render()
    assert picture.shape == (400, 600, 3)
    np.testing.assert_array_equal(picture, stock.render())


def test_frames_are_not_overwritten_by_later_ones() -> None:
    fast = FastCarRacing()
    first, _ = fast.reset(seed=0)
    kept = first.copy()
    for _ in range(10):
        fast.step(np.array([0.0, 1.0, 0.0]))
    fast.reset()
    np.testing.assert_array_equal(first, kept)


def test_start_tile_puts_a_new_car_there() -> None:
    fast, stock = FastCarRacing(), Undrawn()
    stock.reset(seed=5)
    frame, _ = fast.reset(seed=5, options={"start_tile": 100})
    _, angle, x, y = fast.track[100]
    assert fast.track == stock.track
    assert tuple(fast.car.hull.position) == pytest.approx((x, y), abs=1e-4)
    assert fast.car.hull.angle == pytest.approx(angle, abs=1e-6)
    assert len(fast.world.bodies) == len(fast.road) + 5  # the old car is gone
    assert fast.tile_visited_count == stock.tile_visited_count  # as gym's reset left it
    for _ in range(60):
        frame, *_ = fast.step(np.array([0.0, 0.1, 0.0]))
    assert fast.road[101].road_visited
    assert frame[60, 48, 1] < 110  # grey road before the car, not the lawn's 202


def test_random_start_tile_comes_from_the_seed() -> None:
    fast = FastCarRacing()

    def start(seed: int) -> tuple[float, float]:
        fast.reset(seed=seed, options={"start_tile": "random"})
        return tuple(fast.car.hull.position)

    assert start(1) == start(1)
    track = Undrawn()
    track.reset(seed=1)
    tile = int(track.np_random.integers(len(track.track)))
    assert start(1) == pytest.approx(track.track[tile][2:], abs=1e-4)


@pytest.mark.parametrize("tile", [-1, 10_000, 1.5, "first", True])
def test_a_tile_that_is_none_is_refused(tile: Any) -> None:
    with pytest.raises(ValueError, match=rf"start_tile: expected 0 to \d+ .*got {tile!r}"):
        FastCarRacing().reset(seed=0, options={"start_tile": tile})


def test_other_reset_options_are_ignored_as_gym_does_but_not_a_slip() -> None:
    for env in (FastCarRacing(), CarRacing()):
        env.reset(seed=0, options={"shuffle": True, "map": "small"})
    with pytest.raises(ValueError, match=r"'start_tiel': did you mean start_tile\?"):
        FastCarRacing().reset(seed=0, options={"start_tiel": 3})
