"""Ctrl-C, and a cluster's SIGTERM: a stage stops at once and says how to go on.

Nothing is tidied up, since nothing has to be: files carry their names only when they are whole, and
the next run goes on from the last checkpoint. Read `stop_on_interrupt`.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from pathlib import Path
from types import FrameType


def stop_on_interrupt() -> None:
    """From now on, end this process and its workers on SIGINT and SIGTERM, with one line."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)


def _stop(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)  # a second one ends it whatever it is doing
    stage = "@".join([Path(sys.argv[0]).stem, *sys.argv[1:]])
    line = f"\n{stage}: interrupted; `dvc repro` goes on from what was done\n"
    os.write(sys.stderr.fileno(), line.encode())  # print could meet itself here
    for worker in multiprocessing.active_children():
        worker.kill()
    os._exit(128 + number)  # what a shell reports for it
