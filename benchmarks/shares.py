"""Where the time goes in the closed loop, as shares of it.

A worker's loop is written out here and timed part by part, on one core, at the default batch size;
`waiting` is what the workers of a whole generation were idle for.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from benchmarks.closed_loop import (
    BATCH_SIZE,
    IMAGE_SHAPE,
    INPUTS,
    LONGEST,
    SHORTEST,
    circling_controller,
    generation,
    make_engine,
    models,
)
from benchmarks.measure import stay_on_one_core
from worldmodels.car_racing.frames import preprocess
from worldmodels.car_racing.simulator import FastCarRacing
from worldmodels.models.agent import policy_maker
from worldmodels.models.determinism import use_one_core
from worldmodels.models.memory import MDNRNN
from worldmodels.models.vae import VAE
from worldmodels.rollouts.episode import Episode
from worldmodels.rollouts.local_engine import worker_count

STEPS = (SHORTEST + LONGEST) // 2  # the mean length of an episode in `closed_loop`
WARM_UP = 20  # steps

T = TypeVar("T")


class Clock:
    """Adds up seconds by the name of what took them."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def time(self, part: str, work: Callable[..., T], *args: Any) -> T:
        """Do some work, and count the time it took for this part."""
        started = time.perf_counter()
        result = work(*args)
        self.seconds[part] += time.perf_counter() - started
        return result


class TimedDrawing(FastCarRacing):
    """Says how much of its steps is drawing."""

    stopwatch = Clock()

    def _draw_state(self) -> Any:
        return self.stopwatch.time("drawing", super()._draw_state)


def waiting(folder: Path) -> float:
    """Share of a generation for which its workers, one a core, were idle."""
    workers = worker_count()
    with make_engine(folder, batch_size=BATCH_SIZE, workers=workers) as engine:
        play = generation(engine)
        play()
        busy, started = _children_seconds(), time.perf_counter()
        play()
        wall = time.perf_counter() - started
        return 1 - (_children_seconds() - busy) / (workers * wall)


def _children_seconds() -> float:
    """Processor time of all child processes so far."""
    ticks = 0
    for child in multiprocessing.active_children():
        fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])  # user and system
    return ticks / os.sysconf("SC_CLK_TCK")


def parts(folder: Path) -> dict[str, float]:
    """Seconds of each part of a worker's loop, for an episode in every slot."""
    policy = policy_maker(folder, inputs=INPUTS, latent="mean")(BATCH_SIZE)
    policy.set_candidates(circling_controller())
    vae, memory = VAE.load(folder / "vae.h5"), MDNRNN.load(folder / "memory.h5")
    encode, remember = tf.function(vae.posterior_by_row), tf.function(memory.step)
    state = tf.zeros((BATCH_SIZE, memory.hidden_units))
    z = tf.zeros((BATCH_SIZE, memory.latent_dim))
    envs = [TimedDrawing() for _ in range(BATCH_SIZE)]
    frames = np.zeros((BATCH_SIZE, *IMAGE_SHAPE, 3), np.uint8)
    clock = TimedDrawing.stopwatch
    for slot, env in enumerate(envs):
        policy.begin(slot, Episode(track_seed=slot))
        frame, _ = clock.time("resets", lambda env=env, slot=slot: env.reset(seed=slot))
        frames[slot] = preprocess(frame, IMAGE_SHAPE)
    resets = clock.seconds["resets"]
    for step in range(WARM_UP + STEPS):
        if step == WARM_UP:
            clock.seconds.clear()
        actions = clock.time("policy", policy.act, frames)
        clock.time("encoder", lambda: encode(frames)[0].numpy())
        clock.time("memory", lambda actions=actions: remember(z, actions, state, state)[0].numpy())
        for slot, env in enumerate(envs):
            frame, *_ = clock.time("env", env.step, actions[slot].astype(np.float64))
            frames[slot] = clock.time("resizing", preprocess, frame, IMAGE_SHAPE)
    seconds = clock.seconds
    return {
        "physics": seconds["env"] - seconds["drawing"],
        "drawing": seconds["drawing"],
        "resizing": seconds["resizing"],
        "resets": resets,
        "encoder": seconds["encoder"],
        "memory": seconds["memory"],
        "controller": seconds["policy"] - seconds["encoder"] - seconds["memory"],
    }


def main() -> None:
    use_one_core()
    with models("float32") as folder:
        idle = waiting(folder)
        stay_on_one_core()
        seconds = parts(folder)
    total = sum(seconds.values())
    shares = {name: (1 - idle) * part / total for name, part in seconds.items()}
    print(json.dumps({**shares, "waiting": idle}))


if __name__ == "__main__":
    main()
