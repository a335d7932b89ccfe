"""Episode files: whole drives in HDF5 shards, a few episodes a shard, of any length each.

A shard holds the rows of its episodes one after the other, and an index of where each starts and
how long it is. Row t is the frame seen, the action chosen on seeing it, and the reward that
followed; beside the index it says why each episode ended. The same episodes always give the same
bytes; `hdf5_files` says what makes them safe to open. Read `EpisodeWriter` for the layout,
`EpisodeFiles` to find rows, `read_episodes` for whole drives.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import cast, get_args

import h5py
import numpy as np
from numpy.typing import NDArray

from worldmodels.car_racing.frames import LARGEST_SIDE, SMALLEST_SIDE
from worldmodels.car_racing.task import EndReason
from worldmodels.core.errors import WorldModelsError
from worldmodels.core.files import atomic_write
from worldmodels.core.wording import listed, shown
from worldmodels.data.hdf5_files import Format, open_sealed, require_dataset, sealed_file, validate

SHARDS = "shard-*.h5"
EPISODES_PER_SHARD = 16
ROWS_PER_CHUNK = 32  # of frames: what training reads at once
MAX_ROWS_PER_SHARD = EPISODES_PER_SHARD * 1000  # steps of a CarRacing episode
MAX_PRIVILEGED = 64  # columns
COLUMNS = ("actions", "rewards", "progress", "privileged")  # of a row, beside its frame
REASON = "S10"  # an `EndReason` in a file


class EpisodeFileError(WorldModelsError):
    """An episode file that is missing, is something else, or is damaged."""


FORMAT = Format(
    "worldmodels-episodes",
    3,
    EpisodeFileError,
    remedy="`dvc repro` makes the pipeline's own anew",
    max_bytes=1 << 29,  # 16,000 frames of 96 x 96 are 442 MB
)


@dataclass
class EpisodeData:
    """One recorded episode; row t is what was seen, the action chosen on seeing it, and what
    followed.

    track_seed: what the environment was reset with.
    frames: (steps, height, width, 3) uint8, preprocessed.
    actions: (steps, 3) float32. rewards: (steps,) float32.
    progress: (steps,) float32, how much further the episode came by the step: new tiles.
    privileged: (steps, columns) float32, one column each of the shard's attribute
        `privileged_columns`.
    reason: why the last step was the last.
    """

    track_seed: int
    frames: NDArray[np.uint8]
    actions: NDArray[np.float32]
    rewards: NDArray[np.float32]
    progress: NDArray[np.float32]
    privileged: NDArray[np.float32]
    reason: EndReason


class EpisodeWriter:
    """Writes episodes to shards in `folder`; use it as a context manager.

    Args:
        folder: made if it is not there.
        environment, policy: what was driven and by whom, stored as attributes.
        seed: the seed of the whole set, stored as an attribute.
        image_shape: height and width of a frame.
        privileged_columns: names of the columns of `EpisodeData.privileged`, stored as well.
        resume: add to the shards that the folder holds, all of them full.

    Raises:
        EpisodeFileError: the folder holds episodes already and this is not going on, or an
            episode holds what is no number.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        environment: str,
        policy: str,
        seed: int,
        image_shape: tuple[int, int],
        privileged_columns: Sequence[str],
        resume: bool = False,
    ) -> None:
        self._folder = Path(folder)
        if not resume:
            refuse_episodes(folder)
        self._attributes = {
            "environment": environment,
            "policy": policy,
            "seed": seed,
            "image_shape": np.array(image_shape, np.int64),
            "privileged_columns": list(privileged_columns),
        }
        self._image_shape = image_shape
        self._waiting: list[EpisodeData] = []
        self._shards = len(list(self._folder.glob(SHARDS)))

    def __enter__(self) -> EpisodeWriter:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None and self._waiting:
            self._write()

    def write(self, episode: EpisodeData) -> None:
        """Add one episode; a shard is written when it is full."""
        self._waiting.append(episode)
        if len(self._waiting) == EPISODES_PER_SHARD:
            self._write()

    def _write(self) -> None:
        episodes, self._waiting = self._waiting, []
        lengths = np.array([len(episode.rewards) for episode in episodes], np.int64)
        ends = np.cumsum(lengths)
        path = self._folder / f"shard-{self._shards:05d}.h5"
        for episode in episodes:
            for name in COLUMNS:
                if not np.isfinite(getattr(episode, name)).all():
                    raise EpisodeFileError(
                        f"{path}: not saved: {name} of the episode on track "
                        f"{episode.track_seed}: expected finite numbers, got NaN or infinity"
                    )
        with sealed_file(path, FORMAT) as file:
            for name, value in self._attributes.items():
                file.attrs[name] = value
            file["episode_starts"] = ends - lengths
            file["episode_lengths"] = lengths
            file["episode_seeds"] = np.array([one.track_seed for one in episodes], np.int64)
            file["episode_reasons"] = np.array([one.reason for one in episodes], REASON)
            frames = file.create_dataset(
                "frames",
                (ends[-1], *self._image_shape, 3),
                np.uint8,
                chunks=(min(ROWS_PER_CHUNK, int(ends[-1])), *self._image_shape, 3),
                compression="gzip",
                compression_opts=4,
            )
            for episode, end, length in zip(episodes, ends, lengths, strict=True):
                frames[end - length : end] = episode.frames
            for name in COLUMNS:
                file[name] = np.concatenate([getattr(episode, name) for episode in episodes])
        self._shards += 1


