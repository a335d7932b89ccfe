"""The fast CarRacing over gymnasium's, in an environment that has neither gym nor TensorFlow."""

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium", reason="`make test` runs it in .venv-gymnasium")

from gymnasium.utils.env_checker import check_env  # noqa: E402

from worldmodels.car_racing.environment import FastCarRacingV3  # noqa: E402


def gentle_curves(step: int) -> np.ndarray:
    return np.array([np.sin(step / 25) / 4, 0.2, 0.0], np.float32)


def spins(step: int) -> np.ndarray:
    return np.array([1.0 if step // 40 % 2 else -1.0, step % 60 < 40, step % 60 >= 40], np.float32)


def test_gym_is_not_there() -> None:
    assert importlib.util.find_spec("gym") is None


@pytest.mark.parametrize("name", ["FastCarRacing-v2", "FastCarRacing-v3"])
@pytest.mark.parametrize("render_mode", [None, "rgb_array"])
@pytest.mark.filterwarnings("error", "ignore:.*FastCarRacing-v2 is out of date")
def test_gymnasiums_own_check_passes(name: str, render_mode: str | None) -> None:
    env = gymnasium.make(f"worldmodels:{name}", render_mode=render_mode)
    assert type(env.unwrapped) is FastCarRacingV3
    assert (env.spec.max_episode_steps, env.spec.reward_threshold) == (1000, 900)
    check_env(env.unwrapped, skip_render_check=render_mode is None)


@pytest.mark.parametrize("drive", [gentle_curves, spins])
@pytest.mark.parametrize("lap_complete_percent", [0.95, 0.02])
def test_an_episode_is_gymnasiums(
    drive: Callable[[int], np.ndarray], lap_complete_percent: float
) -> None:
    made: dict[str, Any] = {"lap_complete_percent": lap_complete_percent}
    stock = gymnasium.make("CarRacing-v3", **made).unwrapped
    fast = FastCarRacingV3(**made)
    pairs = [(stock.reset(seed=4)[0], fast.reset(seed=4)[0])]
    for step in range(200):
        frame, *expected = stock.step(drive(step))
        fast_frame, *got = fast.step(drive(step))
        assert got == expected, f"step {step}: (reward, terminated, truncated, info)"
        pairs.append((frame, fast_frame))
        if expected[1] or expected[2]:
            break
    difference = np.abs(np.diff(np.array(pairs, np.int16), axis=1)).mean(axis=(1, 3, 4))
    assert difference[:, :84].mean(axis=1).max() <= 0.5
    assert difference[:, 84:].mean() <= 0.1


def test_start_tile() -> None:
    env = FastCarRacingV3()
    env.reset(seed=5, options={"start_tile": 100})
    assert tuple(env.car.hull.position) == pytest.approx(env.track[100][2:], abs=1e-4)


def test_gymnasium_s_wrappers_work_on_it() -> None:
    env = gymnasium.make("worldmodels:FastCarRacing-v3", max_episode_steps=5)
    env = gymnasium.wrappers.FrameStackObservation(env, 4)
    env = gymnasium.wrappers.RecordEpisodeStatistics(env)
    frames, _ = env.reset(seed=0)
    assert frames.shape == (4, 96, 96, 3)
    for _ in range(5):
        frames, _, _, truncated, info = env.step(np.zeros(3, np.float32))
    assert truncated
    assert info["episode"]["l"] == 5
