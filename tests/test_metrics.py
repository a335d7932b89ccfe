"""Metrics: the same bytes for the same numbers, nested as they are, and nothing but numbers."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from worldmodels.core.errors import WorldModelsError
from worldmodels.core.metrics import write_metrics


def test_floats_are_rounded_at_every_depth(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write_metrics(path, {"a": 1 / 3, "b": {"c": 2 / 3, "d": {"e": 1234567}}, "f": True})
    found = json.loads(path.read_text())
    assert found == {"a": 0.333333, "b": {"c": 0.666667, "d": {"e": 1234567}}, "f": True}
    assert list(found) == ["a", "b", "f"]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_is_refused_by_its_whole_name(tmp_path: Path, value: float) -> None:
    path = tmp_path / "metrics.json"
    with pytest.raises(WorldModelsError, match=rf"b\.c\.d: expected a finite number, got {value}"):
        write_metrics(path, {"a": 1, "b": {"c": {"d": value}}})
    assert not path.exists()
