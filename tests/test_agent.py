"""The agent: what C sees at every step, and that no slot's drive depends on its neighbours."""

from __future__ import annotations

import copy
import pickle
import shutil
from collections.abc import Callable
from contextlib import chdir
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

import worldmodels
from worldmodels.car_racing.frames import preprocess
from worldmodels.core.errors import WorldModelsError
from worldmodels.models.agent_policy import AgentPolicy, agent_graphs, policy_maker
from worldmodels.models.agent_process import Agent
from worldmodels.models.controller import LinearController, linear_layer
from worldmodels.models.memory import MDNRNN
from worldmodels.models.model_files import ModelFileError, file_digest
from worldmodels.models.vae import VAE
from worldmodels.rollouts.episode import Episode

SLOTS, STEPS = 3, 6
SHAPE = (4 + 8 + 1, 3)  # z, h and the bias


@pytest.fixture
def frames() -> NDArray[np.uint8]:
    """(steps, slots, 32, 32, 3), dark and bright."""
    rng = np.random.default_rng(0)
    brightness = rng.integers(20, 236, (STEPS, SLOTS, 1, 1, 3))
    noise = rng.integers(-20, 20, (STEPS, SLOTS, 32, 32, 3))
    return (brightness + noise).astype(np.uint8)


@pytest.fixture
def candidates() -> NDArray[np.float64]:
    return np.random.default_rng(4).normal(size=(SLOTS, SHAPE[0] * SHAPE[1]))


@pytest.fixture(scope="module")
def lively_vae() -> VAE:
    """One whose latents and variances differ from frame to frame."""
    vae = VAE((32, 32), 4, rng=np.random.default_rng(1))
    kernel, bias = vae.encoder.weights[-2:]
    kernel.assign(20 * kernel)
    bias.assign([0.0] * 4 + [-1.5] * 4)
    return vae


@pytest.fixture(scope="module")
def memory() -> MDNRNN:
    made = MDNRNN(4, 8, 2, rng=np.random.default_rng(2))
    made.feature_mean = np.random.default_rng(3).normal(size=12, scale=0.1).astype(np.float32)
    return made


@pytest.fixture(scope="module")
def make_policy(lively_vae: VAE, memory: MDNRNN) -> Callable[..., AgentPolicy]:
    """Each kind once, as its graph takes a second to build; `begin` starts it anew."""

    @cache
    def make(
        *, inputs: tuple[str, ...] = ("z", "h"), latent: str = "mean", batch_size: int = SLOTS
    ) -> AgentPolicy:
        graphs = agent_graphs(lively_vae, memory, inputs=inputs, latent=latent)
        return AgentPolicy(batch_size, graphs=graphs)

    return make


def begin_all(policy: AgentPolicy, candidates: NDArray[np.float64]) -> None:
    policy.set_candidates(candidates)
    for slot in range(SLOTS):
        policy.begin(slot, Episode(track_seed=0, noise_seed=slot, candidate=slot, steps=STEPS))


def expected_actions(
    vae: VAE,
    memory: MDNRNN,
    frames: NDArray[np.uint8],
    candidates: NDArray[np.float64],
    *,
    inputs: tuple[str, ...],
    latent: str,
) -> NDArray[np.float64]:
    """The loop of Ha & Schmidhuber 2018, section 2.4, one slot and one step at a time, around M's
    centre."""
    actions = np.zeros((STEPS, SLOTS, 3))
    for slot in range(SLOTS):
        noise = np.random.default_rng(slot).standard_normal((STEPS, 4), dtype=np.float32)
        hidden = cell = tf.zeros((1, 8))
        for step in range(STEPS):
            mean, log_var = vae.encode(frames[step, slot][None])
            z = mean + np.exp(log_var / 2) * noise[step] if latent == "sample" else mean
            parts = {
                "z": z[0] - memory.feature_mean[:4],
                "h": hidden.numpy()[0] - memory.feature_mean[4:],
            }
            known = np.concatenate([parts[name] for name in inputs])
            weights = candidates[slot].reshape(-1, 3)
            steering, gas, brake = np.tanh(known @ weights[:-1] + weights[-1])
            actions[step, slot] = steering, (gas + 1) / 2, np.clip(brake, 0, 1)
            action = tf.constant(actions[step, slot][None], tf.float32)
            hidden, cell = memory.step(tf.constant(z), action, hidden, cell)
    return actions


