"""Frames' compression by HDF5 filters, on one core: `python -m benchmarks.compression FOLDER`.

For recorded episodes of a folder: how many times smaller they get, how fast they are written and
read, and what a training batch takes to read. Chunks and orders are those of `worldmodels.data`:
episodes one after the other for `write` and `read`, blocks of successive frames from all over for a
batch. Seconds are the processor's, and the disk is in the system's cache: filters are compared,
neither disks nor what else the machine is doing.

It needs hdf5plugin, which the project does not: docs/data.md says how to have it for this alone.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Rates, in_turn, stay_on_one_core
from worldmodels.core.errors import WorldModelsError
from worldmodels.data.episodes import ROWS_PER_CHUNK, read_episodes

EPISODES = 20
FRAMES_PER_BATCH = 64
ROUNDS = 5

Filter = Mapping[str, Any]  # what `create_dataset` is told
Frames = Sequence[NDArray[np.uint8]]  # of an episode each, (steps, height, width, 3)


def filters() -> dict[str, Filter]:
    """What is compared, by name. Frames are bytes, so that shuffling bytes would change nothing."""
    from hdf5plugin import Blosc2, Zstd

    bits = Blosc2.BITSHUFFLE
    return {
        "none": {},
        "gzip 1": {"compression": "gzip", "compression_opts": 1},
        "gzip 4": {"compression": "gzip", "compression_opts": 4},
        "lzf": {"compression": "lzf"},
        "Blosc2, LZ4 1": Blosc2("lz4", clevel=1, filters=Blosc2.NOFILTER),
        "Blosc2, LZ4 9": Blosc2("lz4", clevel=9, filters=Blosc2.NOFILTER),
        "Blosc2, LZ4 9, bits shuffled": Blosc2("lz4", clevel=9, filters=bits),
        "Blosc2, Zstd 1": Blosc2("zstd", clevel=1, filters=Blosc2.NOFILTER),
        "Blosc2, Zstd 5": Blosc2("zstd", clevel=5, filters=Blosc2.NOFILTER),
        "Blosc2, Zstd 5, bits shuffled": Blosc2("zstd", clevel=5, filters=bits),
        "Zstd 1": Zstd(clevel=1),
        "Zstd 3": Zstd(clevel=3),
        "Zstd 9": Zstd(clevel=9),
    }


class Subject:
    """Episodes in a file of their own, by one filter. Rates are in frames a second."""

    def __init__(self, path: Path, frames: Frames, compression: Filter) -> None:
        self._path, self._frames, self._filter = path, frames, compression
        ends = np.cumsum([len(episode) for episode in frames])
        self._episodes = [
            np.s_[end - len(episode) : end] for end, episode in zip(ends, frames, strict=True)
        ]
        self._rows = int(ends[-1])
        self._blocks = [
            np.s_[start : min(start + ROWS_PER_CHUNK, rows.stop)]
            for rows in self._episodes
            for start in range(rows.start, rows.stop, ROWS_PER_CHUNK)
        ]
        self.write()
        for episode, rows in zip(frames, self._episodes, strict=True):
            with h5py.File(path) as file:
                if not np.array_equal(file["frames"][rows], episode):
                    raise WorldModelsError(f"{path}: expected the frames written, got others")

    def write(self) -> float:
        """Writes all episodes to a new file."""
        started = time.process_time()
        shape = self._frames[0].shape[1:]
        with h5py.File(self._path, "w") as file:
            dataset = file.create_dataset(
                "frames",
                (self._rows, *shape),
                np.uint8,
                chunks=(min(ROWS_PER_CHUNK, self._rows), *shape),
                **self._filter,
            )
            for episode, rows in zip(self._frames, self._episodes, strict=True):
                dataset[rows] = episode
        return self._rows / (time.process_time() - started)

    def read(self) -> float:
        """Reads whole episodes, as `encode` does."""
        started = time.process_time()
        with h5py.File(self._path) as file:
            for rows in self._episodes:
                file["frames"][rows]
        return self._rows / (time.process_time() - started)

    def read_blocks(self) -> float:
        """Reads every block once, shuffled, and opens the file for each, as V's training does."""
        order = np.random.default_rng(0).permutation(len(self._blocks))
        buffer = np.empty((ROWS_PER_CHUNK, *self._frames[0].shape[1:]), np.uint8)
        started = time.process_time()
        for index in order:
            rows = self._blocks[index]
            with h5py.File(self._path) as file:
                file["frames"].read_direct(buffer, rows, np.s_[: rows.stop - rows.start])
        return self._rows / (time.process_time() - started)

    def ratio(self) -> float:
        """How many times smaller the frames are on disk."""
        with h5py.File(self._path) as file:
            return float(file["frames"].nbytes / file["frames"].id.get_storage_size())


def compare(frames: Frames, compared: Mapping[str, Filter], *, rounds: int) -> str:
    """The measurements as a table in Markdown; MB are those of unpacked frames."""
    megabytes = frames[0][0].nbytes / 1e6  # of a frame
    with tempfile.TemporaryDirectory() as folder:
        subjects = {
            name: Subject(Path(folder) / f"{number}.h5", frames, one)
            for number, (name, one) in enumerate(compared.items())
        }

        def rates(measure: Callable[[Subject], float]) -> Rates:
            return in_turn(
                {name: lambda one=one: measure(one) for name, one in subjects.items()},  # type: ignore[misc]
                rounds=rounds,
            )

        write, read, blocks = map(rates, (Subject.write, Subject.read, Subject.read_blocks))
        lines = [
            "| filter | times smaller | write, MB/s | read, MB/s "
            f"| a batch of {FRAMES_PER_BATCH} frames, ms |",
            "|---|---|---|---|---|",
        ]
        for name, subject in subjects.items():
            lines.append(
                f"| {name} | {subject.ratio():.1f} | {megabytes * median(write[name]):,.0f} "
                f"| {megabytes * median(read[name]):,.0f} "
                f"| {1000 * FRAMES_PER_BATCH / median(blocks[name]):.1f} |"
            )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compression", description=__doc__)
    parser.add_argument("folder", help="of shards, for instance data/episodes/first/first")
    folder = parser.parse_args(arguments).folder
    try:
        frames = [episode.frames for episode in islice(read_episodes(folder), EPISODES)]
    except WorldModelsError as error:
        parser.error(str(error))
    stay_on_one_core()
    print(f"{len(frames)} episodes, {sum(map(len, frames))} frames of {frames[0].shape[1:]}")
    print(compare(frames, filters(), rounds=ROUNDS))


if __name__ == "__main__":
    main()
