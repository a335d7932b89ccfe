"""Episode files: whole drives in HDF5 shards, a few episodes a shard, of any length each.

A shard holds the rows of its episodes one after the other, and an index of where each starts and
how long it is. Row t is the frame seen, the action chosen on seeing it, and the reward that
followed; the flags say whether that step ended the episode. The same episodes always give the same
bytes. Read `EpisodeWriter` for the layout, `EpisodeFiles` to find rows, `read_episodes` for whole
drives.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
from numpy.typing import NDArray

from worldmodels.errors import WorldModelsError
from worldmodels.files import written_whole

if TYPE_CHECKING:
    from worldmodels.rollout import Outcome

FORMAT = "worldmodels-episodes"
VERSION = 1
DATASETS = (
    *("episode_starts", "episode_lengths", "episode_seeds", "episode_reasons"),
    *("frames", "actions", "rewards", "terminated", "truncated", "privileged"),
)
SHARDS = "shard-*.h5"
EPISODES_A_SHARD = 16
ROWS_A_CHUNK = 32  # of frames: what training reads at once


class EpisodeFileError(WorldModelsError):
    """An episode file that is missing, is something else, or is damaged."""


@dataclass(frozen=True)
class EpisodeData:
    """One drive.

    track_seed: what the environment was reset with.
    frames: (steps, height, width, 3) uint8. actions: (steps, 3) float32, steering, gas and brake.
    rewards: (steps,) float32. terminated, truncated: (steps,) bool, set at the last step at most.
    privileged: (steps, 6) float32, one column each of the shard's attribute
        `privileged_columns`.
    """

    track_seed: int
    frames: NDArray[np.uint8]
    actions: NDArray[np.float32]
    rewards: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    privileged: NDArray[np.float32]


class EpisodeWriter:
    """Writes outcomes with recordings to shards in `folder`; use it as a context manager.

    Args:
        folder: made if it is not there.
        environment, policy: what was driven and by whom, stored as attributes.
        seed: the seed of the whole set, stored as an attribute.
        image_shape: height and width of a frame.
        privileged_columns: what the columns of `Recording.privileged` are, stored as an attribute.
        going_on: add to the shards that the folder holds, all of them full.

    Raises:
        EpisodeFileError: the folder holds episodes already, and this is not going on.
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
        going_on: bool = False,
    ) -> None:
        self._folder = Path(folder)
        if not going_on:
            refuse_episodes(folder)
        self._attributes = {
            "format": FORMAT,
            "version": VERSION,
            "environment": environment,
            "policy": policy,
            "seed": seed,
            "image_shape": np.array(image_shape, np.int64),
            "privileged_columns": list(privileged_columns),
        }
        self._image_shape = image_shape
        self._waiting: list[Outcome] = []
        self._shards = len(list(self._folder.glob(SHARDS)))

    def __enter__(self) -> EpisodeWriter:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None and self._waiting:
            self._write()

    def write(self, outcome: Outcome) -> None:
        """Add one episode; a shard is written when it is full."""
        self._waiting.append(outcome)
        if len(self._waiting) == EPISODES_A_SHARD:
            self._write()

    def _write(self) -> None:
        outcomes, self._waiting = self._waiting, []
        recordings = [outcome.recorded for outcome in outcomes]
        lengths = np.array([outcome.steps for outcome in outcomes], np.int64)
        ends = np.cumsum(lengths)
        terminated = np.zeros(ends[-1], bool)
        truncated = np.zeros(ends[-1], bool)
        for outcome, end in zip(outcomes, ends, strict=True):
            flags = terminated if outcome.reason == "off_field" else truncated
            flags[end - 1] = True
        path = self._folder / f"shard-{self._shards:05d}.h5"
        with written_whole(path) as temporary, h5py.File(temporary, "w") as file:
            for name, value in self._attributes.items():
                file.attrs[name] = value
            file["episode_starts"] = ends - lengths
            file["episode_lengths"] = lengths
            file["episode_seeds"] = np.array([o.episode.track_seed for o in outcomes], np.int64)
            file["episode_reasons"] = [outcome.reason for outcome in outcomes]
            frames = file.create_dataset(
                "frames",
                (ends[-1], *self._image_shape, 3),
                np.uint8,
                chunks=(min(ROWS_A_CHUNK, int(ends[-1])), *self._image_shape, 3),
                compression="gzip",
                compression_opts=1,
            )
            for recording, end, length in zip(recordings, ends, lengths, strict=True):
                frames[end - length : end] = recording.frames
            for name in ("actions", "rewards", "privileged"):
                file[name] = np.concatenate([getattr(recording, name) for recording in recordings])
            file["terminated"] = terminated
            file["truncated"] = truncated
        self._shards += 1


