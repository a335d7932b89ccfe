"""What driving has told an evolution so far, in its checkpoint: the scores of every generation.

`cma` is deterministic with seeded noise and one BLAS thread, so asking and telling again, without
driving, brings back its whole state, covariance and step size included. Read `EvolutionLog`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from worldmodels.core.checkpoint import Checkpoint
from worldmodels.core.errors import WorldModelsError
from worldmodels.core.files import atomic_write

FILE = "evolution.json"
CURRENT = "controller.h5"  # beside it: the mean as it stands, for whoever follows the evolution


@dataclass(frozen=True)
class GenerationResult:
    """How a generation's candidates drove, and what CMA-ES is told of it.

    returns: each candidate's mean return on the tracks that all of them drove.
    scores: what they were ranked by, the highest best, as CMA-ES was told it.
    pool_returns: the mean vector's return on each track of the pool; nothing without one.
    frames: driven by all of them, the mean vector included.
    """

    returns: list[float]
    scores: list[float]
    pool_returns: list[float]
    frames: int


@dataclass(frozen=True)
class Validation:
    """How the mean vector drove the validation tracks: mean and standard deviation of its
    returns."""

    return_mean: float
    return_std: float


class EvolutionLog:
    """Validations of the starts; by generation, from 1 on, results and validations.

    Args:
        checkpoint: the stage's; without one nothing is saved.
    """

    def __init__(self, checkpoint: Checkpoint | None) -> None:
        self._checkpoint = checkpoint
        self.results: dict[int, GenerationResult] = {}
        self.validations: dict[int, Validation] = {}
        self.starts: list[Validation] = []
        self._mean_digest = ""  # after the last of `results`
        if checkpoint is None or not (checkpoint.folder / FILE).exists():
            return
        try:
            self._read(checkpoint)
        except WorldModelsError as error:
            checkpoint.lost(error)
        else:
            checkpoint.resuming(f"generation {len(self.results)}")

    def add_start(self, validation: Validation) -> None:
        """Save the validation of the next start."""
        self.starts.append(validation)
        self._save()

    def add(self, generation: int, result: GenerationResult, mean: NDArray[np.float64]) -> None:
        """Save how a generation drove, and which mean vector that led to."""
        self.results[generation] = result
        self._mean_digest = _digest(mean)
        self._save()

    def add_validation(self, generation: int, validation: Validation) -> None:
        """Save a validation."""
        self.validations[generation] = validation
        self._save()

    def check(self, generation: int, mean: NDArray[np.float64]) -> None:
        """Hold the mean vector that telling again led to against the one of the first time.

        Raises:
            WorldModelsError: it is another.
        """
        if generation == len(self.results) and _digest(mean) != self._mean_digest:
            raise WorldModelsError(
                f"generation {generation}: expected the same mean vector from the same scores, got "
                "another: this machine computes otherwise than it did; remove the stage's folder "
                "in scratch and run `dvc repro` to evolve anew"
            )

    def _save(self) -> None:
        if self._checkpoint is None:
            return
        described = {
            "starts": [asdict(one) for one in self.starts],
            "results": [asdict(self.results[generation]) for generation in sorted(self.results)],
            "validations": {number: asdict(one) for number, one in self.validations.items()},
            "mean_digest": self._mean_digest,
        }
        with atomic_write(self._checkpoint.folder / FILE) as temporary:
            temporary.write_text(json.dumps(described))

    def _read(self, checkpoint: Checkpoint) -> None:
        path = checkpoint.folder / FILE
        try:
            described = json.loads(path.read_text())
            results = {
                number: GenerationResult(**one)
                for number, one in enumerate(described["results"], 1)
            }
            validations = {
                int(number): Validation(**one) for number, one in described["validations"].items()
            }
            starts = [Validation(**one) for one in described["starts"]]
            self._mean_digest = described["mean_digest"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise WorldModelsError(f"{path}: expected an evolution's log, got {error!r}") from error
        self.results, self.validations, self.starts = results, validations, starts


def _digest(mean: NDArray[np.float64]) -> str:
    return hashlib.sha256(mean.tobytes()).hexdigest()
