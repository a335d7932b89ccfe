"""The compiled CarRacing as gym's: arguments, colours, discrete actions, start tiles, mistakes."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import gym
import numpy as np
import pytest
from gym.envs.box2d.car_racing import CarRacing

from worldmodels.car_racing.environment import FastCarRacing
from worldmodels.car_racing.simulator import FastCarRacing as FormerFastCarRacing
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
    pictures = [env.render().astype(int) for env in (stock, fast)]
    assert np.abs(pictures[0] - pictures[1]).mean() < 1
    assert fast.np_random.bit_generator.state == stock.np_random.bit_generator.state
    # Of a lap that ends where it starts, 2 % is soon done; the next reset has another track.
    fast.reset(), stock.reset()
    assert np.array_equal(fast.track, stock.track)


@pytest.mark.parametrize("tile", ["random", 0, 100])
def test_it_starts_on_a_tile_as_the_former_one_did(tile: int | str) -> None:
    former, fast = FormerFastCarRacing(), FastCarRacing()
    for env in (former, fast):
        env.reset(seed=3, options={"start_tile": tile})
    for step in range(80):
        action = np.array([np.sin(step / 9), 0.4, 0.0])
        assert fast.step(action)[1:] == former.step(action)[1:]
    assert np.array_equal(Telemetry(fast).measure(), Telemetry(former).measure())
    assert fast.tile_visited_count == former.tile_visited_count
    assert fast.reward == former.reward


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


def test_arguments_and_options_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="render_mode: expected one of human, rgb_array"):
        FastCarRacing(render_mode="ansi")
    env = FastCarRacing()
    with pytest.raises(ValueError, match="did you mean start_tile"):
        env.reset(seed=0, options={"starttile": 3})
    with pytest.raises(ValueError, match=r'start_tile: expected 0 to .* or "random", got -1'):
        env.reset(seed=0, options={"start_tile": -1})


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
