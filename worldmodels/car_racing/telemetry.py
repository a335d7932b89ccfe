"""Privileged values of a drive: what the simulator knows and the agent must see for itself.

They are stored beside the frames to measure what V has learnt, and are never trained on.
`Telemetry` works on all that has the names of gym's CarRacing, as `race_view` has. Read
`Telemetry.measure` first.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from worldmodels.car_racing.race_view import RaceView

# Columns of the privileged table, in the units of CarRacing's world.
COLUMNS = (
    "speed",  # of the hull, units a second
    "steering_angle",  # of the front wheels against the hull, radians, positive to the left
    "angular_velocity",  # of the hull, radians a second, positive to the left
    "road_distance",  # of the hull from the centre line, units, positive to the right
    "road_angle",  # of the hull against the centre line, radians, positive to the left
    "curvature_ahead",  # of the next 35 units of centre line, radians a unit, positive to the left
)
ROAD_HALF_WIDTH = 40 / 6.0  # units, gym's TRACK_WIDTH: on the road while |road_distance| is below
TILES_AHEAD = 10  # 3.5 units each


def wrap_angle(angle: NDArray[np.float64] | float) -> NDArray[np.float64] | float:
    """The same angle in [-pi, pi)."""
    return (angle + math.pi) % (2 * math.pi) - math.pi


class Telemetry:
    """Measures one episode; make a new one after every reset."""

    def __init__(self, env: RaceView) -> None:
        self._env = env
        track = np.asarray([tile[1:4] for tile in env.track])  # (tiles, 3): heading, x, y
        self._heading = track[:, 0]
        self._points = track[:, 1:]
        ahead = np.roll(self._points, -1, axis=0) - self._points
        along = np.cumsum(np.hypot(ahead[:, 0], ahead[:, 1]))
        tiles = len(track)
        length_ahead = np.empty(tiles)
        doubled = np.concatenate([[0.0], along, along[-1] + along])
        for tile in range(tiles):
            length_ahead[tile] = doubled[tile + TILES_AHEAD] - doubled[tile]
        turn = wrap_angle(np.roll(self._heading, -TILES_AHEAD) - self._heading)
        self._curvature = turn / length_ahead

    def measure(self) -> NDArray[np.float32]:
        """The values of this moment, (6,) float32, in the order of `COLUMNS`."""
        car = self._env.car
        hull = car.hull
        x, y = hull.position
        offset = np.array([x, y]) - self._points
        nearest = int(np.argmin(np.einsum("ij,ij->i", offset, offset)))
        heading = self._heading[nearest]
        # Right of the driving direction (-sin, cos) is (cos, sin).
        distance = offset[nearest, 0] * math.cos(heading) + offset[nearest, 1] * math.sin(heading)
        velocity_x, velocity_y = hull.linearVelocity
        return np.array(
            [
                math.hypot(velocity_x, velocity_y),
                car.wheels[0].joint.angle,
                hull.angularVelocity,
                distance,
                wrap_angle(hull.angle - heading),
                self._curvature[nearest],
            ],
            dtype=np.float32,
        )
