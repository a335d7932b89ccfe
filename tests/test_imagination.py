"""A step of a dream: the agent's own M and C, and what M expects of the episode."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from worldmodels.core.errors import WorldModelsError
from worldmodels.dream.imagination import act_and_imagine, agent_dream_graph, dream_graph, imagine
from worldmodels.models.agent_policy import decide
from worldmodels.models.controller import linear_layer
from worldmodels.models.memory import MDNRNN

INPUTS = ("z", "h")
ROWS = 5
BOUNDS = np.array([[-1.5] * 4, [1.5] * 4], np.float32)
FAR = 100 * BOUNDS


@pytest.fixture
def memory() -> MDNRNN:
    memory = MDNRNN(4, 8, 2, rng=np.random.default_rng(0), has_outcome=True)
    memory.feature_mean = np.random.default_rng(1).normal(size=12).astype(np.float32)
    for weight in memory.weights:
        weight.assign(2.0 * weight)
    return memory


@pytest.fixture
def state() -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(2)
    sizes = {"z": 4, "action": 3, "hidden": 8, "cell": 8, "normal": 4}
    drawn = {name: rng.normal(size=(ROWS, size)) for name, size in sizes.items()}
    drawn["uniform"] = rng.random((ROWS, 4))
    return {name: values.astype(np.float32) for name, values in drawn.items()}


def test_at_temperature_0_z_is_the_mean_of_what_m_expects(
    memory: MDNRNN, state: dict[str, NDArray[np.float32]]
) -> None:
    following, hidden, cell, *_ = imagine(memory, 0.0, FAR, **state)
    moved = memory.step(state["z"], state["action"], state["hidden"], state["cell"])
    assert np.array_equal(hidden, moved[0])
    assert np.array_equal(cell, moved[1])
    log_weight, mean, _ = memory.mixture(moved[0], state["z"])
    expected = (np.exp(log_weight) * mean.numpy()).sum(axis=-1)
    assert following.numpy() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.3])
def test_a_temperature_sharpens_the_weights_and_scales_the_variances(
    memory: MDNRNN, state: dict[str, NDArray[np.float32]], temperature: float
) -> None:
    rows = 40_000
    rng = np.random.default_rng(3)
    same = {name: np.repeat(values[:1], rows, axis=0) for name, values in state.items()}
    same["uniform"] = rng.random((rows, 4), dtype=np.float32)
    same["normal"] = rng.standard_normal((rows, 4), dtype=np.float32)
    drawn = imagine(memory, temperature, FAR, **same)[0].numpy()
    hidden, _ = memory.step(*(state[name][:1] for name in ("z", "action", "hidden", "cell")))
    log_weight, mean, log_std = (part.numpy()[0] for part in memory.mixture(hidden, state["z"][:1]))
    weight = np.exp(log_weight / temperature)
    weight /= weight.sum(axis=-1, keepdims=True)
    expected = (weight * mean).sum(axis=-1)
    square = (weight * (temperature * np.exp(2 * log_std) + mean**2)).sum(axis=-1)
    assert drawn.mean(axis=0) == pytest.approx(expected, abs=0.05)
    assert drawn.var(axis=0) == pytest.approx(square - expected**2, rel=0.05)


def test_z_stays_within_its_bounds(memory: MDNRNN, state: dict[str, NDArray[np.float32]]) -> None:
    state["normal"] *= 100
    following = imagine(memory, 1.0, BOUNDS, **state)[0].numpy()
    assert set(np.abs(following[np.abs(following) > 1.4])) == {1.5}


def test_a_step_pays_what_m_expects(memory: MDNRNN, state: dict[str, NDArray[np.float32]]) -> None:
    _, hidden, _, reward, end, progress, value = imagine(memory, 1.0, FAR, **state)
    outcome = memory.outcome(hidden, state["z"])
    chance = 1 / (1 + np.exp(-outcome.end.numpy()))
    assert end.numpy()[:, 0] == pytest.approx(chance, rel=1e-5)
    assert progress.numpy()[:, 0] == pytest.approx(outcome.progress.numpy(), rel=1e-5)
    expected = 3.5 * outcome.progress.numpy() - 0.1 - 100 * chance
    assert reward.numpy()[:, 0] == pytest.approx(expected, rel=1e-4)
    assert value.numpy()[:, 0] == pytest.approx(3.5 * outcome.later.numpy() - 20, rel=1e-4)


def test_c_acts_in_a_dream_as_in_reality(
    memory: MDNRNN, state: dict[str, NDArray[np.float32]]
) -> None:
    layer = linear_layer(INPUTS, latent_dim=4, hidden_units=8)
    weights = layer.stacked(np.random.default_rng(4).normal(size=(ROWS, layer.parameters)))
    seen = state["z"], np.zeros((ROWS, 4), np.float32), np.zeros((ROWS, 4), np.float32)
    where = state["hidden"], state["cell"]
    action, hidden, cell = decide(memory, layer, INPUTS, *seen, weights, *where)
    luck = state["uniform"], state["normal"]
    dreamt = act_and_imagine(memory, 1.0, FAR, layer, INPUTS, state["z"], weights, *where, *luck)
    assert dreamt[1].numpy() == pytest.approx(hidden.numpy(), abs=1e-6)
    assert dreamt[2].numpy() == pytest.approx(cell.numpy(), abs=1e-6)
    expected = imagine(memory, 1.0, FAR, state["z"], action, *where, *luck)
    for one, other in zip(dreamt, expected, strict=True):
        assert one.numpy() == pytest.approx(other.numpy(), abs=1e-5)


def test_graphs_compute_the_same(memory: MDNRNN, state: dict[str, NDArray[np.float32]]) -> None:
    order = ("z", "action", "hidden", "cell", "uniform", "normal")
    given = [state[name] for name in order]
    got = dream_graph(memory, temperature=0.7, bounds=BOUNDS)(*given)
    for one, other in zip(got, imagine(memory, 0.7, BOUNDS, *map(tf.constant, given)), strict=True):
        assert one == pytest.approx(other.numpy(), abs=1e-4)
    graph, layer = agent_dream_graph(memory, temperature=0.7, bounds=BOUNDS, inputs=("z",))
    weights = layer.stacked(np.random.default_rng(4).normal(size=(ROWS, layer.parameters)))
    given[1] = weights
    expected = act_and_imagine(memory, 0.7, BOUNDS, layer, ("z",), *map(tf.constant, given))
    for one, other in zip(graph(*given), expected, strict=True):
        assert one == pytest.approx(other.numpy(), abs=1e-4)


def test_c_does_not_learn_from_a_memory_that_never_learnt_what_steps_pay() -> None:
    memory = MDNRNN(4, 8, 2, rng=np.random.default_rng(0))
    with pytest.raises(WorldModelsError, match=r"^memory.outcome_weight: expected more than 0"):
        agent_dream_graph(memory, temperature=1.0, bounds=BOUNDS, inputs=INPUTS)
