"""CarRacing under a disturbance, as a task that engines play. Read `DisturbedBatch`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from worldmodels.car_racing.compiled_batch import CompiledBatch
from worldmodels.car_racing.disturbances import DISTURBANCES, UNDISTURBED, Disturbance
from worldmodels.car_racing.frames import preprocess
from worldmodels.car_racing.task import CarRacingTask
from worldmodels.car_racing.world import LAWN, LIGHT_LAWN, ROAD

if TYPE_CHECKING:
    from worldmodels.car_racing.task import EndReason


@dataclass(frozen=True)
class DisturbedTask(CarRacingTask):
    """The compiled CarRacing under one of `disturbances.DISTURBANCES`."""

    disturbance: str = UNDISTURBED

    @property
    def name(self) -> str:
        return f"{super().name}, {self.disturbance}"

    def make_batch(self, count: int, image_shape: tuple[int, int]) -> DisturbedBatch:
        return DisturbedBatch(count, image_shape, DISTURBANCES[self.disturbance])


class DisturbedBatch(CompiledBatch):
    """A `task.EnvBatch` of compiled CarRacings, each episode disturbed by draws of its own.

    Args:
        count: how many. image_shape: height and width of their frames.
        disturbance: of all of them.
    """

    def __init__(
        self, count: int, image_shape: tuple[int, int], disturbance: type[Disturbance]
    ) -> None:
        super().__init__(count, image_shape)
        self._make = disturbance
        self._disturbances = [disturbance(np.random.default_rng(0))] * count  # until an episode
        self._frames = np.zeros((count, *image_shape, 3), np.uint8)

    def reset(self, index: int, *, seed: int, random_start: bool) -> None:
        """As `task.EnvBatch.reset` says; the track is the undisturbed one."""
        super().reset(index, seed=seed, random_start=random_start)
        self._disturbances[index] = self._make(np.random.default_rng([seed, 1]))
        self._races.colours[index] = (LAWN, LIGHT_LAWN, ROAD)
        self._disturbances[index].paint(self._races.colours[index])
        self._look([index])

    def step(
        self, indices: Sequence[int], actions: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], list[EndReason | None]]:
        """As `task.EnvBatch.step` says."""
        pairs = zip(indices, actions, strict=True)
        acted = [self._disturbances[index].acted(action) for index, action in pairs]
        outcome = super().step(indices, np.stack(acted))
        self._look(indices)
        return outcome

    def frames(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """As `task.EnvBatch.frames` says."""
        return self._frames[list(indices)]

    def _look(self, indices: Sequence[int]) -> None:
        """Draws are made once a step, however often somebody asks for frames."""
        pictures = self._races.frames(np.asarray(indices))
        for index, picture in zip(indices, pictures, strict=True):
            seconds = float(self._races.races["seconds"][index])
            seen = self._disturbances[index].seen(picture, seconds)
            self._frames[index] = preprocess(seen, self._image_shape)
