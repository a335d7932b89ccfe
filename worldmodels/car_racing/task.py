"""What the system needs to know of an environment: the task.

Episodes and engines work on a `Task`; stages, which make the engines, and the agent's policy name
`CarRacingTask`. The number of actions and of steps is said here once. Read `Task` and the
`EnvBatch` that it makes, then `CarRacingTask`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from worldmodels.car_racing.gym_batch import GymBatch, stock_car_racing
from worldmodels.car_racing.telemetry import COLUMNS

if TYPE_CHECKING:
    import tensorflow as tf

MAX_STEPS = 1000  # of a CarRacing episode
FRAME_COST = 0.1
TILE_REWARD = 3.5  # 1000 points for all tiles of a road, of which there are 230 to 340
OFF_FIELD_COST = 100.0
ACTION_NAMES = ("steering", "gas", "brake")  # an action is a float32 number for each
ACTIONS = len(ACTION_NAMES)

EndReason = Literal["lap", "off_field", "time_limit", "patience"]


class EnvBatch(Protocol):
    """Environments that are stepped side by side; each is known by its index."""

    def reset(self, index: int, *, seed: int, random_start: bool) -> None:
        """Begin an episode."""

    def step(
        self, indices: Sequence[int], actions: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], list[EndReason | None]]:
        """Step some of them.

        Args:
            indices: which ones, each once. actions: (n, 3).

        Returns:
            rewards, (n,); and why each episode has ended, None where it runs.
        """

    def frames(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """What V gets to see of some of them now, (n, height, width, 3) uint8."""

    def progress(self, index: int) -> int:
        """How far the episode has come; patience runs out where it stands still."""

    def place(self, index: int) -> tuple[float, float, float]:
        """Where the agent is now, x and y, and its speed, in the units of the world."""

    def road(self, index: int) -> NDArray[np.float32]:
        """The centre line of the episode's road, (tiles, 3) float32: heading, x and y."""

    def privileged(self, index: int) -> Callable[[], NDArray[np.float32]]:
        """Measures the privileged values, (columns,) float32, of the episode that has begun."""

    def render(self, index: int) -> NDArray[np.uint8]:
        """The picture for people, (height, width, 3) uint8."""


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

    def prepare(self, image_shape: tuple[int, int]) -> None:
        """What processes that make batches should find done, as compiling."""

    def make_batch(self, count: int, image_shape: tuple[int, int]) -> EnvBatch:
        """So many environments, with frames of this height and width."""

    def actions_of(self, outputs: tf.Tensor) -> tf.Tensor:
        """C's outputs, (batch, at least so many), as actions within bounds, (batch, actions)."""

    def expected_reward(
        self, progress: tf.Tensor, end: tf.Tensor | float, *, steps: int = 1
    ) -> tf.Tensor:
        """What steps pay that are expected to make so much progress, and to end the episode with
        this probability."""


@dataclass(frozen=True)
class CarRacingTask:
    """gym's CarRacing-v2.

    stock: gym's own, as evaluation wants it, and not the compiled one.
    """

    stock: bool = False

    @property
    def name(self) -> str:
        return "CarRacing-v2" if self.stock else "FastCarRacing-v2"

    @property
    def frame_cost(self) -> float:
        return FRAME_COST

    @property
    def columns(self) -> tuple[str, ...]:
        return COLUMNS

    def prepare(self, image_shape: tuple[int, int]) -> None:
        """Compile the simulator, once on a machine."""
        if not self.stock:
            from worldmodels.car_racing.compiled_batch import compile_batch

            compile_batch(image_shape)

    def make_batch(self, count: int, image_shape: tuple[int, int]) -> EnvBatch:
        if self.stock:
            return GymBatch(stock_car_racing, count, image_shape)
        from worldmodels.car_racing.compiled_batch import CompiledBatch  # Numba takes a second

        return CompiledBatch(count, image_shape)

    def actions_of(self, outputs: tf.Tensor) -> tf.Tensor:
        """tanh; steering as it comes, gas from [-1, 1] to [0, 1], brake clipped to it (Ha &
        Schmidhuber's code)."""
        import tensorflow as tf  # whoever has such outputs has it; the simulator alone has not

        steering, gas, brake = tf.unstack(tf.tanh(outputs), axis=1)[:ACTIONS]
        return tf.stack([steering, (gas + 1.0) / 2.0, tf.clip_by_value(brake, 0.0, 1.0)], axis=1)

    def expected_reward(
        self, progress: tf.Tensor, end: tf.Tensor | float, *, steps: int = 1
    ) -> tf.Tensor:
        """Of new tiles, and of a car that leaves the field."""
        return TILE_REWARD * progress - FRAME_COST * steps - OFF_FIELD_COST * end
