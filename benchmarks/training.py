"""Rates of training at the default sizes: V's in frames a second, M's in steps a second; and of M's
dream, in steps a second."""

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
from worldmodels.core.params import load_group
from worldmodels.dream.dream_engine import DreamEngine
from worldmodels.dream.dream_params import DreamParams
from worldmodels.dream.starts import DreamStarts
from worldmodels.models.controller import linear_layer
from worldmodels.models.determinism import make_deterministic
from worldmodels.models.memory import MDNRNN, MemoryBatch, MemoryParams
from worldmodels.models.vae import VAE, TrainingPrecision
from worldmodels.rollouts.episode import Episode
from worldmodels.rollouts.local_engine import worker_count
from worldmodels.training import memory_training, vae_training

FRAMES_PER_BATCH = 64
DREAMS, CANDIDATES = 512, 64  # of a generation
STEPS = 20  # of training a measurement
ROUNDS = 5


def vae_training_steps(precision: TrainingPrecision) -> Callable[[], float]:
    """Measures some training steps, frames a second."""
    rng = np.random.default_rng(0)
    vae = VAE(IMAGE_SHAPE, LATENT_DIM, rng=rng)
    optimizer = keras.optimizers.Adam(1e-4)
    step = vae_training.training_step(
        vae, optimizer, kl_tolerance=0.5, beta=1.0, precision=precision
    )
    frames = tf.constant(rng.integers(0, 256, (FRAMES_PER_BATCH, *IMAGE_SHAPE, 3), np.uint8))
    noise = tf.constant(rng.standard_normal((FRAMES_PER_BATCH, LATENT_DIM), np.float32))
    return _measured(lambda: step(frames, noise)["loss"].numpy(), FRAMES_PER_BATCH)


def memory_training_steps(*, own_predictions: float) -> Callable[[], float]:
    """Measures some training steps, steps of an episode a second."""
    rng = np.random.default_rng(0)
    memory = MDNRNN(LATENT_DIM, HIDDEN_UNITS, MIXTURES, rng=rng)
    params = load_group("memory", MemoryParams)
    params = params.model_copy(update={"own_predictions": own_predictions})
    optimizer = keras.optimizers.Adam(1e-4, clipvalue=1.0)
    step = memory_training.training_step(memory, optimizer, params)
    shape = (params.batch_size, params.sequence_length)
    ones, zeros = tf.ones(shape), tf.zeros(shape)
    batch = MemoryBatch(
        z=tf.constant(rng.standard_normal((*shape, LATENT_DIM), np.float32)),
        target=tf.constant(rng.standard_normal((*shape, LATENT_DIM), np.float32)),
        action=tf.constant(rng.standard_normal((*shape, ACTIONS), np.float32)),
        mask=ones,
        acted=ones,
        progress=zeros,
        ended=zeros,
        later_progress=zeros,
        later_known=ones,
        own=tf.constant((rng.random(shape) < own_predictions / 3).astype(np.float32)),
    )
    seed = tf.constant([0, 0], tf.int32)
    return _measured(lambda: step(batch, seed)["loss"].numpy(), shape[0] * shape[1])


def dream_steps() -> Callable[[], float]:
    """Measures a generation's dreams, steps a second on all cores."""
    rng = np.random.default_rng(0)
    memory = MDNRNN(LATENT_DIM, HIDDEN_UNITS, MIXTURES, rng=rng, has_outcome=True)
    state = np.zeros((DREAMS, HIDDEN_UNITS), np.float32)
    z = rng.standard_normal((DREAMS, LATENT_DIM), np.float32)
    starts = DreamStarts(
        z, state, state, np.array([[-5.0], [5.0]], np.float32).repeat(LATENT_DIM, 1)
    )
    params = load_group("dream", DreamParams)
    threads = worker_count()
    inputs = ("z", "h")
    engine = DreamEngine(memory, starts, params, inputs=inputs, threads=threads)
    layer = linear_layer(inputs, latent_dim=LATENT_DIM, hidden_units=HIDDEN_UNITS)
    candidates = 0.1 * rng.standard_normal((CANDIDATES, layer.parameters))
    episodes = [
        Episode(track_seed=luck, candidate=candidate)
        for candidate in range(CANDIDATES)
        for luck in range(DREAMS // CANDIDATES)
    ]
    return _measured(
        lambda: list(engine.play(episodes, candidates)), DREAMS * params.steps, calls=1
    )


def _measured(step: Callable[[], object], size: int, *, calls: int = STEPS) -> Callable[[], float]:
    step()

    def measure() -> float:
        started = time.perf_counter()
        for _ in range(calls):
            step()
        return calls * size / (time.perf_counter() - started)

    return measure


def main() -> None:
    make_deterministic(seed=0)
    subjects = {
        "VAE, float32": vae_training_steps("float32"),
        "VAE, bfloat16": vae_training_steps("bfloat16"),
        "memory": memory_training_steps(own_predictions=0.0),
        "memory, which reads its own predictions": memory_training_steps(own_predictions=0.6),
        f"dream, {DREAMS} at once, {worker_count()} threads": dream_steps(),
    }
    print(json.dumps(in_turn(subjects, rounds=ROUNDS)))


if __name__ == "__main__":
    main()
