"""V's layers: four convolutions down to a dense layer, and the same way back.

After Ha & Schmidhuber 2018, appendix A.1. Read `make_networks`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from worldmodels.models.keras_on_tensorflow import keras

FILTERS = (32, 64, 128, 256)
KERNEL, STRIDE = 4, 2
CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.Conv2DTranspose, keras.layers.ZeroPadding2D)


def make_networks(
    image_shape: tuple[int, int], latent_dim: int, rng: np.random.Generator
) -> tuple[keras.Model, keras.Model]:
    """The encoder and the decoder.

    Args:
        image_shape: height and width of a frame.
        latent_dim: numbers that it is turned into.
        rng: where the first weights come from.

    Returns:
        pixels (batch, height, width, 3) from 0 to 1, to mean and log variance side by side
        (batch, 2 * latent_dim); z (batch, latent_dim) to pixels.
    """

    def initializer() -> keras.initializers.Initializer:
        return keras.initializers.GlorotUniform(seed=int(rng.integers(2**31)))

    maps = _feature_maps(image_shape)
    # Whatever Keras' own configuration says about types and the order of axes.
    exact, order = {"dtype": "float32"}, {"data_format": "channels_last"}
    picture = keras.Input((*image_shape, 3), **exact)
    features = picture
    for filters, feature_map in zip(FILTERS, maps[:-1], strict=True):
        rows, columns = _left_over(feature_map)
        if rows or columns:
            padding = keras.layers.ZeroPadding2D(((0, rows), (0, columns)), **exact, **order)
            features = padding(features)
        features = keras.layers.Conv2D(
            filters,
            KERNEL,
            STRIDE,
            activation="relu",
            kernel_initializer=initializer(),
            **exact,
            **order,
        )(features)
    features = keras.layers.Flatten(**exact, **order)(features)
    features = keras.layers.Dense(2 * latent_dim, kernel_initializer=initializer(), **exact)(
        features
    )
    encoder = keras.Model(picture, features)

    z = keras.Input((latent_dim,), **exact)
    top = (*maps[-1], FILTERS[-1])
    features = keras.layers.Dense(int(np.prod(top)), kernel_initializer=initializer(), **exact)(z)
    features = keras.layers.Reshape(top, **exact)(features)
    for filters, (height, width) in zip((*FILTERS[-2::-1], 3), maps[-2::-1], strict=True):
        features = keras.layers.Conv2DTranspose(
            filters,
            KERNEL,
            STRIDE,
            use_bias=False,
            kernel_initializer=initializer(),
            **exact,
            **order,
        )(features)
        activation = tf.identity if (height, width) == image_shape else tf.nn.relu
        features = _Deconvolved((height, width), activation, **exact)(features)
    return encoder, keras.Model(z, keras.layers.Activation("sigmoid", **exact)(features))


class _Deconvolved(keras.layers.Layer):
    """What becomes of a transposed convolution: bias, activation, and of that the first rows and
    columns. In float32 always: a bias's gradient is a sum over all pixels, which bfloat16 loses.
    """

    def __init__(
        self, shape: tuple[int, int], activation: Callable[[tf.Tensor], tf.Tensor], *, dtype: str
    ) -> None:
        super().__init__(dtype=dtype)
        self._shape, self._activation = shape, activation

    def build(self, features: tuple[int | None, ...]) -> None:
        self.bias = self.add_weight(shape=features[-1:], initializer="zeros", name="bias")

    def call(self, features: tf.Tensor) -> tf.Tensor:
        features = self._activation(tf.nn.bias_add(features, self.bias))
        # Unlike [:, :height, :width] it has a quick gradient.
        return tf.slice(features, [0, 0, 0, 0], [-1, *self._shape, -1])


def _feature_maps(image_shape: tuple[int, int]) -> list[tuple[int, int]]:
    """Height and width of the feature map before, between and after the convolutions."""
    maps = [image_shape]
    for _ in FILTERS:
        (height, width), (more_rows, more_columns) = maps[-1], _left_over(maps[-1])
        maps.append(
            (
                (height + more_rows - KERNEL) // STRIDE + 1,
                (width + more_columns - KERNEL) // STRIDE + 1,
            )
        )
    return maps


def _left_over(feature_map: tuple[int, int]) -> tuple[int, int]:
    """Rows of zeros to add below, and columns to the right, so that the kernel meets every pixel.

    The paper's convolutions are unpadded, which suits its 64 x 64; of 60 rows they would leave the
    last 14, where the car is, unseen.
    """
    height, width = feature_map
    return max(KERNEL - height, height % STRIDE), max(KERNEL - width, width % STRIDE)
