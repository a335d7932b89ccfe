"""Where the time goes in the closed loop, as shares of it, at the default precision.

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
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

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
from worldmodels.car_racing.task import CarRacingTask, EnvBatch
from worldmodels.models.agent_policy import AgentPolicy, policy_maker
from worldmodels.models.inference import Precision
from worldmodels.rollouts.episode import Episode
from worldmodels.rollouts.episode_batch import EpisodeBatch
from worldmodels.rollouts.local_engine import worker_count

PRECISION: Precision = "int8"
STEPS = (SHORTEST + LONGEST) // 2  # the mean length of an episode in `closed_loop`
WARM_UP = 20  # steps

T = TypeVar("T")


class Clock:
    """Adds up seconds by the name of what took them."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def timed(self, part: str, work: Callable[..., T]) -> Callable[..., T]:
        """The same work, that counts the time it takes for this part."""

        def work_and_count(*args: Any, **named: Any) -> T:
            started = time.perf_counter()
            result = work(*args, **named)
            self.seconds[part] += time.perf_counter() - started
            return result

        return work_and_count


class TimedTask(CarRacingTask):
    """CarRacing, on the clock."""

    clock = Clock()

    def make_batch(self, count: int, image_shape: tuple[int, int]) -> EnvBatch:
        batch: Any = super().make_batch(count, image_shape)
        batch.reset = self.clock.timed("resets", batch.reset)
        batch.step = self.clock.timed("physics", batch.step)
        batch.frames = self.clock.timed("drawing and resizing", batch.frames)
        return batch


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
    clock = TimedTask.clock
    graphs = policy_maker(folder, inputs=INPUTS, latent="mean").keywords["graphs"]
    policy = AgentPolicy(
        BATCH_SIZE,
        graphs=replace(
            graphs,
            vision=clock.timed("encoder", graphs.vision),
            decision=clock.timed("memory and controller", graphs.decision),
        ),
    )
    policy.set_candidates(circling_controller())
    batch = EpisodeBatch(TimedTask(), slots=BATCH_SIZE, image_shape=IMAGE_SHAPE)
    slots = list(range(BATCH_SIZE))
    for slot in slots:
        batch.begin(slot, Episode(track_seed=slot))
        policy.begin(slot, Episode(track_seed=slot))
    resets = clock.seconds["resets"]
    for step in range(WARM_UP + STEPS):
        if step == WARM_UP:
            clock.seconds.clear()
            started = time.perf_counter()
        batch.step(slots, policy.act(batch.frames(slots), slots))
    seconds = {**clock.seconds, "resets": resets}
    others = time.perf_counter() - started - sum(clock.seconds.values())
    return {**seconds, "Python": others}


def main() -> None:
    with models(PRECISION) as folder:
        idle = waiting(folder)
        stay_on_one_core()
        seconds = parts(folder)
    total = sum(seconds.values())
    shares = {name: (1 - idle) * part / total for name, part in seconds.items()}
    print(json.dumps({**shares, "waiting": idle}))


if __name__ == "__main__":
    main()
