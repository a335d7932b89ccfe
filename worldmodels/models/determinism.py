"""TensorFlow set up so that the same inputs give the same bits."""

from __future__ import annotations

import tensorflow as tf
from pydantic import Field

from worldmodels.core.params import Params
from worldmodels.models.keras_on_tensorflow import keras


class ComputeParams(Params):
    """The `compute` group of params.yaml.

    threads: that TensorFlow trains with. Convolutions add up in another order for each
        number of them, so it is not left to how many cores there happen to be.
    """

    threads: int = Field(ge=1, le=1024)


def make_deterministic(seed: int) -> None:
    """Seed TensorFlow's and Keras' generators and allow only kernels that repeat themselves.

    Call it once, before any model is built. All of this project's own noise comes from generators
    that are passed in; the global seed only satisfies TensorFlow's check.
    """
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def hide_gpu() -> None:
    """Keep this process's TensorFlow off the GPU; only training is worth one. Call it first."""
    tf.config.set_visible_devices([], "GPU")


def use_threads(count: int) -> None:
    """Let this process's TensorFlow share an operation among so many threads. Call it first."""
    tf.config.threading.set_intra_op_parallelism_threads(count)


def use_one_core() -> None:
    """Keep this process's TensorFlow to one thread and off the GPU, before any operation."""
    hide_gpu()
    use_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
