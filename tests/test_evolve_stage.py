"""The stage `evolve`, in both rounds: it saves the best validated mean vector."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from evolution_course import Course
from numpy.typing import NDArray
from project import FIRST, SECOND

from worldmodels.core.checkpoint import Checkpoint
from worldmodels.models.controller import LinearController
from worldmodels.models.vae import VAE
from worldmodels.pipeline.rounds import Round
from worldmodels.rollouts.episode import Episode

PARAMS_YAML = """\
base: {seed: 0, validation_share: 0.1}
env: {image_shape: [32, 32]}
controller:
  {environment: car_racing, inputs: [z, h], latent: sample, population: 4, episodes: 1,
   generations: 3, steps: 5, sigma: 0.1, max_sigma: 0.2, patience: null, batch_size: 2,
   first_seed: 0, validation_every: 1, validation_episodes: 2, validation_first_seed: 1000,
   covariance: full, restart_every: null, weight_decay: 0.0, finalist_episodes: 0, track_pool: 1}
dream:
  {generations: 1, temperature: 1.0, steps: 5, later_weight: 1.0, moments: 4, warm_up: 2,
   failures: 0.0}
rounds:
  first: {after: none, controller: {}, dream: {}}
  second: {after: first, controller: {sigma: 0.05, generations: 2, first_seed: 500}, dream: {}}
