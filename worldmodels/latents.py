"""The latents file: every frame of every episode as mean and log variance, with the actions beside.

Written by the stage `encode`, read by `train_memory`. Read `LatentSequences` first: the sequences
that the memory learns from.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import h5py
import numpy as np
from numpy.typing import NDArray

from worldmodels.errors import WorldModelsError
from worldmodels.files import written_whole

FORMAT = "worldmodels-latents"
VERSION = 1
ROWS_A_CHUNK = 256


class LatentFileError(WorldModelsError):
    """A latents file that is missing, is something else, or is damaged."""


class LatentWriter:
    """Writes a latents file episode by episode; use it as a context manager.

    Args:
        path: where to; the file gets its name when the last episode is in.
        rows: frames in all episodes.
        latent_dim: numbers a mean has.
        vae_digest: which VAE encoded, `model_files.file_digest` of its file.
    """

    def __init__(self, path: str | Path, rows: int, latent_dim: int, *, vae_digest: str) -> None:
        self._open = ExitStack()
        temporary = self._open.enter_context(written_whole(path))
        self._file = self._open.enter_context(h5py.File(temporary, "w"))
        self._file.attrs["format"] = FORMAT
        self._file.attrs["version"] = VERSION
        self._file.attrs["vae_digest"] = vae_digest
        chunk = min(ROWS_A_CHUNK, rows)
        for name, width in (("mean", latent_dim), ("log_var", latent_dim), ("action", 3)):
            self._file.create_dataset(name, (rows, width), np.float32, chunks=(chunk, width))
        self._lengths: list[int] = []

    def __enter__(self) -> LatentWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            lengths = np.array(self._lengths, np.int64)
            self._file["episode_starts"] = np.cumsum(lengths) - lengths
            self._file["episode_lengths"] = lengths
        self._open.__exit__(kind, error, trace)

    def write(
        self,
        mean: NDArray[np.float32],
        log_var: NDArray[np.float32],
        action: NDArray[np.float32],
    ) -> None:
        """Add one episode: (steps, latent_dim) twice and (steps, 3)."""
        start = sum(self._lengths)
        rows = slice(start, start + len(mean))
        self._file["mean"][rows] = mean
        self._file["log_var"][rows] = log_var
        self._file["action"][rows] = action
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
        LatentFileError: no such file, or another kind of file.
    """

    def __init__(self, path: str | Path, *, length: int) -> None:
        path = Path(path)
        if not path.exists():
            raise LatentFileError(
                f"{path}: no such file; `dvc repro encode` makes it, "
                "`dvc checkout` brings back a cached one"
            )
        try:
            self._file = h5py.File(path, "r")
            found = [self._file.attrs.get("format"), self._file.attrs.get("version")]
            if found != [FORMAT, VERSION]:
                raise LatentFileError(f"{path}: expected {[FORMAT, VERSION]}, got {found}")
            self.vae_digest = str(self._file.attrs["vae_digest"])
            self._starts = self._file["episode_starts"][:]
            self._lengths = self._file["episode_lengths"][:]
            self.latent_dim = int(self._file["mean"].shape[1])
        except (OSError, KeyError) as error:
            raise LatentFileError(
                f"{path}: not a whole latents file ({error}); run `dvc repro encode`"
            ) from error
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
