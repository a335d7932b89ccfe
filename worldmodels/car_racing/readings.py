"""What rollouts ask of a CarRacing beside its frames, by gym's names for it: gym's own environment
has them, and `RaceView` gives them to a compiled race. Read `Readings`."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodels.car_racing.telemetry import Telemetry


class Readings(ABC):
    """The part of a `task.EnvBatch` that is the same for all CarRacings."""

    @abstractmethod
    def _env(self, index: int) -> Any:
        """The environment, with the attributes of gym's CarRacing."""

    def progress(self, index: int) -> int:
        """Tiles of the road that the car has visited."""
        return int(self._env(index).tile_visited_count)

    def place(self, index: int) -> tuple[float, float, float]:
        """As `task.EnvBatch.place` says."""
        hull = self._env(index).car.hull
        x, y = hull.position
        return x, y, math.hypot(*hull.linearVelocity)

    def road(self, index: int) -> NDArray[np.float32]:
        """As `task.EnvBatch.road` says."""
        return np.array([tile[1:4] for tile in self._env(index).track], np.float32)

    def privileged(self, index: int) -> Callable[[], NDArray[np.float32]]:
        """As `task.EnvBatch.privileged` says."""
        return Telemetry(self._env(index)).measure