def refuse_episodes(folder: str | Path) -> None:
    """Raises EpisodeFileError if the folder holds episodes."""
    if any(Path(folder).glob(SHARDS)):
        raise EpisodeFileError(
            f"{folder}: expected a folder without episodes, got those of another run; "
            "`dvc repro` puts new ones in the place of the pipeline's own"
        )


def keep_whole_shards(folder: str | Path) -> int:
    """Remove the first shard that is not whole, and all after it; count the episodes before."""
    episodes = 0
    shards = sorted(Path(folder).glob(SHARDS))
    for number, shard in enumerate(shards):
        try:
            with open_shard(shard) as file:
                episodes += len(file["episode_lengths"])
        except EpisodeFileError:
            for other in shards[number:]:
                other.unlink()
            break
    return episodes


def place_shards(source: str | Path, target: str | Path) -> None:
    """Let `target` hold the shards of `source` too: as hard links, as copies on another disk."""
    Path(target).mkdir(parents=True, exist_ok=True)
    for shard in sorted(Path(source).glob(SHARDS)):
        with atomic_write(Path(target) / shard.name) as temporary:
            try:
                os.link(shard, temporary)
            except OSError:
                shutil.copyfile(shard, temporary)


@dataclass(frozen=True)
class EpisodeRows:
    """Where an episode lies: rows start to start + length of one shard."""

    shard: Path
    start: int
    length: int


class EpisodeFiles:
    """The index of one or more folders of shards, one folder after the other; holds no frames.

    Raises:
        EpisodeFileError: no shards, a damaged, foreign or unsafe file, or shards that differ in
            shape.
    """

    def __init__(self, *folders: str | Path) -> None:
        self.folders = [Path(folder) for folder in folders]
        shards = []
        for folder in self.folders:
            found = sorted(folder.glob(SHARDS))
            if not found:
                raise EpisodeFileError(
                    f"{folder}: no episodes; `dvc repro` makes them, "
                    "`dvc checkout` brings back cached ones"
                )
            shards += found
        self.episodes: list[EpisodeRows] = []
        shapes: dict[tuple[int, int], Path] = {}
        validate(shards, FORMAT)
        for shard in shards:
            with open_shard(shard) as file:
                starts, lengths = file["episode_starts"][:], file["episode_lengths"][:]
                height, width = file["frames"].shape[1:3]
            shapes[int(height), int(width)] = shard
            self.episodes += [
                EpisodeRows(shard, int(start), int(length))
                for start, length in zip(starts, lengths, strict=True)
            ]
        if len(shapes) > 1:
            raise EpisodeFileError(f"{self}: expected frames of one shape, got {shapes}")
        self.image_shape: tuple[int, int] = next(iter(shapes))

    def __str__(self) -> str:
        return " and ".join(map(str, self.folders))

    @property
    def rows(self) -> int:
        """Frames in all episodes."""
        return sum(episode.length for episode in self.episodes)

    def require_image_shape(self, image_shape: tuple[int, int]) -> None:
        """Raises EpisodeFileError if the frames have another height and width."""
        if self.image_shape != tuple(image_shape):
            raise EpisodeFileError(
                f"{self}: expected frames of {tuple(image_shape)}, as env.image_shape says, "
                f"got {self.image_shape}; `dvc repro` makes them anew"
            )


def split_episodes(count: int, validation_share: float) -> tuple[list[int], list[int]]:
    """Which episodes to train on and which to validate on, spread evenly; at least one of each.

    Of the first so many episodes the same are held out however many follow, so that what is added
    in the second round leaves those of the first where they were.

    Raises:
        WorldModelsError: fewer than two episodes.
    """
    if count < 2:
        raise WorldModelsError(
            f"episodes: expected at least 2, one to train on and one to validate on, got {count}; "
            "raise sampling.episodes"
        )
    share = Fraction(str(validation_share))  # a tenth, not the float nearest to it
    held_out = (floor((index + Fraction(1, 2)) / share) for index in range(count))
    validation = [episode for episode in held_out if episode < count] or [count - 1]
    validation = validation[: count - 1]
    training = sorted(set(range(count)) - set(validation))
    return training, validation


