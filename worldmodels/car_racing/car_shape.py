"""The car's polygons, and the masses that Box2D gives them, in float32 as Box2D computes them.

The measures are gym's (`car_dynamics.py`), in fiftieths of a world unit. Read `HULL` and `WHEEL`.
"""

from dataclasses import dataclass

import numpy as np

F = np.float32
UNIT = 0.02  # world units in one of the measures below: gym's SIZE
WHEELS_AT = (
    (-55, 80),
    (55, 80),
    (-55, -82),
    (55, -82),
)  # front left and right, rear left and right
HULL_POLYGONS = (
    ((-60, 130), (60, 130), (60, 110), (-60, 110)),
    ((-15, 120), (15, 120), (20, 20), (-20, 20)),
    ((25, 20), (50, -10), (50, -40), (20, -90), (-20, -90), (-50, -40), (-50, -10), (-25, 20)),
    ((-50, -120), (50, -120), (50, -90), (-50, -90)),
)
WHEEL_POLYGON = ((-14, 27), (14, 27), (14, -27), (-14, -27))


@dataclass(frozen=True)
class Body:
    """A rigid body.

    polygons: its convex hulls, each (corners, 2) float32, in world units around the body's origin.
    inverse_mass, inverse_inertia: float32, the inertia about the centre of mass.
    centre: (2,) float32, the centre of mass.
    """

    polygons: tuple[np.ndarray, ...]
    inverse_mass: F
    inverse_inertia: F
    centre: np.ndarray


def convex_hull(corners: np.ndarray) -> np.ndarray:
    """The corners of the convex hull, in the order in which b2PolygonShape::Set wraps them: from
    the rightmost on, the lowest of equals, counterclockwise.

    Args:
        corners: (corners, 2) float32.
    """
    first = 0
    for index, (x, y) in enumerate(corners):
        if x > corners[first][0] or (x == corners[first][0] and y < corners[first][1]):
            first = index
    hull = [first]
    while True:
        following = 0
        for index in range(1, len(corners)):
            if following == hull[-1]:
                following = index
                continue
            rx, ry = corners[following] - corners[hull[-1]]
            vx, vy = corners[index] - corners[hull[-1]]
            cross = rx * vy - ry * vx
            if cross < 0 or (cross == 0 and vx * vx + vy * vy > rx * rx + ry * ry):
                following = index
        if following == first:
            return corners[hull]
        hull.append(following)


def _mass(corners: np.ndarray, density: F) -> tuple[F, np.ndarray, F]:
    """b2PolygonShape::ComputeMass: mass, centre and inertia about the origin."""
    reference = np.zeros(2, F)
    for corner in corners:
        reference += corner
    reference *= F(1) / F(len(corners))
    third = F(1) / F(3)
    centre = np.zeros(2, F)
    area = inertia = F(0)
    for corner, following in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        e1, e2 = corner - reference, following - reference
        cross = e1[0] * e2[1] - e1[1] * e2[0]
        triangle = F(0.5) * cross
        area += triangle
        centre += (triangle * third) * (e1 + e2)
        squares = e1 * e1 + e2 * e1 + e2 * e2
        inertia += (F(0.25) * third * cross) * (squares[0] + squares[1])
    mass = density * area
    centre *= F(1) / area
    at = centre + reference
    inertia = density * inertia
    inertia += mass * ((at[0] * at[0] + at[1] * at[1]) - (centre[0] ** 2 + centre[1] ** 2))
    return mass, at, inertia


def _body(polygons: tuple[tuple[tuple[int, int], ...], ...], density: float) -> Body:
    """b2Body::ResetMassData: of several polygons, the last one first."""
    hulls = tuple(
        convex_hull(np.array([(x * UNIT, y * UNIT) for x, y in corners], F)) for corners in polygons
    )
    mass = inertia = F(0)
    centre = np.zeros(2, F)
    for hull in reversed(hulls):
        part, at, part_inertia = _mass(hull, F(density))
        mass += part
        centre += part * at
        inertia += part_inertia
    centre *= F(1) / mass
    inertia -= mass * (centre[0] * centre[0] + centre[1] * centre[1])
    return Body(hulls, F(1) / mass, F(1) / inertia, centre)


HULL = _body(HULL_POLYGONS, 1.0)
WHEEL = _body((WHEEL_POLYGON,), 0.1)