"""


class ScriptedCourse(Course):
    """Lucky candidates, and mean vectors that do as told when they are validated, the starts'
    first."""

    validations: tuple[float, ...]
    latest: ScriptedCourse

    def __init__(self, _: object, make_policy: Any, **__: object) -> None:
        super().__init__(self.scripted)
        self.vision = make_policy.keywords["graphs"].vision
        ScriptedCourse.latest = self

    def scripted(self, candidate: NDArray[np.float64], episode: Episode) -> float:
        if episode.track_seed < 1000:
            return 900.0 + float(candidate[0])  # the population's returns are all higher
        return self.validations[len(self.validated()) - 1]

    def validated(self) -> list[NDArray[np.float64]]:
        """The mean vectors that were validated."""
        return [candidates[0] for _, candidates in self.plays if len(candidates) == 1]

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
    monkeypatch.setattr(stage, "make_engine", ScriptedCourse)
    Path("params.yaml").write_text(PARAMS_YAML)

    def run(round_: Round, *validations: float) -> tuple[ScriptedCourse, LinearController]:
        request.getfixturevalue("tiny_vae").save(f"{round_.models}/vae.h5")
        request.getfixturevalue("tiny_memory").save(f"{round_.models}/memory.h5")
        if round_ is FIRST:
            zeros = LinearController(np.zeros((13, 3), np.float32), ("z", "h"), "mean")
            zeros.save(round_.initial_controller)
        ScriptedCourse.validations = validations
        stage.main(round_, Checkpoint("evolve", tmp_path / "scratch"))
        return ScriptedCourse.latest, LinearController.load(f"{round_.models}/controller.h5")

    return run


def test_the_stage_saves_the_best_validated_mean_vector_and_never_a_candidate(
    run_stage: RunStage,
) -> None:
    course, saved = run_stage(FIRST, 0.0, 10.0, 50.0, 20.0)
    means = course.validated()
    assert not means[0].any()
    assert saved.weights.shape == (13, 3)
    assert np.array_equal(saved.weights.ravel(), means[2].astype(np.float32))
    assert (saved.inputs, saved.latent) == (("z", "h"), "sample")
    for _, candidates in course.plays:
        if len(candidates) > 1:
            assert not (candidates.astype(np.float32) == saved.weights.ravel()).all(axis=1).any()
    told = json.loads(Path("metrics/first/evolution.json").read_text())
    assert (told["generations"], told["best_generation"]) == (3, 2)
    assert json.loads(Path("metrics/first/controller.json").read_text()) == {
        "val_return_first": 50.0
    }
    for name, generations in (("evolution_curve", [1, 2, 3]), ("validations", [0, 1, 2, 3])):
        _, *rows = Path(f"metrics/first/{name}.csv").read_text().splitlines()
        assert [int(row.split(",")[0]) for row in rows] == generations


@pytest.fixture
def controllers(tmp_path: Path) -> dict[str, LinearController]:
    """The second round's possible starts, by what the metrics call them, saved where it finds
    them."""
    made = {}
    for seed, (name, path) in enumerate(
        (("transferred", SECOND.initial_controller), ("as_it_was", "models/first/controller.h5"))
    ):
        weights = np.random.default_rng(seed).normal(size=(13, 3)).astype(np.float32)
        made[name] = LinearController(weights, ("z", "h"), "sample")
        made[name].save(tmp_path / path)
    return made


@pytest.mark.parametrize(
    ("starts", "better"),
    [((3.0, 2.0), "transferred"), ((2.0, 3.0), "as_it_was"), ((2.0, 2.0), "transferred")],
)
def test_the_second_round_goes_on_from_what_drives_better_with_the_new_v_and_m(
    run_stage: RunStage,
    controllers: dict[str, LinearController],
    starts: tuple[float, float],
    better: str,
) -> None:
    course, saved = run_stage(SECOND, *starts, 5.0, 20.0)
    frames = np.full((1, 32, 32, 3), 77, np.uint8)
    expected, _ = VAE.load("models/second/vae.h5").encode(frames)
    assert np.array_equal(course.vision(frames)[0], expected)
    start = controllers[better].weights.ravel()
    *tried, _, last = course.validated()
    assert [vector.tolist() for vector in tried] == [
        controllers[name].weights.ravel().tolist() for name in ("transferred", "as_it_was")
    ]
    episodes, candidates = course.plays[2]
    assert candidates.std(axis=0).mean() < 0.06  # its own sigma, 0.05
    assert candidates == pytest.approx(np.tile(start, (4, 1)), abs=0.25)
    assert {one.track_seed for one in episodes} == {500}
    assert np.array_equal(saved.weights.ravel(), last.astype(np.float32))
    told = json.loads(Path("metrics/second/evolution.json").read_text())
    assert (told["generations"], told["best_generation"]) == (2, 2)
    assert told["starts_validation_return_mean"] == {
        "transferred": starts[0],
        "as_it_was": starts[1],
    }
    _, *rows = Path("metrics/second/validations.csv").read_text().splitlines()
    assert [row.split(",")[2] for row in rows] == [f"{max(starts):.0f}", "5", "20"]
    _, *rows = Path("metrics/second/evolution_curve.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["1", "2"]
    first = LinearController.load("models/first/controller.h5")
    assert np.array_equal(first.weights, controllers["as_it_was"].weights)


def test_the_first_round_s_zeros_are_never_saved(run_stage: RunStage) -> None:
    _, saved = run_stage(FIRST, 60.0, 10.0, 50.0, 20.0)
    assert saved.weights.any()
    assert json.loads(Path("metrics/first/evolution.json").read_text())["best_generation"] == 2


def test_where_nothing_does_better_the_start_is_saved(
    run_stage: RunStage, controllers: dict[str, LinearController]
) -> None:
    _, saved = run_stage(SECOND, 10.0, 20.0, 10.0, 20.0)
    assert np.array_equal(saved.weights, controllers["as_it_was"].weights)
    metrics = json.loads(Path("metrics/second/controller.json").read_text())
    assert metrics == {"val_return_second": 20.0}
    assert json.loads(Path("metrics/second/evolution.json").read_text())["best_generation"] == 0


def test_going_on_the_time_left_is_judged_by_what_it_drives_itself(
    run_stage: RunStage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = SimpleNamespace(monotonic=lambda: 20.0 * len(ScriptedCourse.latest.plays))
    monkeypatch.setattr("worldmodels.core.progress.time", clock)
    with pytest.raises(IndexError):  # it is told of no validation after generation 1's
        run_stage(FIRST, 0.0, 10.0)
    assert "evolve: 1 of 3 generations, " in capsys.readouterr().out
    run_stage(FIRST, 50.0, 20.0)
    *_, going_on, last = capsys.readouterr().out.splitlines()
    # Generation 2 had driven before the stop, and is validated now; 3 takes two plays.
    assert going_on.startswith("evolve: going on after generation 2")
    assert last.startswith("evolve: 3 of 3 generations, 0.0167 a second, 0 s left")
