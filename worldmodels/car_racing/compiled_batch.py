"""Compiled races as rollouts step them: side by side, in one call. Read `CompiledBatch`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from worldmodels.car_racing.race import LAP, OFF_FIELD, RUNNING
from worldmodels.car_racing.race_view import RaceView
from worldmodels.car_racing.readings import Readings
from worldmodels.car_racing.world import Races

if TYPE_CHECKING:
    from worldmodels.car_racing.task import EndReason

SCORE = "%04i"  # as gym writes it


class CompiledBatch(Readings):
    """A `task.EnvBatch` of so many compiled CarRacings.

    Args:
        count: how many. image_shape: height and width of their frames.
    """

    REASONS: dict[int, EndReason | None] = {  # noqa: RUF012
        RUNNING: None,
        LAP: "lap",
        OFF_FIELD: "off_field",
        LAP | OFF_FIELD: "off_field",
    }

    def __init__(self, count: int, image_shape: tuple[int, int]) -> None:
        self._races, self._image_shape = Races(count), image_shape
        self._views = [RaceView(self._races, index) for index in range(count)]

    def reset(self, index: int, *, seed: int, random_start: bool) -> None:
        """As `task.EnvBatch.reset` says; the track is that of gym's `reset` with this seed."""
        rng = np.random.default_rng(seed)
        self._races.make_track(index, rng)
        self._races.start(index)
        if random_start:
            self._races.move(index, int(rng.integers(self._races.tracks["tiles"][index])))

    def step(
        self, indices: Sequence[int], actions: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], list[EndReason | None]]:
        """As `task.EnvBatch.step` says."""
        rewards, ends = self._races.step(np.asarray(indices), actions)
        return rewards, [self.REASONS[end] for end in ends.tolist()]

    def frames(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """As `task.EnvBatch.frames` says."""
        return self._races.resized(np.asarray(indices), self._image_shape)

    def render(self, index: int) -> NDArray[np.uint8]:
        """As `task.EnvBatch.render` says."""
        from worldmodels.car_racing.window import video_frame

        return video_frame(self._races, index, SCORE)

    def _env(self, index: int) -> RaceView:
        return self._views[index]


def compile_batch(image_shape: tuple[int, int]) -> None:
    """Compile all that a batch calls, for the processes that will start; at once where it was."""
    batch = CompiledBatch(1, image_shape)
    batch.reset(0, seed=0, random_start=True)
    batch.step([0], np.zeros((1, 3)))
    batch.frames([0])
