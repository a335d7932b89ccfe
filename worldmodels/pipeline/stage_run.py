"""How a stage runs: its errors become one clear line, its environment is recorded, its time and
memory go to a log.

The log, logs/stages.csv, is not tracked: the same inputs give the same metrics, never the same
time. Read `run_stage`.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from worldmodels.core.errors import WorldModelsError
from worldmodels.core.params import ParameterError
from worldmodels.pipeline.checkpoints import Checkpoint, stage_checkpoint
from worldmodels.pipeline.environment import record_environment
from worldmodels.rollouts.cores import core_count

LOG = Path("logs/stages.csv")
COLUMNS = "stage,ended,seconds,peak_mib,peak_mib_of_largest_worker,workers"
BRING_BACK = (
    "DVC removes a stage's outputs before it runs; `git restore dvc.lock metrics && dvc checkout` "
    "brings the last ones back"
)


def run_stage(name: str, body: Callable[[], None]) -> None:
    """Run a stage's body and exit the process: 0 if it ended, non-zero if not."""
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # gym draws without a display
    started = time.monotonic()
    try:
        body()
        record_environment(name)
        _log(name, time.monotonic() - started)
    except WorldModelsError as error:
        print(f"{name}: {error}", file=sys.stderr, flush=True)
        if not isinstance(error, ParameterError):  # refused before anything was removed
            print(f"{name}: {BRING_BACK}", file=sys.stderr, flush=True)
        sys.exit(1)
    print(f"{name}: done in {time.monotonic() - started:.0f} s", flush=True)


def run_resumable_stage(name: str, body: Callable[[Checkpoint], None]) -> None:
    """`run_stage` for a body that saves to a checkpoint and goes on from it."""

    def with_checkpoint() -> None:
        with stage_checkpoint(name) as checkpoint:
            body(checkpoint)

    run_stage(name, with_checkpoint)


def _log(name: str, seconds: float) -> None:
    """Add a line to the log; one with other columns is begun anew."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    ended = time.strftime("%Y-%m-%dT%H:%M:%S")
    LOG.parent.mkdir(exist_ok=True)
    if not LOG.exists() or LOG.read_text().partition("\n")[0] != COLUMNS:
        LOG.write_text(COLUMNS + "\n")
    workers = os.environ.get("WORLDMODELS_WORKERS") or core_count()
    with LOG.open("a") as log:
        log.write(f"{name},{ended},{seconds:.1f},{own:.0f},{worker:.0f},{workers}\n")
