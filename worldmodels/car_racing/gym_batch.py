"""gym's own CarRacings as rollouts step them: one after the other. Read `GymBatch`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from worldmodels.car_racing.frames import preprocess
from worldmodels.car_racing.readings import Readings

if TYPE_CHECKING:
    from worldmodels.car_racing.task import EndReason


def stock_car_racing() -> Any:
    """gym's CarRacing, as evaluation wants it."""
    from gym.envs.box2d.car_racing import CarRacing

    return CarRacing(render_mode="rgb_array")


class GymBatch(Readings):
    """A `task.EnvBatch` of so many environments with the methods and names of gym's CarRacing.

    Args:
        make_env: makes one, when its first episode comes.
        count: how many. image_shape: height and width of their frames.
    """

    def __init__(
        self, make_env: Callable[[], Any], count: int, image_shape: tuple[int, int]
    ) -> None:
        self._make_env, self._image_shape = make_env, image_shape
        self._envs: list[Any] = [None] * count
        self._frames = np.zeros((count, *image_shape, 3), np.uint8)

    def reset(self, index: int, *, seed: int, random_start: bool) -> None:
        """As `task.EnvBatch.reset` says; only this project's CarRacings know random starts."""
        if self._envs[index] is None:
            self._envs[index] = self._make_env()
        options = {"start_tile": "random"} if random_start else None
        frame, _ = self._envs[index].reset(seed=seed, options=options)
        self._frames[index] = preprocess(frame, self._image_shape)

    def step(
        self, indices: Sequence[int], actions: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], list[EndReason | None]]:
        """As `task.EnvBatch.step` says."""
        rewards = np.zeros(len(indices))
        ends: list[EndReason | None] = []
        for row, (index, action) in enumerate(zip(indices, actions, strict=True)):
            frame, rewards[row], terminated, truncated, _ = self._envs[index].step(action)
            self._frames[index] = preprocess(frame, self._image_shape)
            ends.append("off_field" if terminated else "lap" if truncated else None)
        return rewards, ends

    def frames(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """As `task.EnvBatch.frames` says."""
        return self._frames[list(indices)]

    def render(self, index: int) -> NDArray[np.uint8]:
        """As `task.EnvBatch.render` says."""
        picture: NDArray[np.uint8] = self._envs[index].render()
        return picture

    def _env(self, index: int) -> Any:
        return self._envs[index]
