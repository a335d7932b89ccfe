"""The agent's drives: noise on half of them, which the episode's noise seed alone decides.

`_policy` of a noisy policy is the one that a worker got by pickling.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from conftest import WriteEpisodes
from numpy.typing import NDArray
from project import FIRST, SECOND

from worldmodels.core.checkpoint import Checkpoint
from worldmodels.data.episodes import read_episodes
from worldmodels.models.controller import LinearController
from worldmodels.rollouts.episode import Episode, Outcome, noise_seed
from worldmodels.rollouts.episode_batch import EpisodeBatch
from worldmodels.rollouts.noisy_policy import NoisyPolicy, noisy_policy
from worldmodels.rollouts.sampling import SamplingParams, sampling_episodes

if TYPE_CHECKING:
    from worldmodels.car_racing.task import Task
    from worldmodels.models.memory import MDNRNN
    from worldmodels.models.vae import VAE
    from worldmodels.rollouts.policies import Policy

SPREAD = (0.3, 0.2, 0.1)
QUIET, NOISY = 9, 10  # tracks
STEPS = 30


class Chosen:
    """Chooses the middle of the action space, a little more of it in a brighter frame, and keeps
    what it is told."""

    MIDDLE = np.array([0.0, 0.5, 0.5], np.float32)

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.told: list[object] = []

    def set_candidates(self, candidates: NDArray[np.float64] | None) -> None:
        self.told.append(candidates)

    def begin(self, slot: int, episode: Episode) -> None:
        self.told.append((slot, episode))

    def act(
        self, frames: NDArray[np.uint8], slots: Sequence[int] | None = None
    ) -> NDArray[np.float32]:
        self.told.append((frames, slots))
        return self.MIDDLE + frames[:, :1, 0, 0].astype(np.float32) / 2000


def make(
    batch_size: int, *, spread: tuple[float, float, float] = SPREAD, inner: Policy | None = None
) -> NoisyPolicy:
    policy = inner or Chosen(batch_size)
    return NoisyPolicy(policy, spread, noisy=range(NOISY, NOISY + 5), batch_size=batch_size)


def frames_of(count: int, *, shade: int = 0) -> NDArray[np.uint8]:
    return np.full((count, 32, 32, 3), shade, np.uint8)


def drive(
    policy: NoisyPolicy, slot: int, *, track: int = NOISY, noise_seed: int = 5, steps: int = STEPS
) -> NDArray[np.float32]:
    """What a slot alone does for an episode, (steps, 3)."""
    policy.begin(slot, Episode(track_seed=track, noise_seed=noise_seed, steps=steps))
    return np.concatenate([policy.act(frames_of(1), [slot]) for _ in range(steps)])


def test_noise_is_on_the_noisy_tracks_alone() -> None:
    policy = make(3)
    for slot, track in enumerate((QUIET, NOISY, NOISY + 5)):
        policy.begin(slot, Episode(track_seed=track, noise_seed=5, steps=STEPS))
    actions = np.stack([policy.act(frames_of(3)) for _ in range(STEPS)])
    assert actions.dtype == np.float32
    assert (actions[:, [0, 2]] == Chosen.MIDDLE).all()
    assert (actions[:, 1] != Chosen.MIDDLE).all()


def test_noise_is_added_to_what_the_policy_chooses() -> None:
    dark, bright = make(1), make(1)
    for policy in (dark, bright):
        policy.begin(0, Episode(track_seed=NOISY, noise_seed=5, steps=STEPS))
    for _ in range(5):
        difference = bright.act(frames_of(1, shade=200)) - dark.act(frames_of(1))
        assert difference == pytest.approx(np.full((1, 3), 0.1), abs=1e-6)


@pytest.mark.parametrize("control", range(3))
def test_each_control_has_its_own_spread_and_wanders(control: int) -> None:
    spread = tuple(0.12 if other == control else 0.0 for other in range(3))
    policy = make(1, spread=spread)  # type: ignore[arg-type]
    actions = np.concatenate([drive(policy, 0, noise_seed=seed, steps=500) for seed in range(5)])
    noise = actions - Chosen.MIDDLE
    assert noise[:, control].std() == pytest.approx(0.12, rel=0.15)
    assert abs(noise[:, control].mean()) < 0.03
    assert np.corrcoef(noise[1:, control], noise[:-1, control])[0, 1] > 0.8
    assert not np.delete(noise, control, axis=1).any()


def test_actions_stay_in_the_action_space_and_reach_its_ends() -> None:
    actions = drive(make(1, spread=(10.0, 10.0, 10.0)), 0, steps=200)
    assert (actions.min(axis=0) == [-1, 0, 0]).all()
    assert (actions.max(axis=0) == [1, 1, 1]).all()


def test_noise_is_a_function_of_the_noise_seed_whatever_the_slot_and_the_company() -> None:
    alone = drive(make(1), 0)
    assert np.array_equal(drive(make(1), 0), alone)
    policy = make(4)
    policy.begin(1, Episode(track_seed=NOISY, noise_seed=6, steps=STEPS))
    for _ in range(3):
        policy.act(frames_of(1), [1])
    policy.begin(3, Episode(track_seed=NOISY + 1, noise_seed=5, steps=STEPS))
    together = np.stack([policy.act(frames_of(2), [1, 3])[1] for _ in range(STEPS - 3)])
    assert np.array_equal(together, alone[: STEPS - 3])
    assert not (drive(make(1), 0, noise_seed=6) == alone).any()
    assert not (drive(make(1), 0, noise_seed=0) == alone).any()


def test_a_new_episode_in_a_slot_has_noise_of_its_own_from_the_start_on() -> None:
    policy = make(1)
    drive(policy, 0, steps=7)
    assert np.array_equal(drive(policy, 0, noise_seed=6), drive(make(1), 0, noise_seed=6))
    assert (drive(policy, 0, track=QUIET) == Chosen.MIDDLE).all()
    assert np.array_equal(drive(policy, 0), drive(make(1), 0))


def test_the_policy_is_told_everything_as_it_comes() -> None:
    chosen = Chosen(2)
    policy = make(2, inner=chosen)
    candidates, frames, slots = np.ones((3, 4)), frames_of(2), [1]
    episode = Episode(track_seed=NOISY, steps=STEPS)
    policy.set_candidates(candidates)
    policy.begin(1, episode)
    policy.act(frames[:1], slots)
    policy.act(frames)
    assert chosen.told[0] is candidates
    assert chosen.told[1] == (1, episode)
    (one, its_slots), (both, no_slots) = chosen.told[2:]  # type: ignore[misc]
    assert np.array_equal(one, frames[:1])
    assert its_slots is slots
    assert both is frames
    assert no_slots is None


def test_slots_whose_episode_has_ended_or_never_began_may_act_on() -> None:
    policy = make(2)
    policy.begin(0, Episode(track_seed=NOISY, noise_seed=5, steps=3))
    for _ in range(8):
        assert policy.act(frames_of(2)).shape == (2, 3)


def test_a_worker_can_be_sent_it() -> None:
    maker = partial(noisy_policy, policy=Chosen, noise=SPREAD, noisy=range(NOISY, NOISY + 5))
    policy = pickle.loads(pickle.dumps(maker))(2)
    assert policy._policy.batch_size == 2
    assert np.array_equal(drive(policy, 1), drive(make(1), 0))


@pytest.mark.parametrize(("episodes", "noisy"), [(2, 1), (5, 3), (160, 80)])
def test_the_second_half_of_the_tracks_is_driven_with_noise(episodes: int, noisy: int) -> None:
    params = SamplingParams(
        policy="agent",
        episodes=episodes,
        steps=40,
        patience=None,
        random_start=True,
        noise=SPREAD,
        weight_noise=0.0,
        first_seed=600,
    )
    tracks = [episode.track_seed for episode in sampling_episodes(params, seed=0)]
    assert list(params.noisy_seeds) == tracks[-noisy:]
    assert len(tracks) == episodes


def test_every_other_track_of_the_first_half_is_driven_with_other_weights() -> None:
    params = SamplingParams(
        policy="agent",
        episodes=8,
        steps=40,
        patience=None,
        random_start=True,
        noise=SPREAD,
        weight_noise=0.5,
        first_seed=600,
    )
    episodes = sampling_episodes(params, seed=0)
    assert [episode.candidate for episode in episodes] == [0, 1, 0, 2, 0, 0, 0, 0]
    weights = np.arange(1000.0)
    candidates = params.candidates(weights, seed=0)
    assert candidates.shape == (3, 1000)
    assert np.array_equal(candidates[0], weights)
    for others in (candidates[1] - weights, candidates[2] - weights, candidates[1] - candidates[2]):
        assert 0.4 < others.std() < 0.8
    assert np.array_equal(params.candidates(weights, seed=0), candidates)
    assert not np.array_equal(params.candidates(weights, seed=1)[1], candidates[1])


class InThisProcess:
    """A rollout engine without workers."""

    def __init__(
        self,
        task: Task,
        make_policy: Callable[[int], Policy],
        *,
        image_shape: tuple[int, int],
        batch_size: int,
    ) -> None:
        self._batch = EpisodeBatch(task, slots=batch_size, image_shape=image_shape)
        self._policy = make_policy(batch_size)

    def play(
        self, episodes: Sequence[Episode], candidates: NDArray[np.float64]
    ) -> Iterator[Outcome]:
        self._policy.set_candidates(candidates)
        for episode in episodes:
            self._policy.begin(1, episode)
            self._batch.begin(1, episode)
            outcome = None
            while outcome is None:
                actions = self._policy.act(self._batch.frames([1]), [1])
                (outcome,) = self._batch.step([1], actions)
            yield outcome

    def __enter__(self) -> InThisProcess:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def test_the_stage_stores_half_of_the_drives_as_the_agent_s_own_and_half_with_noise(
    tiny_vae: VAE,
    tiny_memory: MDNRNN,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write_episodes: WriteEpisodes,
) -> None:
    from stages import sample as stage
    from worldmodels.models.agent_policy import AgentPolicy, agent_graphs

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stage, "make_engine", InThisProcess)
    Path("params.yaml").write_text(
        "base: {seed: 0, validation_share: 0.1}\nenv: {image_shape: [32, 32]}\n"
        "sampling: {policy: brownian, episodes: 4, steps: 12, patience: null, "
        "random_start: true, noise: [0, 0, 0], weight_noise: 0, first_seed: 1000}\n"
        "rounds: {second: {after: first, sampling: {policy: agent, "
        "noise: [0.3, 0.2, 0.1], first_seed: 6000}}}\n"
    )
    tiny_vae.save("models/first/vae.h5")
    tiny_memory.save("models/first/memory.h5")
    weights = np.random.default_rng(3).normal(size=(13, 3)).astype(np.float32)
    LinearController(weights, ("z", "h"), "sample").save("models/first/controller.h5")
    earlier = write_episodes(FIRST.episodes, [5, 3])
    stage.main(SECOND, Checkpoint("sample@second", tmp_path))

    graphs = agent_graphs(tiny_vae, tiny_memory, inputs=("z", "h"), latent="sample")
    agent = AgentPolicy(1, graphs=graphs)
    agent.set_candidates(weights.reshape(1, -1).astype(np.float64))
    stored = list(read_episodes(SECOND.episodes))
    assert [episode.track_seed for episode in stored] == [6000, 6001, 6002, 6003]
    undisturbed = []
    for episode in stored:
        track = episode.track_seed
        agent.begin(0, Episode(track_seed=track, noise_seed=noise_seed(0, track), steps=12))
        chosen = np.concatenate([agent.act(frame[None]) for frame in episode.frames])
        assert chosen.std(axis=0).max() > 1e-3  # it does look
        undisturbed.append(np.allclose(chosen, episode.actions, atol=1e-5))
    assert undisturbed == [True, True, False, False]
    metrics = json.loads(Path("metrics/second/sample.json").read_text())
    assert (metrics["episodes"], metrics["frames"]) == (4, 4 * 12)
    beside = list(read_episodes(SECOND.all_episodes[0]))  # to learn from as well
    assert [len(one.rewards) for one in beside] == [outcome.steps for outcome in earlier]
