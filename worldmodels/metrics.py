"""Metrics and curves as DVC reads them: JSON and CSV that the same numbers always write alike."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from worldmodels.errors import WorldModelsError
from worldmodels.files import written_whole

SIGNIFICANT_DIGITS = 6


def write_metrics(path: str | Path, metrics: Mapping[str, int | float | bool]) -> None:
    """Write metrics as JSON, floats to six significant digits.

    Raises:
        WorldModelsError: one of them is not a finite number.
    """
    rounded: dict[str, int | float | bool] = {}
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise WorldModelsError(f"{path}: {name}: expected a finite number, got {value}")
        is_float = isinstance(value, float)
        rounded[name] = float(f"{value:.{SIGNIFICANT_DIGITS}g}") if is_float else value
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(rounded, indent=2) + "\n")


def write_curve(path: str | Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows as CSV, floats to six significant digits, None as nothing."""
    with written_whole(path) as temporary:
        pd.DataFrame(list(rows)).to_csv(
            temporary, index=False, float_format=f"%.{SIGNIFICANT_DIGITS}g", lineterminator="\n"
        )
