"""V's encoder as a trained V is used, in its precision: what M learns from and C is evolved on.

int8 is post-training quantisation (Jacob et al. 2018): weights are rounded to 255 steps around 0,
each filter's in a range of its own, and what a convolution reads to 256 steps from 0 to the largest
value that `calibrate` has seen. What they add up to is float32, as is the dense layer at the end.
Read `driving_posterior`, then `vision_graph`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from worldmodels.core.errors import WorldModelsError
from worldmodels.core.shapes import require_shape
from worldmodels.models.inference import Graph, make_graph
from worldmodels.models.keras_on_tensorflow import keras
from worldmodels.models.row_product import row_product

if TYPE_CHECKING:
    from worldmodels.models.vae import VAE

CALIBRATION_FRAMES = 1024  # are enough: 320 find ranges within a few percent
BITS = 8


def vision_graph(vae: VAE, *, threads: int = 1) -> Graph:
    """V's encoder as it is now: frames to mean and log variance.

    Args:
        threads: that share a batch; they change no result.

    Raises:
        WorldModelsError: V is int8, and not calibrated.
    """
    if vae.precision == "int8" and not vae.ranges:
        raise WorldModelsError(
            "VAE: expected ranges to round to int8 in, got none; calibrate(vae, frames) finds them"
        )
    frames = tf.TensorSpec((None, *vae.image_shape, 3), tf.uint8)
    return make_graph(
        partial(driving_posterior, vae), [frames], precision=vae.precision, threads=threads
    )


def driving_posterior(vae: VAE, frames: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """uint8 frames (batch, height, width, 3) to mean and log variance (batch, latent_dim), with the
    same bits for a frame whatever else is in its batch."""
    ranges = vae.ranges if vae.precision == "int8" else None
    *_, features = _feature_maps(vae, frames, ranges)
    dense = vae.encoder.layers[-1]
    features = tf.reshape(features, (-1, dense.kernel.shape[0]))
    mean, log_var = tf.split(row_product(features, dense.kernel) + dense.bias, 2, axis=1)
    return mean, log_var


def calibrate(vae: VAE, frames: NDArray[np.uint8]) -> None:
    """Find the ranges of int8: up to the largest value that each convolution reads of these frames.

    Args:
        frames: (batch, height, width, 3) uint8, preprocessed; of training.
    """
    require_shape("frames", frames, ("batch", *vae.image_shape, 3), np.uint8)
    largest: list[NDArray[np.float32]] = []
    for batch in np.array_split(frames, -(-len(frames) // 64)):
        *read, _ = _feature_maps(vae, tf.convert_to_tensor(batch), None)
        largest.append(np.array([tf.reduce_max(each) for each in read]))
    _, *of_maps = np.max(largest, axis=0).tolist()
    vae.ranges = [1.0, *(found or 1.0 for found in of_maps)]  # pixels have all of theirs


def _feature_maps(vae: VAE, frames: tf.Tensor, ranges: Sequence[float] | None) -> list[tf.Tensor]:
    """What the convolutions read, one after the other, and what the last makes of it.

    Args:
        ranges: of what each reads, to round it in; None for float32.
    """
    features = tf.cast(frames, tf.float32) / 255.0
    maps = [features if ranges is None else rounded(features, ranges[0])]
    for layer in vae.encoder.layers[1:-2]:  # before the features are flattened
        if not isinstance(layer, keras.layers.Conv2D):
            maps[-1] = layer(maps[-1])  # zeros around them, which are one of the steps
            continue
        kernel = layer.kernel if ranges is None else rounded_by_filter(layer.kernel)
        features = tf.nn.conv2d(maps[-1], kernel, layer.strides, "VALID") + layer.bias
        features = tf.nn.relu(features)
        if ranges is not None and len(maps) < len(ranges):
            features = rounded(features, ranges[len(maps)])
        maps.append(features)
    return maps


def rounded(values: tf.Tensor, largest: float) -> tf.Tensor:
    """Values in 256 steps from 0 to `largest`; OpenVINO makes bytes of this."""
    return tf.quantization.fake_quant_with_min_max_vars(values, 0.0, largest, num_bits=BITS)


def rounded_by_filter(kernel: tf.Tensor) -> tf.Tensor:
    """A convolution's weights, each filter's in 255 steps around 0."""
    largest = tf.reduce_max(tf.abs(kernel), axis=(0, 1, 2))
    largest = tf.where(largest > 0.0, largest, 1.0)  # of a filter of zeros there are no steps
    return tf.quantization.fake_quant_with_min_max_vars_per_channel(
        kernel, -largest, largest, num_bits=BITS, narrow_range=True
    )
