"""The bar of indicators below CarRacing's picture, in pieces that are drawn once and kept.

Read `score`, `upright_bar` and `level_bar`: from left to right they make the bar.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import pygame

W = 1000  # the width of the picture that gym draws
WHITE = (255, 255, 255)
Colour = tuple[int, int, int]


def _columns(left: int, right: int, draw: Any) -> np.ndarray:
    """Columns `left` to `right` of the indicator bar, (12, columns, 3) uint8.

    `draw` gets a surface of gym's size; 12 columns of the state are exactly 125 of its pixels.
    """
    surface = pygame.Surface((W, 100))
    draw(surface)
    part = surface.subsurface((left * 125 // 12, 0, (right - left) * 125 // 12, 100))
    small = pygame.transform.smoothscale(part, (right - left, 12))
    return pygame.surfarray.array3d(small).transpose(1, 0, 2).copy()


@lru_cache(maxsize=4096)
def score(text: str) -> np.ndarray:
    """The score, columns 0 to 12."""

    def draw(surface: pygame.Surface) -> None:
        pygame.font.init()
        font = pygame.font.Font(pygame.font.get_default_font(), 42)
        image = font.render(text, True, WHITE, (0, 0, 0))
        surface.blit(image, image.get_rect(center=(60, 50)))

    return _columns(0, 12, draw)


@lru_cache(maxsize=4096)
def upright_bar(place: int, colour: Colour, value: int | None) -> np.ndarray:
    """A bar of the speed or a wheel, columns 12 to 36; `value` None: not drawn."""

    def draw(surface: pygame.Surface) -> None:
        if value is not None:
            # pygame fills both edges: three bars would share their last with the next one's first.
            left, right = place * 25, place * 25 + (24 if place in (7, 8, 9) else 25)
            points = [(left, value), (right, value), (right, 80), (left, 80)]
            pygame.draw.polygon(surface, colour, points)

    return _columns(12, 36, draw)


@lru_cache(maxsize=4096)
def level_bar(place: int, colour: Colour, value: int | None) -> np.ndarray:
    """The bar of the steering or the gyro, columns 36 to 96; `value` None: not drawn."""

    def draw(surface: pygame.Surface) -> None:
        if value is not None:
            points = [(place * 25, 20), (value, 20), (value, 60), (place * 25, 60)]
            pygame.draw.polygon(surface, colour, points)

    return _columns(36, 96, draw)
