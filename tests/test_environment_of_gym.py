"""The compiled CarRacing as gym's: arguments, colours, discrete actions, ends of episodes, start
tiles, mistakes.

Its physics are compared in test_race, its pictures in test_picture.
"""

from __future__ import annotations

import copy
import pickle
from typing import Any

import gym
import numpy as np
import pytest
from gym.envs.box2d.car_dynamics import Car
from gym.envs.box2d.car_racing import CarRacing
from test_race import DRIVERS, Undrawn

from worldmodels.car_racing.environment import FastCarRacing
from worldmodels.car_racing.telemetry import Telemetry


@pytest.mark.parametrize("continuous", [True, False])
@pytest.mark.parametrize("domain_randomize", [True, False])
def test_it_is_gym_s_with_all_of_its_arguments(continuous: bool, domain_randomize: bool) -> None:
    made: dict[str, Any] = {"continuous": continuous, "domain_randomize": domain_randomize}
    stock = CarRacing(render_mode="rgb_array", lap_complete_percent=0.02, **made)
    fast = FastCarRacing(render_mode="rgb_array", lap_complete_percent=0.02, **made)
    assert fast.action_space == stock.action_space
    assert fast.observation_space == stock.observation_space
    frame, _ = stock.reset(seed=5)
    fast_frame, _ = fast.reset(seed=5)
    rng = np.random.default_rng(0)
    differences = []
    for _ in range(60):
        differences.append(np.abs(frame[:84].astype(int) - fast_frame[:84]).mean())
        action = rng.uniform([-1, 0, 0], [1, 1, 0.3]) if continuous else int(rng.integers(5))
        frame, *expected = stock.step(action)
        fast_frame, *got = fast.step(action)
        assert got == expected
    assert np.mean(differences) < 0.4
    assert fast.render().shape == (400, 600, 3)
    pictures = [env.render().astype(int) for env in (stock, fast)]
    assert np.abs(pictures[0] - pictures[1]).mean() < 1
    assert fast.np_random.bit_generator.state == stock.np_random.bit_generator.state
    # Of a lap that ends where it starts, 2 % is soon done; the next reset has another track.
    fast.reset(), stock.reset()
    assert np.array_equal(fast.track, stock.track)


def drive(stock: Any, fast: Any, name: str, *, seed: int, steps: int) -> tuple[list[Any], Any]:
    """Step both with the same actions until an episode ends; both frames of each step, and how it
    ended: terminated and truncated."""
    noise = np.random.default_rng(seed)
    (_, info), (_, fast_info) = stock.reset(seed=seed), fast.reset(seed=seed)
    assert fast_info == info
    frames = []
    for step in range(1, steps + 1):
        action = DRIVERS[name](stock, step, noise)
        frame, *result = stock.step(action)
        fast_frame, *fast_result = fast.step(action)
        assert fast_result == result, f"step {step}: (reward, terminated, truncated, info)"
        frames.append((frame, fast_frame))
        if result[1] or result[2]:
            break
    assert fast.reward == stock.reward
    assert fast.car.hull.position == tuple(stock.car.hull.position)
    return frames, result[1:3]


def test_an_episode_off_the_field_ends_as_gym_s() -> None:
    stock, fast = CarRacing(), FastCarRacing()
    frames, end = drive(stock, fast, "off_the_field", seed=6, steps=600)
    assert end == [True, False]
    assert stock.car.hull.position[0] > 2000 / 6
    assert (frames[-1][1][:20] == 0).all(axis=-1).any()  # black outside the field
    for frame, fast_frame in frames[-60:]:
        assert np.abs(frame[:84].astype(int) - fast_frame[:84]).mean() <= 0.6


def test_a_finished_lap_truncates_the_episode_as_in_gym() -> None:
    _, end = drive(Undrawn(), FastCarRacing(), "a lap at 35", seed=7, steps=3000)
    assert end == [False, True]


def test_float32_actions_drive_like_the_same_float64_actions() -> None:
    single, double = FastCarRacing(), FastCarRacing()
    single.reset(seed=3)
    double.reset(seed=3)
    for step in range(100):
        action = DRIVERS["out_of_range"](None, step, None).astype(np.float32)
        assert single.step(action)[1] == double.step(action.astype(np.float64))[1]
    assert single.car.hull.position == double.car.hull.position


def test_frames_are_not_overwritten_by_later_ones() -> None:
    env = FastCarRacing()
    first, _ = env.reset(seed=0)
    kept = first.copy()
    for _ in range(10):
        env.step(np.array([0.0, 1.0, 0.0]))
    env.reset()
    assert np.array_equal(first, kept)


