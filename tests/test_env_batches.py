"""Batches of environments: the compiled one against gym's own, and its slots against each other."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from gym.envs.box2d.car_racing import CarRacing
from numpy.typing import NDArray
from test_race import DRIVERS

from worldmodels.car_racing.compiled_batch import CompiledBatch
from worldmodels.car_racing.environment import FastCarRacing
from worldmodels.car_racing.frames import preprocess
from worldmodels.car_racing.gym_batch import GymBatch, stock_car_racing
from worldmodels.car_racing.task import CarRacingTask, EnvBatch

IMAGE_SHAPE = (32, 40)
SLOT = 1  # of two: the other one stands still


class Black(CarRacing):
    """gym's, without its drawing, which has no effect on anything else."""

    def _render(self, mode: str) -> NDArray[np.uint8]:
        return np.zeros((96, 96, 3), np.uint8)


def noise_actions(steps: int, count: int) -> NDArray[np.float64]:
    """(steps, count, 3), each held for 7 steps."""
    rng = np.random.default_rng(0)
    return np.repeat(rng.uniform([-1, 0, 0], [1, 1, 0.3], (steps // 7 + 1, count, 3)), 7, axis=0)


@pytest.mark.parametrize(
    ("name", "seed", "end"),
    [
        ("at 50", 0, None),
        ("white_noise", 3, None),
        ("on_the_grass", 2, None),
        ("a lap at 35", 7, "lap"),
        ("off_the_field", 6, "off_field"),
    ],
)
def test_an_episode_is_the_same_in_both(name: str, seed: int, end: str | None) -> None:
    made: list[CarRacing] = []

    def make_env() -> CarRacing:
        made.append(Black())
        return made[-1]

    batches: tuple[EnvBatch, EnvBatch] = (
        GymBatch(make_env, 2, IMAGE_SHAPE),
        CompiledBatch(2, IMAGE_SHAPE),
    )
    for batch in batches:
        batch.reset(0, seed=50, random_start=False)
        batch.reset(SLOT, seed=seed, random_start=False)
    measures = [batch.privileged(SLOT) for batch in batches]
    roads = [batch.road(SLOT) for batch in batches]
    assert roads[1].dtype == np.float32
    assert np.array_equal(roads[0], roads[1])
    noise = np.random.default_rng(seed)
    ended = None
    for step in range(3000 if end else 600):
        expected, got = ((batch.progress(SLOT), batch.place(SLOT)) for batch in batches)
        assert got == expected
        privileged, ours = (measure() for measure in measures)
        assert ours == pytest.approx(privileged, abs=1e-6)
        action = DRIVERS[name](made[-1], step, noise)[None]
        (rewards, ends), (our_rewards, our_ends) = (batch.step([SLOT], action) for batch in batches)
        assert our_rewards.tolist() == rewards.tolist()
        assert our_ends == ends
        (ended,) = ends
        if ended:
            break
    assert ended == end


def test_the_road_begins_under_the_car_and_progress_grows_along_it() -> None:
    """What both could have wrong together."""
    batch = CompiledBatch(1, IMAGE_SHAPE)
    batch.reset(0, seed=0, random_start=False)
    road, (x, y, _), first = batch.road(0), batch.place(0), batch.progress(0)
    assert (x, y) == pytest.approx(tuple(road[0, 1:]), abs=0.5)
    for _ in range(100):
        batch.step([0], np.array([[0.0, 0.3, 0.0]]))
    x, y, speed = batch.place(0)
    assert batch.progress(0) > first > 0
    assert np.hypot(*(road[:, 1:] - (x, y)).T).argmin() >= 3
    assert speed > 10


@pytest.mark.parametrize("image_shape", [(32, 40), (60, 80), (64, 64), (84, 96), (96, 96)])
def test_frames_are_the_environment_s_preprocessed(image_shape: tuple[int, int]) -> None:
    batch, env = CompiledBatch(2, image_shape), FastCarRacing()
    batch.reset(SLOT, seed=3, random_start=False)
    frame, _ = env.reset(seed=3)
    for action in noise_actions(70, 1):
        (got,) = batch.frames([SLOT])
        assert np.array_equal(got, preprocess(frame, image_shape))
        frame, *_ = env.step(action[0])
        batch.step([SLOT], action)


def test_frames_of_gym_s_own_are_the_environment_s_preprocessed() -> None:
    batch, env = GymBatch(stock_car_racing, 2, IMAGE_SHAPE), CarRacing()
    batch.reset(0, seed=4, random_start=False)
    batch.reset(SLOT, seed=3, random_start=False)
    frame, _ = env.reset(seed=3)
    for action in noise_actions(10, 1):
        _, got = batch.frames([0, SLOT])
        assert np.array_equal(got, preprocess(frame, IMAGE_SHAPE))
        frame, *_ = env.step(action[0])
        batch.step([SLOT], action)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_random_start_is_the_environment_s(seed: int) -> None:
    batch, env = CompiledBatch(2, IMAGE_SHAPE), FastCarRacing()
    batch.reset(SLOT, seed=seed, random_start=True)
    frame, _ = env.reset(seed=seed, options={"start_tile": "random"})
    assert batch.place(SLOT)[:2] == env.car.hull.position
    assert batch.place(SLOT)[:2] != pytest.approx(tuple(batch.road(SLOT)[0, 1:]), abs=5)
    for action in noise_actions(60, 1):
        assert np.array_equal(batch.frames([SLOT])[0], preprocess(frame, IMAGE_SHAPE))
        rewards, _ = batch.step([SLOT], action)
        frame, reward, *_ = env.step(action[0])
        assert rewards.tolist() == [reward]
        assert batch.progress(SLOT) == env.tile_visited_count


def test_random_starts_are_none_of_gym_s_own() -> None:
    batch = GymBatch(Black, 1, IMAGE_SHAPE)
    places = []
    for random_start in (False, True):
        batch.reset(0, seed=0, random_start=random_start)
        places.append(batch.place(0))
    assert places[0] == places[1]


def seen(batch: EnvBatch, slot: int, reward: float, end: Any) -> tuple[Any, ...]:
    values = batch.privileged(slot)().tobytes(), batch.frames([slot]).tobytes()
    return (reward, end, batch.progress(slot), batch.place(slot), *values)


def alone(seed: int, actions: NDArray[np.float64]) -> list[tuple[Any, ...]]:
    """What is seen of an episode in a batch of its own, step by step."""
    batch = CompiledBatch(1, IMAGE_SHAPE)
    batch.reset(0, seed=seed, random_start=False)
    found = []
    for action in actions:
        rewards, ends = batch.step([0], action[None])
        found.append(seen(batch, 0, rewards[0], ends[0]))
    return found


def test_other_slots_make_no_difference() -> None:
    """They run in changing company and order, and an episode begins beside the others."""
    steps, actions = 45, noise_actions(45, 3)
    expected = [alone(seed, actions[:, seed]) for seed in range(3)]
    batch = CompiledBatch(3, IMAGE_SHAPE)
    for slot in range(2):
        batch.reset(slot, seed=slot, random_start=False)
    done = [0, 0, 0]
    for turn in range(3 * steps):
        if turn == 20:
            batch.reset(2, seed=2, random_start=False)
        company = ([1, 0], [0], [2, 1], [1, 2, 0], [2])[turn % 5]
        slots = [slot for slot in company if done[slot] < steps and (slot < 2 or turn >= 20)]
        if not slots:
            continue
        rows = np.array([actions[done[slot], slot] for slot in slots])
        rewards, ends = batch.step(slots, rows)
        frames = batch.frames(slots)
        for slot, reward, end, frame in zip(slots, rewards, ends, frames, strict=True):
            assert seen(batch, slot, reward, end) == expected[slot][done[slot]]
            assert np.array_equal(frame, batch.frames([slot])[0])
            done[slot] += 1
    assert done == [steps] * 3


def test_a_new_episode_in_a_slot_has_nothing_of_the_one_before() -> None:
    actions = noise_actions(60, 2)
    batch = CompiledBatch(1, IMAGE_SHAPE)
    for seed in (1, 0, 1):
        batch.reset(0, seed=seed, random_start=False)
        for action, expected in zip(actions[:, seed], alone(seed, actions[:, seed]), strict=True):
            rewards, ends = batch.step([0], action[None])
            assert seen(batch, 0, rewards[0], ends[0]) == expected


def test_the_picture_for_people_is_the_slot_s_own() -> None:
    batch, stock = CompiledBatch(2, IMAGE_SHAPE), GymBatch(stock_car_racing, 2, IMAGE_SHAPE)
    env = FastCarRacing(render_mode="rgb_array")
    env.reset(seed=3)
    for each in (batch, stock):
        each.reset(0, seed=4, random_start=False)
        each.reset(SLOT, seed=3, random_start=False)
    for action in noise_actions(60, 1):
        env.step(action[0])
        for each in (batch, stock):
            each.step([SLOT], action)
    picture = batch.render(SLOT)
    assert (picture.shape, picture.dtype) == ((400, 600, 3), np.uint8)
    assert np.array_equal(picture, env.render())
    assert np.abs(picture.astype(int) - stock.render(SLOT)).mean() < 1
    assert np.abs(picture.astype(int) - batch.render(0)).mean() > 5


def test_the_task_makes_gym_s_own_for_evaluation_and_else_the_compiled_one() -> None:
    for task, kind in ((CarRacingTask(), CompiledBatch), (CarRacingTask(stock=True), GymBatch)):
        assert type(task.make_batch(1, IMAGE_SHAPE)) is kind


PLAYED = """
import sys
import numpy as np
from numba.core.dispatcher import Dispatcher
from worldmodels.car_racing.task import CarRacingTask
from worldmodels.rollouts.episode import Episode
from worldmodels.rollouts.episode_batch import EpisodeBatch

def compiled():
    modules = [module for name, module in sys.modules.items() if name.startswith("worldmodels.")]
    found = {value for module in modules for value in vars(module).values()
             if isinstance(value, Dispatcher)}
    return sum(len(function.signatures) for function in found)

before = compiled()
task = CarRacingTask()
task.prepare((32, 40))
prepared = compiled()
batch = EpisodeBatch(task, slots=3, image_shape=(32, 40))
for slot in range(3):
    batch.begin(slot, Episode(slot, steps=5, record=True, trace=True, random_start=slot == 1))
for slots in (range(3), [2, 0]):
    batch.frames(list(slots))
    batch.step(list(slots), np.zeros((len(slots), 3), np.float32))
print(prepared > before, compiled() - prepared)
"""


def test_what_was_prepared_needs_no_more_compiling() -> None:
    ran = subprocess.run([sys.executable, "-c", PLAYED], capture_output=True, text=True, check=True)
    assert ran.stdout == "True 0\n", ran.stderr
