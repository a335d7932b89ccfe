"""Evolution: repeatable from any seed, fair to all candidates; its result is the mean vector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from evolution_course import DIMENSIONS, PARAMS, START, Course, hill, run, run_from, vectors
from numpy.typing import NDArray
from params_files import replaced

from worldmodels.core.errors import WorldModelsError
from worldmodels.rollouts.episode import Episode
from worldmodels.training.evolution import Generation, Validation, best_validated, validation_curve


def test_the_search_climbs() -> None:
    params = replaced(PARAMS, generations=40)
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


def test_of_several_starts_the_search_is_around_the_one_that_drives_best() -> None:
    starts = START - 0.5, START + 0.9, START
    course = Course()
    tried = run_from(*starts, course=course)[:3]
    assert [one.generation for one in tried] == [0, 0, 0]
    assert all(
        np.array_equal(one.mean_vector, start) for one, start in zip(tried, starts, strict=True)
    )
    alone = Course()
    run_from(starts[1], course=alone)
    for (_, candidates), (_, same) in zip(course.plays[3:], alone.plays[1:], strict=True):
        assert candidates.tobytes() == same.tobytes()


@pytest.mark.parametrize("seed", [0, 1])
def test_a_seed_gives_its_own_repeatable_search_and_0_is_a_seed(seed: int) -> None:
    courses = Course(), Course()
    first, again = (run(seed=seed, course=course) for course in courses)
    assert vectors(first) == vectors(again)
    assert [one.row() for one in first] == [one.row() for one in again]
    for (_, candidates), (_, same) in zip(courses[0].plays, courses[1].plays, strict=True):
        assert candidates.tobytes() == same.tobytes()
    assert vectors(first) != vectors(run(seed=1 - seed))


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
    often = replaced(PARAMS, validation_every=1)
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
    params = replaced(PARAMS, generations=60, validation_every=100)

    def spreads(max_sigma: float) -> list[float]:
        course = Course(lambda candidate, _: float(candidate.sum()))
        run(course=course, params=replaced(params, max_sigma=max_sigma))
        return [play[1].std(axis=0).mean() for play in course.plays if len(play[1]) > 1]

    assert max(spreads(0.15)) < 0.3
    assert max(spreads(100.0)) > 1.0


def test_the_sigma_that_is_reported_is_the_spread_that_was_searched() -> None:
    params = replaced(PARAMS, generations=60, validation_every=100, max_sigma=0.15)
    course = Course(lambda candidate, _: float(candidate.sum()))
    for generation in run(course=course, params=params):
        assert generation.sigma < 0.2


def test_the_mean_vector_never_shares_memory_with_the_search() -> None:
    generations = run_from(START)
    assert len(set(vectors(generations))) == len(generations)


def generation(number: int, validation: float | None, *, lucky: float = 0.0) -> Generation:
    return Generation(
        generation=number,
        frames=100,
        return_mean=0.0,
        return_std=0.0,
        return_max=lucky,
        pool_return=0.0,
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
