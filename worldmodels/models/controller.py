"""The controller, C: one linear layer from what the agent knows to what it does.

[z, h] (or z alone) less M's centre, times a matrix, plus a bias, through tanh; steering is taken as
it comes, gas is moved from [-1, 1] to [0, 1], brake is clipped to it, as in Ha & Schmidhuber's
code. There C reads [z, h] as it is, which comes to the same with another bias. But h is far from
zero all the time, and half of what a random change of the matrix does is to lean to one side
whatever is seen; around the centre it changes how the car answers to what it sees. Read
`LinearController` first.
"""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from worldmodels.models.model_files import (
    MAKE_ANEW,
    ModelFileError,
    Setting,
    load_model,
    save_model,
)
from worldmodels.params import require

Input = Literal["z", "h"]
Latent = Literal["sample", "mean"]
INPUTS = (("z",), ("z", "h"))
ACTIONS = 3


@dataclass(frozen=True)
class LinearController:
    """A controller and what it must be given.

    weights: (inputs + 1, 3) float32, the last row the bias.
    inputs: which of z and h it reads, in this order.
    latent: whether z is drawn from V's posterior or is its mean.
    """

    weights: NDArray[np.float32]
    inputs: tuple[str, ...]
    latent: str

    KIND = "controller"

    def save(self, path: str | Path) -> None:
        """Write the controller; see `model_files`."""
        settings: dict[str, Setting] = {"inputs": list(self.inputs), "latent": self.latent}
        save_model(path, self.KIND, settings, [self.weights])

    @classmethod
    def load(cls, path: str | Path) -> LinearController:
        """The controller that `save` wrote.

        Raises:
            ModelFileError: no such file, another kind of file, or weights of another architecture.
        """
        stored = load_model(path, cls.KIND)
        inputs = stored.texts("inputs")
        if inputs not in INPUTS:
            raise ModelFileError(
                f"{path}: inputs: expected one of {INPUTS}, got {reprlib.repr(inputs)}; {MAKE_ANEW}"
            )
        latent = stored.one_of("latent", get_args(Latent))
        shapes = [weight.shape for weight in stored.weights]
        if len(shapes) != 1 or shapes[0][1:] != (ACTIONS,):
            raise ModelFileError(
                f"{path}: weights of another architecture: expected one matrix of {ACTIONS} "
                f"columns, got shapes {reprlib.repr(shapes)}; {MAKE_ANEW}"
            )
        return cls(stored.weights[0], inputs, latent)


def controller_shape(
    inputs: Sequence[str], *, latent_dim: int, hidden_units: int
) -> tuple[int, int]:
    """Shape of a controller's weights, the bias row included."""
    sizes = {"z": latent_dim, "h": hidden_units}
    return sum(sizes[name] for name in inputs) + 1, ACTIONS


def require_inputs(inputs: tuple[str, ...]) -> None:
    """Raises ParameterError unless the inputs are z, or z and h."""
    require("inputs", inputs, inputs in INPUTS, "[z] or [z, h]")
