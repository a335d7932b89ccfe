"""What `make bench` makes of its measurements; to measure is not a test's work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from benchmarks import ablations, dream_rounds
from benchmarks.__main__ import sections, table
from benchmarks.compression import compare
from benchmarks.dream_ranking import agreement, neighbours
from benchmarks.learning_curve import Point, learning_curve
from benchmarks.machine import machine
from benchmarks.measure import in_turn, median_ratio
from benchmarks.picture import draw
from benchmarks.scaling_simulation import Costs, Generation, simulate

RATES = {"gym": [100.0, 50.0, 200.0], "FastCarRacing": [3000.0, 2000.0, 6000.0]}
RESULTS: dict[str, Any] = {
    "simulators": {"episodes of 1000 steps": RATES, "threads": {"1": [30.0], "2": [60.0]}},
    "encoder": {"float32": [1500.0], "arithmetic alone, float32": [1600.0]},
    "closed_loop": {"float32, workers 2, batch 32": [2000.0, 2600.0, 2500.0]},
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
    assert "| FastCarRacing | 3,000 | 30.0 x |  |" in rows
    assert "| float32, workers 2, batch 32 | 2,500 |  |  |" in rows
    assert "| encoder | 75 % |" in rows


def test_the_picture_is_a_picture_and_always_the_same(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        draw(sections(RESULTS), RESULTS["shares"], tmp_path / name)
    assert cv2.imread(str(tmp_path / "one.png")).std() > 10
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_filters_are_compared_on_the_same_frames() -> None:
    frames = [np.full((steps, 60, 80, 3), steps, np.uint8) for steps in (40, 3)]
    rows = compare(
        frames, {"none": {}, "gzip 1": {"compression": "gzip", "compression_opts": 1}}, rounds=1
    ).splitlines()
    assert rows[0] == (
        "| filter | times smaller | write, MB/s | read, MB/s | a batch of 64 frames, ms |"
    )
    none, gzip = (row.strip("| ").split(" | ") for row in rows[2:])
    assert none[:2] == ["none", "0.7"]  # the second chunk of 32 frames holds 11 of them
    assert gzip[0] == "gzip 1"
    assert float(gzip[1]) > 50


def test_the_machine_is_named() -> None:
    assert "cores" in machine()
    assert "tensorflow 2." in machine()


STAGES_CSV = """\
stage,ended,seconds,peak_mib,peak_mib_of_largest_worker,workers
evolve@first,then,9999,1,1,2
sample@first,then,10,1,1,2
train_vae@first,then,600,1,1,2
encode@first,then,20,1,1,2
train_memory@first,then,90,1,1,2
evolve@first,then,1440,1,1,2
sample@second,then,40,1,1,2
train_vae@second,then,500,1,1,2
encode@second,then,20,1,1,2
train_memory@second,then,150,1,1,2
transfer@second,then,10,1,1,2
evolve@second,then,720,1,1,2
evaluate,then,5000,1,1,2
"""


def test_a_learning_curve_counts_what_was_driven_and_spent_until_each_validation(
    tmp_path: Path,
) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "stages.csv").write_text(STAGES_CSV)
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    (metrics / "evaluation.json").write_text('{"return_mean": 880.0, "return_std": 30.0}')
    header = "generation,frames,validation_return,validation_std\n"
    for name, frames, rows in (
        ("first", 1000, "0,0,5,1\n8,2000,300,90\n16,8000,700,70\n"),
        ("second", 500, "0,0,650,50\n8,4000,890,20\n"),
    ):
        (metrics / name).mkdir()
        (metrics / name / "sample.json").write_text(f'{{"frames": {frames}}}')
        (metrics / name / "validations.csv").write_text(header + rows)
    points, final = learning_curve(tmp_path)
    hours = [0.4, 0.6, 1.2, 1.6, 2.0]  # two cores; the last run of each stage counts
    driven = [1000, 3000, 9000, 9500, 13500]
    scores = [(5, 1), (300, 90), (700, 70), (650, 50), (890, 20)]
    assert [point.core_hours for point in points] == pytest.approx(hours)
    assert [point.frames for point in points] == driven
    assert [(point.score, point.std) for point in points] == scores
    assert final == Point(13500, pytest.approx(2.0), 880.0, 30.0)


def test_arguments_that_make_no_sense_are_refused_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks import __main__ as bench
    from benchmarks import compression, reading
    from benchmarks import learning_curve as curve

    for main, arguments, expected in (
        (bench.main, ["simulators"], "unrecognized arguments: simulators"),
        (curve.main, [str(tmp_path)], f"{tmp_path}: expected the folder of a finished run"),
        (compression.main, [str(tmp_path)], f"{tmp_path}: no episodes"),
        (reading.main, [str(tmp_path)], f"{tmp_path}: no episodes"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main(arguments)
        assert expected in capsys.readouterr().err


def test_ablations_are_a_table_of_means_with_standard_errors_over_seeds() -> None:
    runs = pd.DataFrame(
        {
            "variant": ["z alone"] * 3,
            "seed": [0, 1, 2],
            "return_mean": [700.0, 730.0, 760.0],
            "frames": [1.5e6, 1.5e6, 1.2e6],
            "val_nll": [0.99, 1.0, 1.01],
        }
    )
    row = "| z alone | 730 ± 17 | 700, 730, 760 | 1.40 M | 1.000 |"
    assert ablations.table(runs).splitlines()[2:] == [row]


@pytest.mark.parametrize(
    ("variant", "frames"), [("z alone", 11), ("two rounds of half the generations", 1111)]
)
def test_an_ablation_counts_the_frames_of_its_rounds(
    variant: str, frames: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    driven = {"first/sample": 1, "first/evolution": 10, "second/sample": 100}
    for name, count in {**driven, "second/evolution": 1000}.items():
        path = Path("metrics", f"{name}.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"frames": count}))
    Path("metrics/evaluation.json").write_text(json.dumps({"return_mean": 7.0, "return_std": 1.0}))
    Path("metrics/first/memory.json").write_text(json.dumps({"val_nll_first": 0.9}))
    assert ablations.scored(variant, 2) == {
        "variant": variant,
        "seed": 2,
        "return_mean": 7.0,
        "return_std": 1.0,
        "frames": frames,
        "val_nll": 0.9,
    }


def test_every_ablation_sets_all_that_another_changes() -> None:
    keys = [
        {part.split("=")[0] for part in ablations.settings(variant, seed=1)[1::2]}
        for variant in ablations.VARIANTS
    ]
    assert all(names == keys[0] for names in keys)


def test_rounds_of_dreams_are_a_table_of_what_was_expected_and_what_came(tmp_path: Path) -> None:
    rounds = {name: {"after": after} for name, after in (("explore", "none"), ("drive", "explore"))}
    (tmp_path / "params.yaml").write_text(json.dumps({"rounds": rounds}))
    for name, frames, kept in (("explore", 100_000, -40), ("drive", 20_000, 500)):
        folder = tmp_path / "metrics" / name
        folder.mkdir(parents=True)
        (folder / "sample.json").write_text(json.dumps({"frames": frames}))
        (folder / "controller.json").write_text(json.dumps({f"val_return_{name}": kept}))
        (folder / "evolution_curve.csv").write_text("generation,return_mean\n1,10\n2,30\n")
        (folder / "validations.csv").write_text(
            "generation,frames,validation_return,validation_std\n0,0,500,9\n2,0,450,12\n"
        )
    table = dream_rounds.rounds_table(tmp_path)
    assert dream_rounds.in_markdown(table).splitlines()[2:] == [
        "| explore | 100,000 | 30 | 450 ± 12 | -40 |",
        "| drive | 120,000 | 30 | 450 ± 12 | 500 |",
    ]
    dream_rounds.draw(table, tmp_path / "rounds.png")
    assert cv2.imread(str(tmp_path / "rounds.png")).std() > 10


def test_a_dream_that_ranks_as_car_racing_does_agrees_with_it_by_one() -> None:
    rng = np.random.default_rng(0)
    worth = rng.normal(size=200)[:, None]
    real = 300 + 100 * worth + rng.normal(scale=30, size=(200, 10))
    found = agreement(real, 0.1 * worth + rng.normal(scale=0.01, size=(200, 10)))
    assert found.between > 0.9
    assert 0.9 < found.tracks < found.dreams
    found = agreement(real, -worth + rng.normal(scale=30, size=(200, 10)))
    assert found.between < 0.1
    assert abs(found.dreams) < 0.3


def test_neighbours_of_a_controller_are_at_three_distances() -> None:
    c = np.arange(5000.0)
    found = neighbours(c, 6, seed=0)
    assert (found[0] == c).all()
    spreads = (found[1:] - c).std(axis=1)
    assert spreads == pytest.approx([0.03, 0.06, 0.1] * 2, rel=0.05)


@pytest.mark.parametrize(
    ("workers", "dispatch", "seconds", "efficiency", "limit"),
    [
        (64, 0.0, 0.1, 2 / 64 / 0.1, "last episode"),
        (8, 0.0, 0.303, 2 / 8 / 0.303, "small batches"),
        (64, 0.5, 32.1, 2 / 64 / 32.1, "driver"),
    ],
)
def test_a_simulated_generation_takes_what_its_batches_and_its_driver_take(
    workers: int, dispatch: float, seconds: float, efficiency: float, limit: str
) -> None:
    costs = Costs({1: 0.001, 32: 0.01}, dispatch, {64: 0.0})
    found = simulate(
        Generation(population=64, tracks=1), workers, costs, [100], rng=np.random.default_rng(0)
    )
    assert found.seconds == pytest.approx(seconds, rel=0.02)
    assert found.efficiency == pytest.approx(efficiency, rel=0.02)
    assert found.limit == limit
