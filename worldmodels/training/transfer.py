"""Carries a controller over to another V and M, so that it drives there as it did.

V and M that were fitted further say the same in other numbers, and a controller that was evolved
with them as they were reads those wrongly. C is linear, so it takes least squares: the new weights
W' for which W' known' comes nearest to W known over all steps of some drives, where known is what
the old V and M make of a step, [z, h] less M's centre and a 1, and known' what the new ones do.
Read `carry_over`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from worldmodels.data.episodes import EpisodeData
from worldmodels.errors import WorldModelsError
from worldmodels.models.controller import ACTIONS, LinearController, controller_shape
from worldmodels.models.encoding import Encoder
from worldmodels.models.memory import MDNRNN
from worldmodels.models.vae import VAE

# Pulls towards the old weights where the drives leave something open. From 1 to 1,000 it makes no
# difference to how the controller drives: docs/evolution.md.
RIDGE = 1.0


class Senses:
    """V and M, through which a controller knows a drive.

    Args:
        vae, memory: trained models. inputs: what the controller reads, as its `inputs`.
        batch_size: frames encoded at once.

    Raises:
        WorldModelsError: V and M do not belong together.
    """

    def __init__(
        self, vae: VAE, memory: MDNRNN, *, inputs: tuple[str, ...], batch_size: int
    ) -> None:
        memory.require_vae(vae)
        self.inputs = inputs
        self.size, _ = controller_shape(
            inputs, latent_dim=memory.latent_dim, hidden_units=memory.hidden_units
        )
        self._encoder = Encoder(vae, batch_size=batch_size)
        self._centre = memory.centre_of(inputs)
        one_drive = tf.TensorSpec((1, None, memory.latent_dim + ACTIONS), tf.float32)
        self._hidden = tf.function(memory.lstm, input_signature=[one_drive], autograph=False)

    def known(self, drive: EpisodeData) -> NDArray[np.float64]:
        """What a controller reads at each step, had it chosen what was done, and a one for its
        bias, (steps, size).

        z is the posterior's mean, also for a controller that reads samples of it. h is what M made
        of all steps before.
        """
        z, _ = self._encoder.encode(drive.frames)
        hidden = self._hidden(np.concatenate([z, drive.actions], axis=1)[None]).numpy()[0]
        parts = {"z": z, "h": np.concatenate([np.zeros_like(hidden[:1]), hidden[:-1]])}
        read = np.concatenate([parts[name] for name in self.inputs], axis=1) - self._centre
        return np.concatenate([read, np.ones((len(z), 1))], axis=1, dtype=np.float64)


def carry_over(
    controller: LinearController, before: Senses, after: Senses, drives: Iterable[EpisodeData]
) -> LinearController:
    """The controller that does with `after` what `controller` does with `before`.

    Args:
        controller: evolved with `before`.
        before, after: of the same size.
        drives: what both look at.

    Raises:
        WorldModelsError: controller and senses differ in what is read.
    """
    for senses in (before, after):
        if len(controller.weights) != senses.size or controller.inputs != senses.inputs:
            raise WorldModelsError(
                f"controller: expected {senses.size} rows for {senses.inputs}, got "
                f"{len(controller.weights)} for {controller.inputs}; run `dvc repro`"
            )
    old = controller.weights.astype(np.float64)
    products, missing = RIDGE * np.eye(len(old)), np.zeros((len(old), ACTIONS))
    for drive in drives:
        known = after.known(drive)
        products += known.T @ known
        missing += known.T @ (before.known(drive) @ old - known @ old)
    weights = old + np.linalg.solve(products, missing)
    return replace(controller, weights=weights.astype(np.float32))


def linear_outputs(
    controller: LinearController, senses: Senses, drives: Iterable[EpisodeData]
) -> NDArray[np.float64]:
    """What a controller makes of every step of these drives, before tanh, (steps of all, 3)."""
    return np.concatenate([senses.known(drive) @ controller.weights for drive in drives])
