"""CarRacing as a person wants to see it: gym's picture of 1000 x 800 pixels, drawn by pygame.

For films and windows alone; what an agent sees is `picture`'s. Without the skid marks that gym
leaves behind the wheels. Read `draw_scene`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from worldmodels.car_racing.car_shape import HULL, WHEEL, WHEEL_POLYGON
from worldmodels.car_racing.picture import SQUARES, zoom_at
from worldmodels.car_racing.race import PLAYFIELD

if TYPE_CHECKING:
    import pygame

    from worldmodels.car_racing.world import Races

WIDTH, HEIGHT = 1000, 800
VIDEO = (600, 400)
SQUARE = PLAYFIELD / SQUARES
UNIT = 0.02
STRIPE = 1.2
HULL_COLOUR, TYRE_COLOUR, STRIPE_COLOUR = (204, 0, 0), (0, 0, 0), (77, 77, 77)
WHITE, RED = (255, 255, 255), (255, 0, 0)


def video_frame(races: Races, index: int, score_format: str) -> np.ndarray:
    """What gym's `render` gives to films, (400, 600, 3) uint8."""
    import pygame

    small = pygame.transform.smoothscale(draw_scene(races, index, score_format), VIDEO)
    return np.transpose(pygame.surfarray.array3d(small), (1, 0, 2))


def draw_scene(races: Races, index: int, score_format: str) -> pygame.Surface:
    """The picture of one race.

    Args:
        score_format: how the score is written, as `"%04i"`.
    """
    import pygame

    car, track, race = races.cars[index], races.tracks[index], races.races[index]
    colours = races.colours[index]
    surface = pygame.Surface((WIDTH, HEIGHT))
    angle, zoom = float(car["angle"][0]), zoom_at(float(race["seconds"]))
    turn = (
        np.array([(math.cos(angle), -math.sin(angle)), (math.sin(angle), math.cos(angle))]) * zoom
    )

    def fill(corners: np.ndarray, colour: object) -> None:
        at = (corners - car["position"][0]) @ turn + (WIDTH / 2, HEIGHT / 4)
        if (at.max(axis=0) > 0).all() and (at.min(axis=0) < (WIDTH, HEIGHT)).all():
            pygame.draw.polygon(surface, np.asarray(colour, int).tolist(), at.tolist())

    square = np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
    fill((2 * square - 1) * PLAYFIELD, colours["lawn"])
    for x in range(-SQUARES, SQUARES, 2):
        for y in range(-SQUARES, SQUARES, 2):
            fill((square + np.array((x, y))) * SQUARE, colours["light"])
    for tile in range(track["tiles"]):
        shade = 0.0 if race["touched"][tile] else 0.01 * (tile % 3) * 255
        fill(track["corners"][tile], colours["road"] + shade)
        if track["kerb"][tile]:
            fill(track["kerb_corners"][tile], WHITE if tile % 2 == 0 else RED)
    for body in (1, 2, 3, 4, 0):
        sine, cosine = float(car["sine"][body]), float(car["cosine"][body])
        own = np.array([(cosine, sine), (-sine, cosine)])
        place = car["position"][body]
        for polygon in (WHEEL if body else HULL).polygons:
            fill(polygon @ own + place, TYRE_COLOUR if body else HULL_COLOUR)
        if body:
            stripe = _stripe(float(car["phase"][body - 1]))
            if stripe is not None:
                fill(stripe @ own + place, STRIPE_COLOUR)
    surface = pygame.transform.flip(surface, False, True)
    _draw_indicators(car, race, score_format, surface)
    return surface


def _stripe(phase: float) -> np.ndarray | None:
    """The light part of a tyre, that rolls into sight and out again; None while it is below."""
    first, second = phase, phase + STRIPE
    if math.sin(first) > 0 and math.sin(second) > 0:
        return None
    ends = [
        math.copysign(1, math.cos(at)) if math.sin(at) > 0 else math.cos(at)
        for at in (first, second)
    ]
    half_width, half_length = WHEEL_POLYGON[1][0] * UNIT, WHEEL_POLYGON[1][1] * UNIT
    (low, high) = (end * half_length for end in ends)
    return np.array(
        [(-half_width, low), (half_width, low), (half_width, high), (-half_width, high)]
    )


def _draw_indicators(car: Any, race: Any, score_format: str, surface: pygame.Surface) -> None:
    import pygame

    pygame.draw.rect(surface, (0, 0, 0), (0, 700, WIDTH, 100))
    speed = math.hypot(*car["velocity"][0][:2])
    upright = [(5, 0.02 * speed, WHITE)]
    for wheel in range(4):
        colour = (0, 0, 255) if wheel < 2 else (51, 0, 255)
        upright.append((7 + wheel, 0.01 * float(car["omega"][wheel]), colour))
    for place, value, colour in upright:
        tip = 780 - 20 * value
        corners = [(place * 25, tip), (place * 25 + 25, tip), (place * 25 + 25, 780)]
        pygame.draw.polygon(surface, colour, [*corners, (place * 25, 780)])
    steering = float(car["angle"][1] - car["angle"][0])
    for place, value, colour in (
        (20, -10.0 * steering, (0, 255, 0)),
        (30, -0.8 * float(car["velocity"][0][2]), RED),
    ):
        tip = (place + value) * 25
        pygame.draw.polygon(
            surface, colour, [(place * 25, 720), (tip, 720), (tip, 760), (place * 25, 760)]
        )
    pygame.font.init()
    font = pygame.font.Font(pygame.font.get_default_font(), 42)
    text = font.render(score_format % race["score"], True, WHITE, (0, 0, 0))
    surface.blit(text, text.get_rect(center=(60, 750)))
