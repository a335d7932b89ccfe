"""The parameters of the environment: the `env` group of params.yaml.

Apart from `frames`, since who wants the simulator alone has no pydantic. Read `EnvParams`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from worldmodels.car_racing.frames import LARGEST_SIDE, SMALLEST_SIDE
from worldmodels.core.params import Params

Side = Annotated[int, Field(ge=SMALLEST_SIDE, le=LARGEST_SIDE)]


class EnvParams(Params):
    """The `env` group of params.yaml.

    image_shape: height and width of V's input in pixels, each from 32 to 96.
    """

    image_shape: tuple[Side, Side]
