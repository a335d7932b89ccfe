"""Where a long computation keeps what it has done so far, so that the next run resumes from there.

Who hands in the folder decides which run finds which: `pipeline.checkpoints` keys it by all that
decides a stage's result. Read `Checkpoint`.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from worldmodels.core.errors import WorldModelsError

SECONDS_BETWEEN = 30.0  # saves; WORLDMODELS_CHECKPOINT_SECONDS, where it is set


class Checkpoint:
    """A folder for what a running stage has done so far.

    stage: whose. folder: of this run; empty at first, with what was saved when the stage goes on.
    """

    def __init__(self, stage: str, folder: Path) -> None:
        self.stage, self.folder = stage, folder
        self._between = _seconds_between()
        self._saved = time.monotonic()

    @property
    def due(self) -> bool:
        """Is it time to save?"""
        return time.monotonic() - self._saved >= self._between

    def saved(self) -> None:
        """Something was: start counting anew."""
        self._saved = time.monotonic()

    def resuming(self, done: str) -> None:
        """Tell the user that the stage goes on after what is done."""
        print(f"{self.stage}: going on after {done}, from {self.folder}", flush=True)

    def lost(self, error: WorldModelsError) -> None:
        """Tell the user that the checkpoint cannot be used and the stage starts anew."""
        print(f"{self.stage}: starting anew, its checkpoint is damaged: {error}", flush=True)


def _seconds_between() -> float:
    text = os.environ.get("WORLDMODELS_CHECKPOINT_SECONDS")
    if text is None:
        return SECONDS_BETWEEN
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise WorldModelsError(
            f"WORLDMODELS_CHECKPOINT_SECONDS: expected a number, 0 or more, got {text!r}; unset it "
            f"for {SECONDS_BETWEEN:.0f}"
        )
    return seconds
