"""Encodes and decodes any number of frames with a trained VAE, in compiled graphs of fixed batch
shape."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from pydantic import Field

from worldmodels.core.params import Params
from worldmodels.models.vae import VAE


class EncodingParams(Params):
    """The `encoding` group of params.yaml.

    batch_size: frames encoded at once; the graph's batch shape.
    """

    batch_size: int = Field(ge=1, le=4096)


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
        means, log_vars = [], []
        for batch in _batches(frames, self._batch_size):
            mean, log_var = self._graph(batch)
            means.append(mean.numpy())
            log_vars.append(log_var.numpy())
        return np.concatenate(means)[: len(frames)], np.concatenate(log_vars)[: len(frames)]


class Decoder:
    """A VAE's decoder for any number of latents.

    Args:
        vae: the model. batch_size: latents decoded at once.
    """

    def __init__(self, vae: VAE, *, batch_size: int) -> None:
        self._batch_size = batch_size
        self._graph = tf.function(
            lambda z: vae.decoder(z),
            input_signature=[tf.TensorSpec((batch_size, vae.latent_dim), tf.float32)],
            autograph=False,
        )

    def decode(self, z: NDArray[np.float32]) -> NDArray[np.float32]:
        """(count, latent_dim) to pixels (count, height, width, 3) float32, 0 to 1."""
        pixels = [self._graph(batch).numpy() for batch in _batches(z, self._batch_size)]
        return np.concatenate(pixels)[: len(z)]


def _batches(rows: NDArray, batch_size: int) -> Iterator[NDArray]:
    """All rows in batches of one size, the last filled up with zeros."""
    padding = np.zeros((-len(rows) % batch_size, *rows.shape[1:]), rows.dtype)
    padded = np.concatenate([rows, padding])
    for start in range(0, len(padded), batch_size):
        yield padded[start : start + batch_size]
