"""What the system needs to know of an environment: the task.

Episodes and engines work on a `Task`; stages, which make the engines, and the agent's policy name
`CarRacingTask`. The number of actions and of steps is said here once. Read `Task`, then
`CarRacingTask`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from worldmodels.car_racing.frames import preprocess
from worldmodels.car_racing.telemetry import COLUMNS, Telemetry

if TYPE_CHECKING:
    import tensorflow as tf

MAX_STEPS = 1000  # of a CarRacing episode
ACTION_NAMES = ("steering", "gas", "brake")  # an action is a float32 number for each
ACTIONS = len(ACTION_NAMES)

EndReason = Literal["lap", "off_field", "time_limit", "patience"]


class Task(Protocol):
    """An environment, as rollouts and the agent use it."""

    @property
    def name(self) -> str:
        """Of the environment, stored with the episodes."""

    @property
    def frame_cost(self) -> float:
        """What the environment charges for a step; see `rollouts.episode.Outcome`."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the privileged values."""

    def make_env(self) -> Any:
        """A new environment with gym's `reset`, `step` and `render`."""

    def reset(self, env: Any, *, seed: int, random_start: bool) -> NDArray[np.uint8]:
        """Begin an episode; its first frame, as the environment draws it."""

    def preprocess(
        self, frame: NDArray[np.uint8], image_shape: tuple[int, int]
    ) -> NDArray[np.uint8]:
        """A frame of the environment as V gets it, (height, width, 3) uint8."""

    def actions_of(self, outputs: tf.Tensor) -> tf.Tensor:
        """C's outputs, (batch, at least so many), as actions within bounds, (batch, actions)."""

    def progress(self, env: Any) -> int:
        """How far the episode has come; patience runs out where it stands still."""

    def end_reason(self, *, terminated: bool, truncated: bool) -> EndReason | None:
        """Why the environment ended the episode; None while it runs."""

    def place(self, env: Any) -> tuple[float, float, float]:
        """Where the agent is now, x and y, and its speed, in the units of the world."""

    def road(self, env: Any) -> NDArray[np.float32]:
        """The centre line of the episode's road, (tiles, 3) float32: heading, x and y."""

    def privileged(self, env: Any) -> Callable[[], NDArray[np.float32]]:
        """Measures the privileged values, (columns,) float32, of the episode that has begun."""


@dataclass(frozen=True)
class CarRacingTask:
    """gym's CarRacing-v2.

    stock: drawn by gym itself, as evaluation wants it, and not by `FastCarRacing`.
    """

    stock: bool = False

    @property
    def name(self) -> str:
        return "CarRacing-v2" if self.stock else "FastCarRacing-v2"

    @property
    def frame_cost(self) -> float:
        return 0.1

    @property
    def columns(self) -> tuple[str, ...]:
        return COLUMNS

    def make_env(self) -> Any:
        from worldmodels.car_racing.simulator import CarRacing, FastCarRacing

        return CarRacing(render_mode="rgb_array") if self.stock else FastCarRacing()

    def reset(self, env: Any, *, seed: int, random_start: bool) -> NDArray[np.uint8]:
        options = {"start_tile": "random"} if random_start else None
        frame: NDArray[np.uint8]
        frame, _ = env.reset(seed=seed, options=options)
        return frame

    def preprocess(
        self, frame: NDArray[np.uint8], image_shape: tuple[int, int]
    ) -> NDArray[np.uint8]:
        return preprocess(frame, image_shape)

    def actions_of(self, outputs: tf.Tensor) -> tf.Tensor:
        """tanh; steering as it comes, gas from [-1, 1] to [0, 1], brake clipped to it (Ha &
        Schmidhuber's code)."""
        import tensorflow as tf  # whoever has such outputs has it; the simulator alone has not

        steering, gas, brake = tf.unstack(tf.tanh(outputs), axis=1)[:ACTIONS]
        return tf.stack([steering, (gas + 1.0) / 2.0, tf.clip_by_value(brake, 0.0, 1.0)], axis=1)

    def progress(self, env: Any) -> int:
        """Tiles of the road that the car has visited."""
        return int(env.tile_visited_count)

    def end_reason(self, *, terminated: bool, truncated: bool) -> EndReason | None:
        if terminated:
            return "off_field"
        return "lap" if truncated else None

    def place(self, env: Any) -> tuple[float, float, float]:
        x, y = env.car.hull.position
        return x, y, math.hypot(*env.car.hull.linearVelocity)

    def road(self, env: Any) -> NDArray[np.float32]:
        return np.array([tile[1:4] for tile in env.track], np.float32)

    def privileged(self, env: Any) -> Callable[[], NDArray[np.float32]]:
        return Telemetry(env).measure