def open_shard(path: Path) -> h5py.File:
    """An episode file, opened to read.

    Raises:
        EpisodeFileError: it is not an episode file of this version, or is damaged or unsafe.
    """
    file = open_sealed(path, FORMAT)
    try:
        _require_layout(file)
    except EpisodeFileError:
        file.close()
        raise
    return file


def _require_layout(file: h5py.File) -> None:
    frames = require_dataset(file, "frames", np.uint8, (None, None, None, 3), FORMAT)
    rows, height, width, _ = frames.shape
    if rows > MAX_ROWS_PER_SHARD:
        raise EpisodeFileError(
            f"{file.filename}: frames: expected at most {MAX_ROWS_PER_SHARD}, got {rows}; "
            f"{FORMAT.remedy}"
        )
    if not all(SMALLEST_SIDE <= side <= LARGEST_SIDE for side in (height, width)):
        raise EpisodeFileError(
            f"{file.filename}: frames: expected sides from {SMALLEST_SIDE} to {LARGEST_SIDE} "
            f"pixels, got {height} x {width}; {FORMAT.remedy}"
        )
    require_dataset(file, "actions", np.float32, (rows, 3), FORMAT)
    require_dataset(file, "rewards", np.float32, (rows,), FORMAT)
    require_dataset(file, "progress", np.float32, (rows,), FORMAT)
    columns = require_dataset(file, "privileged", np.float32, (rows, None), FORMAT).shape[1]
    if columns > MAX_PRIVILEGED:
        raise EpisodeFileError(
            f"{file.filename}: privileged: expected at most {MAX_PRIVILEGED} columns, "
            f"got {columns}; {FORMAT.remedy}"
        )
    _, lengths = episode_index(file, rows, FORMAT)
    require_dataset(file, "episode_seeds", np.int64, lengths.shape, FORMAT)
    episode_reasons(file, len(lengths), FORMAT)


def episode_index(
    file: h5py.File, rows: int, kind: Format
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each episode of a file of so many rows starts, and how long it is.

    Raises:
        the format's error: the episodes are not one behind the other from the first row to the
            last, or one of them is empty.
    """
    starts = require_dataset(file, "episode_starts", np.int64, (None,), kind)
    if len(starts) > rows:
        raise kind.error(
            f"{file.filename}: episode_starts: expected at most {rows}, one for each row, "
            f"got {len(starts)}; {kind.remedy}"
        )
    lengths = require_dataset(file, "episode_lengths", np.int64, starts.shape, kind)[:]
    if (
        not ((lengths >= 1) & (lengths <= rows)).all()
        or lengths.sum() != rows
        or not np.array_equal(starts, np.cumsum(lengths) - lengths)
    ):
        raise kind.error(
            f"{file.filename}: episode_starts, episode_lengths: expected episodes of 1 step or "
            f"more, one behind the other in all {rows} rows, got something else; {kind.remedy}"
        )
    return starts[:], lengths


def episode_reasons(file: h5py.File, episodes: int, kind: Format) -> list[EndReason]:
    """Why each episode of a file of so many ended.

    Raises:
        the format's error: there are none, or others than there can be.
    """
    stored = require_dataset(file, "episode_reasons", REASON, (episodes,), kind)[:]
    reasons = [reason.decode("ascii", "replace") for reason in stored]
    for reason in reasons:
        if reason not in get_args(EndReason):
            raise kind.error(
                f"{file.filename}: episode_reasons: expected {listed(get_args(EndReason))}, "
                f"got {shown(reason)}; {kind.remedy}"
            )
    return cast(list[EndReason], reasons)


def read_episodes(path: str | Path) -> Iterator[EpisodeData]:
    """All episodes of a folder of shards, or of one shard, one at a time.

    Raises:
        EpisodeFileError: no shards, a damaged, foreign or unsafe file, or one that holds what are
            no numbers.
    """
    path = Path(path)
    shards = [path] if path.is_file() else sorted({e.shard for e in EpisodeFiles(path).episodes})
    for shard in shards:
        with open_shard(shard) as file:
            seeds, starts, lengths = (
                file[f"episode_{name}"][:] for name in ("seeds", "starts", "lengths")
            )
            reasons = episode_reasons(file, len(lengths), FORMAT)
            for seed, start, length, reason in zip(seeds, starts, lengths, reasons, strict=True):
                rows = slice(int(start), int(start + length))
                numbers = {name: file[name][rows] for name in COLUMNS}
                for name, values in numbers.items():
                    if not np.isfinite(values).all():
                        raise EpisodeFileError(
                            f"{shard}: {name}: expected finite numbers, got NaN or infinity in "
                            f"the episode on track {seed}; {FORMAT.remedy}"
                        )
                yield EpisodeData(
                    int(seed),
                    file["frames"][rows],
                    numbers["actions"],
                    numbers["rewards"],
                    numbers["progress"],
                    numbers["privileged"],
                    reason,
                )
