"""Drives another CarRacing for `simulators.Elsewhere`, by a Python that has it: gymnasium's,
EnvPool's, or this project's former one, from its last commit. It imports nothing of this project's
present code."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import cv2
import numpy as np


def make(subject: str, steps: int) -> Any:
    """An environment whose steps and resets are gymnasium's."""
    if subject == "EnvPool":
        return EnvPool(steps)
    if subject == "gymnasium":
        from gymnasium.envs.box2d.car_racing import CarRacing

        return CarRacing()
    from worldmodels.car_racing import simulator  # type: ignore[attr-defined]

    return simulator.FastCarRacing()


class EnvPool:
    """One of EnvPool's environments, without its batch of one."""

    def __init__(self, steps: int) -> None:
        import envpool

        self._env = envpool.make(
            "CarRacing-v2",
            env_type="gymnasium",
            num_envs=1,
            num_threads=1,
            max_episode_steps=steps + 1,  # resets are this script's
        )

    def reset(self, *, seed: int | None = None) -> tuple[np.ndarray, Any]:
        frames, info = self._env.reset()
        return frames[0], info

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, Any]:
        frames, rewards, terminated, truncated, info = self._env.step(
            action[None].astype(np.float32)
        )
        return frames[0], rewards[0], terminated[0], truncated[0], info


def main() -> None:
    cv2.setNumThreads(1)
    told = json.loads(sys.stdin.readline())
    height, width = told["image_shape"]
    script = np.array(told["actions"])
    env = make(told["subject"], told["steps"])
    seed = 0
    env.reset(seed=seed)
    env.step(script[0])
    for _ in sys.stdin:
        started = time.perf_counter()
        seed += 1
        env.reset(seed=seed)
        for action in script:
            frame, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                seed += 1
                frame, _ = env.reset(seed=seed)
            cv2.resize(frame[:84], (width, height), interpolation=cv2.INTER_LINEAR)
        print(json.dumps(len(script) / (time.perf_counter() - started)), flush=True)


if __name__ == "__main__":
    main()
