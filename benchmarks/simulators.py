"""Frames a second of CarRacing, on one core: gym's, gymnasium's, EnvPool's, and this project's.

A frame is a step of physics, the picture, its crop to 84 rows and its resize to 60 x 80; resets
are included. All drive by the same actions; EnvPool's tracks are others.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from gym.envs.box2d.car_racing import CarRacing
from numpy.typing import NDArray

from benchmarks.measure import Rates, in_turn, stay_on_one_core
from worldmodels.car_racing.environment import FastCarRacing
from worldmodels.car_racing.frames import preprocess
from worldmodels.car_racing.world import Races
from worldmodels.rollouts.policies import BrownianPolicy

IMAGE_SHAPE = (60, 80)
ROUNDS = 5
MANY = 32  # cars in one call, as a rollout worker has them
CARS = (1, 4, 16, 64, 256, 1024)
FORMER = "dad971f"  # the last commit with the simulator over gym's physics
CHILD = Path(__file__).with_name("simulator_child.py")
RESETS = 20  # a measurement


def actions(steps: int) -> NDArray[np.float64]:
    """The drive of every subject, (steps, 3)."""
    return BrownianPolicy(1).script(steps, rng=np.random.default_rng(0))


def drive(env: Any, steps: int, *, resized: bool = True) -> Callable[[], float]:
    """Measures an episode, frames a second; a new track each time."""
    script = actions(steps)
    seed = iter(range(10**9))
    env.reset(seed=next(seed))
    env.step(script[0])

    def measure() -> float:
        started = time.perf_counter()
        env.reset(seed=next(seed))
        for action in script:
            frame, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                frame, _ = env.reset(seed=next(seed))
            if resized:
                preprocess(frame, IMAGE_SHAPE)
        return steps / (time.perf_counter() - started)

    return measure


def drive_together(
    count: int, steps: int, *, threads: int = 1, drawn: bool = True, from_reset: bool = True
) -> Callable[[], float]:
    """The same of so many races, stepped, drawn and resized in one call.

    Args:
        from_reset: do the first resets count, too?
    """
    races, indices = Races(count, threads=threads), np.arange(count)
    script = actions(steps)
    seed = iter(range(10**9))

    def begin(index: int) -> None:
        races.make_track(index, np.random.default_rng(next(seed)))
        races.start(index)

    def measure() -> float:
        started = time.perf_counter()
        for index in range(count):
            begin(index)
        if not from_reset:
            started = time.perf_counter()
        for action in script:
            _, ends = races.step(indices, np.tile(action, (count, 1)))
            for ended in np.flatnonzero(ends):
                begin(int(ended))
            if drawn:
                races.resized(indices, IMAGE_SHAPE)
        return count * steps / (time.perf_counter() - started)

    begin(0)
    races.step(indices[:1], script[:1])
    races.resized(indices[:1], IMAGE_SHAPE)
    return measure


def reset(env: Any) -> Callable[[], float]:
    """Measures resets a second."""
    seed = iter(range(10**9))
    env.reset(seed=next(seed))

    def measure() -> float:
        started = time.perf_counter()
        for _ in range(RESETS):
            env.reset(seed=next(seed))
        return RESETS / (time.perf_counter() - started)

    return measure


class Elsewhere:
    """A CarRacing in a process of its own, as it brings another gym or another version."""

    def __init__(self, subject: str, python: str, steps: int, *, path: str = "") -> None:
        self._process = subprocess.Popen(
            [python, str(CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin, self._process.stdout
        told = {"subject": subject, "steps": steps, "actions": actions(steps).tolist()}
        self._say({**told, "image_shape": IMAGE_SHAPE})

    def measure(self) -> float:
        """An episode, frames a second."""
        self._say("drive")
        return float(json.loads(self._from.readline()))

    def _say(self, message: object) -> None:
        self._to.write(json.dumps(message) + "\n")
        self._to.flush()


@contextmanager
def former() -> Iterator[str | None]:
    """A folder with the package as it was at `FORMER`; None where git does not have it."""
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(
            ["git", "archive", FORMER, "worldmodels"], capture_output=True, check=False
        )
        if archive.returncode == 0:
            subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        yield folder if archive.returncode == 0 else None


def simulators(steps: int, *, rounds: int = ROUNDS) -> Rates:
    """Frames a second in episodes of `steps`, on one core."""
    with ExitStack() as stack:
        subjects = {
            "gym": drive(CarRacing(), steps),
            "FastCarRacing": drive(FastCarRacing(), steps),
            "FastCarRacing, not resized": drive(FastCarRacing(), steps, resized=False),
            f"{MANY} in one call": drive_together(MANY, steps),
            f"{MANY} in one call, not drawn": drive_together(MANY, steps, drawn=False),
        }
        if folder := stack.enter_context(former()):
            subjects["the former FastCarRacing"] = Elsewhere(
                "former", sys.executable, steps, path=folder
            ).measure
        for name in ("gymnasium", "EnvPool"):
            python = Path(f".venv-{name.lower()}/bin/python")
            if python.with_name("python").exists():
                subjects[name] = Elsewhere(name, str(python), steps).measure
        return in_turn(subjects, rounds=rounds)


def growth(steps: int) -> dict[str, Rates]:
    """How the rate grows with cars on one core, and with threads on all cores that there are;
    resets are left out, as tracks are made one by one."""
    by_cars = {f"cars {count}": drive_together(count, steps, from_reset=False) for count in CARS}
    rates = {"cars": in_turn(by_cars, rounds=3)}
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
    by_threads = {
        f"threads {threads}": drive_together(64, steps, threads=threads, from_reset=False)
        for threads in (1, os.cpu_count() or 1)
    }
    return {**rates, "threads": in_turn(by_threads, rounds=3)}


def main() -> None:
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    stay_on_one_core()
    measured: dict[str, Rates] = {
        f"CarRacing, one core, episodes of {steps} steps": simulators(steps)
        for steps in (1000, 200)
    }
    resets = {"gym": reset(CarRacing()), "FastCarRacing": reset(FastCarRacing())}
    measured["resets, one core"] = in_turn(resets, rounds=ROUNDS)
    grown = growth(200)
    measured["cars in one call, one core, without resets"] = grown["cars"]
    measured["64 cars in one call, all cores, without resets"] = grown["threads"]
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
