"""Batches of frames for the VAE, read from disk in an order that is a function of (seed, epoch).

Blocks of successive frames are shuffled, and frames are shuffled within a buffer of many blocks:
disk and memory see large reads and a bounded buffer, V sees frames from all over. Any step of any
epoch can be reached without reading what came before. Read `FrameBatches.epoch` first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from worldmodels.episodes import FORMAT, ROWS_A_CHUNK, EpisodeFiles, EpisodeRows
from worldmodels.errors import WorldModelsError
from worldmodels.hdf5_files import open_sealed

BLOCKS_A_BUFFER = 128


class FrameBatches:
    """Batches from some of the episodes of a folder.

    Args:
        files: the folder.
        episodes: which of its episodes.
        batch_size: frames a batch; the last, smaller one of an epoch is left out.
        seed: of the order.

    Raises:
        WorldModelsError: there are fewer frames than one batch.
    """

    def __init__(
        self, files: EpisodeFiles, episodes: Sequence[int], *, batch_size: int, seed: int
    ) -> None:
        self._shape = (batch_size, *files.image_shape, 3)
        self._batch_size = batch_size
        self._seed = seed
        self._blocks: list[EpisodeRows] = []
        for index in episodes:
            rows = files.episodes[index]
            for offset in range(0, rows.length, ROWS_A_CHUNK):
                length = min(ROWS_A_CHUNK, rows.length - offset)
                self._blocks.append(EpisodeRows(rows.shard, rows.start + offset, length))
        self.frames = sum(block.length for block in self._blocks)
        self.steps = self.frames // batch_size
        if self.steps == 0:
            raise WorldModelsError(
                f"vae.batch_size: expected at most {self.frames}, the frames of "
                f"{len(episodes)} episodes, got {batch_size}"
            )

    def epoch(self, epoch: int, *, first_step: int = 0) -> tf.data.Dataset:
        """The batches of an epoch from `first_step` on, (batch_size, height, width, 3) uint8."""
        return tf.data.Dataset.from_generator(
            lambda: self._batches(epoch, first_step),
            output_signature=tf.TensorSpec(self._shape, tf.uint8),
        ).prefetch(4)

    def _batches(self, epoch: int, first_step: int) -> Iterator[NDArray[np.uint8]]:
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self._blocks))
        skip = first_step * self._batch_size
        left = np.empty((0, *self._shape[1:]), np.uint8)
        for start in range(0, len(order), BLOCKS_A_BUFFER):
            blocks = [self._blocks[index] for index in order[start : start + BLOCKS_A_BUFFER]]
            frames_here = sum(block.length for block in blocks)
            if skip >= frames_here:
                skip -= frames_here
                continue
            shuffle = np.random.default_rng([self._seed, epoch, start]).permutation(frames_here)
            frames = np.concatenate([_read(block) for block in blocks])[shuffle[skip:]]
            skip = 0
            frames = np.concatenate([left, frames])
            whole = len(frames) // self._batch_size * self._batch_size
            for batch in range(0, whole, self._batch_size):
                yield frames[batch : batch + self._batch_size]
            left = frames[whole:]


def _read(block: EpisodeRows) -> NDArray[np.uint8]:
    with open_sealed(block.shard, FORMAT) as file:  # `EpisodeFiles` has seen the layout
        frames: NDArray[np.uint8] = file["frames"][block.start : block.start + block.length]
    return frames
