"""How an agent is scored where something is in its way. Read `DisturbedLog`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from worldmodels.core.checkpoint import Checkpoint
from worldmodels.core.errors import WorldModelsError
from worldmodels.core.files import atomic_write
from worldmodels.rollouts.episode import Outcome

COLUMNS = ["disturbance", "seed", "return", "steps", "tiles", "end"]


class DisturbedLog:
    """The episodes under each disturbance that has been driven, as rows of
    metrics/disturbed_episodes.csv, in a checkpoint.

    Args:
        checkpoint: the stage's.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._path = checkpoint.folder / "disturbed_episodes.json"
        self.rows: list[dict[str, Any]] = []
        if self._path.exists():
            try:
                self.rows = self._read()
            except WorldModelsError as error:
                checkpoint.lost(error)
            else:
                checkpoint.resuming(f"{len(self.disturbances)} disturbances")

    @property
    def disturbances(self) -> list[str]:
        """Those that have been driven, in order."""
        return list(dict.fromkeys(row["disturbance"] for row in self.rows))

    def add(self, disturbance: str, outcomes: Sequence[Outcome]) -> None:
        """Save all episodes under one more."""
        for outcome in outcomes:
            values = outcome.episode.track_seed, outcome.episode_return, outcome.steps
            row = (disturbance, *values, outcome.tiles, outcome.reason)
            self.rows.append(dict(zip(COLUMNS, row, strict=True)))
        with atomic_write(self._path) as temporary:
            temporary.write_text(json.dumps(self.rows))

    def scores(self) -> dict[str, tuple[float, float]]:
        """Mean and standard deviation, the sample's (n - 1), of the returns under each."""
        found = {}
        for name in self.disturbances:
            returns = [row["return"] for row in self.rows if row["disturbance"] == name]
            std = float(np.std(returns, ddof=1)) if len(returns) > 1 else 0.0
            found[name] = float(np.mean(returns)), std
        return found

    def _read(self) -> list[dict[str, Any]]:
        try:
            rows: list[dict[str, Any]] = json.loads(self._path.read_text())
            columns = [list(row) for row in rows]
        except (OSError, ValueError, TypeError) as error:
            raise WorldModelsError(f"{self._path}: expected episodes, got {error!r}") from error
        if any(names != COLUMNS for names in columns):
            raise WorldModelsError(f"{self._path}: expected episodes, got columns {columns[:1]}")
        return rows
