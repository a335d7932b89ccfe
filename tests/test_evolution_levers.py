"""The levers of evolution, each by itself: covariance, restarts, decay, finalists, hard tracks.

With none pulled it is plain CMA-ES.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cma
import numpy as np
import pytest
from evolution_course import DIMENSIONS, PARAMS, START, Course, hill, run, run_from, vectors
from numpy.typing import NDArray
from params_files import replaced

from worldmodels.core.checkpoint import Checkpoint
from worldmodels.rollouts.episode import Episode
from worldmodels.training.controller_params import ControllerParams


def told_costs(monkeypatch: pytest.MonkeyPatch) -> list[NDArray[np.float64]]:
    """A list that gets what CMA-ES is told from now on, generation by generation."""
    tell = cma.CMAEvolutionStrategy.tell
    costs = []

    def spy(self: Any, solutions: NDArray[np.float64], values: NDArray[np.float64]) -> Any:
        costs.append(np.array(values))
        return tell(self, solutions, values)

    monkeypatch.setattr(cma.CMAEvolutionStrategy, "tell", spy)
    return costs


def plain_search(
    params: ControllerParams, generations: range, rng: np.random.Generator, start: Any = None
) -> tuple[list[bytes], Any]:
    """CMA-ES by its own ask and tell: the means, and the strategy in the end.

    start: the strategy whose mean and spread it begins with.
    """
    mean, sigma = np.zeros(DIMENSIONS), params.sigma
    if start is not None:
        mean, sigma = start.mean, min(float(np.mean(start.stds)), params.max_sigma)
    options = {
        "popsize": params.population,
        "maxstd": params.max_sigma,
        "randn": lambda *shape: rng.standard_normal(shape),
        "seed": np.nan,
        "verbose": -9,
        "verb_log": 0,
    }
    strategy = cma.CMAEvolutionStrategy(mean, sigma, options)
    means = []
    for generation in generations:
        tracks = [
            Episode(track_seed=2 * (generation - 1) + number, steps=100) for number in range(2)
        ]
        candidates = strategy.ask()
        strategy.tell(
            candidates, [-np.mean([hill(each, one) for one in tracks]) for each in candidates]
        )
        means.append(strategy.mean.tobytes())
    return means, strategy


def test_with_no_lever_pulled_the_search_is_plain_cma_es() -> None:
    params = replaced(PARAMS, generations=30)
    means, strategy = plain_search(params, range(1, 31), np.random.default_rng(0))
    generations = run(params=params)
    assert vectors(generations) == means
    assert generations[-1].sigma == np.mean(strategy.stds)


def test_a_restart_forgets_covariance_and_paths_and_keeps_mean_and_spread() -> None:
    params = replaced(PARAMS, generations=12, restart_every=4)
    rng = np.random.default_rng(0)
    first, strategy = plain_search(params, range(1, 5), rng)
    second, strategy = plain_search(params, range(5, 9), rng, strategy)
    third, _ = plain_search(params, range(9, 13), rng, strategy)
    course = Course()
    generations = run(params=params, course=course)
    assert vectors(generations) == first + second + third
    asked = [candidates for _, candidates in course.plays if len(candidates) > 1]
    noise = np.random.default_rng(0).standard_normal((12, *asked[0].shape))
    isotropic = []
    for number in range(1, 12):
        before = generations[number - 1]
        expected = before.mean_vector + before.sigma * noise[number]
        isotropic.append(np.allclose(asked[number], expected, rtol=1e-3, atol=1e-5))
    assert [number + 1 for number in range(1, 12) if isotropic[number - 1]] == [5, 9]


def test_the_step_size_is_capped_through_restarts() -> None:
    params = replaced(PARAMS, generations=60, validation_every=100, max_sigma=0.15, restart_every=1)
    course = Course(lambda candidate, _: float(candidate.sum()))
    for generation in run(course=course, params=params):
        assert generation.sigma < 0.1501


@pytest.mark.parametrize(("covariance", "stays"), [("diagonal", True), ("full", False)])
def test_a_diagonal_covariance_stays_diagonal(covariance: Any, stays: bool) -> None:
    params = replaced(PARAMS, generations=40, validation_every=100, covariance=covariance)
    course = Course()
    generations = run(course=course, params=params)
    asked = [candidates for _, candidates in course.plays if len(candidates) > 1]
    noise = np.random.default_rng(0).standard_normal((40, *asked[0].shape))
    for number in range(1, 40):
        before = generations[number - 1]
        scales = (asked[number] - before.mean_vector) / noise[number]  # (candidates, dimensions)
        assert np.allclose(scales, scales[0], rtol=1e-6) == stays
        if stays:  # the sigma that is reported is still the spread that is searched
            assert scales[0].mean() == pytest.approx(before.sigma)
            assert scales[0].max() <= params.max_sigma * 1.001
    if stays:
        assert scales[0].max() > 1.2 * scales[0].min()  # and it has adapted


def test_weight_decay_changes_the_ranking_and_not_the_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = told_costs(monkeypatch)
    params = replaced(PARAMS, generations=1, weight_decay=5000.0)
    course = Course()
    (generation,) = run(course=course, params=params, checkpoint=Checkpoint("evolve", tmp_path))
    _, (episodes, candidates), *_ = course.plays
    tracks = episodes[:2]
    returns = [np.mean([hill(each, one) for one in tracks]) for each in candidates]
    decayed = np.array(returns) - [5000 * np.mean(each**2) for each in candidates]
    assert list(np.argsort(decayed)) != list(np.argsort(returns))
    assert -costs[0] == pytest.approx(decayed)
    assert generation.return_mean == pytest.approx(np.mean(returns))
    assert generation.return_std == pytest.approx(np.std(returns))
    assert generation.return_max == pytest.approx(np.max(returns))
    (told,) = json.loads((tmp_path / "evolution.json").read_text())["results"]
    assert told["returns"] == pytest.approx(returns)
    assert told["scores"] == list(-costs[0])


class Heats(Course):
    """A generation of six returns what these tables say: on its first two tracks, and further."""

    def __init__(self, first: list[float], further: dict[int, float]) -> None:
        super().__init__(self.by_number)
        self.first, self.further = first, further

    def by_number(self, candidate: NDArray[np.float64], episode: Episode) -> float:
        if episode.track_seed >= 1000:
            return 0.0
        generation = [candidates for _, candidates in self.plays if len(candidates) == 6][-1]
        number = int(np.argmax((generation == candidate).all(axis=1)))
        if episode.track_seed % 3 == 2:
            return self.further[number]  # a KeyError says that another was let through
        return self.first[number] + [5, -5][episode.track_seed % 3]


@pytest.mark.parametrize(
    ("first", "further", "scores"),
    [
        # Over three tracks 1 has 0, and 2 and 3 have 40: 2 is the first of equals. All three stay
        # ahead of 4, which has 20 over two.
        ([10, 50, 30, 40, 20, 0], {1: -100, 2: 60, 3: 40}, [2, 4, 6, 5, 3, 1]),
        # 2 is best on the further track and last of the finalists over all three: 30, 23.3, 26.7.
        ([10, 50, 30, 40, 20, 0], {1: -10, 2: 10, 3: 0}, [2, 6, 4, 5, 3, 1]),
        # Four equals for three places, which the first of them get.
        ([10, 20, 20, 20, 20, 0], {1: 1, 2: 3, 3: 2}, [2, 4, 6, 5, 3, 1]),
        # The further track confirms what the first two said.
        ([60, 50, 40, 30, 20, 10], {0: 60, 1: 50, 2: 40}, [6, 5, 4, 3, 2, 1]),
    ],
)
def test_finalists_drive_further_tracks_and_rank_among_themselves_before_all_others(
    first: list[float],
    further: dict[int, float],
    scores: list[float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    costs = told_costs(monkeypatch)
    params = replaced(PARAMS, population=6, generations=2, finalist_episodes=1)
    course = Heats(first, further)
    generations = run(course=course, params=params, checkpoint=Checkpoint("evolve", tmp_path))
    assert [list(-each) for each in costs] == [scores, scores]
    log = json.loads((tmp_path / "evolution.json").read_text())
    assert log["results"] == 2 * [
        {"returns": first, "scores": scores, "pool_returns": [], "frames": 150}
    ]
    for number, generation in enumerate(generations, start=1):
        assert generation.return_mean == pytest.approx(np.mean(first))  # of tracks that all drove
        assert generation.return_std == pytest.approx(np.std(first))
        assert generation.return_max == max(first)
        assert generation.frames == number * (6 * 2 + 3 * 1) * 10
    _, (_, all_six), (_, three), *_ = course.plays
    assert np.array_equal(three, all_six[sorted(further)])


def test_finalists_drive_the_same_new_tracks_with_the_same_noise() -> None:
    course = Course()
    params = replaced(PARAMS, finalist_episodes=3)
    run(course=course, params=params)
    training = [play for play in course.plays if len(play[1]) > 1]
    assert [len(candidates) for _, candidates in training] == 6 * [8, 4]
    seen: list[int] = []
    for episodes, candidates in training:
        by_candidate = [
            [(one.track_seed, one.noise_seed) for one in episodes if one.candidate == candidate]
            for candidate in range(len(candidates))
        ]
        assert all(tracks == by_candidate[0] for tracks in by_candidate)
        seen += [track for track, _ in by_candidate[0]]
        assert {(one.steps, one.patience) for one in episodes} == {(100, 30)}
    assert seen == list(params.training_seeds) == list(range(6 * (2 + 3)))


@pytest.mark.parametrize("finalist_episodes", [0, 1])
def test_the_mean_vector_drives_the_pool_and_candidates_drive_the_hardest_tracks(
    finalist_episodes: int,
) -> None:
    params = replaced(PARAMS, track_pool=3, finalist_episodes=finalist_episodes, validation_every=6)
    course = Course(lambda _, episode: float(episode.track_seed * 7 % 10))
    start, *generations = run_from(START, course=course, params=params)
    tracks = (2 + finalist_episodes) * 3  # new ones a generation
    assert params.training_seeds == range(6 * tracks)
    plays = iter(course.plays[1:])  # after the start's validation
    frames = 0
    means = [one.mean_vector for one in (start, *generations[:-1])]
    for number, (mean, generation) in enumerate(zip(means, generations, strict=True)):
        pool, driver = next(plays)
        assert np.array_equal(driver, mean[None])
        seeds = [one.track_seed for one in pool]
        assert seeds == list(range(number * tracks, (number + 1) * tracks))
        assert {(one.steps, one.patience) for one in pool} == {(100, 30)}
        hardest_first = sorted(seeds, key=lambda seed: seed * 7 % 10)
        driven, _ = next(plays)
        assert [one.track_seed for one in driven] == 8 * hardest_first[:2]
        noise = {one.track_seed: one.noise_seed for one in pool}
        assert all(one.noise_seed == noise[one.track_seed] for one in driven)
        if finalist_episodes:
            further, _ = next(plays)
            assert [one.track_seed for one in further] == 4 * hardest_first[2:3]
        frames += 10 * (tracks + 8 * 2 + 4 * finalist_episodes)
        assert generation.frames == frames == 10 * (number + 1) * params.episodes_per_generation
        assert generation.pool_return == np.mean([seed * 7 % 10 for seed in seeds])
        assert generation.row()["pool_return"] == generation.pool_return


def test_without_a_pool_the_curve_has_no_column_of_it() -> None:
    assert all("pool_return" not in one.row() for one in run_from(START))


def test_finalists_are_chosen_and_ranked_by_what_weight_decay_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    costs = told_costs(monkeypatch)
    course = Course(lambda *_: 7.0)
    run(
        course=course,
        params=replaced(PARAMS, generations=1, weight_decay=1.0, finalist_episodes=1),
    )
    _, (_, candidates), (_, finalists), *_ = course.plays
    shortest_first = np.argsort((candidates**2).sum(axis=1))
    assert np.array_equal(finalists, candidates[np.sort(shortest_first[:4])])
    assert list(np.argsort(costs[0])) == list(shortest_first)


def test_of_many_equals_the_first_are_ranked_first(monkeypatch: pytest.MonkeyPatch) -> None:
    costs = told_costs(monkeypatch)
    params = replaced(PARAMS, population=100, generations=1, finalist_episodes=1)
    course = Course(lambda candidate, _: float(candidate[0] > 0))
    run(course=course, params=params)
    by_place = sorted(range(100), key=lambda number: not course.plays[1][1][number, 0] > 0)
    assert list(np.argsort(costs[0])) == by_place  # Python's sort keeps the order of equals


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_finalists_are_as_many_as_cma_es_has_parents(covariance: str) -> None:
    for population in range(2, 70):
        options = {
            "popsize": population,
            "CMA_diagonal": covariance == "diagonal",
            "seed": np.nan,
            "verbose": -9,
        }
        strategy = cma.CMAEvolutionStrategy(np.zeros(3), 0.1, options)
        assert replaced(PARAMS, population=population).finalists == strategy.sp.weights.mu


def test_cma_es_looks_at_the_order_of_what_it_is_told_and_at_nothing_else(
    tmp_path: Path,
) -> None:
    """So places may stand for scores."""
    params = replaced(PARAMS, generations=30)
    whole = run(params=params, checkpoint=Checkpoint("evolve", tmp_path))
    path = tmp_path / "evolution.json"
    log = json.loads(path.read_text())
    for told in log["results"]:
        told["scores"] = np.argsort(np.argsort(told["scores"])).astype(float).tolist()
    path.write_text(json.dumps(log))
    again = run(params=params, checkpoint=Checkpoint("evolve", tmp_path))
    assert vectors(again) == vectors(whole)
    assert [one.row() for one in again] == [one.row() for one in whole]
