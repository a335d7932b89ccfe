"""How far a stage has come: a bar on a terminal, a plain line every few seconds where there is
none."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 15.0


class Progress:
    """Counts work done, with rate and time left; use it as a context manager.

    Args:
        label: what is being done.
        total: how much there is to do.
        unit: of what.
        done: how much of it an earlier run did.
    """

    def __init__(self, label: str, total: int, unit: str, *, done: int = 0) -> None:
        self._bar = tqdm(
            total=total,
            initial=done,
            desc=label,
            unit=unit,
            disable=not sys.stdout.isatty(),
            file=sys.stdout,
        )
        self._label, self._total, self._unit = label, total, unit
        self._done = self._done_before = done
        self._started = self._said = time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def advance(self, amount: int, **figures: float) -> None:
        """Count `amount` more as done, and show these figures beside it."""
        self._done += amount
        if not self._bar.disable:
            if figures:
                self._bar.set_postfix(
                    {name: f"{value:.4g}" for name, value in figures.items()}, refresh=False
                )
            self._bar.update(amount)
            return
        now = time.monotonic()
        if now - self._said >= SECONDS_BETWEEN_LINES or self._done == self._total:
            self._said = now
            rate = (self._done - self._done_before) / max(now - self._started, 1e-9)
            left = (self._total - self._done) / rate
            shown = "".join(f", {name} {value:.4g}" for name, value in figures.items())
            print(
                f"{self._label}: {self._done} of {self._total} {self._unit}, "
                f"{rate:.3g} a second, {_duration(left)} left{shown}",
                flush=True,
            )


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min"


def announce(stage: str, work: str) -> None:
    """Say what a stage is about to do."""
    print(f"{stage}: {work}", flush=True)
