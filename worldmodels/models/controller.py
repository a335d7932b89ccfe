"""The controller, C: one linear layer from what the agent knows to what it does.

[z, h] (or z alone) less M's feature mean, times a matrix, plus a bias; the task turns the outputs
into actions. In Ha & Schmidhuber's code C reads [z, h] as it is, which comes to the same with
another bias. But h is far from zero all the time, and half of what a random change of the matrix
does is to lean to one side whatever is seen; around the mean it changes how the car answers to what
it sees. Read
`LinearController` first.
"""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from worldmodels.car_racing.task import ACTIONS
from worldmodels.core.errors import WorldModelsError
from worldmodels.models.model_files import (
    MAKE_ANEW,
    ModelFileError,
    Setting,
    load_model,
    save_model,
)

if TYPE_CHECKING:
    import tensorflow as tf

Input = Literal["z", "h"]
Latent = Literal["sample", "mean"]
INPUTS = (("z",), ("z", "h"))
VECTOR = 4  # `row_product` says why rows of a batch have a multiple of four numbers


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

    @property
    def parameters(self) -> NDArray[np.float64]:
        """The weights as CMA-ES knows them, (parameters,)."""
        return self.weights.reshape(-1).astype(np.float64)

    def outputs(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """What it makes of features, (steps, features) to (steps, outputs); `LinearLayer.forward`
        of one controller, in float64."""
        return with_ones(features) @ self.weights

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


class Controller(Protocol):
    """What the agent's graph and CMA-ES know of an architecture: how many parameters it has, and
    what it makes of them."""

    @property
    def parameters(self) -> int:
        """How many numbers CMA-ES searches."""

    def stacked(self, candidates: NDArray[np.float64]) -> NDArray[np.float32]:
        """Candidates, (candidates, parameters), as `forward` takes them, one a row."""

    def forward(self, weights: tf.Tensor, features: tf.Tensor) -> tf.Tensor:
        """Outputs of one controller a row, from rows of `stacked` and (batch, features)."""


@dataclass(frozen=True)
class LinearLayer:
    """The architecture of C: one linear layer, a `Controller`.

    features: numbers that it reads. outputs: numbers that it makes of them.
    """

    features: int
    outputs: int = ACTIONS

    @property
    def shape(self) -> tuple[int, int]:
        """Of the weights, the bias row included."""
        return self.features + 1, self.outputs

    @property
    def parameters(self) -> int:
        """How many the weights are."""
        return (self.features + 1) * self.outputs

    def stacked(self, candidates: NDArray[np.float64]) -> NDArray[np.float32]:
        """Candidates, (candidates, parameters), as weights, (candidates, features + 1, outputs and
        zeros up to a multiple of four: `row_product` says why).

        Raises:
            WorldModelsError: they have the wrong size.
        """
        if candidates.shape[1:] != (self.parameters,):
            raise WorldModelsError(
                f"controller: expected {self.parameters} parameters for {self.features} features, "
                f"got {candidates.shape[1:]}"
            )
        padding = -self.outputs % VECTOR
        weights = candidates.reshape(-1, *self.shape).astype(np.float32)
        return np.pad(weights, ((0, 0), (0, 0), (0, padding)))

    def forward(self, weights: tf.Tensor, features: tf.Tensor) -> tf.Tensor:
        """(batch, features + 1, padded outputs) and (batch, features) to (batch, padded
        outputs)."""
        import tensorflow as tf  # whoever has tensors has it; who checks parameters need not

        return tf.linalg.matvec(weights[:, :-1], features, transpose_a=True) + weights[:, -1]


def linear_layer(inputs: Sequence[str], *, latent_dim: int, hidden_units: int) -> LinearLayer:
    """The architecture of a controller that reads these, "z" and "h"."""
    sizes = {"z": latent_dim, "h": hidden_units}
    return LinearLayer(sum(sizes[name] for name in inputs))


def with_ones(features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Features with a one behind them, for the bias, (steps, features + 1)."""
    ones = np.ones((len(features), 1))
    return np.concatenate([features, ones], axis=1, dtype=np.float64)
