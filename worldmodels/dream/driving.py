"""Who drives in a dream: C does as it does in reality. Read `controller_drives`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from worldmodels.car_racing.task import CarRacingTask
from worldmodels.dream.dreams import Dreams
from worldmodels.models.controller import LinearController
from worldmodels.models.memory import MDNRNN

Driver: TypeAlias = Callable[[Dreams], NDArray[np.float32]]  # actions, (count, 3)


def controller_drives(memory: MDNRNN, controller: LinearController) -> Driver:
    """C at the wheel of dreams that this memory dreams."""
    feature_mean = memory.feature_mean_of(controller.inputs)

    def act(dreams: Dreams) -> NDArray[np.float32]:
        parts = {"z": dreams.z, "h": dreams.hidden}
        features = np.concatenate([parts[name] for name in controller.inputs], axis=1)
        outputs = controller.outputs(features - feature_mean)
        return np.asarray(CarRacingTask().actions_of(tf.constant(outputs, tf.float32)))

    return act
