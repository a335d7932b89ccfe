"""How evolution scales over workers: measured on this machine, from that simulated for a cluster.

`python -m benchmarks.scaling`: plays generations with 1 and 2 workers, by the local engine and by
Ray on this machine, in turn; measures what the driver spends on an episode and how large episodes
are; then `scaling_simulation` simulates the scheduler for 16 to 1,024 workers. Prints tables and
writes benchmarks/scaling.json. It needs `make cluster`. Read `measure`.
"""

from __future__ import annotations

import json
import os
import pickle
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import cma
import numpy as np
from numpy.typing import NDArray

from benchmarks.closed_loop import BATCH_SIZE, IMAGE_SHAPE, INPUTS, models
from benchmarks.machine import machine
from benchmarks.measure import Rates, in_turn
from benchmarks.scaling_simulation import GENERATIONS, SEED, Costs, paper_run, simulations
from worldmodels.car_racing.task import CarRacingTask
from worldmodels.data.episodes import EpisodeWriter
from worldmodels.models.agent_policy import policy_maker
from worldmodels.rollouts.engine import Engine
from worldmodels.rollouts.episode import Episode, Outcome
from worldmodels.rollouts.local_engine import LocalEngine
from worldmodels.rollouts.node import packed, unpacked
from worldmodels.rollouts.policies import BrownianPolicy, Policy

RESULTS = Path("benchmarks/scaling.json")
WORKERS = (1, 2)
PARAMETERS = 867  # of a candidate
PATIENCE = 100
EPISODES, STEPS = 64, 300  # that are played to measure rates; recorded, a sixteenth of them
ROUNDS = 3

MakePolicy = Callable[[int], Policy]


@contextmanager
def local_engine(make_policy: MakePolicy, workers: int) -> Iterator[Engine]:
    """So many workers of this process."""
    with LocalEngine(
        CarRacingTask(),
        make_policy,
        image_shape=IMAGE_SHAPE,
        batch_size=BATCH_SIZE,
        workers=workers,
    ) as engine:
        yield engine


@contextmanager
def engine_of_ray(make_policy: MakePolicy, workers: int) -> Iterator[Engine]:
    """So many workers of a cluster of this machine alone, which ends with it."""
    from worldmodels.rollouts.ray_engine import RayEngine

    os.environ |= {"RAY_ADDRESS": "local", "WORLDMODELS_WORKERS": str(workers)}
    with RayEngine(
        CarRacingTask(), make_policy, image_shape=IMAGE_SHAPE, batch_size=BATCH_SIZE
    ) as engine:
        yield engine
    del os.environ["RAY_ADDRESS"], os.environ["WORLDMODELS_WORKERS"]

    import ray  # the engine imports it first, when its settings are made

    ray.shutdown()


ENGINES = {"local": local_engine, "Ray": engine_of_ray}


def episodes_a_second(
    make_policy: MakePolicy, episodes: Sequence[Episode], candidates: NDArray[np.float64]
) -> Rates:
    """Of each engine with each number of workers, once a round, after a short play to warm up."""

    def rate(name: str, workers: int) -> float:
        with ENGINES[name](make_policy, workers) as engine:
            list(engine.play([Episode(track_seed=0, steps=5)] * len(episodes), candidates))
            started = time.perf_counter()
            list(engine.play(episodes, candidates))
            return len(episodes) / (time.perf_counter() - started)

    return in_turn(
        {
            f"{name}, {workers}": partial(rate, name, workers)
            for workers in WORKERS
            for name in ENGINES
        },
        rounds=ROUNDS,
    )


def measure() -> dict[str, Any]:
    """Rates, costs, sizes and lengths, on this machine."""
    rng = np.random.default_rng(SEED)
    candidates = 0.1 * rng.standard_normal((EPISODES // 2, PARAMETERS))
    episodes = [
        Episode(track_seed=index % 2, candidate=index // 2, steps=STEPS, patience=PATIENCE)
        for index in range(EPISODES)
    ]
    task = CarRacingTask()
    task.prepare(IMAGE_SHAPE)
    with models("int8") as folder:
        policy = policy_maker(folder, inputs=INPUTS, latent="mean")
        with local_engine(policy, 1) as engine:
            lengths = [one.steps for one in engine.play(episodes, candidates)]
            batch_step = batch_step_seconds(engine, candidates)
        rates = episodes_a_second(policy, episodes, candidates)
        dispatch = dispatch_seconds(policy, candidates)
        model_bytes = len(pickle.dumps(policy))
    recorded = recorded_outcomes(task)
    packing, unpacking, writing, sizes = serialisation(recorded)
    return {
        "episodes_a_second": {name: median(rounds) for name, rounds in rates.items()},
        "episodes_a_second_by_round": rates,
        "batch_step_seconds": batch_step,
        "dispatch_seconds": dispatch,
        "tell_seconds": {
            population: tell_seconds(population)
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


def batch_step_seconds(engine: Engine, candidates: NDArray[np.float64]) -> dict[int, float]:
    """Of a step of one worker, by how many episodes it plays; without their beginning."""

    def play(batch: int, steps: int) -> float:
        started = time.perf_counter()
        list(engine.play([Episode(track_seed=1, steps=steps)] * batch, candidates))
        return time.perf_counter() - started

    def step(batch: int) -> float:
        return (play(batch, 120) - play(batch, 20)) / 100

    sizes = {str(batch): partial(step, batch) for batch in (1, 4, 16, BATCH_SIZE)}
    return {int(size): median(taken) for size, taken in in_turn(sizes, rounds=ROUNDS).items()}


def dispatch_seconds(make_policy: MakePolicy, candidates: NDArray[np.float64]) -> float:
    """Processor time of the driver an episode, by Ray."""
    episodes = [Episode(track_seed=0, steps=1)] * 1024
    taken = []
    with engine_of_ray(make_policy, 1) as engine:
        for _ in range(ROUNDS):
            before = time.process_time()
            list(engine.play(episodes, candidates))
            taken.append((time.process_time() - before) / len(episodes))
    return median(taken)


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


def main() -> None:
    measured: dict[str, Any] = measure()
    costs = Costs(
        measured["batch_step_seconds"],
        measured["dispatch_seconds"],
        measured["tell_seconds"],
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
