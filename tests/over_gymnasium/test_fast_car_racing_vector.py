"""Many CarRacings in one call against gymnasium's SyncVectorEnv of as many."""

from typing import Any

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium", reason="`make test` runs it in .venv-gymnasium")

from worldmodels.car_racing import world  # noqa: E402

ENVS = 5


def made(mode: str | None, **arguments: Any) -> Any:
    name = "worldmodels:FastCarRacing-v3"
    return gymnasium.make_vec(name, ENVS, vectorization_mode=mode, **arguments)


@pytest.mark.parametrize("continuous", [True, False])
@pytest.mark.parametrize("threads", [1, 3])
def test_it_is_gymnasium_s_sync_vector_env(
    continuous: bool, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("STEPS_A_THREAD", "FRAMES_A_THREAD"):
        monkeypatch.setattr(world, name, 1)  # threads for as few as these
    arguments = {"continuous": continuous, "lap_complete_percent": 0.02}
    sync = made("sync", **arguments)
    ours = made(None, threads=threads, **arguments)
    assert ours.action_space == sync.action_space
    assert ours.observation_space == sync.observation_space
    assert ours.metadata["autoreset_mode"] is sync.metadata["autoreset_mode"]
    rng = np.random.default_rng(0)
    pairs = [(sync.reset(seed=3), ours.reset(seed=3))]
    ended = 0
    for _ in range(400 if continuous else 60):
        if continuous:  # away from the middle, off the field
            angles = np.array([env.unwrapped.car.hull.angle for env in sync.envs])
            steering = np.where(angles > -1.2, 0.6, 0.0)
            actions = np.stack([steering, np.full(ENVS, 0.7), np.zeros(ENVS)], axis=1)
        else:
            actions = rng.integers(5, size=ENVS)
        (expected, got) = sync.step(actions), ours.step(actions)
        for one, other in zip(expected[:4], got[:4], strict=True):
            assert np.array_equal(one, other)
        assert set(expected[4]) == set(got[4])
        for key in expected[4]:
            assert np.array_equal(expected[4][key], got[4][key])
        ended += expected[2].sum()
        pairs.append((expected, got))
    assert ended > 0 or not continuous
    assert np.array_equal(pairs[0][0][0], pairs[0][1][0])


def test_an_episode_is_truncated_after_its_steps_and_the_next_step_resets() -> None:
    sync, ours = made("sync", max_episode_steps=7), made(None, max_episode_steps=7)
    sync.reset(seed=0), ours.reset(seed=0)
    for _ in range(20):
        expected, got = (env.step(np.zeros((ENVS, 3), np.float32)) for env in (sync, ours))
        for one, other in zip(expected[:4], got[:4], strict=True):
            assert np.array_equal(one, other)


@pytest.mark.parametrize("actions", [np.zeros((ENVS, 2)), np.full((ENVS, 3), np.nan)])
def test_actions_that_are_none_are_refused(actions: np.ndarray) -> None:
    env = made(None)
    env.reset(seed=0)
    with pytest.raises(gymnasium.error.InvalidAction, match="finite numbers"):
        env.step(actions)
    with pytest.raises(ValueError, match="seed: expected 5 of them, got 2"):
        env.reset(seed=[1, 2])
