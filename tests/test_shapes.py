"""What people hand to the models from Python is held against what they take."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

from worldmodels.core.errors import WorldModelsError

if TYPE_CHECKING:
    from worldmodels.models.agent_process import Agent
    from worldmodels.models.memory import MDNRNN
    from worldmodels.models.vae import VAE

RNG = np.random.default_rng(0)


def pictures(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.uint8)


def numbers(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda v: v.encode(pictures(0, 32, 32, 3)), "frames: expected (batch, 32, 32, 3) uint8"),
        (lambda v: v.encode(pictures(32, 32, 3)), "got (32, 32, 3) uint8"),
        (lambda v: v.encode(numbers(2, 32, 32, 3)), "got (2, 32, 32, 3) float32"),
        (lambda v: v.encode([1, 2]), "frames: expected (batch, 32, 32, 3) uint8, got a list"),
        (lambda v: v.reconstruct(pictures(0, 32, 32, 3), rng=RNG), "frames: expected (batch"),
        (lambda v: v.decode(numbers(0, 4)), "z: expected (batch, 4), got (0, 4) float32"),
        (lambda v: v.decode(numbers(2, 5)), "z: expected (batch, 4), got (2, 5) float32"),
        (lambda v: v.generate(0, rng=RNG), "count: expected 1 or more, got 0"),
        (lambda v: v.generate(-1, rng=RNG), "count: expected 1 or more, got -1"),
        (
            lambda v: v.interpolate(pictures(32, 32, 3), pictures(16, 32, 3), 3),
            "end: expected (32, 32, 3) uint8, got (16, 32, 3) uint8",
        ),
        (
            lambda v: v.interpolate(pictures(32, 32, 3), pictures(32, 32, 3), 0),
            "steps: expected 1 or more, got 0",
        ),
    ],
)
def test_the_vae_says_what_it_takes(
    tiny_vae: VAE, use: Callable[[VAE], object], message: str
) -> None:
    with pytest.raises(WorldModelsError, match=re.escape(message)):
        use(tiny_vae)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda m: m.predict(numbers(2, 4), numbers(2, 3)), "z: expected (batch, steps, 4)"),
        (lambda m: m.predict(numbers(0, 5, 4), numbers(0, 5, 3)), "got (0, 5, 4) float32"),
        (
            lambda m: m.predict(numbers(2, 5, 4), numbers(2, 5, 2)),
            "action: expected (batch, steps, 3), got (2, 5, 2) float32",
        ),
        (
            lambda m: m.step(numbers(2, 4), numbers(2, 3), numbers(2, 7), numbers(2, 8)),
            "hidden: expected (batch, 8), got (2, 7) float32",
        ),
        (
            lambda m: m.step(numbers(0, 4), numbers(0, 3), numbers(0, 8), numbers(0, 8)),
            "z: expected (batch, 4), got (0, 4) float32",
        ),
    ],
)
def test_the_memory_says_what_it_takes(
    tiny_memory: MDNRNN, use: Callable[[MDNRNN], object], message: str
) -> None:
    with pytest.raises(WorldModelsError, match=re.escape(message)):
        use(tiny_memory)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda a: a.reset(0), "batch_size: expected 1 or more, got 0"),
        (lambda a: a.reset(-2), "batch_size: expected 1 or more, got -2"),
        (lambda a: a.reset(seed=-1), "seed: expected 0 or more, got -1"),
        (lambda a: a.act(pictures(0, 96, 96, 3)), "frames: expected (batch, 96, 96, 3) uint8, got"),
        (lambda a: a.act([1]), "frames: expected (batch, 96, 96, 3) uint8, got a list"),
        (lambda a: a.act(numbers(96, 96, 3)), "expected (96, 96, 3) uint8"),
        (lambda a: a.act(pictures(2, 96, 96, 3)), "expected 1, as given to reset, got 2"),
    ],
)
def test_the_agent_says_what_it_takes(
    tiny_agent: Agent, use: Callable[[Agent], object], message: str
) -> None:
    with pytest.raises(WorldModelsError, match=re.escape(message)):
        use(tiny_agent)
    assert tiny_agent.act(pictures(96, 96, 3)).shape == (3,)  # none of it does any harm


@pytest.fixture(scope="module")
def tiny_agent() -> Agent:
    from worldmodels.models.agent_process import Agent
    from worldmodels.models.controller import LinearController
    from worldmodels.models.memory import MDNRNN
    from worldmodels.models.vae import VAE

    vae, memory = VAE((32, 32), 4, rng=RNG), MDNRNN(4, 8, 2, rng=RNG)
    return Agent(vae, memory, LinearController(numbers(13, 3), ("z", "h"), "mean"))
