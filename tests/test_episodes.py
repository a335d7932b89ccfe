"""Episode files: what is written is read back, in whole shards, or a clear error says why not."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import MakeOutcome, WriteEpisodes
from numpy.typing import NDArray

from worldmodels.core.errors import WorldModelsError
from worldmodels.data.episodes import (
    EPISODES_PER_SHARD,
    FORMAT,
    EpisodeFileError,
    EpisodeFiles,
    EpisodeWriter,
    read_episodes,
    split_episodes,
)
from worldmodels.data.hdf5_files import seal
from worldmodels.rollouts.episode import RolloutError

LENGTHS = [1, 40, 33, 2]


def new_writer(folder: Path) -> EpisodeWriter:
    return EpisodeWriter(
        folder,
        environment="a test",
        policy="numbered",
        seed=0,
        image_shape=(32, 32),
        privileged_columns=["speed"],
    )


def test_what_is_read_is_what_was_written(tmp_path: Path, write_episodes: WriteEpisodes) -> None:
    written = write_episodes(tmp_path, LENGTHS, image_shape=(32, 48))
    read = list(read_episodes(tmp_path))
    assert [episode.track_seed for episode in read] == [100, 101, 102, 103]
    for episode, outcome in zip(read, written, strict=True):
        for name in ("frames", "actions", "rewards", "progress", "privileged"):
            stored, expected = getattr(episode, name), getattr(outcome.recorded, name)
            assert stored.dtype == expected.dtype
            assert np.array_equal(stored, expected)


def test_episodes_of_any_length_stay_apart(tmp_path: Path, write_episodes: WriteEpisodes) -> None:
    write_episodes(tmp_path, LENGTHS)
    for index, episode in enumerate(read_episodes(tmp_path)):
        assert episode.frames[:, 0, 0, 0].tolist() == [index] * LENGTHS[index]
        assert episode.frames[:, 0, 0, 2].tolist() == list(range(LENGTHS[index]))


def test_episodes_keep_why_they_ended(tmp_path: Path, write_episodes: WriteEpisodes) -> None:
    reasons = ["lap", "off_field", "time_limit", "patience"]
    write_episodes(tmp_path, LENGTHS, reasons=reasons)
    assert [episode.reason for episode in read_episodes(tmp_path)] == reasons


def test_the_same_episodes_give_the_same_bytes(
    tmp_path: Path, write_episodes: WriteEpisodes
) -> None:
    for name in ("one", "two"):
        write_episodes(tmp_path / name, LENGTHS)
    one, two = tmp_path / "one/shard-00000.h5", tmp_path / "two/shard-00000.h5"
    assert one.read_bytes() == two.read_bytes()


def test_frames_are_stored_as_uint8(tmp_path: Path, write_episodes: WriteEpisodes) -> None:
    write_episodes(tmp_path, [3])
    with h5py.File(tmp_path / "shard-00000.h5") as file:
        assert file["frames"].dtype == np.uint8


def test_a_shard_holds_sixteen_episodes(tmp_path: Path, write_episodes: WriteEpisodes) -> None:
    write_episodes(tmp_path, [2] * 35)
    counts = []
    for shard in sorted(tmp_path.iterdir()):
        with h5py.File(shard) as file:
            counts.append(len(file["episode_lengths"]))
    assert EPISODES_PER_SHARD == 16
    assert counts == [16, 16, 3]
    assert [episode.track_seed for episode in read_episodes(tmp_path)] == list(range(100, 135))


def test_one_shard_can_be_read_alone(tmp_path: Path, write_episodes: WriteEpisodes) -> None:
    write_episodes(tmp_path, [2] * 18)
    seeds = [episode.track_seed for episode in read_episodes(tmp_path / "shard-00001.h5")]
    assert seeds == [116, 117]


def test_the_index_counts_rows_and_holds_no_frames(
    tmp_path: Path, write_episodes: WriteEpisodes
) -> None:
    write_episodes(tmp_path, LENGTHS, image_shape=(32, 48))
    files = EpisodeFiles(tmp_path)
    assert files.rows == sum(LENGTHS)
    assert [(rows.start, rows.length) for rows in files.episodes] == [
        (0, 1),
        (1, 40),
        (41, 33),
        (74, 2),
    ]
    assert files.image_shape == (32, 48)


def test_several_folders_are_indexed_one_after_the_other(
    tmp_path: Path, write_episodes: WriteEpisodes
) -> None:
    folders = [tmp_path / "z", tmp_path / "a"]  # in the order given, not sorted
    write_episodes(folders[0], [2] * 17)
    write_episodes(folders[1], [3, 4])
    files = EpisodeFiles(*folders)
    assert files.rows == 17 * 2 + 7
    assert [rows.length for rows in files.episodes] == [2] * 17 + [3, 4]
    assert [rows.shard.parent for rows in files.episodes] == [folders[0]] * 17 + [folders[1]] * 2
    assert [rows.start for rows in files.episodes[15:]] == [30, 0, 0, 3]


def test_of_several_folders_the_empty_one_is_named(
    tmp_path: Path, write_episodes: WriteEpisodes
) -> None:
    write_episodes(tmp_path / "one", [2])
    with pytest.raises(EpisodeFileError, match=rf"^{tmp_path}/two: no episodes; `dvc repro` makes"):
        EpisodeFiles(tmp_path / "one", tmp_path / "two")


def test_folders_that_differ_in_shape_are_refused(
    tmp_path: Path, write_episodes: WriteEpisodes
) -> None:
    write_episodes(tmp_path / "one", [2])
    write_episodes(tmp_path / "two", [2], image_shape=(32, 48))
    expected = rf"^{tmp_path}/one and {tmp_path}/two: expected frames of one shape"
    with pytest.raises(EpisodeFileError, match=expected):
        EpisodeFiles(tmp_path / "one", tmp_path / "two")


def test_attributes_say_what_was_driven_and_by_whom(
    tmp_path: Path, write_episodes: WriteEpisodes
) -> None:
    write_episodes(tmp_path, [2], seed=0)
    with h5py.File(tmp_path / "shard-00000.h5") as file:
        assert (file.attrs["environment"], file.attrs["policy"]) == ("a test", "numbered")
        assert file.attrs["seed"] == 0
        assert list(file.attrs["image_shape"]) == [32, 32]
        assert file.attrs["privileged_columns"][0] == "speed"
        assert file["episode_reasons"][0] == b"time_limit"


def test_a_failed_write_leaves_no_file(tmp_path: Path, make_outcome: MakeOutcome) -> None:
    damaged = make_outcome(0, 5)
    damaged.recorded.frames = damaged.recorded.frames[:, :16]  # not what the writer was told
    writer = new_writer(tmp_path)
    writer.write(damaged.recorded)
    with pytest.raises(TypeError, match="broadcast"):
        writer.__exit__(None, None, None)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_writer_leaves_whole_shards_only(
    tmp_path: Path, make_outcome: MakeOutcome
) -> None:
    writer = new_writer(tmp_path)

    def write_some() -> None:
        with writer:
            for index in range(20):
                outcome = make_outcome(index, 2)
                writer.write(outcome.recorded)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_some()
    assert [shard.name for shard in tmp_path.iterdir()] == ["shard-00000.h5"]
    assert len(list(read_episodes(tmp_path))) == 16


def test_episodes_of_two_runs_are_not_mixed(tmp_path: Path, write_episodes: WriteEpisodes) -> None:
    write_episodes(tmp_path, [3] * 17)
    with pytest.raises(EpisodeFileError, match="those of another run; `dvc repro` puts new"):
        new_writer(tmp_path)
    assert len(list(read_episodes(tmp_path))) == 17


def test_an_episode_that_was_not_recorded_is_refused(
    tmp_path: Path, make_outcome: MakeOutcome
) -> None:
    outcome = make_outcome(0, 2)
    outcome.recording = None
    with pytest.raises(RolloutError, match="expected record=True"):
        new_writer(tmp_path).write(outcome.recorded)


@pytest.mark.parametrize("read", [EpisodeFiles, lambda folder: list(read_episodes(folder))])
class TestUnreadable:
    """Every way to read says which file is wrong and what to do."""

    def test_no_folder(self, tmp_path: Path, read: type[EpisodeFiles]) -> None:
        with pytest.raises(EpisodeFileError, match=r"nowhere: no episodes; `dvc repro`"):
            read(tmp_path / "nowhere")

    def test_an_empty_folder(self, tmp_path: Path, read: type[EpisodeFiles]) -> None:
        with pytest.raises(EpisodeFileError, match=rf"{tmp_path}: no episodes; `dvc repro`"):
            read(tmp_path)

    def test_a_truncated_shard(
        self, tmp_path: Path, read: type[EpisodeFiles], write_episodes: WriteEpisodes
    ) -> None:
        write_episodes(tmp_path, LENGTHS)
        shard = tmp_path / "shard-00000.h5"
        shard.write_bytes(shard.read_bytes()[:5000])
        with pytest.raises(
            EpisodeFileError, match=rf"{shard}: cut short: .* got 5000; .*dvc repro"
        ):
            read(tmp_path)

    def test_a_flipped_byte(
        self, tmp_path: Path, read: type[EpisodeFiles], write_episodes: WriteEpisodes
    ) -> None:
        write_episodes(tmp_path, LENGTHS)
        shard = tmp_path / "shard-00000.h5"
        content = bytearray(shard.read_bytes())
        content[len(content) // 2] ^= 1
        shard.write_bytes(content)
        with pytest.raises(EpisodeFileError, match=rf"{shard}: damaged: .*dvc repro"):
            read(tmp_path)

    def test_no_hdf5_at_all(self, tmp_path: Path, read: type[EpisodeFiles]) -> None:
        shard = tmp_path / "shard-00000.h5"
        shard.write_text("version https://git-lfs.github.com/spec/v1\n")
        with pytest.raises(EpisodeFileError, match=rf"{shard}: expected.*else; .*dvc repro"):
            read(tmp_path)

    def test_a_foreign_hdf5_file(self, tmp_path: Path, read: type[EpisodeFiles]) -> None:
        shard = tmp_path / "shard-00000.h5"
        with h5py.File(shard, "w") as file:
            file["frames"] = np.zeros((2, 32, 32, 3), np.uint8)
        with pytest.raises(EpisodeFileError, match=rf"{shard}: expected.*without.*dvc repro"):
            read(tmp_path)

    def test_another_version(
        self, tmp_path: Path, read: type[EpisodeFiles], write_episodes: WriteEpisodes
    ) -> None:
        write_episodes(tmp_path, LENGTHS)
        seal(tmp_path / "shard-00000.h5", dataclasses.replace(FORMAT, version=99))
        with pytest.raises(EpisodeFileError, match=r"expected.*version 3, got.*version 99;"):
            read(tmp_path)

    def test_a_missing_dataset(
        self, tmp_path: Path, read: type[EpisodeFiles], write_episodes: WriteEpisodes
    ) -> None:
        write_episodes(tmp_path, LENGTHS)
        with h5py.File(tmp_path / "shard-00000.h5", "a") as file:
            del file["rewards"]
        seal(tmp_path / "shard-00000.h5", FORMAT)
        with pytest.raises(
            EpisodeFileError, match=r"rewards: expected a dataset of float32 \(76,\), got none"
        ):
            read(tmp_path)

    @pytest.mark.parametrize(
        ("name", "values", "message"),
        [
            ("frames", np.zeros((76, 16, 32, 3), np.uint8), "sides from 32 to 96 .* 16 x 32"),
            ("frames", np.zeros((76, 32, 32), np.uint8), r"expected .*uint8 \(any, any, any, 3\)"),
            ("actions", np.zeros((75, 3), np.float32), r"actions: expected .*\(76, 3\), got .*75"),
            ("rewards", np.zeros(76), r"rewards: expected .*float32 .*got float64"),
            ("privileged", np.zeros((76, 65), np.float32), "at most 64 columns, got 65"),
            ("episode_seeds", np.zeros(3, np.int64), r"episode_seeds: expected .*\(4,\), got"),
            ("episode_lengths", np.array([1, 40, 33, 3]), "one behind the other in all 76 rows"),
            ("episode_lengths", np.array([1, 40, 35, 0]), "episodes of 1 step or more"),
            ("episode_lengths", np.array([-1, 40, 33, 4]), "episodes of 1 step or more"),
            ("episode_starts", np.array([0, 1, 40, 74]), "one behind the other"),
            ("episode_starts", np.array([0, 1, 41, 2**62]), "one behind the other"),
            ("episode_starts", np.zeros(77, np.int64), "expected at most 76"),
        ],
    )
    def test_a_layout_that_makes_no_sense(
        self,
        tmp_path: Path,
        read: type[EpisodeFiles],
        write_episodes: WriteEpisodes,
        name: str,
        values: NDArray[np.generic],
        message: str,
    ) -> None:
        write_episodes(tmp_path, LENGTHS)
        with h5py.File(tmp_path / "shard-00000.h5", "a") as file:
            del file[name]
            file[name] = values
        seal(tmp_path / "shard-00000.h5", FORMAT)
        with pytest.raises(EpisodeFileError, match=rf"{message}.*; .*dvc repro"):
            read(tmp_path)

    def test_shards_that_differ_in_shape(
        self, tmp_path: Path, read: type[EpisodeFiles], write_episodes: WriteEpisodes
    ) -> None:
        write_episodes(tmp_path, [2])
        write_episodes(tmp_path / "other", [2], image_shape=(32, 48))
        (tmp_path / "other/shard-00000.h5").rename(tmp_path / "shard-00001.h5")
        with pytest.raises(EpisodeFileError, match=r"frames of one shape"):
            read(tmp_path)


@pytest.mark.parametrize("name", ["actions", "rewards", "privileged"])
def test_what_is_no_number_is_neither_written_nor_read(
    tmp_path: Path, make_outcome: MakeOutcome, write_episodes: WriteEpisodes, name: str
) -> None:
    outcome = make_outcome(3, 5)
    getattr(outcome.recorded, name)[2] = np.nan
    writer = new_writer(tmp_path)
    writer.write(outcome.recorded)
    with pytest.raises(EpisodeFileError, match=rf"not saved: {name} .* track 103: expected finite"):
        writer.__exit__(None, None, None)
    assert list(tmp_path.iterdir()) == []
    write_episodes(tmp_path, [3, 5])
    with h5py.File(tmp_path / "shard-00000.h5", "a") as file:
        file[name][4] = np.inf
    seal(tmp_path / "shard-00000.h5", FORMAT)
    with pytest.raises(EpisodeFileError, match=rf"{name}: expected finite numbers.* track 101; "):
        list(read_episodes(tmp_path))


def test_frames_of_another_shape_than_params_are_refused(
    tmp_path: Path, write_episodes: WriteEpisodes
) -> None:
    write_episodes(tmp_path, [2])
    files = EpisodeFiles(tmp_path)
    files.require_image_shape((32, 32))
    with pytest.raises(EpisodeFileError, match=r"expected frames of \(60, 80\).*got \(32, 32\)"):
        files.require_image_shape((60, 80))


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.999])
def test_a_split_leaves_neither_side_empty(share: float) -> None:
    for count in [*range(2, 40), 300, 601]:
        training, validation = split_episodes(count, share)
        assert len(training) >= 1
        assert len(validation) >= 1
        assert sorted(training + validation) == list(range(count))


def test_a_split_holds_out_the_share_asked_for_evenly_spread() -> None:
    _, validation = split_episodes(300, 0.1)
    assert len(validation) == 30
    assert set(np.diff(validation)) == {10}


def test_more_episodes_leave_the_split_of_the_first_as_it_was() -> None:
    _, alone = split_episodes(300, 0.1)
    training, validation = split_episodes(460, 0.1)
    assert [episode for episode in validation if episode < 300] == alone
    assert len([episode for episode in validation if episode >= 300]) == 16
    assert sorted(training + validation) == list(range(460))


def test_one_episode_cannot_be_split() -> None:
    with pytest.raises(WorldModelsError, match=r"at least 2.*got 1; raise sampling.episodes"):
        split_episodes(1, 0.1)


def test_the_simulator_and_the_reader_do_not_import_tensorflow() -> None:
    code = (
        "import sys, worldmodels; assert not {'tensorflow', 'keras'} & set(sys.modules);"
        "from worldmodels import read_episodes; import worldmodels.car_racing.environment;"
        "import worldmodels.rollouts.engine;"
        "found = {'tensorflow', 'keras'} & set(sys.modules);"
        "print(read_episodes.__module__, sorted(found))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "worldmodels.data.episodes []\n"
