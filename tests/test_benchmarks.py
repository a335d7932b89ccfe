"""What `make bench` makes of its measurements; to measure is not a test's work."""

from __future__ import annotations

from pathlib import Path

import cv2

from benchmarks.__main__ import table
from benchmarks.machine import machine
from benchmarks.measure import in_turn, median_ratio
from benchmarks.picture import draw

RATES = {"gym": [100.0, 50.0, 200.0], "FastCarRacing": [3000.0, 2000.0, 6000.0]}
RESULTS = {
    "simulators": {"1000": RATES, "200": RATES},
    "closed_loop": {"float32, batch 32, workers 2": [2000.0, 2600.0, 2500.0]},
    "shares": {"physics": 0.25, "encoder": 0.75},
    "training": {"VAE, float32": [500.0], "memory": [30000.0]},
}


def test_subjects_are_measured_in_turn() -> None:
    order: list[str] = []
    rates = in_turn({name: lambda n=name: order.append(n) or 1.0 for name in "ab"}, rounds=2)  # type: ignore[misc, func-returns-value]
    assert order == ["a", "b", "a", "b"]
    assert rates == {"a": [1.0, 1.0], "b": [1.0, 1.0]}


def test_a_ratio_is_taken_round_by_round() -> None:
    assert median_ratio(RATES, "FastCarRacing", "gym") == 30


def test_the_table_holds_medians_and_ratios() -> None:
    rows = table(RESULTS).splitlines()
    assert rows.count("| FastCarRacing | 3,000 | 30.0 x | not installed |") == 2
    assert "| float32, batch 32, workers 2 | 2,500 | | |" in rows
    assert "| encoder | 75 % |" in rows


def test_the_picture_is_a_picture_and_always_the_same(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        draw(RESULTS, tmp_path / name)
    assert cv2.imread(str(tmp_path / "one.png")).std() > 10
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_the_machine_is_named() -> None:
    assert "cores" in machine()
    assert "tensorflow 2." in machine()
