"""Recording: an interrupted run goes on to the same files, and drives nothing twice but what was
in no whole shard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from conftest import MakeOutcome
from numpy.typing import NDArray

from worldmodels.car_racing.task import CarRacingTask
from worldmodels.core.checkpoint import Checkpoint
from worldmodels.data.episodes import EPISODES_PER_SHARD, EpisodeFileError, read_episodes
from worldmodels.rollouts.episode import Episode, Outcome
from worldmodels.rollouts.recording import record_episodes
from worldmodels.rollouts.sampling import SamplingSummary

EPISODES = [Episode(track_seed=100 + index, record=True) for index in range(2 * 16 + 3)]
CANDIDATES = np.array([[0.5]])


class Engine:
    """Plays as `make_outcome` says, and is interrupted after so many episodes."""

    def __init__(self, make_outcome: MakeOutcome, interrupted_after: int = 1000) -> None:
        self._make_outcome, self._left = make_outcome, interrupted_after
        self.played: list[int] = []
        self.candidates: NDArray[np.float64] | None = None
        self.closed = False

    def play(
        self, episodes: Sequence[Episode], candidates: NDArray[np.float64] | None = None
    ) -> Iterator[Outcome]:
        self.candidates = candidates
        for episode in episodes:
            if self._left == 0:
                raise KeyboardInterrupt
            self._left -= 1
            self.played.append(episode.track_seed)
            index = episode.track_seed - 100
            yield self._make_outcome(index, 2 + index % 3)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True


def record(folder: Path, engine: Any, scratch: Path) -> SamplingSummary:
    scratch.mkdir(exist_ok=True)
    return record_episodes(
        folder,
        EPISODES,
        engine,
        task=CarRacingTask(),
        candidates=CANDIDATES,
        policy="agent",
        seed=7,
        image_shape=(32, 32),
        checkpoint=Checkpoint("sample_agent", scratch),
    )


def shards(folder: Path) -> dict[str, bytes]:
    return {shard.name: shard.read_bytes() for shard in sorted(folder.iterdir())}


def test_every_episode_is_stored_and_counted(tmp_path: Path, make_outcome: MakeOutcome) -> None:
    engine = Engine(make_outcome)
    summary = record(tmp_path / "episodes", engine, tmp_path / "scratch")
    assert engine.closed
    assert np.array_equal(engine.candidates, CANDIDATES)
    stored = list(read_episodes(tmp_path / "episodes"))
    assert [one.track_seed for one in stored] == [one.track_seed for one in EPISODES]
    for index, one in enumerate(stored):
        assert np.array_equal(one.frames, make_outcome(index, 2 + index % 3).recorded.frames)
    metrics = summary.metrics()
    assert (metrics["episodes"], metrics["frames"]) == (35, sum(len(one.frames) for one in stored))
    with h5py.File(tmp_path / "episodes" / "shard-00002.h5") as file:
        assert (file.attrs["policy"], file.attrs["seed"]) == ("agent", 7)
        assert file.attrs["environment"] == "FastCarRacing-v2"


@pytest.mark.parametrize("interrupted_after", [0, 5, 16, 20, 34])
def test_going_on_gives_the_same_shards_and_figures_and_drives_no_stored_episode_again(
    interrupted_after: int,
    tmp_path: Path,
    make_outcome: MakeOutcome,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = record(tmp_path / "whole", Engine(make_outcome), tmp_path / "other")
    scratch, folder = tmp_path / "scratch", tmp_path / "episodes"
    cut, rest = Engine(make_outcome, interrupted_after), Engine(make_outcome)
    with pytest.raises(KeyboardInterrupt):
        record(folder, cut, scratch)
    assert cut.closed
    assert not folder.exists()  # nothing half recorded is an output
    capsys.readouterr()
    summary = record(folder, rest, scratch)
    assert shards(folder) == shards(tmp_path / "whole")
    assert summary.metrics() == whole.metrics()
    kept = interrupted_after // EPISODES_PER_SHARD * EPISODES_PER_SHARD
    assert rest.played == [one.track_seed for one in EPISODES[kept:]]
    said = capsys.readouterr().out
    assert (f"sample_agent: going on after {kept} episodes" in said) == (kept > 0)


def test_what_was_recorded_outlives_the_loss_of_the_output(
    tmp_path: Path, make_outcome: MakeOutcome
) -> None:
    """DVC may have been killed before it wrote dvc.lock: it removes the outputs and runs again."""
    record(tmp_path / "first", Engine(make_outcome), tmp_path / "scratch")
    again = Engine(make_outcome)
    summary = record(tmp_path / "second", again, tmp_path / "scratch")
    assert again.played == []
    assert shards(tmp_path / "second") == shards(tmp_path / "first")
    assert summary.metrics()["episodes"] == 35


def test_episodes_of_another_run_are_refused_before_anything_is_driven(
    tmp_path: Path, make_outcome: MakeOutcome
) -> None:
    record(tmp_path / "episodes", Engine(make_outcome), tmp_path / "scratch")
    engine = Engine(make_outcome)
    with pytest.raises(EpisodeFileError, match="those of another run; `dvc repro` puts new"):
        record(tmp_path / "episodes", engine, tmp_path / "other")
    assert engine.played == []
