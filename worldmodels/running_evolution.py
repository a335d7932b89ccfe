"""The evolution that runs in this clone, to be watched from another terminal. Read
`running_evolution`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from worldmodels.core.errors import WorldModelsError
from worldmodels.core.params import read_params
from worldmodels.pipeline.rounds import rounds_of
from worldmodels.training.evolution_log import CURRENT


@dataclass(frozen=True)
class RunningEvolution:
    """A search of CMA-ES that an `evolve` stage is at.

    mean: file of the controller that its mean is by now. models: folder of its V and M.
    """

    mean: Path
    models: str


def running_evolution() -> RunningEvolution | None:
    """The newest one; None where none runs, or none has ended a generation yet."""
    found = [
        RunningEvolution(path, round_.models)
        for round_ in rounds_of(read_params()).values()
        for path in Path("scratch", round_.stage("evolve")).glob(f"*/{CURRENT}")
    ]
    return max(found, key=lambda one: os.path.getmtime(one.mean), default=None)


def evolution_to_follow() -> RunningEvolution:
    """The newest one.

    Raises:
        WorldModelsError: none runs, or none has ended a generation yet.
    """
    evolution = running_evolution()
    if evolution is None:
        raise WorldModelsError(
            "expected an evolution to follow, got none in scratch: run `dvc repro` in another "
            "terminal, and wait for the first generation of an `evolve` stage"
        )
    return evolution
