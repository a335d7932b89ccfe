"""How many cores there are to use."""

from __future__ import annotations

import joblib


def core_count() -> int:
    """Cores that this process may use: those of the machine, of its affinity and of its container's
    quota, whichever are fewest."""
    cores: int = joblib.cpu_count()
    return cores
