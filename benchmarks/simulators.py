"""Frames a second of CarRacing, on one core: gym's, EnvPool's, this project's two, and no drawing.

A frame is a step of physics, the picture, its crop to 84 rows and its resize to 60 x 80; resets
are included. All drive by the same actions; EnvPool's tracks are others.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Rates, in_turn, stay_on_one_core
from worldmodels.car_racing.environment import FastCarRacing as CompiledFastCarRacing
from worldmodels.car_racing.frames import preprocess
from worldmodels.car_racing.simulator import CarRacing, FastCarRacing
from worldmodels.car_racing.world import Races
from worldmodels.rollouts.policies import BrownianPolicy

IMAGE_SHAPE = (60, 80)
ENVPOOL = Path(".venv-envpool")
ROUNDS = 5
MANY = 32  # environments stepped in turn, as a rollout worker steps them


class Undrawn(CarRacing):
    """gym's CarRacing without any drawing: what is left is physics, track and reward."""

    def _render(self, mode: str) -> NDArray[np.uint8]:
        return np.zeros((96, 96, 3), np.uint8)


def actions(steps: int) -> NDArray[np.float64]:
    """The drive of every subject, (steps, 3)."""
    return BrownianPolicy(1).script(steps, rng=np.random.default_rng(0))


def drive(envs: list[Any], steps: int) -> Callable[[], float]:
    """Measures an episode of `steps` in each environment, frames a second; new tracks each time."""
    script = actions(steps)
    seed = iter(range(10**9))
    for env in envs:
        env.reset(seed=next(seed))
        env.step(script[0])

    def measure() -> float:
        started = time.perf_counter()
        for env in envs:
            preprocess(env.reset(seed=next(seed))[0], IMAGE_SHAPE)
        for action in script:
            for env in envs:
                frame, _, terminated, truncated, _ = env.step(action)
                if terminated or truncated:
                    frame, _ = env.reset(seed=next(seed))
                preprocess(frame, IMAGE_SHAPE)
        return len(envs) * steps / (time.perf_counter() - started)

    return measure


def drive_together(count: int, steps: int) -> Callable[[], float]:
    """The same of so many compiled races, stepped, drawn and resized in one call."""
    races, indices = Races(count), np.arange(count)
    script = actions(steps)
    seed = iter(range(10**9))

    def begin(index: int) -> None:
        races.make_track(index, np.random.default_rng(next(seed)))
        races.start(index)

    def measure() -> float:
        started = time.perf_counter()
        for index in range(count):
            begin(index)
        for action in script:
            _, ends = races.step(indices, np.tile(action, (count, 1)))
            for ended in np.flatnonzero(ends):
                begin(int(ended))
            races.resized(indices, IMAGE_SHAPE)
        return count * steps / (time.perf_counter() - started)

    begin(0)
    races.step(indices[:1], script[:1])
    races.resized(indices[:1], IMAGE_SHAPE)
    return measure


class EnvPool:
    """EnvPool's CarRacing in a process of its own, as it brings another gym."""

    def __init__(self, steps: int) -> None:
        self._process = subprocess.Popen(
            [str(ENVPOOL / "bin/python"), str(Path(__file__).with_name("envpool_child.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin, self._process.stdout
        self._say({"steps": steps, "image_shape": IMAGE_SHAPE, "actions": actions(steps).tolist()})

    def measure(self) -> float:
        """An episode, frames a second."""
        self._say("drive")
        return float(json.loads(self._from.readline()))

    def _say(self, message: object) -> None:
        self._to.write(json.dumps(message) + "\n")
        self._to.flush()


def simulators(steps: int, *, rounds: int = ROUNDS) -> Rates:
    """Frames a second in episodes of `steps`, one environment in the process."""
    subjects = {
        "gym": drive([CarRacing()], steps),
        "FastCarRacing": drive([FastCarRacing()], steps),
        f"FastCarRacing, {MANY} in turn": drive([FastCarRacing() for _ in range(MANY)], steps),
        "physics alone": drive([Undrawn()], steps),
        "compiled": drive([CompiledFastCarRacing()], steps),
        f"compiled, {MANY} in one call": drive_together(MANY, steps),
    }
    if (ENVPOOL / "ready").exists():
        subjects["EnvPool"] = EnvPool(steps).measure
    return in_turn(subjects, rounds=rounds)


def main() -> None:
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    stay_on_one_core()
    print(json.dumps({str(steps): simulators(steps) for steps in (1000, 200)}))


if __name__ == "__main__":
    main()