@pytest.mark.parametrize("tile", ["random", 0, 100, np.int64(100)])
def test_a_start_tile_puts_a_new_car_there(tile: Any) -> None:
    """As the World Models paper's sampler does: after gym's own reset, in place of its car."""
    stock, fast = Undrawn(), FastCarRacing()
    stock.reset(seed=3)
    fast.reset(seed=3, options={"start_tile": tile})
    number = int(stock.np_random.integers(len(stock.track))) if tile == "random" else tile
    _, angle, x, y = stock.track[number]
    stock.car.destroy()
    stock.car = Car(stock.world, angle, x, y)
    assert np.array_equal(fast.track, stock.track)
    assert fast.car.hull.position == pytest.approx((x, y), abs=1e-4)
    assert fast.car.hull.angle == pytest.approx(angle, abs=1e-6)
    # What gym's own car touched stays visited.
    assert fast.tile_visited_count == stock.tile_visited_count > 0
    assert fast.np_random.bit_generator.state == stock.np_random.bit_generator.state
    for step in range(120):
        action = np.array([np.sin(step / 9), 0.4, 0.0]) if step > 50 else np.zeros(3)
        frame, *result = fast.step(action)
        assert tuple(result) == stock.step(action)[1:]
        if step == 50:
            assert frame[60, 48, 1] < 110  # grey road before the car, not the lawn's 202
    assert np.array_equal(Telemetry(fast).measure(), Telemetry(stock).measure())
    assert fast.tile_visited_count == stock.tile_visited_count
    assert fast.reward == stock.reward


def test_a_random_start_comes_from_the_seed() -> None:
    env = FastCarRacing()

    def start(seed: int | None) -> tuple[float, float]:
        env.reset(seed=seed, options={"start_tile": "random"})
        position: tuple[float, float] = env.car.hull.position
        return position

    assert start(1) == start(1)
    assert len({start(1), start(None), start(2)}) == 3


def test_it_is_made_by_its_name() -> None:
    env = gym.make("worldmodels:FastCarRacing-v2")
    assert type(env.unwrapped) is FastCarRacing
    assert (env.spec.max_episode_steps, env.spec.reward_threshold) == (1000, 900)
    frame, _ = env.reset(seed=0)
    assert env.observation_space.contains(frame)
    frame, *_ = env.step(env.action_space.sample())  # float32
    assert env.observation_space.contains(frame)


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ([0.0, np.nan, 0.0], "three finite numbers"),
        ([0.0, np.inf, 0.0], "three finite numbers"),
        ([0.0, 1.0], "three finite numbers"),
        (np.zeros((1, 3)), "three finite numbers"),
    ],
)
def test_an_action_that_is_none_is_refused_and_changes_nothing(action: Any, expected: str) -> None:
    env = FastCarRacing()
    env.reset(seed=0)
    before = env.races.cars.tobytes()
    with pytest.raises(gym.error.InvalidAction, match=expected):
        env.step(action)
    assert env.races.cars.tobytes() == before
    discrete = FastCarRacing(continuous=False)
    discrete.reset(seed=0)
    with pytest.raises(gym.error.InvalidAction, match="expected an action of Discrete"):
        discrete.step(5)


def test_a_render_mode_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="render_mode: expected one of human, rgb_array"):
        FastCarRacing(render_mode="ansi")


@pytest.mark.parametrize("tile", [-1, 10_000, 1.5, "first", True])
def test_a_tile_that_is_none_is_refused(tile: Any) -> None:
    with pytest.raises(
        ValueError, match=rf'start_tile: expected 0 to \d+ or "random", got {tile!r}'
    ):
        FastCarRacing().reset(seed=0, options={"start_tile": tile})


@pytest.mark.parametrize("slip", ["start_tiel", "starttile"])
def test_other_reset_options_are_ignored_as_gym_does_but_not_a_slip(slip: str) -> None:
    for env in (FastCarRacing(), CarRacing()):
        env.reset(seed=0, options={"shuffle": True, "map": "small"})
    with pytest.raises(ValueError, match=rf"reset option '{slip}': did you mean start_tile\?"):
        FastCarRacing().reset(seed=0, options={slip: 3})


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_goes_on_by_itself_from_where_the_original_is(copied: Any) -> None:
    env = FastCarRacing()
    env.reset(seed=0)
    for _ in range(30):
        env.step(np.array([0.1, 0.5, 0.0]))
    other = copied(env)
    expected = [env.step(np.array([-0.3, 0.2, 0.0]))[:2] for _ in range(10)]
    for frame, reward in expected:
        other_frame, other_reward, *_ = other.step(np.array([-0.3, 0.2, 0.0]))
        assert np.array_equal(other_frame, frame)
        assert other_reward == reward
    assert other.car.hull.position == env.car.hull.position
    assert np.array_equal(other.reset()[0], env.reset()[0])  # the same track comes next