@pytest.mark.parametrize("latent", ["mean", "sample"])
@pytest.mark.parametrize("inputs", [("z",), ("z", "h")])
def test_actions_are_those_of_the_loop_written_out(
    make_policy: Callable[..., AgentPolicy],
    lively_vae: VAE,
    memory: MDNRNN,
    frames: NDArray[np.uint8],
    inputs: tuple[str, ...],
    latent: str,
) -> None:
    size = 3 * (13 if "h" in inputs else 5)
    candidates = np.random.default_rng(4).normal(size=(SLOTS, size))
    policy = make_policy(inputs=inputs, latent=latent)
    begin_all(policy, candidates)
    actions = np.stack([policy.act(seen) for seen in frames])
    expected = expected_actions(
        lively_vae, memory, frames, candidates, inputs=inputs, latent=latent
    )
    assert actions.dtype == np.float32
    assert actions == pytest.approx(expected, abs=1e-4)
    assert expected.std(axis=0)[:, :2].min() > 1e-3  # the actions tell the steps apart


def test_the_controller_s_h_is_what_the_last_step_left(
    make_policy: Callable[..., AgentPolicy], memory: MDNRNN, frames: NDArray[np.uint8]
) -> None:
    """With weights on h alone an action shows every frame but its own."""
    weights = np.zeros((SLOTS, *SHAPE))
    weights[:, 4:-1] = np.random.default_rng(5).normal(size=(SLOTS, 8, 3))
    weights[:, -1] = 0.1 + memory.feature_mean[4:] @ weights[:, 4:-1]  # 0.1 where h is zero
    policy = make_policy()

    def drive(seen: NDArray[np.uint8]) -> NDArray[np.float32]:
        begin_all(policy, weights.reshape(SLOTS, -1))
        return np.stack([policy.act(each) for each in seen])

    before = drive(frames)
    assert before[0] == pytest.approx(
        np.tile([np.tanh(0.1), (np.tanh(0.1) + 1) / 2, np.tanh(0.1)], (SLOTS, 1)), abs=1e-6
    )  # h is zero at first
    changed = frames.copy()
    changed[2] = 255 - changed[2]
    differs = np.abs(drive(changed) - before).max(axis=(1, 2)) > 1e-6
    assert differs.tolist() == [False, False, False, True, True, True]


def test_a_new_episode_forgets_the_last(
    make_policy: Callable[..., AgentPolicy],
    frames: NDArray[np.uint8],
    candidates: NDArray[np.float64],
) -> None:
    policy = make_policy(latent="sample")
    begin_all(policy, candidates)
    first = [policy.act(seen) for seen in frames]
    policy.begin(1, Episode(track_seed=3, noise_seed=1, candidate=1, steps=STEPS))
    again = [policy.act(seen) for seen in frames]
    for one, two in zip(first, again, strict=True):
        assert one[1].tobytes() == two[1].tobytes()
        assert one[0].tobytes() != two[0].tobytes()  # its memory went on


