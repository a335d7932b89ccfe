"""The latents file: every frame of every episode as mean and log variance, with the actions beside.

Written by the stage `encode`, read by `train_memory`; `hdf5_files` says what makes it safe to open.
Read `LatentSequences` first: the sequences that the memory learns from.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from worldmodels.core.errors import WorldModelsError
from worldmodels.data.episodes import episode_index
from worldmodels.data.hdf5_files import (
    Format,
    open_sealed,
    require_dataset,
    require_text,
    sealed_file,
)

ROWS_PER_CHUNK = 256
MAX_LATENT_DIM = 1024  # of every model, and of the parameter
ROWS_AT_ONCE = 4096  # read to see whether they are finite


class LatentFileError(WorldModelsError):
    """A latents file that is missing, is something else, or is damaged."""


FORMAT = Format(
    "worldmodels-latents",
    2,
    LatentFileError,
    remedy="`dvc repro` makes the pipeline's own anew",
    max_bytes=1 << 37,  # 10,000 episodes of 1,000 steps with the longest latents are 82 GB
)


class LatentWriter:
    """Writes a latents file episode by episode; use it as a context manager.

    Args:
        path: where to; the file gets its name when the last episode is in.
        rows: frames in all episodes.
        latent_dim: numbers a mean has.
        vae_digest: which VAE encoded, `model_files.file_digest` of its file.

    Raises:
        LatentFileError: fewer rows were written, or some that are no numbers.
    """

    def __init__(self, path: str | Path, rows: int, latent_dim: int, *, vae_digest: str) -> None:
        self._path, self._rows = path, rows
        self._open = ExitStack()
        self._file = self._open.enter_context(sealed_file(path, FORMAT))
        self._file.attrs["vae_digest"] = vae_digest
        chunk = min(ROWS_PER_CHUNK, rows)
        for name, width in (("mean", latent_dim), ("log_var", latent_dim), ("action", 3)):
            self._file.create_dataset(name, (rows, width), np.float32, chunks=(chunk, width))
        self._lengths: list[int] = []
        self._open.push(self._write_index)  # before the file is closed

    def __enter__(self) -> LatentWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def _write_index(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            return
        lengths = np.array(self._lengths, np.int64)
        if lengths.sum() != self._rows:
            raise LatentFileError(
                f"{self._path}: not saved: expected {self._rows} rows, got {lengths.sum()}"
            )
        self._file["episode_starts"] = np.cumsum(lengths) - lengths
        self._file["episode_lengths"] = lengths

    def write(
        self,
        mean: NDArray[np.float32],
        log_var: NDArray[np.float32],
        action: NDArray[np.float32],
    ) -> None:
        """Add one episode: (steps, latent_dim) twice and (steps, 3)."""
        start = sum(self._lengths)
        rows = slice(start, start + len(mean))
        for name, values in (("mean", mean), ("log_var", log_var), ("action", action)):
            if not np.isfinite(values).all():
                raise LatentFileError(
                    f"{self._path}: not saved: {name} of episode {len(self._lengths)} is not finite"
                )
            self._file[name][rows] = values
        self._lengths.append(len(mean))


@dataclass(frozen=True)
class Sequences:
    """A batch of windows; a window shorter than the others is padded with zeros behind.

    mean, log_var: (batch, length + 1, latent_dim) float32, the last row only a target.
    action: (batch, length, 3) float32.
    mask: (batch, length) float32, 1 where both a step and the one after it are there.
    """

    mean: NDArray[np.float32]
    log_var: NDArray[np.float32]
    action: NDArray[np.float32]
    mask: NDArray[np.float32]


class LatentSequences:
    """Windows of successive steps within episodes, read from disk batch by batch.

    Args:
        path: a latents file.
        length: steps a window.

    Raises:
        LatentFileError: no such file, another kind of file, or one that is damaged, unsafe to
            open, or holds what are no numbers.
    """

    def __init__(self, path: str | Path, *, length: int) -> None:
        self._file = open_sealed(path, FORMAT)
        self.vae_digest = require_text(self._file, "vae_digest", FORMAT)
        mean = require_dataset(self._file, "mean", np.float32, (None, None), FORMAT)
        rows, self.latent_dim = mean.shape
        if not 1 <= self.latent_dim <= MAX_LATENT_DIM:
            raise LatentFileError(
                f"{path}: mean: expected 1 to {MAX_LATENT_DIM} columns, got {self.latent_dim}; "
                f"{FORMAT.remedy}"
            )
        for name, width in (("mean", self.latent_dim), ("log_var", self.latent_dim), ("action", 3)):
            values = require_dataset(self._file, name, np.float32, (rows, width), FORMAT)
            for start in range(0, rows, ROWS_AT_ONCE):
                if not np.isfinite(values[start : start + ROWS_AT_ONCE]).all():
                    raise LatentFileError(
                        f"{path}: {name}: expected finite numbers, got NaN or infinity in the rows "
                        f"from {start} on; {FORMAT.remedy}"
                    )
        self._starts, self._lengths = episode_index(self._file, rows, FORMAT)
        self._length = length

    @property
    def episodes(self) -> int:
        """How many episodes the file holds."""
        return len(self._lengths)

    def windows(
        self, episodes: Sequence[int], *, rng: np.random.Generator | None
    ) -> NDArray[np.int64]:
        """Windows of these episodes, (windows, 2): first row and steps.

        Without `rng` they cover each episode once, in order. With it there are as many, but they
        fall anywhere within their episode and are shuffled.
        """
        windows = []
        for episode in episodes:
            first_row, steps = int(self._starts[episode]), int(self._lengths[episode]) - 1
            for offset in range(0, steps, self._length):
                if rng is None:
                    windows.append((first_row + offset, min(self._length, steps - offset)))
                else:
                    spare = max(0, steps - self._length)
                    start = int(rng.integers(spare + 1))
                    windows.append((first_row + start, min(self._length, steps)))
        found = np.array(windows, np.int64).reshape(-1, 2)
        return found if rng is None else rng.permutation(found)

    def read(self, windows: NDArray[np.int64]) -> Sequences:
        """The rows of these windows."""
        count, length = len(windows), self._length
        mean = np.zeros((count, length + 1, self.latent_dim), np.float32)
        log_var = np.zeros_like(mean)
        action = np.zeros((count, length, 3), np.float32)
        mask = np.zeros((count, length), np.float32)
        for index, (start, steps) in enumerate(windows):
            mean[index, : steps + 1] = self._file["mean"][start : start + steps + 1]
            log_var[index, : steps + 1] = self._file["log_var"][start : start + steps + 1]
            action[index, :steps] = self._file["action"][start : start + steps]
            mask[index, :steps] = 1.0
        return Sequences(mean, log_var, action, mask)
