"""Evolution: repeatable from any seed, fair to all candidates, and its result is the mean vector.

`Course` plays in place of the rollout engine: a candidate's return is a function of its numbers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cma
import numpy as np
import pytest
from numpy.typing import NDArray

from worldmodels.checkpoints import Checkpoint
from worldmodels.controller import LinearController
from worldmodels.controller_params import ControllerParams
from worldmodels.episode_play import Episode, Outcome
from worldmodels.errors import WorldModelsError
from worldmodels.evolution import (
    Generation,
    Validation,
    best_validated,
    evolve,
    validation_curve,
)
from worldmodels.params import ParameterError
from worldmodels.rounds import AGAIN, FIRST, Round

DIMENSIONS = 5
PARAMS = ControllerParams(
    inputs=("z", "h"),
    latent="mean",
    population=8,
    episodes=2,
    generations=6,
    steps=100,
    sigma=0.1,
    max_sigma=0.3,
    covariance="full",
    restart_every=None,
    weight_decay=0.0,
    finalist_episodes=0,
    scouting=1,
    patience=30,
    batch_size=4,
    first_seed=0,
    validation_every=4,
    validation_episodes=3,
    validation_first_seed=1000,
)


def hill(candidate: NDArray[np.float64], episode: Episode) -> float:
    """Best where every number is 1; a track favours some directions a little."""
    slope = np.random.default_rng(episode.track_seed).normal(scale=0.1, size=len(candidate))
    return float(slope @ candidate - 100 * ((candidate - 1) ** 2).sum())


class Course:
    """Keeps what it was asked to play."""

    def __init__(self, return_of: Callable[[NDArray[np.float64], Episode], float] = hill) -> None:
        self.return_of = return_of
        self.plays: list[tuple[list[Episode], NDArray[np.float64]]] = []

    def play(
        self, episodes: Sequence[Episode], candidates: NDArray[np.float64]
    ) -> Iterator[Outcome]:
        self.plays.append((list(episodes), candidates.copy()))
        for episode in episodes:
            value = self.return_of(candidates[episode.candidate], episode)
            yield Outcome(episode, value, 10, 3, "time_limit")


START = np.zeros(DIMENSIONS)


def run_from(
    start: NDArray[np.float64],
    *,
    seed: int = 0,
    course: Course | None = None,
    params: ControllerParams = PARAMS,
    checkpoint: Checkpoint | None = None,
) -> list[Generation]:
    """All generations, the start as the first."""
    engine: Any = course or Course()
    return list(evolve(params, engine, start=start, seed=seed, checkpoint=checkpoint))


def run(**how: Any) -> list[Generation]:
    """The generations after the start, which is all zeros; see `run_from`."""
    return run_from(START, **how)[1:]


def vectors(generations: list[Generation]) -> list[bytes]:
    return [generation.mean_vector.tobytes() for generation in generations]


def test_the_search_climbs() -> None:
    params = replace(PARAMS, generations=40)
    last = run(params=params)[-1]
    assert last.return_mean > -60 > run()[0].return_mean
    assert last.mean_vector == pytest.approx(np.ones(DIMENSIONS), abs=0.4)


def test_the_start_is_validated_first_and_searched_around() -> None:
    start = np.linspace(-1, 1, DIMENSIONS)
    course = Course()
    first, *_ = run_from(start, course=course)
    (episodes, validated), (_, candidates), *_ = course.plays
    assert np.array_equal(validated, start[None])
    assert [one.track_seed for one in episodes] == list(PARAMS.validation_seeds)
    assert (first.generation, first.frames, first.sigma) == (0, 0, PARAMS.sigma)
    assert np.array_equal(first.mean_vector, start)
    assert first.validation is not None
    returns = [hill(start, one) for one in episodes]
    assert first.validation.return_mean == pytest.approx(np.mean(returns))
    noise = np.random.default_rng(0).standard_normal(candidates.shape)
    assert candidates == pytest.approx(start + PARAMS.sigma * noise, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_seed_gives_its_own_repeatable_search_and_0_is_a_seed(seed: int) -> None:
    courses = Course(), Course()
    first, again = (run(seed=seed, course=course) for course in courses)
    assert vectors(first) == vectors(again)
    assert [one.row() for one in first] == [one.row() for one in again]
    for (_, candidates), (_, same) in zip(courses[0].plays, courses[1].plays, strict=True):
        assert candidates.tobytes() == same.tobytes()
    assert vectors(first) != vectors(run(seed=1 - seed))


LEVERS: dict[str, dict[str, Any]] = {
    "none": {},
    "diagonal": {"covariance": "diagonal"},
    "restarts": {"restart_every": 2},
    "decay": {"weight_decay": 5000.0},
    "finalists": {"finalist_episodes": 3},
    "scouting": {"scouting": 4},
    "all": {
        "covariance": "diagonal",
        "restart_every": 2,
        "weight_decay": 5000.0,
        "finalist_episodes": 3,
        "scouting": 4,
    },
}


class Short(Course):
    """Interrupted after so many plays."""

    def __init__(self, plays: int) -> None:
        super().__init__()
        self.interrupted_after = plays

    def play(
        self, episodes: Sequence[Episode], candidates: NDArray[np.float64]
    ) -> Iterator[Outcome]:
        if len(self.plays) == self.interrupted_after:
            raise KeyboardInterrupt
        return super().play(episodes, candidates)


@pytest.mark.parametrize("plays", [1, 2, 4, 6, 7, 9])  # validations first, after 4 and 6
@pytest.mark.parametrize("levers", ["none", "diagonal", "restarts", "decay"])
def test_going_on_gives_the_same_search_and_drives_nothing_twice(
    levers: str, plays: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = replace(PARAMS, **LEVERS[levers])
    whole, before, after = Course(), Short(plays), Course()
    expected = run_from(START, course=whole, params=params)
    checkpoint = Checkpoint("evolve", tmp_path)
    if plays < len(whole.plays):
        with pytest.raises(KeyboardInterrupt):
            run(course=before, params=params, checkpoint=checkpoint)
    else:
        run(course=before, params=params, checkpoint=checkpoint)
    got = run_from(START, course=after, params=params, checkpoint=checkpoint)
    assert "evolve: going on after generation" in capsys.readouterr().out
    assert vectors(got) == vectors(expected)
    assert [one.row() for one in got] == [one.row() for one in expected]
    assert [one.validation for one in got] == [one.validation for one in expected]
    for (_, candidates), (_, same) in zip(before.plays + after.plays, whole.plays, strict=True):
        assert candidates.tobytes() == same.tobytes()


HEATS = {"finalists": 2, "scouting": 2, "all": 3}  # plays of a generation


@pytest.mark.parametrize(
    ("levers", "plays"),
    [(levers, plays) for levers, heats in HEATS.items() for plays in range(1, 3 + 6 * heats)],
)
def test_going_on_drives_nothing_twice_but_the_heats_of_an_unfinished_generation(
    levers: str, plays: int, tmp_path: Path
) -> None:
    params = replace(PARAMS, **LEVERS[levers])
    whole, before, after = Course(), Short(plays), Course()
    expected = run(course=whole, params=params)
    checkpoint = Checkpoint("evolve", tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(course=before, params=params, checkpoint=checkpoint)
    got = run(course=after, params=params, checkpoint=checkpoint)
    assert vectors(got) == vectors(expected)
    assert [one.row() for one in got] == [one.row() for one in expected]
    assert [one.validation for one in got] == [one.validation for one in expected]
    heats = [*range(1, HEATS[levers]), 0]  # driven again if that one was the last
    again = [0, *4 * heats, 0, *2 * heats, 0]  # validations are none, and saved at once
    assert len(whole.plays) == len(again)
    assert len(before.plays) + len(after.plays) == len(again) + again[plays - 1]


def test_scores_that_lead_elsewhere_than_they_did_are_an_error(tmp_path: Path) -> None:
    checkpoint = Checkpoint("evolve", tmp_path)
    run(checkpoint=checkpoint)
    path = tmp_path / "evolution.json"
    log = json.loads(path.read_text())
    log["told"][2]["scores"].reverse()
    path.write_text(json.dumps(log))
    with pytest.raises(WorldModelsError, match=r"generation 6: expected the same mean vector"):
        run(checkpoint=checkpoint)


@pytest.mark.parametrize("content", ["", "{}", '{"told": 3}', '{"told": [{"x": 1}]}', "[1]"])
def test_a_damaged_log_is_said_to_be_and_left(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "evolution.json").write_text(content)
    got = run(checkpoint=Checkpoint("evolve", tmp_path))
    assert "evolve: starting anew, its checkpoint is damaged" in capsys.readouterr().out
    assert vectors(got) == vectors(run())


def test_a_return_that_is_no_number_is_an_error() -> None:
    def crash(candidate: NDArray[np.float64], episode: Episode) -> float:
        return float("nan") if episode.track_seed == 3 else 1.0

    with pytest.raises(WorldModelsError, match=r"expected a finite return, got nan .*track_seed=3"):
        run(course=Course(crash))


def test_the_global_generator_has_no_part_and_is_left_alone() -> None:
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = vectors(run())
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    np.random.standard_normal(7)  # noqa: NPY002
    assert vectors(run()) == first


def test_nothing_is_written_beside_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run()
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().out == ""


def test_all_candidates_of_a_generation_drive_the_same_new_tracks_with_the_same_noise() -> None:
    course = Course()
    run(course=course)
    training = [play for play in course.plays if len(play[1]) > 1]
    assert len(training) == PARAMS.generations
    seen: list[int] = []
    for episodes, candidates in training:
        assert candidates.shape == (8, DIMENSIONS)
        by_candidate = [
            [(one.track_seed, one.noise_seed) for one in episodes if one.candidate == candidate]
            for candidate in range(8)
        ]
        assert all(tracks == by_candidate[0] for tracks in by_candidate)
        assert len(set(by_candidate[0])) == PARAMS.episodes
        seen += [track for track, _ in by_candidate[0]]
        assert {(one.steps, one.patience) for one in episodes} == {(100, 30)}
    assert seen == list(PARAMS.training_seeds)


def test_the_mean_vector_alone_is_validated_on_whole_episodes_of_tracks_of_its_own() -> None:
    course = Course()
    generations = run_from(START, course=course)
    validations = [play for play in course.plays if len(play[1]) == 1]
    validated = [one for one in generations if one.validation is not None]
    assert [one.generation for one in validated] == [0, 4, 6]  # first, every fourth, and last
    for (episodes, candidates), generation in zip(validations, validated, strict=True):
        assert np.array_equal(candidates[0], generation.mean_vector)
        assert [one.track_seed for one in episodes] == list(PARAMS.validation_seeds)
        assert {(one.steps, one.patience) for one in episodes} == {(100, None)}
        returns = [hill(candidates[0], one) for one in episodes]
        assert generation.validation == Validation(
            pytest.approx(np.mean(returns)), pytest.approx(np.std(returns))
        )
    assert not set(PARAMS.validation_seeds) & set(PARAMS.training_seeds)


def test_validating_does_not_change_the_search() -> None:
    often = replace(PARAMS, validation_every=1)
    assert vectors(run(params=often)) == vectors(run())


def test_a_generation_s_figures_are_its_candidates_means_over_the_tracks() -> None:
    course = Course()
    generations = run(course=course)
    training = [play for play in course.plays if len(play[1]) > 1]
    for number, (generation, (episodes, candidates)) in enumerate(
        zip(generations, training, strict=True), start=1
    ):
        tracks = {one.track_seed: one for one in episodes}.values()
        scores = [np.mean([hill(each, one) for one in tracks]) for each in candidates]
        assert generation.return_mean == pytest.approx(np.mean(scores))
        assert generation.return_std == pytest.approx(np.std(scores))
        assert generation.return_max == pytest.approx(np.max(scores))
        assert generation.frames == number * 8 * 2 * 10  # the validation's are not counted


def test_the_step_size_is_capped_however_luck_pulls() -> None:
    """Returns that grow without bound drive the step size up without the cap."""
    params = replace(PARAMS, generations=60, validation_every=100)

    def spreads(max_sigma: float) -> list[float]:
        course = Course(lambda candidate, _: float(candidate.sum()))
        run(course=course, params=replace(params, max_sigma=max_sigma))
        return [play[1].std(axis=0).mean() for play in course.plays if len(play[1]) > 1]

    assert max(spreads(0.15)) < 0.3
    assert max(spreads(100.0)) > 1.0


def test_the_sigma_that_is_reported_is_the_spread_that_was_searched() -> None:
    params = replace(PARAMS, generations=60, validation_every=100, max_sigma=0.15)
    course = Course(lambda candidate, _: float(candidate.sum()))
    for generation in run(course=course, params=params):
        assert generation.sigma < 0.2


def test_the_mean_vector_never_shares_memory_with_the_search() -> None:
    generations = run_from(START)
    assert len(set(vectors(generations))) == len(generations)


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
    params = replace(PARAMS, generations=30)
    means, strategy = plain_search(params, range(1, 31), np.random.default_rng(0))
    generations = run(params=params)
    assert vectors(generations) == means
    assert generations[-1].sigma == np.mean(strategy.stds)


def test_a_restart_forgets_covariance_and_paths_and_keeps_mean_and_spread() -> None:
    params = replace(PARAMS, generations=12, restart_every=4)
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
    params = replace(PARAMS, generations=60, validation_every=100, max_sigma=0.15, restart_every=1)
    course = Course(lambda candidate, _: float(candidate.sum()))
    for generation in run(course=course, params=params):
        assert generation.sigma < 0.1501


@pytest.mark.parametrize(("covariance", "stays"), [("diagonal", True), ("full", False)])
def test_a_diagonal_covariance_stays_diagonal(covariance: Any, stays: bool) -> None:
    params = replace(PARAMS, generations=40, validation_every=100, covariance=covariance)
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
    params = replace(PARAMS, generations=1, weight_decay=5000.0)
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
    (told,) = json.loads((tmp_path / "evolution.json").read_text())["told"]
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
    params = replace(PARAMS, population=6, generations=2, finalist_episodes=1)
    course = Heats(first, further)
    generations = run(course=course, params=params, checkpoint=Checkpoint("evolve", tmp_path))
    assert [list(-each) for each in costs] == [scores, scores]
    log = json.loads((tmp_path / "evolution.json").read_text())
    assert log["told"] == 2 * [{"returns": first, "scores": scores, "scouted": [], "frames": 150}]
    for number, generation in enumerate(generations, start=1):
        assert generation.return_mean == pytest.approx(np.mean(first))  # of tracks that all drove
        assert generation.return_std == pytest.approx(np.std(first))
        assert generation.return_max == max(first)
        assert generation.frames == number * (6 * 2 + 3 * 1) * 10
    _, (_, all_six), (_, three), *_ = course.plays
    assert np.array_equal(three, all_six[sorted(further)])


def test_finalists_drive_the_same_new_tracks_with_the_same_noise() -> None:
    course = Course()
    params = replace(PARAMS, finalist_episodes=3)
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
def test_the_mean_vector_scouts_and_candidates_drive_the_hardest_tracks(
    finalist_episodes: int,
) -> None:
    params = replace(PARAMS, scouting=3, finalist_episodes=finalist_episodes, validation_every=6)
    course = Course(lambda _, episode: float(episode.track_seed * 7 % 10))
    start, *generations = run_from(START, course=course, params=params)
    tracks = (2 + finalist_episodes) * 3  # new ones a generation
    assert params.training_seeds == range(6 * tracks)
    plays = iter(course.plays[1:])  # after the start's validation
    frames = 0
    means = [one.mean_vector for one in (start, *generations[:-1])]
    for number, (mean, generation) in enumerate(zip(means, generations, strict=True)):
        scouted, scout = next(plays)
        assert np.array_equal(scout, mean[None])
        seeds = [one.track_seed for one in scouted]
        assert seeds == list(range(number * tracks, (number + 1) * tracks))
        assert {(one.steps, one.patience) for one in scouted} == {(100, 30)}
        hardest_first = sorted(seeds, key=lambda seed: seed * 7 % 10)
        driven, _ = next(plays)
        assert [one.track_seed for one in driven] == 8 * hardest_first[:2]
        noise = {one.track_seed: one.noise_seed for one in scouted}
        assert all(one.noise_seed == noise[one.track_seed] for one in driven)
        if finalist_episodes:
            further, _ = next(plays)
            assert [one.track_seed for one in further] == 4 * hardest_first[2:3]
        frames += 10 * (tracks + 8 * 2 + 4 * finalist_episodes)
        assert generation.frames == frames == 10 * (number + 1) * params.episodes_a_generation
        assert generation.scouted_return == np.mean([seed * 7 % 10 for seed in seeds])
        assert generation.row()["scouted_return"] == generation.scouted_return


def test_without_scouting_the_curve_has_no_column_of_it() -> None:
    assert all("scouted_return" not in one.row() for one in run_from(START))


def test_finalists_are_chosen_and_ranked_by_what_weight_decay_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    costs = told_costs(monkeypatch)
    course = Course(lambda *_: 7.0)
    run(
        course=course,
        params=replace(PARAMS, generations=1, weight_decay=1.0, finalist_episodes=1),
    )
    _, (_, candidates), (_, finalists), *_ = course.plays
    shortest_first = np.argsort((candidates**2).sum(axis=1))
    assert np.array_equal(finalists, candidates[np.sort(shortest_first[:4])])
    assert list(np.argsort(costs[0])) == list(shortest_first)


def test_of_many_equals_the_first_are_ranked_first(monkeypatch: pytest.MonkeyPatch) -> None:
    costs = told_costs(monkeypatch)
    params = replace(PARAMS, population=100, generations=1, finalist_episodes=1)
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
        assert replace(PARAMS, population=population).finalists == strategy.sp.weights.mu


def test_cma_es_looks_at_the_order_of_what_it_is_told_and_at_nothing_else(
    tmp_path: Path,
) -> None:
    """So places may stand for scores."""
    params = replace(PARAMS, generations=30)
    whole = run(params=params, checkpoint=Checkpoint("evolve", tmp_path))
    path = tmp_path / "evolution.json"
    log = json.loads(path.read_text())
    for told in log["told"]:
        told["scores"] = np.argsort(np.argsort(told["scores"])).astype(float).tolist()
    path.write_text(json.dumps(log))
    again = run(params=params, checkpoint=Checkpoint("evolve", tmp_path))
    assert vectors(again) == vectors(whole)
    assert [one.row() for one in again] == [one.row() for one in whole]


def generation(number: int, validation: float | None, *, lucky: float = 0.0) -> Generation:
    return Generation(
        generation=number,
        frames=100,
        return_mean=0.0,
        return_std=0.0,
        return_max=lucky,
        scouted_return=0.0,
        sigma=0.1,
        mean_vector=np.full(DIMENSIONS, float(number)),
        validation=None if validation is None else Validation(validation, 0.0),
    )


def test_the_best_is_the_best_validated_and_the_first_of_equals() -> None:
    best, validation = best_validated(
        [
            generation(1, None, lucky=1e6),
            generation(2, -5.0, lucky=1e6),
            generation(3, 50.0),
            generation(4, 50.0, lucky=1e6),
            generation(5, 20.0, lucky=1e6),
        ]
    )
    assert best.generation == 3
    assert validation == Validation(50.0, 0.0)


def test_one_curve_has_a_row_a_generation_the_other_a_row_a_validation() -> None:
    generations = run_from(START)
    assert [one.row()["generation"] for one in generations] == [0, 1, 2, 3, 4, 5, 6]
    curve = validation_curve(generations)
    assert [row["generation"] for row in curve] == [0, 4, 6]
    assert [row["frames"] for row in curve] == [0, generations[4].frames, generations[6].frames]
    assert generations[4].validation is not None
    assert curve[1]["validation_return"] == generations[4].validation.return_mean
    assert curve[1]["validation_std"] == generations[4].validation.return_std


PARAMS_YAML = """\
base: {seed: 0, validation_share: 0.1}
env: {image_shape: [32, 32]}
controller:
  {inputs: [z, h], latent: sample, population: 4, episodes: 1, generations: 3, steps: 5,
   sigma: 0.1, max_sigma: 0.2, patience: null, batch_size: 2, first_seed: 0, validation_every: 1,
   validation_episodes: 2, validation_first_seed: 1000, covariance: full, restart_every: null,
   weight_decay: 0.0, finalist_episodes: 0, scouting: 1}
