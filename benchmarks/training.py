"""Frames a second of VAE training and steps a second of memory training, at the default sizes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from benchmarks.closed_loop import HIDDEN_UNITS, IMAGE_SHAPE, LATENT_DIM, MIXTURES
from benchmarks.measure import in_turn
from worldmodels.car_racing.task import ACTIONS
from worldmodels.models.determinism import make_deterministic
from worldmodels.models.memory import MDNRNN
from worldmodels.models.vae import VAE
from worldmodels.training import memory_training, vae_training

FRAMES_PER_BATCH = 64
WINDOWS_PER_BATCH, STEPS_PER_WINDOW = 32, 128
STEPS = 20  # of training a measurement
ROUNDS = 5


def vae_training_steps() -> Callable[[], float]:
    """Measures some training steps, frames a second."""
    rng = np.random.default_rng(0)
    vae = VAE(IMAGE_SHAPE, LATENT_DIM, rng=rng)
    step = vae_training.training_step(vae, keras.optimizers.Adam(1e-4), kl_tolerance=0.5, beta=1.0)
    frames = tf.constant(rng.integers(0, 256, (FRAMES_PER_BATCH, *IMAGE_SHAPE, 3), np.uint8))
    noise = tf.constant(rng.standard_normal((FRAMES_PER_BATCH, LATENT_DIM), np.float32))
    return _measured(lambda: step(frames, noise)["loss"], FRAMES_PER_BATCH)


def memory_training_steps() -> Callable[[], float]:
    """Measures some training steps, steps of an episode a second."""
    rng = np.random.default_rng(0)
    memory = MDNRNN(LATENT_DIM, HIDDEN_UNITS, MIXTURES, rng=rng)
    step = memory_training.training_step(memory, keras.optimizers.Adam(1e-4, clipvalue=1.0))
    shape = (WINDOWS_PER_BATCH, STEPS_PER_WINDOW)
    z = tf.constant(rng.standard_normal((shape[0], shape[1] + 1, LATENT_DIM), np.float32))
    action = tf.constant(rng.standard_normal((*shape, ACTIONS), np.float32))
    mask = tf.ones(shape)
    return _measured(lambda: step(z, action, mask)["loss"], WINDOWS_PER_BATCH * STEPS_PER_WINDOW)


def _measured(step: Callable[[], tf.Tensor], size: int) -> Callable[[], float]:
    step().numpy()

    def measure() -> float:
        started = time.perf_counter()
        for _ in range(STEPS):
            step().numpy()
        return STEPS * size / (time.perf_counter() - started)

    return measure


def main() -> None:
    make_deterministic(seed=0)
    subjects = {
        "VAE": vae_training_steps(),
        "memory": memory_training_steps(),
    }
    print(json.dumps(in_turn(subjects, rounds=ROUNDS)))


if __name__ == "__main__":
    main()
