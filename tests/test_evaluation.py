"""The score: which episodes are driven, and the figures made of their returns."""

from __future__ import annotations

import pytest

from worldmodels.evaluation import EvaluationParams, evaluation_episodes, score
from worldmodels.params import ParameterError

PARAMS = EvaluationParams(episodes=3, steps=1000, first_seed=0, batch_size=2)


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


def test_filming_changes_nothing_about_the_drive() -> None:
    for filmed, plain in zip(
        evaluation_episodes(PARAMS, film="drive.mp4"),
        evaluation_episodes(PARAMS, film=None),
        strict=True,
    ):
        for name in ("track_seed", "noise_seed", "steps", "patience", "random_start"):
            assert getattr(filmed, name) == getattr(plain, name)


@pytest.mark.parametrize(
    ("key", "value"), [("episodes", 0), ("steps", 1001), ("first_seed", -1), ("batch_size", 0)]
)
def test_params_that_make_no_sense_are_refused(key: str, value: int) -> None:
    with pytest.raises(ParameterError, match=rf"{key}: expected"):
        EvaluationParams(**{**vars(PARAMS), key: value})