@pytest.mark.parametrize("batch_size", [5, 8, 16, 32])
def test_a_drive_is_the_same_to_the_bit_in_any_slot_and_any_company(
    make_policy: Callable[..., AgentPolicy], candidates: NDArray[np.float64], batch_size: int
) -> None:
    policy = make_policy(latent="sample", batch_size=batch_size)
    policy.set_candidates(candidates)
    rng = np.random.default_rng(6)
    seen = rng.integers(0, 256, (4, batch_size, 32, 32, 3), dtype=np.uint8)

    def drive(order: NDArray[np.int64], frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        for slot, job in enumerate(order):
            episode = Episode(track_seed=0, noise_seed=int(job), candidate=int(job) % SLOTS)
            policy.begin(slot, episode)
        return np.stack([policy.act(step) for step in frames], axis=1)

    in_order = np.arange(batch_size)
    actions = drive(in_order, seen)
    others = rng.integers(0, 256, seen.shape, dtype=np.uint8)
    for _ in range(4):
        order = rng.permutation(batch_size)
        assert drive(order, seen[:, order]).tobytes() == actions[order].tobytes()
        slot, job = rng.integers(batch_size, size=2)
        company, frames = 100 + in_order, others.copy()
        company[slot], frames[:, slot] = job, seen[:, job]
        assert drive(company, frames)[slot].tobytes() == actions[job].tobytes()


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 13, 31])
def test_a_drive_is_the_same_to_the_bit_at_every_batch_shape(
    make_policy: Callable[..., AgentPolicy], candidates: NDArray[np.float64], count: int
) -> None:
    policy = make_policy(latent="sample", batch_size=32)
    policy.set_candidates(candidates)
    rng = np.random.default_rng(6)
    seen = rng.integers(0, 256, (4, 32, 32, 32, 3), dtype=np.uint8)

    def drive(slots: list[int]) -> NDArray[np.float32]:
        for slot in range(32):
            policy.begin(slot, Episode(track_seed=0, noise_seed=slot, candidate=slot % SLOTS))
        return np.stack([policy.act(step[slots], slots) for step in seen], axis=1)

    slots = rng.permutation(32)[:count].tolist()
    assert drive(slots).tobytes() == drive(list(range(32)))[slots].tobytes()


def test_slots_that_are_not_asked_stay_where_they_were(
    make_policy: Callable[..., AgentPolicy],
    frames: NDArray[np.uint8],
    candidates: NDArray[np.float64],
) -> None:
    policy = make_policy(latent="sample")
    begin_all(policy, candidates)
    expected = np.stack([policy.act(seen) for seen in frames[:2]])
    begin_all(policy, candidates)
    for seen in frames[:2]:
        assert policy.act(seen[[2, 0]], [2, 0]).shape == (2, 3)
    late = [policy.act(seen[[1]], [1])[0] for seen in frames[:2]]
    assert np.array_equal(late, expected[:, 1])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_models_and_policies_can_be_pickled_and_copied(
    copied: Callable[..., Any],
    make_policy: Callable[..., AgentPolicy],
    lively_vae: VAE,
    memory: MDNRNN,
    frames: NDArray[np.uint8],
    candidates: NDArray[np.float64],
) -> None:
    vae, other = copied(lively_vae), copied(memory)
    assert np.array_equal(vae.encode(frames[0])[0], lively_vae.encode(frames[0])[0])
    vae.weights[0].assign_add(tf.ones_like(vae.weights[0]))  # and leaves the first alone
    assert not np.array_equal(vae.encode(frames[0])[0], lively_vae.encode(frames[0])[0])
    assert np.array_equal(other.feature_mean, memory.feature_mean)
    z, action = np.ones((1, 5, 4), np.float32), np.ones((1, 5, 3), np.float32)
    for one, two in zip(other.predict(z, action), memory.predict(z, action), strict=True):
        assert np.array_equal(one, two)
    controller = LinearController(np.ones(SHAPE, np.float32), ("z", "h"), "mean")
    assert np.array_equal(copied(controller).weights, controller.weights)
    policy = make_policy(latent="sample")
    begin_all(policy, candidates)
    for seen in frames[:3]:
        policy.act(seen)
    going_on = copied(policy)
    for seen in frames[3:]:
        assert np.array_equal(going_on.act(seen), policy.act(seen))


def test_seed_0_draws_its_own_repeatable_noise(
    make_policy: Callable[..., AgentPolicy],
    frames: NDArray[np.uint8],
    candidates: NDArray[np.float64],
) -> None:
    policy = make_policy(latent="sample")
    policy.set_candidates(candidates)

    def first_action(noise_seed: int) -> bytes:
        policy.begin(0, Episode(track_seed=0, noise_seed=noise_seed, steps=2))
        return policy.act(frames[0])[0].tobytes()

    assert first_action(0) == first_action(0)
    assert first_action(0) != first_action(1)


def test_the_mean_latent_draws_no_noise(
    make_policy: Callable[..., AgentPolicy],
    frames: NDArray[np.uint8],
    candidates: NDArray[np.float64],
) -> None:
    policy = make_policy(latent="mean")
    policy.set_candidates(candidates)
    actions = set()
    for noise_seed in (0, 1):
        policy.begin(0, Episode(track_seed=0, noise_seed=noise_seed))
        actions.add(policy.act(frames[0])[0].tobytes())
    assert len(actions) == 1


