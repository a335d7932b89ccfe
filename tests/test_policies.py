"""Exploring policies: actions in range that depend on the episode's noise seed alone."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from conftest import MakeOutcome
from numpy.typing import NDArray

from worldmodels.episode_play import Episode, noise_seed
from worldmodels.params import ParameterError
from worldmodels.policies import POLICIES, BrownianPolicy, PolicyName, ScriptedPolicy, UniformPolicy
from worldmodels.sampling import SamplingParams, SamplingSummary, sampling_episodes
from worldmodels.telemetry import COLUMNS

EVERY_POLICY = pytest.mark.parametrize("policy", [BrownianPolicy, UniformPolicy])


def play(
    policy: ScriptedPolicy, slot: int, noise_seed: int, steps: int, *, shade: int = 0
) -> NDArray[np.float32]:
    """What a slot does for an episode, (steps, 3), seeing frames of this shade."""
    policy.begin(slot, Episode(track_seed=9, noise_seed=noise_seed, steps=steps))
    frames = np.full((3, 32, 32, 3), shade, np.uint8)
    return np.stack([policy.act(frames)[slot] for _ in range(steps)])


@EVERY_POLICY
def test_actions_are_a_function_of_the_noise_seed_alone(policy: type[ScriptedPolicy]) -> None:
    driver = policy(3)
    first = play(driver, 0, 5, 20)
    play(driver, 1, 6, 7)  # another episode beside it
    assert np.array_equal(play(driver, 2, 5, 20, shade=255), first)
    assert not np.array_equal(play(driver, 2, 6, 20), first)


@EVERY_POLICY
def test_seed_0_has_its_own_repeatable_actions(policy: type[ScriptedPolicy]) -> None:
    zero = play(policy(3), 0, 0, 20)
    assert np.array_equal(play(policy(3), 0, 0, 20), zero)
    assert not np.array_equal(play(policy(3), 0, 1, 20), zero)


@EVERY_POLICY
def test_the_global_generator_has_no_part_and_is_left_alone(policy: type[ScriptedPolicy]) -> None:
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = play(policy(3), 0, 0, 20)
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    assert np.array_equal(play(policy(3), 0, 0, 20), first)


@EVERY_POLICY
def test_actions_stay_in_gym_s_ranges_and_use_them(policy: type[ScriptedPolicy]) -> None:
    actions = np.concatenate([play(policy(3), 0, seed, 500) for seed in range(5)])
    assert actions.dtype == np.float32
    assert (actions >= [-1, 0, 0]).all()
    assert (actions <= [1, 1, 1]).all()
    assert actions[:, 0].min() < -0.8
    assert actions[:, 0].max() > 0.8
    assert actions[:, 1].max() > 0.6
    assert abs(actions[:, 0].mean()) < 0.1


def test_brownian_controls_wander_and_uniform_ones_jump() -> None:
    def likeness_of_neighbours(policy: ScriptedPolicy) -> float:
        steering = np.concatenate([play(policy, 0, seed, 500)[:, 0] for seed in range(5)])
        return float(np.corrcoef(steering[:-1], steering[1:])[0, 1])

    assert likeness_of_neighbours(BrownianPolicy(3)) > 0.8
    assert abs(likeness_of_neighbours(UniformPolicy(3))) < 0.1


def test_a_brownian_car_gets_going() -> None:
    actions = np.concatenate([play(BrownianPolicy(3), 0, seed, 500) for seed in range(5)])
    assert actions[:, 1].mean() > 2 * actions[:, 2].mean()


def test_every_name_of_params_is_a_policy() -> None:
    assert sorted(POLICIES) == sorted(get_args(PolicyName))


PARAMS = SamplingParams(
    policy="brownian", episodes=3, steps=40, patience=20, random_start=True, first_seed=0
)


def test_sampling_records_one_episode_a_track() -> None:
    episodes = sampling_episodes(PARAMS, seed=0)
    assert [episode.track_seed for episode in episodes] == [0, 1, 2] == list(PARAMS.seeds)
    for episode in episodes:
        assert (episode.steps, episode.patience, episode.random_start) == (40, 20, True)
        assert episode.record


def test_noise_differs_by_run_and_by_track_and_0_is_a_seed() -> None:
    seeds = {
        (seed, episode.track_seed): episode.noise_seed
        for seed in (0, 1, 2)
        for episode in sampling_episodes(PARAMS, seed=seed)
    }
    assert len(set(seeds.values())) == 9
    assert seeds[0, 0] == noise_seed(0, 0) == sampling_episodes(PARAMS, seed=0)[0].noise_seed


def test_the_summary_counts_rewards_frames_and_the_road(make_outcome: MakeOutcome) -> None:
    summary = SamplingSummary()
    returns = []
    for index, length in enumerate((4, 6)):
        recording = make_outcome(index, length).recorded
        recording.privileged[:, COLUMNS.index("road_distance")] = [6, -6, 7, -7, 0, 0][:length]
        summary.add(recording)
        returns.append(recording.rewards.sum())
    metrics = summary.metrics()
    assert metrics["episodes"] == 2
    assert metrics["frames"] == 10
    assert metrics["return_mean"] == pytest.approx(np.mean(returns))
    assert metrics["on_road_share"] == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("key", "value"), [("episodes", 1), ("steps", 1), ("steps", 1001), ("patience", 1)]
)
def test_params_that_make_no_sense_are_refused(key: str, value: int) -> None:
    with pytest.raises(ParameterError, match=rf"{key}: expected"):
        SamplingParams(**{**vars(PARAMS), key: value})
