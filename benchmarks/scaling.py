"""How evolution scales over workers: measured on this machine, from that simulated for a cluster.

`python -m benchmarks.scaling`: plays generations with 1 and 2 workers, by the local engine and by
Ray on this machine; measures what the driver spends on an episode and how large episodes are; then
simulates the scheduler for 16 to 1,024 workers. Prints tables and writes benchmarks/scaling.json.
It needs `make cluster`. Read `simulate`.
"""

from __future__ import annotations

import heapq
import json
import os
import pickle
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import cma
import numpy as np
from numpy.typing import NDArray

from benchmarks.closed_loop import BATCH_SIZE, IMAGE_SHAPE, INPUTS, models
from benchmarks.machine import machine
from worldmodels.car_racing.task import CarRacingTask
from worldmodels.data.episodes import EpisodeWriter
from worldmodels.models.agent_policy import policy_maker
from worldmodels.rollouts.engine import Engine
from worldmodels.rollouts.episode import Episode, Outcome
from worldmodels.rollouts.local_engine import LocalEngine
from worldmodels.rollouts.node import packed, unpacked
from worldmodels.rollouts.policies import BrownianPolicy

RESULTS = Path("benchmarks/scaling.json")
WORKERS = (1, 2)
SIMULATED_WORKERS = (16, 64, 256, 1024)
PARAMETERS = 867  # of a candidate
PATIENCE = 100
EPISODES, STEPS = 64, 300  # that are played to measure rates; recorded, a sixteenth of them
GENERATIONS_SIMULATED = 20
SEED = 0


@dataclass(frozen=True)
class Generation:
    """Candidates, the tracks that each drives, and the steps of an episode at most."""

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
    steps = rng.choice(np.asarray(lengths), generation.episodes)
    driver = 0.0  # when it is free again
    waiting = list(steps[::-1])
    jobs: list[list[int]] = [[] for _ in range(workers)]  # steps left
    at = [0.0] * workers  # when the worker's state was last computed
    version = [0] * workers
    events: list[tuple[float, int, int]] = []  # when an episode of a worker ends next

    def advance(worker: int, now: float) -> None:
        if jobs[worker] and now > at[worker]:
            played = (now - at[worker]) / costs.step(len(jobs[worker]))
            jobs[worker] = [left - played for left in jobs[worker]]  # type: ignore[misc]
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


def rate(engine: Engine, episodes: Sequence[Episode], candidates: NDArray[np.float64]) -> float:
    """Episodes a second, after one short play to warm up."""
    list(engine.play([Episode(track_seed=0, steps=5)] * len(episodes), candidates))
    started = time.perf_counter()
    list(engine.play(episodes, candidates))
    return len(episodes) / (time.perf_counter() - started)


