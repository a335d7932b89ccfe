"""A training's state between two steps, in one file: weights, the optimizer's own variables, how
far it has come and the running means. Going on from it gives the same bits as never having stopped.

Read `TrainingCheckpoint`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from worldmodels.core.checkpoint import Checkpoint
from worldmodels.core.errors import WorldModelsError
from worldmodels.data.hdf5_files import Format, open_sealed, sealed_file

FILE = "training.h5"


class TrainingCheckpointError(WorldModelsError):
    """A training's state that is damaged, or is another's."""


FORMAT = Format(
    "worldmodels-training",
    version=1,
    error=TrainingCheckpointError,
    remedy="the stage starts anew without it",
    max_bytes=4 << 30,  # a model's weights three times: Adam keeps two numbers for each
)


@dataclass
class Means:
    """Running means of the terms of a loss, each batch with its weight."""

    sums: dict[str, float] = field(default_factory=dict)
    weight: float = 0.0

    def add(self, terms: Mapping[str, tf.Tensor], weight: float = 1.0) -> None:
        """Count a batch."""
        self.weight += weight
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value) * weight

    def mean(self, name: str) -> float:
        """Of one term, so far."""
        return self.sums[name] / self.weight


@dataclass
class Position:
    """How far training has come.

    epoch: whole epochs done. step: steps done of the next. means: over those steps.
    rows: the training curve's, one for each whole epoch.
    """

    epoch: int = 0
    step: int = 0
    means: Means = field(default_factory=Means)
    rows: list[dict[str, Any]] = field(default_factory=list)


class TrainingCheckpoint:
    """Saves and restores a training.

    Args:
        checkpoint: the stage's; without one nothing is saved.
        variables: all that a step changes.
    """

    def __init__(self, checkpoint: Checkpoint | None, variables: Sequence[tf.Variable]) -> None:
        self._checkpoint = checkpoint
        self._variables = variables

    def restore(self) -> Position:
        """Set the variables as they were saved, and say how far that was; the start, if they never
        were."""
        if self._checkpoint is None or not (self._checkpoint.folder / FILE).exists():
            return Position()
        try:
            position, values = self._read()
        except TrainingCheckpointError as error:
            self._checkpoint.lost(error)
            return Position()
        for variable, value in zip(self._variables, values, strict=True):
            variable.assign(value)
        self._checkpoint.resuming(f"epoch {position.epoch}, step {position.step} of the next")
        return position

    def save(self, position: Position) -> None:
        """Write variables and position, in place of the last ones."""
        if self._checkpoint is None:
            return
        described = np.frombuffer(json.dumps(asdict(position)).encode(), np.uint8)
        path = self._checkpoint.folder / FILE
        with sealed_file(path, FORMAT) as file:
            file["position"] = described
            for index, variable in enumerate(self._variables):
                file[f"variables/{index:04d}"] = variable.numpy()
        self._checkpoint.saved()

    def save_if_due(self, position: Position) -> None:
        """`save`, if that was long ago."""
        if self._checkpoint is not None and self._checkpoint.due:
            self.save(position)

    def _read(self) -> tuple[Position, list[NDArray[np.generic]]]:
        assert self._checkpoint is not None
        path = self._checkpoint.folder / FILE
        try:
            with open_sealed(path, FORMAT) as file:
                described = json.loads(file["position"][:].tobytes())
                group = file["variables"]
                values = [np.asarray(group[name]) for name in sorted(group)]
        except (OSError, KeyError, ValueError) as error:
            raise TrainingCheckpointError(f"{path}: {error}") from error
        expected = [tuple(variable.shape) for variable in self._variables]
        if [value.shape for value in values] != expected:
            raise TrainingCheckpointError(f"{path}: expected variables of {expected}")
        means = Means(**described.pop("means"))
        return Position(means=means, **described), values
