"""Decodes any number of latents with a trained VAE, in a compiled graph of fixed batch shape."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from worldmodels.models.openvino_graph import padded
from worldmodels.models.vae import VAE

BATCH_SIZE = 128  # latents decoded at once


class Decoder:
    """A VAE's decoder for any number of latents."""

    def __init__(self, vae: VAE) -> None:
        self._graph = tf.function(
            lambda z: vae.decoder(z),
            input_signature=[tf.TensorSpec((BATCH_SIZE, vae.latent_dim), tf.float32)],
            autograph=False,
        )

    def decode(self, z: NDArray[np.float32]) -> NDArray[np.float32]:
        """(count, latent_dim) to pixels (count, height, width, 3) float32, 0 to 1."""
        starts = range(0, len(z), BATCH_SIZE)
        batches = [padded(z[start : start + BATCH_SIZE], BATCH_SIZE) for start in starts]
        return np.concatenate([self._graph(batch).numpy() for batch in batches])[: len(z)]