def measure() -> dict[str, Any]:
    """Rates, costs, sizes and lengths, on this machine."""
    rng = np.random.default_rng(SEED)
    candidates = 0.1 * rng.standard_normal((EPISODES // 2, PARAMETERS))
    episodes = [
        Episode(track_seed=index % 2, candidate=index // 2, steps=STEPS, patience=PATIENCE)
        for index in range(EPISODES)
    ]
    rates: dict[str, float] = {}
    batch_step: dict[int, float] = {}
    task = CarRacingTask()
    task.prepare(IMAGE_SHAPE)
    with models("int8") as folder:
        policy = policy_maker(folder, inputs=INPUTS, latent="mean")
        arguments = (task, policy)
        for workers in WORKERS:
            with LocalEngine(
                *arguments, image_shape=IMAGE_SHAPE, batch_size=BATCH_SIZE, workers=workers
            ) as engine:
                rates[f"local, {workers}"] = rate(engine, episodes, candidates)
                if workers == 1:
                    lengths = [one.steps for one in engine.play(episodes, candidates)]
                    for size in (1, 4, 16, BATCH_SIZE):
                        batch_step[size] = step_seconds(engine, size, candidates)
        rates |= rates_of_ray(arguments, episodes, candidates)
        model_bytes = len(pickle.dumps(policy))
    recorded = recorded_outcomes(task)
    packing, unpacking, writing, sizes = serialisation(recorded)
    return {
        "episodes_a_second": rates,
        "batch_step_seconds": batch_step,
        "dispatch_seconds": rates.pop("dispatch"),
        "tell_seconds": {
            str(population): tell_seconds(population)
            for population in sorted({one.population for one in GENERATIONS.values()})
        },
        "lengths": lengths,
        "model_bytes": model_bytes,
        "candidate_bytes": PARAMETERS * 8,
        "outcome_bytes": len(packed(Outcome(episodes[0], 1.0, STEPS, 9, "time_limit"))),
        "recorded": {
            "steps": sum(one.steps for one in recorded) / len(recorded),
            "bytes": sizes[0],
            "packed_bytes": sizes[1],
            "pack_seconds": packing,
            "unpack_seconds": unpacking,
            "write_seconds": writing,
        },
    }


def step_seconds(engine: Engine, batch: int, candidates: NDArray[np.float64]) -> float:
    """Of a step of one worker that plays so many episodes, without their beginning."""
    taken = []
    for steps in (20, 120):
        started = time.perf_counter()
        list(engine.play([Episode(track_seed=1, steps=steps)] * batch, candidates))
        taken.append(time.perf_counter() - started)
    return (taken[1] - taken[0]) / 100


def rates_of_ray(
    arguments: tuple[CarRacingTask, object],
    episodes: Sequence[Episode],
    candidates: NDArray[np.float64],
) -> dict[str, float]:
    """Episodes a second by Ray on this machine, and seconds of the driver an episode."""
    import ray

    from worldmodels.rollouts.ray_engine import RayEngine

    rates = {}
    os.environ["RAY_ADDRESS"] = "local"
    for workers in WORKERS:
        os.environ["WORLDMODELS_WORKERS"] = str(workers)
        with RayEngine(
            *arguments,  # type: ignore[arg-type]
            image_shape=IMAGE_SHAPE,
            batch_size=BATCH_SIZE,
        ) as engine:
            rates[f"Ray, {workers}"] = rate(engine, episodes, candidates)
            many = [Episode(track_seed=0, steps=1)] * 1024
            before = time.process_time()
            list(engine.play(many, candidates))
            rates["dispatch"] = (time.process_time() - before) / len(many)
        ray.shutdown()
    del os.environ["RAY_ADDRESS"], os.environ["WORLDMODELS_WORKERS"]
    return rates


def tell_seconds(population: int) -> float:
    """Of CMA-ES, a generation asked and told."""
    search = cma.CMAEvolutionStrategy(
        np.zeros(PARAMETERS), 0.1, {"popsize": population, "seed": 1, "verbose": -9}
    )
    rng = np.random.default_rng(SEED)
    taken = []
    for _ in range(5):
        started = time.perf_counter()
        search.tell(search.ask(), list(rng.standard_normal(population)))
        taken.append(time.perf_counter() - started)
    return median(taken)


def recorded_outcomes(task: CarRacingTask) -> list[Outcome]:
    """A few recorded episodes of the exploring policy."""
    episodes = [
        Episode(track_seed=index, noise_seed=index, steps=500, record=True)
        for index in range(EPISODES // 16)
    ]
    with LocalEngine(
        task, BrownianPolicy, image_shape=IMAGE_SHAPE, batch_size=8, workers=1
    ) as engine:
        return list(engine.play(episodes))


def serialisation(outcomes: Sequence[Outcome]) -> tuple[float, float, float, tuple[float, float]]:
    """Seconds to pack, unpack and write a recorded episode; its bytes before and after."""
    count = len(outcomes)
    started = time.process_time()
    contents = [packed(outcome) for outcome in outcomes]
    packing = time.process_time() - started
    started = time.process_time()
    for content in contents:
        unpacked(content)
    unpacking = time.process_time() - started
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        with EpisodeWriter(
            folder,
            environment="CarRacing",
            policy="brownian",
            seed=SEED,
            image_shape=IMAGE_SHAPE,
            privileged_columns=CarRacingTask().columns,
        ) as writer:
            for outcome in outcomes:
                writer.write(outcome.recorded)
        writing = time.process_time() - started
    raw = sum(len(pickle.dumps(one, protocol=pickle.HIGHEST_PROTOCOL)) for one in outcomes)
    sizes = raw / count, sum(map(len, contents)) / count
    return packing / count, unpacking / count, writing / count, sizes


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


def main() -> None:
    measured: dict[str, Any] = measure()
    costs = Costs(
        measured["batch_step_seconds"],
        measured["dispatch_seconds"],
        {int(population): seconds for population, seconds in measured["tell_seconds"].items()},
    )
    # Measured episodes are those of untrained candidates, cut by patience; trained ones drive on.
    lengths, recorded = measured["lengths"], measured["recorded"]
    whole = [1000] * len(lengths)
    results: dict[str, Any] = {
        "machine": machine(),
        "measured": measured,
        "simulated": simulations(costs, lengths),
        "simulated_whole_episodes": simulations(costs, whole),
        "paper": {
            "episodes as measured": paper_run(costs, recorded, lengths=lengths),
            "whole episodes": paper_run(costs, recorded, lengths=whole),
        },
    }
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    print(results["machine"])
    for name in ("episodes_a_second", "batch_step_seconds", "dispatch_seconds", "tell_seconds"):
        print(f"{name}: {measured[name]}")
    print(f"recorded: {recorded}")
    print("| generation | workers | seconds | efficiency | limit |\n|---|---|---|---|---|")
    for row in results["simulated"]:
        print(
            f"| {row['generation']} | {row['workers']} | {row['seconds']:.2f} | "
            f"{row['efficiency']:.0%} | {row['limit']} |"
        )
    print(json.dumps(results["paper"], indent=2))


if __name__ == "__main__":
    main()
