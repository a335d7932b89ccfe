"""Evolution: repeatable from any seed, fair to all candidates, and its result is the mean vector.

`Course` plays in place of the rollout engine: a candidate's return is a function of its numbers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from worldmodels.checkpoints import Checkpoint
from worldmodels.controller import LinearController
from worldmodels.episode_play import Episode, Outcome
from worldmodels.errors import WorldModelsError
from worldmodels.evolution import (
    ControllerParams,
    Generation,
    Validation,
    best_validated,
    evolve,
    validation_curve,
)
from worldmodels.params import ParameterError

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


def run(
    *,
    seed: int = 0,
    course: Course | None = None,
    params: ControllerParams = PARAMS,
    checkpoint: Checkpoint | None = None,
) -> list[Generation]:
    engine: Any = course or Course()
    return list(evolve(params, engine, dimensions=DIMENSIONS, seed=seed, checkpoint=checkpoint))


def vectors(generations: list[Generation]) -> list[bytes]:
    return [generation.mean_vector.tobytes() for generation in generations]


def test_the_search_climbs() -> None:
    params = replace(PARAMS, generations=40)
    last = run(params=params)[-1]
    assert last.return_mean > -60 > run()[0].return_mean
    assert last.mean_vector == pytest.approx(np.ones(DIMENSIONS), abs=0.4)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_seed_gives_its_own_repeatable_search_and_0_is_a_seed(seed: int) -> None:
    courses = Course(), Course()
    first, again = (run(seed=seed, course=course) for course in courses)
    assert vectors(first) == vectors(again)
    assert [one.row() for one in first] == [one.row() for one in again]
    for (_, candidates), (_, same) in zip(courses[0].plays, courses[1].plays, strict=True):
        assert candidates.tobytes() == same.tobytes()
    assert vectors(first) != vectors(run(seed=1 - seed))


@pytest.mark.parametrize("plays", [1, 3, 5, 6, 8])  # six generations, validations after 4 and 6
def test_going_on_gives_the_same_search_and_drives_nothing_twice(
    plays: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Short(Course):
        def play(
            self, episodes: Sequence[Episode], candidates: NDArray[np.float64]
        ) -> Iterator[Outcome]:
            if len(self.plays) == plays:
                raise KeyboardInterrupt
            return super().play(episodes, candidates)

    whole, before, after = Course(), Short(), Course()
    expected = run(course=whole)
    checkpoint = Checkpoint("evolve", tmp_path)
    if plays < len(whole.plays):
        with pytest.raises(KeyboardInterrupt):
            run(course=before, checkpoint=checkpoint)
    else:
        run(course=before, checkpoint=checkpoint)
    got = run(course=after, checkpoint=checkpoint)
    assert "evolve: going on after generation" in capsys.readouterr().out
    assert vectors(got) == vectors(expected)
    assert [one.row() for one in got] == [one.row() for one in expected]
    assert [one.validation for one in got] == [one.validation for one in expected]
    for (_, candidates), (_, same) in zip(before.plays + after.plays, whole.plays, strict=True):
        assert candidates.tobytes() == same.tobytes()


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
    generations = run(course=course)
    validations = [play for play in course.plays if len(play[1]) == 1]
    validated = [one for one in generations if one.validation is not None]
    assert [one.generation for one in validated] == [4, 6]  # every fourth, and the last
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
    generations = run()
    assert len(set(vectors(generations))) == len(generations)


def generation(number: int, validation: float | None, *, lucky: float = 0.0) -> Generation:
    return Generation(
        generation=number,
        frames=100,
        return_mean=0.0,
        return_std=0.0,
        return_max=lucky,
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
    generations = run()
    assert [one.row()["generation"] for one in generations] == [1, 2, 3, 4, 5, 6]
    curve = validation_curve(generations)
    assert [row["generation"] for row in curve] == [4, 6]
    assert [row["frames"] for row in curve] == [generations[3].frames, generations[5].frames]
    assert generations[3].validation is not None
    assert curve[0]["validation_return"] == generations[3].validation.return_mean
    assert curve[0]["validation_std"] == generations[3].validation.return_std


PARAMS_YAML = """\
base: {seed: 0, validation_share: 0.1}
env: {image_shape: [32, 32]}
controller:
  {inputs: [z, h], latent: sample, population: 4, episodes: 1, generations: 3, steps: 5,
   sigma: 0.1, max_sigma: 0.2, patience: null, batch_size: 2, first_seed: 0, validation_every: 1,
   validation_episodes: 2, validation_first_seed: 1000}
"""


class ScriptedCourse(Course):
    """Lucky candidates, and mean vectors of which the second is the best."""

    latest: ScriptedCourse

    def __init__(self, *_: object, **__: object) -> None:
        super().__init__(self.scripted)
        ScriptedCourse.latest = self

    def scripted(self, candidate: NDArray[np.float64], episode: Episode) -> float:
        if episode.track_seed < 1000:
            return 900.0 + float(candidate[0])  # the population's returns are all higher
        return [10.0, 50.0, 20.0][len(self.plays) // 2 - 1]

    def __enter__(self) -> ScriptedCourse:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def test_the_stage_saves_the_best_validated_mean_vector_and_never_a_candidate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    from stages import evolve as stage

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stage, "RolloutEngine", ScriptedCourse)
    Path("params.yaml").write_text(PARAMS_YAML)
    request.getfixturevalue("tiny_vae").save("models/vae.h5")
    request.getfixturevalue("tiny_memory").save("models/memory.h5")
    stage.main(Checkpoint("evolve", tmp_path / "scratch"))

    saved = LinearController.load("models/controller.h5")
    plays = ScriptedCourse.latest.plays
    means = [candidates[0] for _, candidates in plays if len(candidates) == 1]
    assert saved.weights.shape == (13, 3)
    assert np.array_equal(saved.weights.ravel(), means[1].astype(np.float32))
    assert (saved.inputs, saved.latent) == (("z", "h"), "sample")
    for _, candidates in plays:
        if len(candidates) > 1:
            assert not (candidates.astype(np.float32) == saved.weights.ravel()).all(axis=1).any()
    metrics = json.loads(Path("metrics/controller.json").read_text())
    assert (metrics["best_generation"], metrics["validation_return_mean"]) == (2, 50.0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("inputs", ("h",)),
        ("population", 1),
        ("episodes", 0),
        ("steps", 1001),
        ("sigma", 0.0),
        ("max_sigma", 0.05),
        ("patience", 0),
        ("first_seed", -1),
        ("validation_every", 0),
    ],
)
def test_params_that_make_no_sense_are_refused(key: str, value: object) -> None:
    with pytest.raises(ParameterError, match=rf"{key}: expected"):
        replace(PARAMS, **{key: value})  # type: ignore[arg-type]
