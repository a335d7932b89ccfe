"""How a generation scales over the workers of a cluster: simulated, from costs that were measured.

`benchmarks.scaling` measures them and prints what follows. Read `simulate`.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.closed_loop import BATCH_SIZE

SIMULATED_WORKERS = (16, 64, 256, 1024)
GENERATIONS_SIMULATED = 20
SEED = 0


@dataclass(frozen=True)
class Generation:
    """Candidates, and the tracks that each drives."""

    population: int
    tracks: int

    @property
    def episodes(self) -> int:
        return self.population * self.tracks


GENERATIONS = {
    "default": Generation(64, 2),
    "paper": Generation(64, 16),
    "paper, 256 candidates": Generation(256, 16),
    "paper, 64 tracks": Generation(64, 64),
}


@dataclass(frozen=True)
class Costs:
    """Seconds, as measured.

    batch_step: of one step of a worker that plays a batch of so many, by the batch's size.
    dispatch: of the driver, an episode handed out and its outcome taken.
    tell: of the driver, a generation asked and told by CMA-ES, by the population.
    """

    batch_step: dict[int, float]
    dispatch: float
    tell: dict[int, float]

    def step(self, batch: int) -> float:
        """Seconds of a step of a batch, between the sizes that were measured."""
        sizes = sorted(self.batch_step)
        return float(np.interp(batch, sizes, [self.batch_step[size] for size in sizes]))


@dataclass(frozen=True)
class Simulated:
    """What came of a generation.

    seconds: until its last episode has ended and the search is told.
    efficiency: share of the workers' time in which they play full-speed.
    limit: what most of the lost time is due to.
    """

    seconds: float
    efficiency: float
    limit: str


def simulate(
    generation: Generation,
    workers: int,
    costs: Costs,
    lengths: Sequence[int],
    *,
    rng: np.random.Generator,
) -> Simulated:
    """One generation: the driver hands episodes out one by one, each worker plays its batch in lock
    step, at the speed that batches of that size have, and is given another when one has ended.

    Efficiency is against workers that always play full batches and a driver that takes no time.

    Args:
        lengths: of episodes, drawn from with replacement.
    """
    steps = rng.choice(np.asarray(lengths, float), generation.episodes)
    driver = 0.0  # when it is free again
    waiting = list(steps[::-1])
    jobs: list[list[float]] = [[] for _ in range(workers)]  # steps left
    at = [0.0] * workers  # when the worker's state was last computed
    version = [0] * workers
    events: list[tuple[float, int, int]] = []  # when an episode of a worker ends next

    def advance(worker: int, now: float) -> None:
        if jobs[worker] and now > at[worker]:
            played = (now - at[worker]) / costs.step(len(jobs[worker]))
            jobs[worker] = [left - played for left in jobs[worker]]
        at[worker] = max(at[worker], now)

    def give(worker: int, now: float) -> None:
        advance(worker, now)
        jobs[worker].append(waiting.pop())

    def schedule(worker: int) -> None:
        version[worker] += 1
        if jobs[worker]:
            ends = at[worker] + max(min(jobs[worker]), 0.0) * costs.step(len(jobs[worker]))
            heapq.heappush(events, (ends, worker, version[worker]))

    for _ in range(BATCH_SIZE):
        for worker in range(workers):
            if waiting:
                driver += costs.dispatch
                give(worker, driver)
    handed_out = driver
    for worker in range(workers):
        schedule(worker)
    last = handed_out
    while events:
        now, worker, of_version = heapq.heappop(events)
        if of_version != version[worker]:
            continue
        advance(worker, now)
        jobs[worker] = [left for left in jobs[worker] if left > 1e-6]
        last = max(last, now)
        if waiting:
            driver = max(driver, now) + costs.dispatch
            give(worker, driver)
        schedule(worker)
    last = max(last, driver)
    tell = costs.tell[generation.population]
    ideal = float(steps.sum()) * costs.step(BATCH_SIZE) / BATCH_SIZE / workers
    seconds = last + tell
    longest = float(steps.max()) * costs.step(1)
    lost = {
        "driver": tell + max(handed_out, generation.episodes * costs.dispatch),
        "last episode": max(longest - ideal, 0.0),
        "small batches": max(last - ideal - max(longest - ideal, 0.0), 0.0),
    }
    return Simulated(seconds, ideal / seconds, max(lost, key=lambda name: lost[name]))


def simulations(costs: Costs, lengths: Sequence[int]) -> list[dict[str, object]]:
    """Every generation of `GENERATIONS` on every number of workers, means of several."""
    found: list[dict[str, object]] = []
    for name, generation in GENERATIONS.items():
        for workers in SIMULATED_WORKERS:
            rng = np.random.default_rng(SEED)
            runs = [
                simulate(generation, workers, costs, lengths, rng=rng)
                for _ in range(GENERATIONS_SIMULATED)
            ]
            limits = [run.limit for run in runs]
            found.append(
                {
                    "generation": name,
                    "workers": workers,
                    "seconds": float(np.mean([run.seconds for run in runs])),
                    "efficiency": float(np.mean([run.efficiency for run in runs])),
                    "limit": max(set(limits), key=limits.count),
                }
            )
    return found


def paper_run(
    costs: Costs, recorded: dict[str, float], *, lengths: Sequence[int]
) -> list[dict[str, float]]:
    """Hours of the paper's run: 10,000 episodes of 1,000 steps recorded, 1,800 generations."""
    hours = []
    for workers in (64, 1024):
        # A worker of sampling packs what it recorded; the driver unpacks and writes it.
        scale = 1000 / recorded["steps"]
        playing = 1000 * costs.step(BATCH_SIZE) / BATCH_SIZE + scale * recorded["pack_seconds"]
        writing = scale * (recorded["unpack_seconds"] + recorded["write_seconds"]) + costs.dispatch
        sampling = 10_000 * max(playing / workers, writing)
        rng = np.random.default_rng(SEED)
        generation = [
            simulate(GENERATIONS["paper"], workers, costs, lengths, rng=rng).seconds
            for _ in range(GENERATIONS_SIMULATED)
        ]
        hours.append(
            {
                "workers": workers,
                "sampling_hours": sampling / 3600,
                "sampling_by_the_driver": float(writing > playing / workers),
                "evolution_hours": 1800 * float(np.mean(generation)) / 3600,
            }
        )
    return hours
