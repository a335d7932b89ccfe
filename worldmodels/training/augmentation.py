"""Frames that are disturbed at random, from which V learns to reconstruct the undisturbed ones.

The share of them is `vae.augmentation`. A frame is changed in one of four ways, each as likely:
other colours, bars at its sides, a blob, or noise. Read `augmented`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST_COLOUR = 0.2 * 255  # that a colour is changed by, red, green and blue each for itself
GREENER = 100.0  # by which the lawn's green is above its red and blue, of 255
MOST_BAR = 0.15  # of the width, for each of the two
BLOB = (0.05, 0.3)  # of width and height, each
MOST_NOISE = 20.0  # standard deviation, of 255


def augmented(
    frames: NDArray[np.uint8], share: float, *, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """The frames, some of them disturbed.

    Args:
        frames: (batch, height, width, 3) uint8; they stay as they are.
        share: of them that is disturbed, each by chance; 0 to 1.
    """
    seen = frames.copy()
    for index in np.flatnonzero(rng.random(len(frames)) < share):
        change = WAYS[rng.integers(len(WAYS))]
        seen[index] = change(frames[index], rng)
    return seen


def recoloured(frame: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Other colours of the lawn, and of all else."""
    elsewhere, lawn = rng.uniform(-MOST_COLOUR, MOST_COLOUR, (2, 3)).astype(np.float32)
    pixels = frame.astype(np.float32)
    above = pixels[..., 1] - np.maximum(pixels[..., 0], pixels[..., 2])
    share = np.clip(above / np.float32(GREENER), 0, 1)[..., None]  # of a pixel that is lawn
    return _rounded(pixels + elsewhere + share * (lawn - elsewhere))


def barred(frame: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Black bars at the sides, both of one width."""
    height, width, _ = frame.shape
    bar = rng.uniform(0, MOST_BAR) * width
    left = _cover(frame, (0.0, 0.0, 0.0), columns=(0.0, bar), rows=(0.0, height))
    return _cover(left, (0.0, 0.0, 0.0), columns=(width - bar, width), rows=(0.0, height))


def blotted(frame: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A rectangle of any colour, anywhere."""
    sides = frame.shape[:2]
    (high, wide) = rng.uniform(*BLOB, 2) * sides
    top, left = rng.uniform(0, 1, 2) * (sides[0] - high, sides[1] - wide)
    red, green, blue = rng.uniform(0, 255, 3)
    return _cover(frame, (red, green, blue), columns=(left, left + wide), rows=(top, top + high))


def noisy(frame: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Gaussian noise on every pixel value."""
    deviation = np.float32(rng.uniform(0, MOST_NOISE))
    return _rounded(frame + deviation * rng.standard_normal(frame.shape, dtype=np.float32))


def _cover(
    frame: NDArray[np.uint8],
    colour: tuple[float, float, float],
    *,
    columns: tuple[float, float],
    rows: tuple[float, float],
) -> NDArray[np.uint8]:
    """The frame with a rectangle, between places in pixels from the left and from the top; a pixel
    gets as much of the colour as it is covered."""
    height, width, _ = frame.shape
    share = np.outer(_covered(*rows, height), _covered(*columns, width))[..., None]
    return np.rint(frame + share * (np.array(colour) - frame)).astype(np.uint8)


def _covered(first: float, last: float, pixels: int) -> NDArray[np.float64]:
    """The share of each pixel in a line that lies between two places."""
    left = np.arange(pixels)
    return np.clip(np.minimum(last, left + 1) - np.maximum(first, left), 0.0, 1.0)


def _rounded(pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


WAYS = (recoloured, barred, blotted, noisy)
