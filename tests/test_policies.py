"""Exploring policies: actions in range that depend on the episode's noise seed alone."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from conftest import MakeOutcome
from numpy.typing import NDArray

from worldmodels.car_racing.telemetry import COLUMNS
from worldmodels.rollouts.episode import Episode, noise_seed
from worldmodels.rollouts.policies import (
    POLICIES,
    BrownianPolicy,
    PolicyName,
    RandomAgentPolicy,
    ScriptedPolicy,
    UniformPolicy,
)
from worldmodels.rollouts.sampling import SamplingParams, SamplingSummary, sampling_episodes

EVERY_POLICY = pytest.mark.parametrize("policy", POLICIES.values())
ACTIVE_POLICY = pytest.mark.parametrize("policy", [BrownianPolicy, UniformPolicy])


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


@ACTIVE_POLICY
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


RANDOM_AGENTS = [
    RandomAgentPolicy(1).script(400, rng=np.random.default_rng(seed)) for seed in range(600)
]


def test_random_agents_weights_are_cauchy_of_a_scale_up_to_a_hundredth() -> None:
    """Held against the norms of such weights, drawn the plain way."""
    rng = np.random.default_rng(0)
    weights = rng.standard_cauchy((5000, 32)) * rng.uniform(0, 0.01, (5000, 1))
    norms = np.linalg.norm(weights, axis=1)
    # Gas, not steering: the largest norms saturate either, and half of the brake is clipped away.
    got = [np.std(np.arctanh(np.clip(2 * gas - 1, -0.999, 0.999))) for _, gas, _ in _columns()]
    for share in (0.1, 0.25, 0.5, 0.75):
        assert np.quantile(got, share) == pytest.approx(np.quantile(norms, share), rel=0.2)


def test_random_agents_scale_is_drawn_for_an_episode_and_shared_by_its_controls() -> None:
    spreads = np.log([[np.std(steering), np.std(gas)] for steering, gas, _ in _columns()])
    assert np.corrcoef(spreads.T)[0, 1] > 0.2


def test_random_agents_act_on_normal_noise_that_is_new_at_each_step() -> None:
    lively = [steering for steering, _, _ in _columns() if 0.3 < np.std(steering) < 0.5]
    assert len(lively) > 10
    for steering in lively:
        before_squashing = np.arctanh(steering)
        z = (before_squashing - before_squashing.mean()) / before_squashing.std()
        assert np.mean(np.abs(z) < 1) == pytest.approx(0.683, abs=0.09)
        assert abs(np.corrcoef(z[1:], z[:-1])[0, 1]) < 0.2


def test_random_agents_rest_at_half_gas_and_brake_half_of_the_time() -> None:
    actions = np.concatenate(RANDOM_AGENTS)
    assert (actions >= [-1, 0, 0]).all()
    assert (actions <= 1).all()
    assert np.median(actions, axis=0) == pytest.approx([0, 0.5, 0], abs=0.02)
    assert np.mean(actions[:, 2] == 0) == pytest.approx(0.5, abs=0.05)
    assert np.mean(actions[:, 2] > 0.9) > 0.001


def _columns() -> list[NDArray[np.float64]]:
    """Steering, gas and brake of each random agent, (3, steps)."""
    return [actions.T for actions in RANDOM_AGENTS]


def test_every_name_of_params_is_a_policy() -> None:
    assert sorted(POLICIES) == sorted(get_args(PolicyName))


PARAMS = SamplingParams(
    policy="brownian",
    episodes=3,
    steps=40,
    patience=20,
    random_start=True,
    noise=(0, 0, 0),
    weight_noise=0.0,
    first_seed=0,
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
