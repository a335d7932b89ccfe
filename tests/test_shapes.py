"""What people hand to the models from Python is held against what they take."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

from worldmodels.errors import WorldModelsError

if TYPE_CHECKING:
    from worldmodels.memory import MDNRNN
    from worldmodels.vae import VAE

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