controller_again: {sigma: 0.05, generations: 2, first_seed: 500}
"""


class ScriptedCourse(Course):
    """Lucky candidates, and mean vectors that do as told when they are validated, the start's
    first."""

    validations: tuple[float, ...]
    latest: ScriptedCourse

    def __init__(self, _: object, make_policy: Any, **__: object) -> None:
        super().__init__(self.scripted)
        self.vae_path = make_policy.keywords["vae_path"]
        ScriptedCourse.latest = self

    def scripted(self, candidate: NDArray[np.float64], episode: Episode) -> float:
        if episode.track_seed < 1000:
            return 900.0 + float(candidate[0])  # the population's returns are all higher
        return self.validations[len(self.plays) // 2]

    def __enter__(self) -> ScriptedCourse:
        return self

    def __exit__(self, *_: object) -> None:
        pass


RunStage = Callable[..., tuple[ScriptedCourse, LinearController]]


@pytest.fixture
def run_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> RunStage:
    """`run_stage(round, *validations)`: the stage on a `ScriptedCourse`, and what it saves."""
    from stages import evolve as stage

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stage, "RolloutEngine", ScriptedCourse)
    Path("params.yaml").write_text(PARAMS_YAML)

    def run(round_: Round, *validations: float) -> tuple[ScriptedCourse, LinearController]:
        request.getfixturevalue("tiny_vae").save(f"{round_.models}/vae.h5")
        request.getfixturevalue("tiny_memory").save(f"{round_.models}/memory.h5")
        ScriptedCourse.validations = validations
        stage.main(round_, Checkpoint("evolve", tmp_path / "scratch"))
        return ScriptedCourse.latest, LinearController.load(f"{round_.models}/controller.h5")

    return run


def test_the_stage_saves_the_best_validated_mean_vector_and_never_a_candidate(
    run_stage: RunStage,
) -> None:
    course, saved = run_stage(FIRST, 0.0, 10.0, 50.0, 20.0)
    means = [candidates[0] for _, candidates in course.plays if len(candidates) == 1]
    assert not means[0].any()
    assert saved.weights.shape == (13, 3)
    assert np.array_equal(saved.weights.ravel(), means[2].astype(np.float32))
    assert (saved.inputs, saved.latent) == (("z", "h"), "sample")
    for _, candidates in course.plays:
        if len(candidates) > 1:
            assert not (candidates.astype(np.float32) == saved.weights.ravel()).all(axis=1).any()
    metrics = json.loads(Path("metrics/controller.json").read_text())
    assert (metrics["generations"], metrics["best_generation"]) == (3, 2)
    assert metrics["validation_return_mean"] == 50.0
    for name, generations in (("evolution", [1, 2, 3]), ("validation", [0, 1, 2, 3])):
        _, *rows = Path(f"metrics/{name}_curve.csv").read_text().splitlines()
        assert [int(row.split(",")[0]) for row in rows] == generations


def test_the_second_round_s_stage_goes_on_from_the_first_s_controller(run_stage: RunStage) -> None:
    first = np.random.default_rng(5).normal(size=(13, 3)).astype(np.float32)
    LinearController(first, ("z", "h"), "sample").save("models/first/controller.h5")
    before = Path("models/first/controller.h5").read_bytes()
    course, saved = run_stage(AGAIN, 10.0, 5.0, 20.0)
    assert course.vae_path == "models/vae.h5"
    (_, validated), (episodes, candidates), *_ = course.plays
    assert np.array_equal(validated[0], first.ravel())
    assert candidates.std(axis=0).mean() < 0.06  # its own sigma, 0.05
    assert candidates == pytest.approx(np.tile(first.ravel(), (4, 1)), abs=0.25)
    assert {one.track_seed for one in episodes} == {500}
    assert np.array_equal(saved.weights.ravel(), course.plays[4][1][0].astype(np.float32))
    metrics = json.loads(Path("metrics/controller_again.json").read_text())
    assert (metrics["generations"], metrics["best_generation"]) == (2, 2)
    assert Path("metrics/evolution_curve_again.csv").exists()
    assert Path("metrics/validation_curve_again.csv").exists()
    assert Path("models/first/controller.h5").read_bytes() == before


def test_the_first_round_s_zeros_are_never_saved(run_stage: RunStage) -> None:
    _, saved = run_stage(FIRST, 60.0, 10.0, 50.0, 20.0)
    assert saved.weights.any()
    assert json.loads(Path("metrics/controller.json").read_text())["best_generation"] == 2


def test_where_nothing_does_better_the_start_is_saved(run_stage: RunStage) -> None:
    first = np.random.default_rng(5).normal(size=(13, 3)).astype(np.float32)
    LinearController(first, ("z", "h"), "sample").save("models/first/controller.h5")
    _, saved = run_stage(AGAIN, 20.0, 10.0, 20.0)
    assert np.array_equal(saved.weights, first)
    metrics = json.loads(Path("metrics/controller_again.json").read_text())
    assert (metrics["best_generation"], metrics["validation_return_mean"]) == (0, 20.0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("inputs", ("h",)),
        ("population", 1),
        ("episodes", 0),
        ("steps", 1001),
        ("sigma", 0.0),
        ("max_sigma", 0.05),
        ("restart_every", 0),
        ("weight_decay", -0.1),
        ("finalist_episodes", -1),
        ("scouting", 0),
        ("patience", 0),
        ("first_seed", -1),
        ("validation_every", 0),
    ],
)
def test_params_that_make_no_sense_are_refused(key: str, value: object) -> None:
    with pytest.raises(ParameterError, match=rf"{key}: expected"):
        replace(PARAMS, **{key: value})  # type: ignore[arg-type]
