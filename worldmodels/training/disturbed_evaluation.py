"""How an agent is scored where something is in its way. Read `RobustnessParams`, then
`DisturbedLog`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pydantic import Field, field_validator

from worldmodels.car_racing.disturbances import DISTURBANCES, UNDISTURBED
from worldmodels.core.checkpoint import Checkpoint
from worldmodels.core.errors import WorldModelsError
from worldmodels.core.files import atomic_write
from worldmodels.core.params import Params
from worldmodels.rollouts.episode import Outcome
from worldmodels.training.evaluation import read_rows, score

COLUMNS = ["disturbance", "seed", "return", "steps", "tiles", "end"]


class RobustnessParams(Params):
    """The `robustness` group of params.yaml.

    disturbances: that the agent is scored under, names of `DISTURBANCES`; it is scored undisturbed
        as well.
    """

    disturbances: tuple[str, ...] = Field(min_length=1)

    @field_validator("disturbances")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        known = [name for name in DISTURBANCES if name != UNDISTURBED]
        if not set(names) <= set(known) or len(set(names)) < len(names):
            raise ValueError(f"expected some of {', '.join(known)}, each once")
        return names


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
                self.rows = read_rows(self._path, COLUMNS)
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
            scored = score(returns)
            found[name] = scored["return_mean"], scored["return_std"]
        return found
