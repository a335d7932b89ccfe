"""The stage `evolve`, in both rounds: it saves the best validated mean vector."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evolution_course import Course
from numpy.typing import NDArray

from worldmodels.checkpoints import Checkpoint
from worldmodels.controller import LinearController
from worldmodels.episode_play import Episode
from worldmodels.rounds import AGAIN, FIRST, Round

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
