"""Transfers a controller to another V and M, so that it drives there as it did.

V and M that were trained further say the same in other numbers, and a controller that was evolved
with them as they were reads those wrongly. C is linear, so it takes least squares: the new weights
W' for which W' features' comes nearest to W features over all steps of some episodes, where
features is what the old V and M make of a step, [z, h] less M's feature mean and a 1, and features'
what the new ones do. Read `transfer`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from worldmodels.car_racing.task import ACTIONS
from worldmodels.core.errors import WorldModelsError
from worldmodels.data.episodes import EpisodeData
from worldmodels.models.controller import LinearController, linear_layer, with_ones
from worldmodels.models.memory import MDNRNN
from worldmodels.models.vae import VAE
from worldmodels.models.vision import vision_graph

# Pulls towards the old weights where the drives leave something open. From 1 to 1,000 it makes no
# difference to how the controller drives: docs/evolution.md.
RIDGE = 1.0


class FeatureExtractor:
    """V and M: what a controller reads at each step of an episode.

    Args:
        vae, memory: trained models. inputs: what the controller reads, as its `inputs`.

    Raises:
        WorldModelsError: V and M do not belong together.
    """

    def __init__(self, vae: VAE, memory: MDNRNN, *, inputs: tuple[str, ...]) -> None:
        memory.require_vae(vae)
        self.inputs = inputs
        self.layer = linear_layer(
            inputs, latent_dim=memory.latent_dim, hidden_units=memory.hidden_units
        )
        self._vision = vision_graph(vae)
        self._feature_mean = memory.feature_mean_of(inputs)
        one_episode = tf.TensorSpec((1, None, memory.latent_dim + ACTIONS), tf.float32)
        self._hidden = tf.function(memory.lstm, input_signature=[one_episode], autograph=False)

    def features(self, episode: EpisodeData) -> NDArray[np.float32]:
        """What a controller reads, had it chosen what was done, (steps, features).

        z is the posterior's mean, also for a controller that reads samples of it. h is what M made
        of all steps before.
        """
        z, _ = self._vision(episode.frames)
        hidden = self._hidden(np.concatenate([z, episode.actions], axis=1)[None]).numpy()[0]
        parts = {"z": z, "h": np.concatenate([np.zeros_like(hidden[:1]), hidden[:-1]])}
        read: NDArray[np.float32] = np.concatenate([parts[name] for name in self.inputs], axis=1)
        return read - self._feature_mean


def transfer(
    controller: LinearController,
    before: FeatureExtractor,
    after: FeatureExtractor,
    episodes: Iterable[EpisodeData],
) -> LinearController:
    """The controller that does with `after` what `controller` does with `before`.

    Args:
        controller: evolved with `before`.
        before, after: of the same size.
        episodes: what both look at.

    Raises:
        WorldModelsError: controller and extractors differ in what is read.
    """
    for extractor in (before, after):
        expected = extractor.layer.shape
        if controller.weights.shape != expected or controller.inputs != extractor.inputs:
            raise WorldModelsError(
                f"controller: expected weights of {expected} for {extractor.inputs}, got "
                f"{controller.weights.shape} for {controller.inputs}; run `dvc repro`"
            )
    old = controller.weights.astype(np.float64)
    products, missing = RIDGE * np.eye(len(old)), np.zeros_like(old)
    for episode in episodes:
        read_before, read_after = (
            with_ones(extractor.features(episode)) for extractor in (before, after)
        )
        products += read_after.T @ read_after
        missing += read_after.T @ (read_before @ old - read_after @ old)
    weights = old + np.linalg.solve(products, missing)
    return replace(controller, weights=weights.astype(np.float32))


def outputs(
    controller: LinearController, extractor: FeatureExtractor, episodes: Iterable[EpisodeData]
) -> NDArray[np.float64]:
    """What a controller makes of every step of these episodes, (steps of all, 3)."""
    return np.concatenate([controller.outputs(extractor.features(one)) for one in episodes])