def refuse_episodes(folder: str | Path) -> None:
    """Raises EpisodeFileError if the folder holds episodes."""
    if any(Path(folder).glob(SHARDS)):
        raise EpisodeFileError(
            f"{folder}: expected a folder without episodes, got those of another run; remove it"
        )


def keep_whole_shards(folder: str | Path) -> int:
    """Remove the first shard that is not whole, and all after it; count the episodes before."""
    episodes = 0
    shards = sorted(Path(folder).glob(SHARDS))
    for number, shard in enumerate(shards):
        try:
            episodes += sum(1 for _ in read_episodes(shard))
        except EpisodeFileError:
            for other in shards[number:]:
                other.unlink()
            break
    return episodes


def place_shards(source: str | Path, target: str | Path) -> None:
    """Let `target` hold the shards of `source` too: as hard links, as copies on another disk."""
    Path(target).mkdir(parents=True, exist_ok=True)
    for shard in sorted(Path(source).glob(SHARDS)):
        with written_whole(Path(target) / shard.name) as temporary:
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
    """The index of a folder of shards; holds no frames.

    Raises:
        EpisodeFileError: no shards, a damaged or foreign file, or shards that differ in shape.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        shards = sorted(self.folder.glob(SHARDS))
        if not shards:
            raise EpisodeFileError(
                f"{folder}: no episodes; `dvc repro sample` makes them, "
                "`dvc checkout` brings back cached ones"
            )
        self.episodes: list[EpisodeRows] = []
        shapes: dict[tuple[int, int], Path] = {}
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
            raise EpisodeFileError(f"{folder}: expected frames of one shape, got {shapes}")
        self.image_shape: tuple[int, int] = next(iter(shapes))

    @property
    def rows(self) -> int:
        """Frames in all episodes."""
        return sum(episode.length for episode in self.episodes)

    def require_image_shape(self, image_shape: tuple[int, int]) -> None:
        """Raises EpisodeFileError if the frames have another height and width."""
        if self.image_shape != tuple(image_shape):
            raise EpisodeFileError(
                f"{self.folder}: expected frames of {tuple(image_shape)}, as env.image_shape says, "
                f"got {self.image_shape}; `dvc repro sample` makes them anew"
            )


def split_episodes(count: int, validation_share: float) -> tuple[list[int], list[int]]:
    """Which episodes to train on and which to validate on, spread evenly; at least one of each.

    Raises:
        WorldModelsError: fewer than two episodes.
    """
    if count < 2:
        raise WorldModelsError(
            f"episodes: expected at least 2, one to train on and one to validate on, got {count}; "
            "raise sampling.episodes"
        )
    held_out = min(max(1, round(count * validation_share)), count - 1)
    validation = [(2 * index + 1) * count // (2 * held_out) for index in range(held_out)]
    training = sorted(set(range(count)) - set(validation))
    return training, validation


def open_shard(path: Path) -> h5py.File:
    """An episode file, opened to read.

    Raises:
        EpisodeFileError: it is not an episode file of this version, or is damaged.
    """
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise EpisodeFileError(
            f"{path}: not a whole HDF5 file ({error}); remove {path.parent} "
            "and run `dvc repro sample`"
        ) from error
    found = [file.attrs.get("format"), file.attrs.get("version")]
    missing = [name for name in DATASETS if name not in file]
    if found != [FORMAT, VERSION] or missing:
        file.close()
        raise EpisodeFileError(
            f"{path}: expected format {FORMAT}, version {VERSION}, with all datasets, got "
            f"{found[0]}, {found[1]}, without {missing}; remove {path.parent} "
            "and run `dvc repro sample`"
        )
    return file


def read_episodes(path: str | Path) -> Iterator[EpisodeData]:
    """All episodes of a folder of shards, or of one shard, one at a time.

    Raises:
        EpisodeFileError: no shards, or a damaged or foreign file.
    """
    path = Path(path)
    shards = [path] if path.is_file() else sorted({e.shard for e in EpisodeFiles(path).episodes})
    for shard in shards:
        with open_shard(shard) as file:
            index = zip(
                file["episode_seeds"][:],
                file["episode_starts"][:],
                file["episode_lengths"][:],
                strict=True,
            )
            for seed, start, length in index:
                rows = slice(int(start), int(start + length))
                yield EpisodeData(
                    int(seed),
                    file["frames"][rows],
                    file["actions"][rows],
                    file["rewards"][rows],
                    file["terminated"][rows],
                    file["truncated"][rows],
                    file["privileged"][rows],
                )
