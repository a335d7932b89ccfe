"""The score: which episodes are driven, and the figures made of their returns."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from gym.envs.box2d.car_racing import CarRacing

from worldmodels.car_racing.task import CarRacingTask
from worldmodels.car_racing.telemetry import COLUMNS
from worldmodels.core.checkpoint import Checkpoint
from worldmodels.inspection.evaluation_charts import draw_lines, draw_returns, shown_episodes
from worldmodels.rollouts.episode import Episode, Outcome, Trace
from worldmodels.rollouts.episode_batch import EpisodeBatch
from worldmodels.training.evaluation import (
    EvaluationLog,
    EvaluationParams,
    evaluation_episodes,
    score,
)

BLUE, GREY = (0x00, 0x72, 0xB2), (0xD0, 0xD0, 0xD0)  # of bars, of the road
PARAMS = EvaluationParams(round="second", episodes=3, steps=1000, first_seed=0, batch_size=2)


def test_the_metrics_of_four_returns() -> None:
    assert score([900.0, 800.0, 1000.0, 940.0]) == {
        "return_mean": 910.0,
        "return_std": pytest.approx((21_200 / 3) ** 0.5),  # of the sample: n - 1
        "return_standard_error": pytest.approx((21_200 / 3) ** 0.5 / 2),
        "return_median": 920.0,
        "return_min": 800.0,
        "return_max": 1000.0,
        "episodes": 4,
        "solved": True,
    }


def test_the_score_is_the_mean_and_not_the_best() -> None:
    metrics = score([950.0, 0.0, 0.0])
    assert metrics["return_mean"] == pytest.approx(950 / 3)
    assert metrics["solved"] is False


@pytest.mark.parametrize(("mean", "solved"), [(899.99, False), (900.0, True)])
def test_solved_means_900_on_average(mean: float, solved: bool) -> None:
    assert score([mean - 50, mean + 50])["solved"] is solved


def test_one_return_has_no_spread() -> None:
    metrics = score([12.5])
    assert metrics["return_mean"] == metrics["return_median"] == 12.5
    assert metrics["return_std"] == metrics["return_standard_error"] == 0.0


def test_every_track_is_driven_whole_and_once() -> None:
    episodes = evaluation_episodes(PARAMS, film=None)
    assert [episode.track_seed for episode in episodes] == [0, 1, 2] == list(PARAMS.seeds)
    assert len({episode.noise_seed for episode in episodes}) == 3
    for episode in episodes:
        assert (episode.steps, episode.patience, episode.random_start) == (1000, None, False)
        assert (episode.candidate, episode.record, episode.film) == (0, False, None)


def test_the_first_track_is_recorded_and_filmed() -> None:
    first, *others = evaluation_episodes(PARAMS, film="drive.mp4")
    assert (first.track_seed, first.record, first.film) == (0, True, "drive.mp4")
    for episode in others:
        assert (episode.record, episode.film) == (False, None)
    assert all(episode.trace for episode in (first, *others))


def test_filming_changes_nothing_about_the_drive() -> None:
    for filmed, plain in zip(
        evaluation_episodes(PARAMS, film="drive.mp4"),
        evaluation_episodes(PARAMS, film=None),
        strict=True,
    ):
        for name in ("track_seed", "noise_seed", "steps", "patience", "random_start"):
            assert getattr(filmed, name) == getattr(plain, name)


def drive(task: CarRacingTask, **flags: bool) -> Outcome:
    """Twenty steps of an episode, the same each time."""
    batch = EpisodeBatch(task, slots=1, image_shape=(32, 32))
    batch.begin(0, Episode(track_seed=4, steps=20, **flags))
    outcome = None
    while outcome is None:
        batch.frames([0])
        (outcome,) = batch.step([0], np.array([[0.2, 0.8, 0.0]], np.float32))
    return outcome


@pytest.mark.parametrize("task", [CarRacingTask(), CarRacingTask(stock=True)])
def test_a_trace_is_where_the_car_went_and_changes_nothing(task: CarRacingTask) -> None:
    traced, plain = drive(task, trace=True, record=True), drive(task)
    assert traced.episode_return == plain.episode_return
    assert plain.trace is None
    trace = traced.trace
    assert trace is not None
    assert trace.path.shape == (21, 3)
    assert trace.path[0, :2] == pytest.approx(trace.road[0, 1:], abs=0.5)  # the first tile
    speed = traced.recorded.privileged[:, COLUMNS.index("speed")]
    assert trace.path[:-1, 2] == pytest.approx(speed)  # before each action
    moved = np.hypot(*np.diff(trace.path[:, :2], axis=0).T)
    assert moved == pytest.approx(trace.path[1:, 2] / 50, abs=0.05)  # 50 steps a second
    stock = CarRacing()
    stock.reset(seed=4)
    assert trace.road == pytest.approx(np.array([tile[1:4] for tile in stock.track]), abs=1e-4)


def outcome(track: int, value: float, steps: int = 30) -> Outcome:
    """An episode on a round track, of which it drives a part."""
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    road = np.stack([angle, 100 * np.cos(angle), 100 * np.sin(angle)], axis=1)
    path = np.stack([*road[: steps + 1, 1:].T, np.linspace(0, 50, steps + 1)], axis=1)
    trace = Trace(path.astype(np.float32), road.astype(np.float32))
    episode = Episode(track_seed=track, trace=True)
    return Outcome(episode, value, steps, 9, "time_limit", trace=trace)


def log_of(folder: Path, *returns: float) -> EvaluationLog:
    log = EvaluationLog(Checkpoint("evaluate", folder))
    for track, value in enumerate(returns, start=len(log.rows)):
        log.add(outcome(track, value))
    return log


def test_a_log_goes_on_with_rows_and_traces(tmp_path: Path) -> None:
    rows = log_of(tmp_path, 900.0, 800.0).rows
    log = log_of(tmp_path, 850.0)
    assert log.rows[:2] == rows
    assert log.returns == [900.0, 800.0, 850.0]
    expected = outcome(2, 850.0).trace
    assert expected is not None
    assert np.array_equal(log.trace(2).path, expected.path)
    assert np.array_equal(log.trace(0).road, expected.road)


@pytest.mark.parametrize("damage", ["missing", "short", "another"])
def test_a_log_with_a_damaged_trace_starts_anew(
    tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log_of(tmp_path, 900.0, 800.0)
    file = tmp_path / "trace-2.npz"
    if damage == "missing":
        file.unlink()
    elif damage == "short":
        file.write_bytes(file.read_bytes()[:100])
    else:
        np.savez(file, path=np.zeros((7, 3), np.float32), road=np.zeros((9, 3), np.float32))
    assert log_of(tmp_path).rows == []
    output = capsys.readouterr()
    assert "trace-2.npz: expected a trace, got" in output.out + output.err


def test_best_median_and_worst_are_each_shown_once() -> None:
    def shown(*returns: float) -> dict[str, int]:
        return shown_episodes([{"return": value} for value in returns])

    assert shown(5.0, 9.0, 1.0) == {"best": 1, "median": 0, "worst": 2}
    assert shown(1.0, 4.0, 3.0, 2.0) == {"best": 1, "median": 2, "worst": 0}
    assert shown(1.0, 2.0) == {"best and median": 1, "worst": 0}
    assert shown(1.0) == {"best and median and worst": 0}


def coloured(path: Path, colour: tuple[int, int, int]) -> int:
    """How many pixels of a picture have this colour, red, green and blue."""
    return int((cv2.imread(str(path))[..., ::-1] == colour).all(axis=-1).sum())


@pytest.mark.parametrize("returns", [[907.9], [-30.0, 12.0], [*np.linspace(400.0, 930.0, 100)]])
def test_the_charts_of_any_evaluation(tmp_path: Path, returns: list[float]) -> None:
    log = log_of(tmp_path / "log", *returns)
    shown = {name: (log.rows[at], log.trace(at)) for name, at in shown_episodes(log.rows).items()}
    for name in ("first", "again"):
        draw_returns(tmp_path / f"{name}-returns.png", log.rows)
        draw_lines(tmp_path / f"{name}-lines.png", shown)
    for name in ("returns", "lines"):
        first, again = (tmp_path / f"{when}-{name}.png" for when in ("first", "again"))
        assert first.read_bytes() == again.read_bytes()
        assert first.stat().st_size < 300_000
    assert coloured(tmp_path / "first-returns.png", BLUE) > 500  # bars
    assert coloured(tmp_path / "first-lines.png", GREY) > 2000 * len(shown)  # roads


def test_the_line_lies_on_the_road_as_far_as_it_was_driven(tmp_path: Path) -> None:
    log = log_of(tmp_path / "log", 900.0)
    grey = []
    for steps in (2, 30, 59):
        trace = outcome(0, 900.0, steps).trace
        assert trace is not None
        draw_lines(tmp_path / "lines.png", {"best": (log.rows[0], trace)})
        grey.append(coloured(tmp_path / "lines.png", GREY))
    assert grey[0] > grey[1] + 400 > grey[2] + 800
