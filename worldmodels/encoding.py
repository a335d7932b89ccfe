"""Encodes whole episodes with a trained VAE, in one compiled graph of fixed batch shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from worldmodels.params import require
from worldmodels.vae import VAE


@dataclass(frozen=True)
class EncodingParams:
    """The `encoding` group of params.yaml.

    batch_size: frames encoded at once; the graph's batch shape.
    """

    batch_size: int

    def __post_init__(self) -> None:
        require("batch_size", self.batch_size, 1 <= self.batch_size <= 4096, "1 to 4096")


class Encoder:
    """A VAE's encoder for episodes of any length.

    Args:
        vae: the model. batch_size: frames encoded at once.
    """

    def __init__(self, vae: VAE, *, batch_size: int) -> None:
        self._batch_size = batch_size
        shape = (batch_size, *vae.image_shape, 3)
        self._graph = tf.function(
            vae.posterior, input_signature=[tf.TensorSpec(shape, tf.uint8)], autograph=False
        )

    def encode(self, frames: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(steps, height, width, 3) uint8 to mean and log variance, each (steps, latent_dim)."""
        padding = np.zeros((-len(frames) % self._batch_size, *frames.shape[1:]), np.uint8)
        padded = np.concatenate([frames, padding])
        means, log_vars = [], []
        for start in range(0, len(padded), self._batch_size):
            mean, log_var = self._graph(padded[start : start + self._batch_size])
            means.append(mean.numpy())
            log_vars.append(log_var.numpy())
        return np.concatenate(means)[: len(frames)], np.concatenate(log_vars)[: len(frames)]