def test_actions_stay_in_gym_s_ranges(
    make_policy: Callable[..., AgentPolicy], frames: NDArray[np.uint8]
) -> None:
    policy = make_policy()
    for scale in (1.0, 1e6):
        begin_all(policy, np.random.default_rng(7).normal(size=(SLOTS, 39)) * scale)
        for seen in frames:
            action = policy.act(seen)
            assert (action >= [-1, 0, 0]).all()
            assert (action <= [1, 1, 1]).all()


def test_the_paper_s_controller_has_867_numbers() -> None:
    assert linear_layer(("z", "h"), latent_dim=32, hidden_units=256).parameters == 867
    assert linear_layer(("z",), latent_dim=32, hidden_units=256).shape == (33, 3)


@pytest.mark.parametrize("shape", [(2, 38), (39,), (1, 13, 3)])
def test_controllers_of_another_size_are_refused(
    make_policy: Callable[..., AgentPolicy], shape: tuple[int, ...]
) -> None:
    with pytest.raises(WorldModelsError, match=r"controller: expected 39 parameters.*got \("):
        make_policy().set_candidates(np.zeros(shape))


def test_no_controllers_at_all_are_refused(make_policy: Callable[..., AgentPolicy]) -> None:
    with pytest.raises(WorldModelsError, match=r"expected candidates to drive, got none"):
        make_policy().set_candidates(None)


def test_a_vae_and_a_memory_that_disagree_are_refused(tiny_vae: VAE) -> None:
    other = MDNRNN(5, 8, 2, rng=np.random.default_rng(0))
    with pytest.raises(WorldModelsError, match=r"of 4 numbers.*a memory for 5.*dvc repro"):
        agent_graphs(tiny_vae, other, inputs=("z",), latent="mean")


