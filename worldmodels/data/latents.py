"""The latents file: every frame of every episode as mean and log variance; beside it the action,
the progress that the step made, and why the episode ended.

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

from worldmodels.car_racing.task import EndReason
from worldmodels.core.errors import WorldModelsError
from worldmodels.data.episodes import REASON, episode_index, episode_reasons
from worldmodels.data.hdf5_files import (
    Format,
    open_sealed,
    require_dataset,
    require_text,
    sealed_file,
)

ROWS_PER_CHUNK = 256
MAX_LATENT_DIM = 1024  # of every model, and of the parameter
LATER = 200  # steps after a step, over which progress is summed
ROWS_AT_ONCE = 4096  # read to see whether they are finite


class LatentFileError(WorldModelsError):
    """A latents file that is missing, is something else, or is damaged."""


FORMAT = Format(
    "worldmodels-latents",
    3,
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
        self._file.create_dataset("progress", (rows,), np.float32, chunks=(chunk,))
        self._lengths: list[int] = []
        self._reasons: list[EndReason] = []
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
        self._file["episode_reasons"] = np.array(self._reasons, REASON)

    def write(
        self,
        mean: NDArray[np.float32],
        log_var: NDArray[np.float32],
        action: NDArray[np.float32],
        progress: NDArray[np.float32],
        reason: EndReason,
    ) -> None:
        """Add one episode: (steps, latent_dim) twice, (steps, 3) and (steps,), and why it ended."""
        start = sum(self._lengths)
        rows = slice(start, start + len(mean))
        columns = {"mean": mean, "log_var": log_var, "action": action, "progress": progress}
        for name, values in columns.items():
            if not np.isfinite(values).all():
                raise LatentFileError(
                    f"{self._path}: not saved: {name} of episode {len(self._lengths)} is not finite"
                )
            self._file[name][rows] = values
        self._lengths.append(len(mean))
        self._reasons.append(reason)


@dataclass(frozen=True)
class Sequences:
    """A batch of windows; a window shorter than the others is padded with zeros behind. All are
    float32.

    mean, log_var: (batch, length + 1, latent_dim), the last row only a target.
    action: (batch, length, 3). The others: (batch, length).
    mask: 1 where both a step and the one after it are there.
    acted: 1 where a step is there.
    progress: that the step made.
    ended: 1 where the episode is lost: it left the field by this step, or it was given up later,
        and there is no progress any more.
    later_progress: in the `LATER` steps after it. later_known: 1 where that is known, as it is not
        close to the end of an episode that could have gone on.
    """

    mean: NDArray[np.float32]
    log_var: NDArray[np.float32]
    action: NDArray[np.float32]
    mask: NDArray[np.float32]
    acted: NDArray[np.float32]
    progress: NDArray[np.float32]
    ended: NDArray[np.float32]
    later_progress: NDArray[np.float32]
    later_known: NDArray[np.float32]


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
        widths = {"mean": (self.latent_dim,), "log_var": (self.latent_dim,), "action": (3,)}
        for name, width in {**widths, "progress": ()}.items():
            values = require_dataset(self._file, name, np.float32, (rows, *width), FORMAT)
            for start in range(0, rows, ROWS_AT_ONCE):
                if not np.isfinite(values[start : start + ROWS_AT_ONCE]).all():
                    raise LatentFileError(
                        f"{path}: {name}: expected finite numbers, got NaN or infinity in the rows "
                        f"from {start} on; {FORMAT.remedy}"
                    )
        self._starts, self._lengths = episode_index(self._file, rows, FORMAT)
        self.reasons = episode_reasons(self._file, len(self._lengths), FORMAT)
        self._length = length
        self._outcomes = self._measure_outcomes(rows)

    def _measure_outcomes(self, rows: int) -> dict[str, NDArray[np.float32]]:
        """Columns that follow from the progress and the ends of whole episodes, (rows,) each."""
        progress = self._file["progress"][:]
        ended, later, known = np.zeros((3, rows), np.float32)
        for start, length, reason in zip(self._starts, self._lengths, self.reasons, strict=True):
            at, step = slice(start, start + length), np.arange(length)
            so_far = np.concatenate([[0.0], np.cumsum(progress[at], dtype=np.float64)])
            later[at] = so_far[np.minimum(step + 1 + LATER, length)] - so_far[step + 1]
            if reason == "off_field":
                ended[start + length - 1] = 1.0
            elif reason == "patience" and progress[at].any():
                ended[start + np.flatnonzero(progress[at])[-1] : start + length] = 1.0
            known[at] = reason in ("off_field", "patience") or step + 1 + LATER <= length
        return {
            "progress": progress,
            "ended": ended,
            "later_progress": later,
            "later_known": known,
        }

    @property
    def episodes(self) -> int:
        """How many episodes the file holds."""
        return len(self._lengths)

    @property
    def rows(self) -> int:
        """How many steps all episodes have."""
        return len(self._outcomes["progress"])

    def longest(self, episodes: Sequence[int]) -> int:
        """Steps of the longest of these episodes."""
        return int(self._lengths[list(episodes)].max())

    def mean_of(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Mean of V's posterior in these rows, in any order, (rows, latent_dim)."""
        found: NDArray[np.float32] = self._file["mean"][:][rows]
        return found

    def rows_before_failures(self, before: int, after: int) -> NDArray[np.int64]:
        """The rows around the last progress of each episode that ended off the field or was given
        up: from so many before it to so many after it."""
        found = [np.zeros(0, np.int64)]
        for start, length, reason in zip(self._starts, self._lengths, self.reasons, strict=True):
            made = np.flatnonzero(self._outcomes["progress"][start : start + length])
            if reason in ("off_field", "patience") and len(made):
                rows = np.arange(max(0, made[-1] - before), min(length, made[-1] + after))
                found.append(start + rows)
        return np.concatenate(found)

    def windows_before(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The windows that end right before these rows, as `windows` has them; shorter ones where
        an episode begins in them."""
        starts = self._starts[np.searchsorted(self._starts, rows, "right") - 1]
        first = np.maximum(starts, rows - self._length)
        return np.stack([first, rows - first, np.ones_like(rows)], axis=1)

    def windows(
        self, episodes: Sequence[int], *, rng: np.random.Generator | None
    ) -> NDArray[np.int64]:
        """Windows of these episodes, (windows, 3): first row, steps, and 1 if a step follows, or 0.

        Without `rng` they cover each episode once, in order. With it there are as many, but they
        fall anywhere within their episode, on its first and last steps as often as on others, and
        are shuffled. An episode of one step has none.
        """
        windows = []
        for episode in episodes:
            first_row, steps = int(self._starts[episode]), int(self._lengths[episode])
            for offset in range(0, steps - 1, self._length):
                start = offset
                if rng is not None:
                    half, spare = self._length // 2, max(0, steps - self._length)
                    start = int(np.clip(rng.integers(-half, spare + half + 1), 0, spare))
                taken = min(self._length, steps - start)
                windows.append((first_row + start, taken, int(start + taken < steps)))
        found = np.array(windows, np.int64).reshape(-1, 3)
        return found if rng is None else rng.permutation(found)

    def read(self, windows: NDArray[np.int64]) -> Sequences:
        """The rows of these windows."""
        count, length = len(windows), self._length
        mean = np.zeros((count, length + 1, self.latent_dim), np.float32)
        log_var = np.zeros_like(mean)
        action = np.zeros((count, length, 3), np.float32)
        mask, acted = np.zeros((2, count, length), np.float32)
        outcomes = {name: np.zeros((count, length), np.float32) for name in self._outcomes}
        for index, (start, steps, follows) in enumerate(windows):
            seen = steps + follows
            mean[index, :seen] = self._file["mean"][start : start + seen]
            log_var[index, :seen] = self._file["log_var"][start : start + seen]
            action[index, :steps] = self._file["action"][start : start + steps]
            mask[index, : max(0, seen - 1)] = 1.0  # an empty window has none
            acted[index, :steps] = 1.0
            for name, values in outcomes.items():
                values[index, :steps] = self._outcomes[name][start : start + steps]
        return Sequences(mean, log_var, action, mask, acted, **outcomes)
