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

from worldmodels.core.errors import WorldModelsError
from worldmodels.data.episodes import FORMAT, ROWS_PER_CHUNK, EpisodeFiles, EpisodeRows
from worldmodels.data.hdf5_files import open_sealed

BLOCKS_PER_BUFFER = 128


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
        self.batch_size = batch_size
        self._seed = seed
        self._blocks: list[EpisodeRows] = []
        for index in episodes:
            rows = files.episodes[index]
            for offset in range(0, rows.length, ROWS_PER_CHUNK):
                length = min(ROWS_PER_CHUNK, rows.length - offset)
                self._blocks.append(EpisodeRows(rows.shard, rows.start + offset, length))
        self.frames = sum(block.length for block in self._blocks)
        self.steps = self.frames // batch_size
        if self.steps == 0:
            raise WorldModelsError(
                f"batch_size: expected at most {self.frames}, the frames of "
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
        skip = first_step * self.batch_size
        buffer = np.empty((BLOCKS_PER_BUFFER * ROWS_PER_CHUNK, *self._shape[1:]), np.uint8)
        left = buffer[:0].copy()  # of the last buffer, less than a batch
        for start in range(0, len(order), BLOCKS_PER_BUFFER):
            blocks = [self._blocks[index] for index in order[start : start + BLOCKS_PER_BUFFER]]
            frames_here = sum(block.length for block in blocks)
            if skip >= frames_here:
                skip -= frames_here
                continue
            shuffle = np.random.default_rng([self._seed, epoch, start]).permutation(frames_here)
            _read(blocks, buffer)
            waiting = shuffle[skip:]
            skip = 0
            while len(left) + len(waiting) >= self.batch_size:
                taken = self.batch_size - len(left)
                yield np.concatenate([left, buffer[waiting[:taken]]])
                left, waiting = left[:0], waiting[taken:]
            left = np.concatenate([left, buffer[waiting]])


def _read(blocks: Sequence[EpisodeRows], buffer: NDArray[np.uint8]) -> None:
    """Read the frames of these blocks to the start of `buffer`."""
    row = 0
    for block in blocks:
        with open_sealed(block.shard, FORMAT) as file:
            rows = np.s_[block.start : block.start + block.length]
            file["frames"].read_direct(buffer, rows, np.s_[row : row + block.length])
        row += block.length
