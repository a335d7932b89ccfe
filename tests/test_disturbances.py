"""Disturbances: each changes what it says, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from worldmodels.car_racing.compiled_batch import CompiledBatch
from worldmodels.car_racing.disturbances import (
    BLOB_COLOUR,
    COLOUR_OFFSET,
    DISTURBANCES,
    NOISE,
    Blob,
    Colours,
    Colours3,
    LateActions,
    LostFrames,
    Noise,
)
from worldmodels.car_racing.disturbed_task import DisturbedBatch, DisturbedTask
from worldmodels.car_racing.world import LAWN, LIGHT_LAWN, ROAD, Races
from worldmodels.core.checkpoint import Checkpoint
from worldmodels.rollouts.episode import Episode, Outcome
from worldmodels.training.disturbed_evaluation import DisturbedLog

SHAPE = (84, 96)  # gym's frame without its indicators
SEED = 4_000_000
RNG = np.random.default_rng


def frame_of(name: str, *, seed: int = SEED, steps: int = 55) -> NDArray[np.uint8]:
    """What is seen after some steps of rolling straight on."""
    batch = DisturbedTask(disturbance=name).make_batch(1, SHAPE)
    batch.reset(0, seed=seed, random_start=False)
    for _ in range(steps):
        batch.step([0], np.array([[0.0, 0.3, 0.0]]))
    return batch.frames([0])[0]


@pytest.fixture(scope="module")
def plain() -> NDArray[np.uint8]:
    return frame_of("none")


def test_none_is_the_compiled_car_racing(plain: NDArray[np.uint8]) -> None:
    batch = CompiledBatch(1, SHAPE)
    batch.reset(0, seed=SEED, random_start=False)
    for _ in range(55):
        batch.step([0], np.array([[0.0, 0.3, 0.0]]))
    assert np.array_equal(batch.frames([0])[0], plain)


@pytest.mark.parametrize("name", sorted(DISTURBANCES))
def test_tracks_and_physics_are_the_same_under_all(name: str) -> None:
    rng = RNG(3)
    ours, undisturbed = DisturbedBatch(2, SHAPE, DISTURBANCES[name]), CompiledBatch(2, SHAPE)
    for batch in (ours, undisturbed):
        batch.reset(1, seed=7, random_start=True)
    late = np.zeros((1, 3))
    for _ in range(40):
        action = rng.uniform((-1, 0, 0), (1, 1, 1), (1, 3))
        rewards, ends = ours.step([1], action)
        expected = undisturbed.step([1], late if name == "late_actions" else action)
        assert (rewards[0], ends) == (expected[0][0], expected[1])
        late = action
    assert ours.place(1) == undisturbed.place(1)


@pytest.mark.parametrize("name", sorted(set(DISTURBANCES) - {"late_actions"}))
def test_an_episode_is_disturbed_alike_in_any_company(name: str) -> None:
    steps = 12
    alone = frame_of(name, seed=5, steps=steps)
    batch = DisturbedTask(disturbance=name).make_batch(3, SHAPE)
    batch.reset(2, seed=6, random_start=False)  # another one in its place before
    for index, seed in ((2, 5), (0, 8)):
        batch.reset(index, seed=seed, random_start=False)
    for _ in range(steps):
        batch.step([0, 2], np.array([[0.0, 0.3, 0.0]] * 2))
    assert np.array_equal(batch.frames([2, 0, 2])[2], alone)
    assert np.array_equal(batch.frames([2])[0], alone)  # as often as one asks
    other = frame_of(name, seed=9, steps=steps)
    assert name == "none" or not np.array_equal(other, alone)


def painted(kind: type[Colours], seed: int) -> dict[str, NDArray[np.float32]]:
    races = Races(1)
    kind(RNG(seed)).paint(races.colours[0])
    return {name: races.colours[0][name] for name in ("lawn", "light", "road")}


def test_colours_are_shifted_as_attention_agent_s() -> None:
    drawn = [painted(Colours, seed) for seed in range(200)]
    for name, before in (("road", ROAD), ("lawn", LAWN)):
        offsets = np.array([colours[name] - before for colours in drawn])
        assert offsets == pytest.approx(offsets[:, :1].repeat(3, axis=1), abs=1e-4)
        assert np.abs(offsets).max() == pytest.approx(COLOUR_OFFSET, rel=0.03)
    assert all(np.array_equal(colours["light"], LIGHT_LAWN) for colours in drawn)
    assert len(np.unique(painted(Colours3, 0)["road"])) == 3


def test_colours_last_for_an_episode() -> None:
    batch = DisturbedBatch(1, SHAPE, Colours)
    seen = []
    for seed in (1, 2, 1):
        batch.reset(0, seed=seed, random_start=False)
        seen.append(batch.frames([0])[0])
    assert np.array_equal(seen[0], seen[2])
    assert not np.array_equal(seen[0], seen[1])


def test_random_colours_are_gym_s() -> None:
    from gym.envs.box2d.car_racing import CarRacing

    gym = CarRacing(domain_randomize=True)
    gym.np_random = RNG(11)
    gym._init_colors()
    races = Races(1)
    DISTURBANCES["random_colours"](RNG(11)).paint(races.colours[0])
    for name, theirs in (("road", "road_color"), ("lawn", "bg_color"), ("light", "grass_color")):
        assert races.colours[0][name] == pytest.approx(getattr(gym, theirs), abs=1e-4)


def test_bars_are_black_and_as_wide_as_attention_agent_s(plain: NDArray[np.uint8]) -> None:
    barred = frame_of("bars")
    assert not barred[:, :7].any()
    assert not barred[:, -7:].any()
    assert np.array_equal(barred[:, 7:-7], plain[:, 7:-7])


def test_the_blob_is_a_red_square_that_stays_beside_the_car(plain: NDArray[np.uint8]) -> None:
    with_blob = frame_of("blob")
    rows, columns = np.nonzero((with_blob != plain).any(axis=2))
    assert (with_blob[rows, columns] == BLOB_COLOUR).all()
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert len(rows) == height * width
    assert (width, height) == (pytest.approx(8 * 16.2 * 0.096, abs=1), pytest.approx(15.5, abs=1))
    assert columns.min() > 48 + 4  # right of the car
    assert rows.max() < 72  # and ahead
    small = Blob(RNG(0)).seen(np.zeros((96, 96, 3), np.uint8), 0.5)  # from above
    assert small.any(axis=2).sum() == pytest.approx(len(rows) / 4, rel=0.2)


def test_noise_has_its_deviation_and_is_new_in_every_frame() -> None:
    grey = np.full((96, 96, 3), 128, np.uint8)
    noise = Noise(RNG(0))
    one, other = noise.seen(grey, 0.0), noise.seen(grey, 0.02)
    assert one.dtype == np.uint8
    assert (one - grey.astype(float)).std() == pytest.approx(NOISE, rel=0.03)
    assert not np.array_equal(one, other)
    white = noise.seen(np.full((96, 96, 3), 255, np.uint8), 0.0)
    assert white.min() > 200  # it does not come round to black


def test_one_frame_in_ten_is_lost_and_the_one_before_seen_again() -> None:
    lost = LostFrames(RNG(0))
    seen = [int(lost.seen(np.full((1, 1, 1), step), 0.0)[0, 0, 0]) for step in range(2000)]
    assert seen[0] == 0
    delay = np.arange(2000) - seen
    assert 0.08 < (delay > 0).mean() < 0.12
    assert set(delay) <= {0, 1, 2, 3, 4}


def test_an_action_counts_a_step_late() -> None:
    late, actions = LateActions(RNG(0)), RNG(1).random((4, 3))
    counted = [late.acted(action) for action in actions]
    assert np.array_equal(counted, [np.zeros(3), *actions[:-1]])


def outcomes(*returns: float) -> list[Outcome]:
    return [
        Outcome(Episode(track_seed=SEED + index), value, 10, 5, "lap")
        for index, value in enumerate(returns)
    ]


def test_the_log_goes_on_and_scores_each_disturbance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    DisturbedLog(Checkpoint("evaluate_disturbed", tmp_path)).add("bars", outcomes(10.0, 30.0))
    log = DisturbedLog(Checkpoint("evaluate_disturbed", tmp_path))
    assert "going on after 1 disturbances" in capsys.readouterr().out
    log.add("blob", outcomes(5.0))
    assert log.scores() == {"bars": (20.0, pytest.approx(200**0.5)), "blob": (5.0, 0.0)}
    assert [row["seed"] for row in log.rows] == [SEED, SEED + 1, SEED]


@pytest.mark.parametrize("content", ["", "[1]", json.dumps([{"seed": 1}])])
def test_a_damaged_log_is_said_and_begun_anew(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "disturbed_episodes.json").write_text(content)
    assert DisturbedLog(Checkpoint("evaluate_disturbed", tmp_path)).rows == []
    assert "starting anew, its checkpoint is damaged" in capsys.readouterr().out
