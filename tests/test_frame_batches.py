"""Batches for the VAE: every frame once an epoch, in an order that is a function of its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import WriteEpisodes
from numpy.typing import NDArray

from worldmodels.core.errors import WorldModelsError
from worldmodels.data import frame_batches
from worldmodels.data.episodes import EpisodeFiles
from worldmodels.data.frame_batches import FrameBatches

LENGTHS = [40, 33, 7, 64, 5]  # 149 frames, 8 blocks
BATCH = 9


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, write_episodes: WriteEpisodes) -> EpisodeFiles:
    folder = tmp_path_factory.mktemp("episodes")
    write_episodes(folder, LENGTHS)
    return EpisodeFiles(folder)


@pytest.fixture(autouse=True)
def small_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three blocks, so that batches cross from one buffer into the next."""
    monkeypatch.setattr(frame_batches, "BLOCKS_PER_BUFFER", 3)


def epoch(batches: FrameBatches, number: int, first_step: int = 0) -> list[NDArray[np.uint8]]:
    return [frames.numpy() for frames in batches.epoch(number, first_step=first_step)]


def identities(batches: list[NDArray[np.uint8]]) -> list[tuple[int, ...]]:
    return [tuple(frame[0, 0].tolist()) for frames in batches for frame in frames]


def everything(files: EpisodeFiles, *, batch_size: int = BATCH, seed: int = 0) -> FrameBatches:
    return FrameBatches(files, range(len(LENGTHS)), batch_size=batch_size, seed=seed)


def test_batches_are_uint8_and_of_one_shape(files: EpisodeFiles) -> None:
    for frames in epoch(everything(files), 0):
        assert frames.shape == (BATCH, 32, 32, 3)
        assert frames.dtype == np.uint8


@pytest.mark.parametrize("batch_size", [1, BATCH, 148, 149])
def test_an_epoch_sees_every_frame_once_but_for_the_last_smaller_batch(
    files: EpisodeFiles, batch_size: int
) -> None:
    batches = everything(files, batch_size=batch_size)
    assert batches.frames == 149
    for number in range(2):
        seen = identities(epoch(batches, number))
        assert len(seen) == len(set(seen)) == 149 // batch_size * batch_size
        assert len(seen) == batches.steps * batch_size


def test_frames_are_whole_and_belong_to_their_place(
    files: EpisodeFiles, tmp_path: Path, write_episodes: WriteEpisodes
) -> None:
    written = {
        tuple(frame[0, 0].tolist()): frame
        for outcome in write_episodes(tmp_path, LENGTHS)
        for frame in outcome.recorded.frames
    }
    for frames in epoch(everything(files), 0):
        for frame in frames:
            assert np.array_equal(frame, written[tuple(frame[0, 0].tolist())])


def test_the_same_seed_and_epoch_give_the_same_batches(files: EpisodeFiles) -> None:
    one, two = everything(files), everything(files)
    first = identities(epoch(one, 3))
    assert identities(epoch(two, 3)) == first
    assert identities(epoch(one, 3)) == first


def test_epochs_and_seeds_differ_in_order(files: EpisodeFiles) -> None:
    orders = [
        identities(epoch(everything(files, seed=seed), number))
        for seed in (0, 1)
        for number in (0, 1)
    ]
    for index, order in enumerate(orders):
        assert order not in orders[:index]
        assert order != sorted(order)


def test_frames_of_a_batch_come_from_several_episodes(files: EpisodeFiles) -> None:
    mixed = [
        len({episode for episode, *_ in identities([frames])})
        for frames in epoch(everything(files), 0)
    ]
    assert np.mean(mixed) > 1.5


@pytest.mark.parametrize("batch_size", [20, 50])
def test_starting_at_a_step_equals_skipping_to_it(files: EpisodeFiles, batch_size: int) -> None:
    batches = everything(files, batch_size=batch_size)
    whole = epoch(batches, 1)
    for first_step in range(batches.steps + 1):
        rest = epoch(batches, 1, first_step)
        assert identities(rest) == identities(whole[first_step:])


def test_only_the_episodes_asked_for_are_read(files: EpisodeFiles) -> None:
    batches = FrameBatches(files, [1, 4], batch_size=2, seed=0)
    assert batches.frames == 38
    assert {episode for episode, *_ in identities(epoch(batches, 0))} == {1, 4}


def test_too_few_frames_for_a_batch_are_refused(files: EpisodeFiles) -> None:
    with pytest.raises(WorldModelsError, match=r"^batch_size: expected at most 5.*got 6"):
        FrameBatches(files, [4], batch_size=6, seed=0)
