"""Metrics and curves as DVC reads them: JSON and CSV that the same numbers always write alike."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import pandas as pd

from worldmodels.core.errors import WorldModelsError
from worldmodels.core.files import atomic_write

SIGNIFICANT_DIGITS = 6

# DVC joins the names of nested metrics with dots.
Metrics: TypeAlias = Mapping[str, "int | float | bool | Metrics"]


def write_metrics(path: str | Path, metrics: Metrics) -> None:
    """Write metrics as JSON, nested as they are, floats to six significant digits.

    Raises:
        WorldModelsError: one of them is not a finite number.
    """
    rounded = _rounded(metrics, f"{path}: ")
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(rounded, indent=2) + "\n")


def _rounded(metrics: Metrics, place: str) -> dict[str, object]:
    rounded: dict[str, object] = {}
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            rounded[name] = _rounded(value, f"{place}{name}.")
            continue
        if not math.isfinite(value):
            raise WorldModelsError(f"{place}{name}: expected a finite number, got {value}")
        is_float = isinstance(value, float)
        rounded[name] = float(f"{value:.{SIGNIFICANT_DIGITS}g}") if is_float else value
    return rounded


def write_curve(path: str | Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows as CSV, floats to six significant digits, None as nothing."""
    with atomic_write(path) as temporary:
        pd.DataFrame(list(rows)).to_csv(
            temporary, index=False, float_format=f"%.{SIGNIFICANT_DIGITS}g", lineterminator="\n"
        )
