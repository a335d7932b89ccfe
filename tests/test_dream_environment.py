"""The dream as an environment: gym's way of asking, what is refused, and what it shows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gym.utils.env_checker import check_env

from worldmodels.core.errors import WorldModelsError
from worldmodels.dream.environment import GymDream
from worldmodels.dream.starts import DreamStarts
from worldmodels.models.memory import MDNRNN
from worldmodels.models.vae import VAE


@pytest.fixture
def dreaming_memory(tiny_memory: MDNRNN) -> MDNRNN:
    tiny_memory.has_outcome = True
    return tiny_memory


@pytest.fixture
def starts() -> DreamStarts:
    rng = np.random.default_rng(1)
    z, hidden, cell = (rng.normal(size=(6, size)).astype(np.float32) for size in (4, 8, 8))
    return DreamStarts(z, hidden, cell, np.array([[-3.0] * 4, [3.0] * 4], np.float32))


@pytest.fixture
def env(tiny_vae: VAE, dreaming_memory: MDNRNN, starts: DreamStarts) -> Any:
    return GymDream(tiny_vae, dreaming_memory, starts, render_mode="rgb_array")


def drive(env: Any, *, seed: int, steps: int = 10) -> list[np.ndarray]:
    observation, _ = env.reset(seed=seed)
    seen = [observation]
    for step in range(steps):
        action = np.array([np.sin(step), 0.5, 0.0], np.float32)
        observation, reward, terminated, truncated, _ = env.step(action)
        assert isinstance(reward, float)
        assert (type(terminated), truncated) == (bool, False)
        seen.append(observation)
    return seen


def test_what_is_observed_is_what_c_reads(env: Any, starts: DreamStarts) -> None:
    first, *others = drive(env, seed=3)
    begins = np.concatenate([starts.z, starts.hidden], axis=1)
    assert (begins == first).all(axis=1).any()
    for observation in (first, *others):
        assert env.observation_space.contains(observation)
    assert len(np.unique(others, axis=0)) == len(others)


def test_a_seed_gives_the_same_dream(env: Any) -> None:
    assert np.array_equal(drive(env, seed=3), drive(env, seed=3))
    assert not np.array_equal(drive(env, seed=3), drive(env, seed=4))


@pytest.mark.filterwarnings("ignore::UserWarning")  # it would have a symmetric action space
def test_gym_s_own_check_passes(env: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "bool8", np.bool_, raising=False)  # gym 0.26 needs NumPy 1's name
    check_env(env)


def test_it_is_drawn_by_v(env: Any, tiny_vae: VAE) -> None:
    observation = drive(env, seed=3)[-1]
    picture = env.render()
    assert (picture.shape, picture.dtype) == ((32, 32, 3), np.uint8)
    expected = 255 * tiny_vae.decoder(observation[None, :4]).numpy()[0]
    assert np.abs(picture - expected).max() < 0.51


def test_actions_are_clipped_as_gym_clips_them(env: Any) -> None:
    ends = []
    for action in ([2.0, 5.0, -1.0], [1.0, 1.0, 0.0]):
        env.reset(seed=1)
        ends.append(env.step(np.array(action))[0])
    assert np.array_equal(*ends)


@pytest.mark.parametrize("action", [[0.0, 0.0], [np.nan, 0.0, 0.0], [0.0, np.inf, 0.0]])
def test_what_is_no_action_is_refused(env: Any, action: list[float]) -> None:
    env.reset(seed=0)
    with pytest.raises(ValueError, match="expected three finite numbers, steering, gas and brake"):
        env.step(action)


@pytest.mark.parametrize("temperature", [-0.1, np.nan, np.inf])
def test_a_temperature_that_is_none_is_refused(
    tiny_vae: VAE, dreaming_memory: MDNRNN, starts: DreamStarts, temperature: float
) -> None:
    with pytest.raises(WorldModelsError, match="temperature: expected 0, for the mean"):
        GymDream(tiny_vae, dreaming_memory, starts, temperature=temperature)


def test_at_temperature_0_luck_has_no_part(
    tiny_vae: VAE, dreaming_memory: MDNRNN, starts: DreamStarts
) -> None:
    one_moment = DreamStarts(starts.z[:1], starts.hidden[:1], starts.cell[:1], starts.bounds)
    env = GymDream(tiny_vae, dreaming_memory, one_moment, temperature=0.0)
    assert np.array_equal(drive(env, seed=3), drive(env, seed=4))
    assert env.render() is None


def test_a_memory_without_an_outcome_head_is_refused(
    tiny_vae: VAE, tiny_memory: MDNRNN, starts: DreamStarts
) -> None:
    with pytest.raises(WorldModelsError, match=r"memory.outcome_weight: expected more than 0"):
        GymDream(tiny_vae, tiny_memory, starts)
