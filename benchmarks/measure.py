"""Measures side by side: whatever else the machine is doing slows all subjects alike."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from statistics import median

Rates = dict[str, list[float]]  # what was measured, to its rates, one a round


def stay_on_one_core() -> None:
    """Keep this process and its children on one core, as one simulator in one process would be,
    where the system can do that (macOS cannot)."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def in_turn(subjects: Mapping[str, Callable[[], float]], *, rounds: int) -> Rates:
    """Every subject's rates, measured once a round, in turn. Warming up is theirs to do."""
    rates: Rates = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, measure in subjects.items():
            rates[name].append(measure())
    return rates


def median_ratio(rates: Rates, name: str, to: str) -> float:
    """How many times faster one subject is than another: the median of the rounds' ratios."""
    return median(one / other for one, other in zip(rates[name], rates[to], strict=True))
