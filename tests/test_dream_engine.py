"""Episodes in a dream: the same in any company, and what a loop written out gives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from worldmodels.core.errors import WorldModelsError
from worldmodels.dream import dream_engine
from worldmodels.dream.dream_engine import DreamEngine
from worldmodels.dream.dream_params import DreamParams
from worldmodels.dream.imagination import act_and_imagine
from worldmodels.dream.starts import DreamStarts
from worldmodels.models.controller import linear_layer
from worldmodels.models.memory import MDNRNN
from worldmodels.rollouts.episode import Episode, Outcome

INPUTS = ("z", "h")
STEPS = 12
MOMENTS = 6
LAYER = linear_layer(INPUTS, latent_dim=4, hidden_units=8)
CANDIDATES = np.random.default_rng(5).normal(size=(3, LAYER.parameters))
EPISODES = [
    Episode(track_seed=track, candidate=candidate, steps=1000)
    for candidate in range(3)
    for track in (7, 8, 9, 7)
]


@pytest.fixture(scope="module")
def memory() -> MDNRNN:
    memory = MDNRNN(4, 8, 2, rng=np.random.default_rng(0), has_outcome=True)
    for weight in memory.weights:
        weight.assign(2.0 * weight)
    return memory


@pytest.fixture(scope="module")
def starts() -> DreamStarts:
    rng = np.random.default_rng(1)
    z, hidden, cell = (rng.normal(size=(MOMENTS, size)).astype(np.float32) for size in (4, 8, 8))
    return DreamStarts(z, hidden, cell, np.array([[-3.0] * 4, [3.0] * 4], np.float32))


MakeEngine = Callable[..., DreamEngine]


@pytest.fixture
def make_engine(memory: MDNRNN, starts: DreamStarts) -> MakeEngine:
    def make(threads: int = 1) -> DreamEngine:
        params = DreamParams(
            generations=1,
            temperature=1.0,
            steps=STEPS,
            later_weight=0.5,
            moments=MOMENTS,
            warm_up=1,
            failures=0.0,
        )
        return DreamEngine(memory, starts, params, inputs=INPUTS, threads=threads)

    return make


def summary(outcomes: list[Outcome]) -> list[tuple[Episode, float, int, int]]:
    return [(one.episode, one.episode_return, one.steps, one.tiles) for one in outcomes]


def test_a_return_is_what_the_steps_of_a_dream_and_those_after_it_pay(
    make_engine: MakeEngine, memory: MDNRNN, starts: DreamStarts
) -> None:
    with make_engine() as engine:
        (outcome,) = engine.play([EPISODES[5]], CANDIDATES)
    rng = np.random.default_rng(8)
    moment = rng.integers(MOMENTS)
    uniform, normal = (
        rng.random((STEPS, 4), np.float32),
        rng.standard_normal((STEPS, 4), np.float32),
    )
    z, hidden, cell = (each[moment][None] for each in (starts.z, starts.hidden, starts.cell))
    weights = LAYER.stacked(CANDIDATES[1:2])
    total, alive, tiles = 0.0, 1.0, 0.0
    for step in range(STEPS):
        z, hidden, cell, reward, end, progress, value = act_and_imagine(
            memory, 1.0, starts.bounds, LAYER, INPUTS, z, weights, hidden, cell,
            uniform[step][None], normal[step][None],
        )  # fmt: skip
        total += alive * float(reward[0, 0])
        tiles += alive * float(progress[0, 0])
        alive *= 1 - float(end[0, 0])
    total += 0.5 * alive * float(value[0, 0])  # of what comes after
    assert outcome.episode_return == pytest.approx(total, rel=1e-4)
    assert (outcome.steps, outcome.tiles) == (STEPS, round(tiles))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("rows", [1, 5, 256])
def test_outcomes_are_the_same_in_any_company_and_by_any_number_of_threads(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch, threads: int, rows: int
) -> None:
    with make_engine() as engine:
        expected = [next(engine.play([one], CANDIDATES)) for one in EPISODES]
    monkeypatch.setattr(dream_engine, "ROWS", rows)
    with make_engine(threads) as engine:
        got = list(engine.play(EPISODES, CANDIDATES))
    assert summary(got) == summary(expected)
    assert len({one.episode_return for one in got}) == 9  # two of each four are the same dream


def test_candidates_are_dealt_the_same_luck(make_engine: MakeEngine) -> None:
    same = np.repeat(CANDIDATES[:1], 3, axis=0)
    with make_engine() as engine:
        returns = [one.episode_return for one in engine.play(EPISODES, same)]
    assert returns[:4] == returns[4:8] == returns[8:]


def test_a_dream_is_no_longer_than_its_episode(make_engine: MakeEngine) -> None:
    episodes = [Episode(track_seed=7, steps=steps) for steps in (3, 1000)]
    with make_engine() as engine:
        short, long = engine.play(episodes, CANDIDATES)
        (alone,) = engine.play(episodes[:1], CANDIDATES)
    assert (short.steps, long.steps) == (3, STEPS)
    assert short.episode_return == alone.episode_return != long.episode_return


def test_nobody_dreams_without_candidates(make_engine: MakeEngine) -> None:
    with make_engine() as engine, pytest.raises(WorldModelsError, match="expected candidates"):
        next(engine.play(EPISODES))


def returns_of(make_engine: MakeEngine, candidates: NDArray[np.float64]) -> list[float]:
    with make_engine() as engine:
        return [one.episode_return for one in engine.play(EPISODES[:4], candidates)]


def test_other_controllers_have_other_dreams(make_engine: MakeEngine) -> None:
    assert returns_of(make_engine, CANDIDATES) != returns_of(make_engine, CANDIDATES[1:])
