"""Drives EnvPool's CarRacing for `simulators.EnvPool`; runs in `.venv-envpool`, alone."""

import json
import sys
import time

import cv2
import envpool
import numpy as np


def main() -> None:
    cv2.setNumThreads(1)
    told = json.loads(sys.stdin.readline())
    height, width = told["image_shape"]
    script = np.array(told["actions"], np.float32)[:, None]  # (steps, 1, 3)
    env = envpool.make(
        "CarRacing-v2",
        env_type="gymnasium",
        num_envs=1,
        num_threads=1,
        max_episode_steps=told["steps"] + 1,  # resets are this script's
    )
    for _ in sys.stdin:
        started = time.perf_counter()
        env.reset()
        for action in script:
            frame, _, terminated, truncated, _ = env.step(action)
            if terminated[0] or truncated[0]:
                env.reset()
            cv2.resize(frame[0][:84], (width, height), interpolation=cv2.INTER_LINEAR)
        print(json.dumps(len(script) / (time.perf_counter() - started)), flush=True)


if __name__ == "__main__":
    main()
