"""Frames a second of the rollout engine with V, M and C acting: what evolution runs on.

The models are of the default size, their weights as they are before training, and the candidates
slide in circles, which costs the physics more than driving does. What is measured is a whole
generation, its last stragglers and its tracks' making included, with episodes of many lengths, as
patience makes them.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Rates, in_turn
from worldmodels.car_racing.task import CarRacingTask
from worldmodels.models.agent_policy import policy_maker
from worldmodels.models.inference import Precision
from worldmodels.models.memory import MDNRNN
from worldmodels.models.vae import VAE
from worldmodels.models.vision import calibrate
from worldmodels.rollouts.episode import Episode
from worldmodels.rollouts.local_engine import LocalEngine, worker_count

IMAGE_SHAPE, LATENT_DIM, HIDDEN_UNITS, MIXTURES = (60, 80), 32, 256, 5
INPUTS = ("z", "h")
BATCH_SIZE = 32  # the default
BATCH_SIZES = (8, BATCH_SIZE, 64)
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "int8")
EPISODES = 128  # a generation of the default parameters
SHORTEST, LONGEST = 100, 800  # steps of an episode
CIRCLES = (0.3, -0.8, -1.0)  # steering, gas and brake before their tanh
ROUNDS = 3


@contextmanager
def models(precision: Precision) -> Iterator[Path]:
    """A folder with an untrained V and M of the default size."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        vae = VAE(IMAGE_SHAPE, LATENT_DIM, precision=precision, rng=rng)
        calibrate(vae, rng.integers(0, 256, (64, *IMAGE_SHAPE, 3)).astype(np.uint8))
        vae.save(Path(folder) / "vae.h5")
        MDNRNN(LATENT_DIM, HIDDEN_UNITS, MIXTURES, rng=rng).save(Path(folder) / "memory.h5")
        yield Path(folder)


def circling_controller() -> NDArray[np.float64]:
    """One candidate that never looks, (1, 867)."""
    weights = np.zeros((LATENT_DIM + HIDDEN_UNITS + 1, 3))
    weights[-1] = CIRCLES
    return weights.reshape(1, -1)


def generation(engine: LocalEngine) -> Callable[[], float]:
    """Measures a generation, frames a second; plays the start of one to warm up."""
    rng = np.random.default_rng(0)
    episodes = [
        Episode(track_seed=track, steps=int(steps))
        for track, steps in enumerate(rng.integers(SHORTEST, LONGEST, EPISODES, endpoint=True))
    ]

    def play(episodes: list[Episode]) -> int:
        return sum(outcome.steps for outcome in engine.play(episodes, circling_controller()))

    play([replace(episode, steps=10) for episode in episodes])

    def measure() -> float:
        started = time.perf_counter()
        return play(episodes) / (time.perf_counter() - started)

    return measure


def make_engine(folder: Path, *, batch_size: int, workers: int) -> LocalEngine:
    """An engine whose policy is the agent in `folder`."""
    task = CarRacingTask()
    task.prepare(IMAGE_SHAPE)
    return LocalEngine(
        task,
        policy_maker(folder, inputs=INPUTS, latent="mean"),
        image_shape=IMAGE_SHAPE,
        batch_size=batch_size,
        workers=workers,
    )


def closed_loop(settings: list[tuple[Precision, int, int]]) -> Rates:
    """Frames a second for each (precision, batch size, workers)."""
    with ExitStack() as stack:
        folders = {name: stack.enter_context(models(name)) for name in PRECISIONS}
        subjects = {}
        for precision, batch_size, workers in settings:
            engine = make_engine(folders[precision], batch_size=batch_size, workers=workers)
            stack.enter_context(engine)
            subjects[f"{precision}, batch {batch_size}, workers {workers}"] = generation(engine)
        return in_turn(subjects, rounds=ROUNDS)


def main() -> None:
    cores = worker_count()
    settings = [
        (precision, BATCH_SIZE, workers) for precision in PRECISIONS for workers in (1, cores)
    ]
    settings += [
        ("int8", batch_size, cores) for batch_size in BATCH_SIZES if batch_size != BATCH_SIZE
    ]
    print(json.dumps(closed_loop(settings)))


if __name__ == "__main__":
    main()
