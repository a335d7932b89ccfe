"""How an agent is scored: whole episodes on tracks that nothing was trained or chosen on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from pydantic import Field

from worldmodels.car_racing.task import MAX_STEPS
from worldmodels.core.checkpoint import Checkpoint
from worldmodels.core.errors import WorldModelsError
from worldmodels.core.files import atomic_write
from worldmodels.core.params import Params
from worldmodels.rollouts.episode import Episode, Outcome, Trace

COLUMNS = ["episode", "seed", "return", "steps", "tiles", "end"]  # of metrics/episodes.csv
SOLVED = 900.0  # the mean over 100 episodes that gym asks for


class EvaluationParams(Params):
    """The `evaluation` group of params.yaml.

    round: whose agent.
    episodes: how many. steps: of an episode at most; a score is one with CarRacing's own 1000.
    first_seed: the first track; the others follow.
    batch_size: environments a worker steps at once; the graph's batch shape.
    """

    round: str
    episodes: int = Field(ge=1, le=100_000)
    steps: int = Field(ge=1, le=MAX_STEPS)
    first_seed: int = Field(ge=0)
    batch_size: int = Field(ge=1, le=256)  # environments of 4 MB each

    @property
    def seeds(self) -> range:
        """Track seeds that are driven."""
        return range(self.first_seed, self.first_seed + self.episodes)


def evaluation_episodes(params: EvaluationParams, *, film: str | None) -> list[Episode]:
    """The episodes to drive, whole. With a path for the film, the first is recorded and filmed,
    and all bring back where the car went."""
    return [
        Episode(
            track_seed=track,
            noise_seed=track,
            steps=params.steps,
            record=film is not None and track == params.first_seed,
            film=film if track == params.first_seed else None,
            trace=film is not None,
        )
        for track in params.seeds
    ]


class EvaluationLog:
    """The episodes that were driven so far, as rows of metrics/episodes.csv, and where the car
    went, in a checkpoint.

    Args:
        checkpoint: the stage's.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._path = checkpoint.folder / "episodes.json"
        self.rows: list[dict[str, Any]] = []
        if self._path.exists():
            try:
                self.rows = read_rows(self._path, COLUMNS)
                for index in range(len(self.rows)):
                    self.trace(index)
            except WorldModelsError as error:
                self.rows = []
                checkpoint.lost(error)
            else:
                checkpoint.resuming(f"{len(self.rows)} episodes")

    def add(self, outcome: Outcome) -> None:
        """Save the next episode's outcome; it has a trace."""
        assert outcome.trace is not None
        with (
            atomic_write(self._trace_file(len(self.rows))) as temporary,
            temporary.open("wb") as file,
        ):
            np.savez(file, path=outcome.trace.path, road=outcome.trace.road)
        self.rows.append(
            {
                "episode": len(self.rows) + 1,
                "seed": outcome.episode.track_seed,
                "return": outcome.episode_return,
                "steps": outcome.steps,
                "tiles": outcome.tiles,
                "end": outcome.reason,
            }
        )
        with atomic_write(self._path) as temporary:
            temporary.write_text(json.dumps(self.rows))

    @property
    def returns(self) -> list[float]:
        """Of the episodes so far."""
        return [row["return"] for row in self.rows]

    def trace(self, index: int) -> Trace:
        """Where the car went in the episode of `rows[index]`.

        Raises:
            WorldModelsError: its file is missing or damaged.
        """
        path = self._trace_file(index)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                trace = Trace(arrays["path"], arrays["road"])
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise WorldModelsError(f"{path}: expected a trace, got {error!r}") from error
        if trace.path.shape != (self.rows[index]["steps"] + 1, 3) or trace.road.shape[1:] != (3,):
            raise WorldModelsError(f"{path}: expected a trace, got {trace.path.shape}")
        return trace

    def _trace_file(self, index: int) -> Path:
        return self._checkpoint.folder / f"trace-{index + 1}.npz"


def read_rows(path: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    """The episodes that a log has saved.

    Raises:
        WorldModelsError: the file is damaged, or its rows have other columns.
    """
    try:
        rows: list[dict[str, Any]] = json.loads(path.read_text())
        found = [list(row) for row in rows]
    except (OSError, ValueError, TypeError) as error:
        raise WorldModelsError(f"{path}: expected episodes, got {error!r}") from error
    if any(names != list(columns) for names in found):
        raise WorldModelsError(f"{path}: expected episodes, got columns {found[:1]}")
    return rows


def score(returns: Sequence[float]) -> dict[str, int | float | bool]:
    """The metrics of an evaluation; the standard deviation is the sample's (n - 1)."""
    count = len(returns)
    std = float(np.std(returns, ddof=1)) if count > 1 else 0.0
    mean = float(np.mean(returns))
    return {
        "return_mean": mean,
        "return_std": std,
        "return_standard_error": std / count**0.5,
        "return_median": float(np.median(returns)),
        "return_min": float(np.min(returns)),
        "return_max": float(np.max(returns)),
        "episodes": count,
        "solved": mean >= SOLVED,
    }