@pytest.fixture(scope="module")
def agent_folder(lively_vae: VAE, memory: MDNRNN, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    lively_vae.save(folder / "vae.h5")
    memory.save(folder / "memory.h5")
    weights = np.random.default_rng(4).normal(size=SHAPE).astype(np.float32)
    LinearController(weights, ("z", "h"), "sample").save(folder / "controller.h5")
    return folder


@pytest.fixture(scope="module")
def agent(agent_folder: Path) -> Agent:
    with chdir(agent_folder):  # its process would note in a checkout's scratch what it validated
        return Agent.load(agent_folder)


@pytest.fixture
def gym_frames() -> NDArray[np.uint8]:
    """(steps, 2, 96, 96, 3)."""
    return np.random.default_rng(8).integers(0, 256, (3, 2, 96, 96, 3), dtype=np.uint8)


def test_the_agent_sees_what_sampling_stores(agent: Agent, gym_frames: NDArray[np.uint8]) -> None:
    agent.reset(batch_size=2)
    for frames in gym_frames:
        agent.act(frames)
        seen, *_ = agent.view()
        assert np.array_equal(seen, [preprocess(frame, (32, 32)) for frame in frames])


def test_the_agent_acts_as_its_policy_does(agent: Agent, gym_frames: NDArray[np.uint8]) -> None:
    agent.reset(seed=5)
    actions = [agent.act(frames[0]) for frames in gym_frames]
    graphs = agent_graphs(agent.vae, agent.memory, inputs=("z", "h"), latent="sample")
    policy = AgentPolicy(1, graphs=graphs)
    policy.set_candidates(agent.controller.weights.reshape(1, -1).astype(np.float64))
    policy.begin(0, Episode(track_seed=1, noise_seed=5))
    for frames, action in zip(gym_frames, actions, strict=True):
        assert action.shape == (3,)
        expected = policy.act(preprocess(frames[0], (32, 32))[None])[0]
        assert action == pytest.approx(expected, abs=1e-6)  # this process has other threads


def test_a_reset_begins_anew_and_seed_0_is_a_seed(
    agent: Agent, gym_frames: NDArray[np.uint8]
) -> None:
    def drive(seed: int) -> list[bytes]:
        agent.reset(batch_size=2, seed=seed)
        return [agent.act(frames).tobytes() for frames in gym_frames]

    zero = drive(0)
    assert drive(1) != zero
    assert drive(0) == zero


def test_a_batch_gives_a_batch(agent: Agent, gym_frames: NDArray[np.uint8]) -> None:
    agent.reset(batch_size=2)
    action = agent.act(gym_frames[0])
    assert action.shape == (2, 3)
    assert action.dtype == np.float32


def test_frames_that_do_not_fit_are_refused(agent: Agent, gym_frames: NDArray[np.uint8]) -> None:
    agent.reset()
    with pytest.raises(WorldModelsError, match=r"frames: expected 1.*reset, got 2"):
        agent.act(gym_frames[0])
    with pytest.raises(WorldModelsError, match=r"frame: expected \(96, 96, 3\) uint8"):
        agent.act(gym_frames[0, 0, :60])


def test_a_missing_part_is_named(
    agent_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(agent_folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "memory.h5").unlink()
    with pytest.raises(ModelFileError, match=rf"{tmp_path}/memory.h5: no such file"):
        Agent.load(tmp_path)


def test_a_memory_fitted_to_another_vae_is_refused(
    agent_folder: Path, tmp_path: Path, tiny_memory: MDNRNN, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(agent_folder, tmp_path, dirs_exist_ok=True)
    vae, memory = tmp_path / "vae.h5", tmp_path / "memory.h5"

    def load_policy() -> AgentPolicy:
        return policy_maker(tmp_path, inputs=("z", "h"), latent="mean")(2)

    tiny_memory.vae_digest = file_digest(vae)
    tiny_memory.save(memory)
    Agent.load(tmp_path)
    load_policy()
    VAE((32, 32), 4, rng=np.random.default_rng(9)).save(vae)
    for load in (lambda: Agent.load(tmp_path), load_policy):
        with pytest.raises(WorldModelsError, match=r"memory.h5: expected .* another VAE's; run"):
            load()


def test_a_controller_that_does_not_fit_is_refused(
    agent: Agent, agent_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(agent_folder, tmp_path, dirs_exist_ok=True)
    LinearController(np.zeros((9, 3), np.float32), ("z", "h"), "mean").save(
        tmp_path / "controller.h5"
    )
    with pytest.raises(WorldModelsError, match=r"controller: expected 39 parameters"):
        Agent.load(tmp_path)
    before = agent.controller
    with pytest.raises(WorldModelsError, match=r"controller: expected 39 parameters"):
        agent.controller = LinearController.load(tmp_path / "controller.h5")
    assert agent.controller is before


def test_an_agent_can_be_given_another_controller(
    agent: Agent, lively_vae: VAE, memory: MDNRNN, gym_frames: NDArray[np.uint8]
) -> None:
    before = agent.controller
    weights = np.random.default_rng(11).normal(size=(5, 3)).astype(np.float32)
    agent.controller = LinearController(weights, ("z",), "mean")
    agent.reset(seed=3)
    actions = [agent.act(frames[0]) for frames in gym_frames]
    graphs = agent_graphs(lively_vae, memory, inputs=("z",), latent="mean")
    policy = AgentPolicy(1, graphs=graphs)
    policy.set_candidates(weights.reshape(1, -1).astype(np.float64))
    policy.begin(0, Episode(track_seed=1))
    for frames, action in zip(gym_frames, actions, strict=True):
        expected = policy.act(preprocess(frames[0], (32, 32))[None])[0]
        assert action == pytest.approx(expected, abs=1e-6)  # this process has other threads
    agent.controller = before


def test_the_names_of_the_package_load_when_they_are_used() -> None:
    assert worldmodels.Agent is Agent
    assert worldmodels.VAE is VAE
    assert worldmodels.MDNRNN is MDNRNN
    assert callable(worldmodels.read_episodes)
    assert sorted(worldmodels.__all__) == ["Agent", "MDNRNN", "VAE", "__version__", "read_episodes"]
    with pytest.raises(AttributeError, match=r"no attribute 'Dreamer'"):
        _ = worldmodels.Dreamer
