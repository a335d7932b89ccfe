"""How a stage runs: its errors become one clear line, its time and memory go to a log.

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

from worldmodels.errors import WorldModelsError
from worldmodels.params import ParameterError

LOG = Path("logs/stages.csv")
BRING_BACK = (
    "DVC removes a stage's outputs before it runs; `git restore dvc.lock metrics && dvc checkout` "
    "brings the last ones back"
)
INTERRUPTED = 130  # what a shell reports for Ctrl-C


def run_stage(name: str, body: Callable[[], None]) -> None:
    """Run a stage's body and exit the process: 0 if it ended, non-zero if not."""
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # gym draws without a display
    started = time.monotonic()
    try:
        body()
    except WorldModelsError as error:
        print(f"{name}: {error}", file=sys.stderr, flush=True)
        if not isinstance(error, ParameterError):  # refused before anything was removed
            print(f"{name}: {BRING_BACK}", file=sys.stderr, flush=True)
        sys.exit(1)
    except KeyboardInterrupt:
        print(f"\n{name}: interrupted; `dvc repro` runs it again", file=sys.stderr, flush=True)
        sys.exit(INTERRUPTED)
    seconds = time.monotonic() - started
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    LOG.parent.mkdir(exist_ok=True)
    if not LOG.exists():
        LOG.write_text("stage,ended,seconds,peak_mib,peak_mib_of_largest_worker\n")
    ended = time.strftime("%Y-%m-%dT%H:%M:%S")
    with LOG.open("a") as log:
        log.write(f"{name},{ended},{seconds:.1f},{own:.0f},{worker:.0f}\n")
    print(f"{name}: done in {seconds:.0f} s", flush=True)
