"""The frames that V is judged by: which they are, what is on them, what they cover."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import WriteEpisodes
from numpy.typing import NDArray

from worldmodels.car_racing.environment import FastCarRacing
from worldmodels.car_racing.frames import preprocess
from worldmodels.car_racing.telemetry import COLUMNS
from worldmodels.data.episodes import EpisodeFileError, EpisodeFiles, split_episodes
from worldmodels.inspection.vision_coverage import BINS, cover
from worldmodels.inspection.vision_frames import (
    CURVE,
    SCENES,
    HeldOut,
    car,
    car_box,
    read_held_out,
    read_privileged,
    road_edge,
    scene_kinds,
    split_sets,
)

GRASS, ROAD, RED, WHITE = (100, 202, 100), (102, 102, 102), (255, 0, 0), (255, 255, 255)


def test_frames_are_spread_over_the_named_episodes_alone(
    tmp_path: Path, write_episodes: WriteEpisodes
) -> None:
    outcomes = write_episodes(tmp_path, [9, 21, 9, 21] + [2] * 14 + [11])
    files = EpisodeFiles(tmp_path)
    held_out = read_held_out("driving", files, [1, 3, 18], count=10)
    assert held_out.episodes.tolist() == [1, 1, 1, 1, 3, 3, 3, 3, 18, 18]
    assert held_out.steps.tolist() == [0, 5, 10, 15, 0, 5, 10, 15, 0, 5]
    for index, (episode, step) in enumerate(zip(held_out.episodes, held_out.steps, strict=True)):
        recorded = outcomes[episode].recorded
        assert recorded is not None
        assert np.array_equal(held_out.frames[index], recorded.frames[step])
        assert np.array_equal(held_out.following[index], recorded.frames[step + 1])
        assert np.array_equal(held_out.privileged[index], recorded.privileged[step])
    everything = read_held_out("driving", files, [0, 18], count=1000)
    assert everything.steps.tolist() == [*range(8), *range(10)]  # the last has none that follows


def test_sets_are_held_out_as_the_training_of_both_split_them(
    tmp_path: Path, write_episodes: WriteEpisodes
) -> None:
    lengths = {"explored": [3] * 12, "agent": [3] * 9}
    for name, of_set in lengths.items():
        write_episodes(tmp_path / name, of_set)
    fitted = {name: EpisodeFiles(tmp_path / name) for name in lengths}
    both = EpisodeFiles(*(tmp_path / name for name in lengths))  # what V's training reads
    splits = split_sets(fitted, 0.3)
    for index, expected in enumerate(split_episodes(21, 0.3)):
        found = [fitted[name].episodes[at] for name in lengths for at in splits[name][index]]
        assert found == [both.episodes[at] for at in expected]
    # Of few episodes the first round holds out the last, and the second trains on it.
    write_episodes(tmp_path / "few", [3] * 4)
    few = EpisodeFiles(tmp_path / "few")
    assert split_sets({"explored": few}, 0.1)["explored"][1] == [3]
    assert split_sets({"explored": few, "agent": few}, 0.1)["explored"][1] == []


def test_too_few_frames_are_refused(tmp_path: Path, write_episodes: WriteEpisodes) -> None:
    write_episodes(tmp_path, [4, 5, 20])
    with pytest.raises(EpisodeFileError, match=r"at least 8 held-out .*got 7 from.*\[0, 1\]"):
        read_held_out("explored", EpisodeFiles(tmp_path), [0, 1], count=100)


def test_privileged_values_of_all_steps(tmp_path: Path, write_episodes: WriteEpisodes) -> None:
    outcomes = write_episodes(tmp_path, [3] * 17 + [5])
    found = read_privileged(EpisodeFiles(tmp_path), [2, 17])
    expected = [outcomes[index].recorded for index in (2, 17)]
    assert np.array_equal(found, np.concatenate([x.privileged for x in expected if x]))


def held_out_of(steps: list[int], distance: list[float], curvature: list[float]) -> HeldOut:
    privileged = np.zeros((len(steps), len(COLUMNS)), np.float32)
    privileged[:, COLUMNS.index("road_distance")] = distance
    privileged[:, COLUMNS.index("curvature_ahead")] = curvature
    frames = np.zeros((len(steps), 32, 32, 3), np.uint8)
    whole = np.arange(len(steps))
    return HeldOut("a test", frames, frames, whole, np.array(steps), privileged)


def test_a_scene_is_of_the_first_kind_that_holds() -> None:
    bend = 2 * CURVE
    kinds = scene_kinds(
        held_out_of(
            [0, 49, 50, 50, 50, 50, 50],
            [9.0, 0.0, 9.0, -9.0, 6.0, -6.0, 6.0],
            [bend, 0.0, bend, 0.0, bend, -bend, CURVE / 2],
        )
    )
    assert kinds.tolist() == [
        *("first_second", "first_second", "off_road", "off_road", "curve", "curve", "straight")
    ]
    assert set(kinds) == set(SCENES)


def drawn_frame() -> NDArray[np.uint8]:
    """Grass, with a road in columns 20 to 59, a kerb in 60 and 61, and a car; 60 x 80."""
    frame = np.full((1, 60, 80, 3), GRASS, np.uint8)
    frame[:, :, 20:60] = ROAD
    frame[:, ::2, 60:62] = RED
    frame[:, 1::2, 60:62] = WHITE
    frame[:, 48:55, 38:42] = (204, 0, 0)
    frame[:, 49:51, 37:43] = 0
    return frame


def test_edge_and_car_of_a_drawn_frame() -> None:
    edge, vehicle = road_edge(drawn_frame())[0], car(drawn_frame())[0]
    expected = np.zeros((60, 80), bool)
    expected[:, 19:21] = True  # the last of grass, the first of road
    expected[:, 59:63] = True  # and the kerb between them
    assert np.array_equal(edge, expected)
    expected = np.zeros((60, 80), bool)
    expected[48:55, 38:42] = True
    expected[49:51, 37:43] = True
    assert np.array_equal(vehicle, expected)


@pytest.mark.parametrize("image_shape", [(32, 32), (60, 80), (64, 64), (84, 96), (96, 96)])
def test_the_car_is_found_where_the_simulator_draws_it(image_shape: tuple[int, int]) -> None:
    env = FastCarRacing()
    state, _ = env.reset(seed=3)
    for _ in range(60):
        state, *_ = env.step(np.array([0.3, 0.1, 0.0]))
    frame = preprocess(state, image_shape)
    vehicle, edge = car(frame[None])[0], road_edge(frame[None])[0]
    rows, columns = car_box(image_shape)
    box = vehicle[rows, columns]
    assert box.sum() == vehicle.sum()
    assert 0.1 < box.mean() < 0.9
    red = (frame[..., 0] > 150) & (frame[..., 1] < 50)
    assert vehicle[red & ~edge].all()
    assert 0.01 < edge.mean() < 0.3
    assert not (edge & vehicle).any()
    env.close()


def test_coverage_counts_shares_and_what_lies_beyond() -> None:
    training = np.zeros((4, len(COLUMNS)), np.float32)
    training[:, COLUMNS.index("speed")] = [1.0, 1.0, 99.0, 400.0]
    training[:, COLUMNS.index("road_distance")] = [-80.0, 0.0, 6.0, 8.0]
    driving = np.zeros((2, len(COLUMNS)), np.float32)
    driving[:, COLUMNS.index("speed")] = [1.0, 50.0]
    found = cover(training, driving)
    assert found.shares["training"]["speed"][[0, -1]].tolist() == [0.5, 0.5]
    for shares in found.shares.values():
        assert all(shares[quantity].sum() == pytest.approx(1.0) for quantity in BINS)
    assert found.off_road == {"training": 0.5, "driving": 0.0}
    metrics = found.metrics()
    assert metrics["overlap"] == {"speed": 0.5, "road_distance": 0.25, "curvature_ahead": 1.0}
    assert found.table()[0]["speed_training"] == 0.5
    assert found.table()[0]["speed"] == 2.0
