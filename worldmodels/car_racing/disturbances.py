"""What may go wrong between the car and whoever drives it: other colours, things in the picture,
noise, frames and actions that come late.

Colours, bars and the blob are those of Tang, Nguyen and Ha 2020, "Neuroevolution of Self-
Interpretable Agents", whose AttentionAgent minds them little and whose World Models mind them
much. Tracks, physics and rewards stay as they are. Read `Disturbance`, then `DISTURBANCES`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worldmodels.car_racing.frames import GYM_FRAME_SHAPE

WINDOW_WIDTH, WINDOW_HEIGHT = 1000, 800  # gym's; its frames are this picture, made smaller
CAR_X, CAR_Y = 500, 600  # of the hull in the window, pixels from the left and from above
COLOUR_OFFSET = 51  # of 255, at most: 0.2 in the paper
BAR = 75  # pixels of the window, wide
BLOB = ((21.0, 29.0), (7.6, 15.6))  # from the hull, units to the right and ahead
BLOB_COLOUR = (204, 0, 0)
NOISE = 10.0  # of 255, standard deviation
LOST_SHARE = 0.1  # of the frames


class Disturbance:
    """An episode as it is; each of the others changes one thing.

    Args:
        rng: of this episode.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def paint(self, colours: np.void) -> None:
        """Change the colours that the episode is drawn in, a record of `picture.COLOURS`."""

    def acted(self, action: NDArray[np.float64]) -> NDArray[np.float64]:
        """What becomes of an action, (3,)."""
        return action

    def seen(self, frame: NDArray[np.uint8], seconds: float) -> NDArray[np.uint8]:
        """What becomes of a frame, (96, 96, 3) uint8, so many seconds after the start."""
        return frame


class Colours(Disturbance):
    """The road, and the grass but for its light squares, are lighter or darker (AttentionAgent)."""

    channels = 1

    def paint(self, colours: np.void) -> None:
        for name in ("road", "lawn"):
            offset = self._rng.uniform(-COLOUR_OFFSET, COLOUR_OFFSET, self.channels)
            colours[name] = np.clip(colours[name] + offset, 0, 255)


class Colours3(Colours):
    """The same, with red, green and blue each for itself."""

    channels = 3


class RandomColours(Disturbance):
    """gym's `domain_randomize`: any colours of road and grass."""

    def paint(self, colours: np.void) -> None:
        road, lawn = self._rng.uniform(0, 210, (2, 3))
        light = lawn.copy()
        light[self._rng.integers(3)] += 20
        colours["road"], colours["lawn"], colours["light"] = road, lawn, light


class Bars(Disturbance):
    """Black bars at the left and at the right of the picture (AttentionAgent)."""

    def seen(self, frame: NDArray[np.uint8], seconds: float) -> NDArray[np.uint8]:
        width = round(BAR / WINDOW_WIDTH * frame.shape[1])
        barred = frame.copy()
        barred[:, :width] = barred[:, -width:] = 0
        return barred


class Blob(Disturbance):
    """A red square drives beside the car (AttentionAgent)."""

    def seen(self, frame: NDArray[np.uint8], seconds: float) -> NDArray[np.uint8]:
        from worldmodels.car_racing.picture import zoom_at  # Numba takes a second

        rows, columns, _ = GYM_FRAME_SHAPE
        zoom = float(zoom_at(seconds))  # pixels of the window a unit
        (left, right), (below, above) = BLOB
        x = [round((CAR_X + zoom * side) / WINDOW_WIDTH * columns) for side in (left, right)]
        y = [round((CAR_Y - zoom * side) / WINDOW_HEIGHT * rows) for side in (above, below)]
        with_blob = frame.copy()
        with_blob[slice(*y), slice(*x)] = BLOB_COLOUR
        return with_blob


class Noise(Disturbance):
    """Every value of every pixel is off by Gaussian noise."""

    def seen(self, frame: NDArray[np.uint8], seconds: float) -> NDArray[np.uint8]:
        noisy = frame + self._rng.normal(0, NOISE, frame.shape)
        return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


class LostFrames(Disturbance):
    """One frame in ten is lost: the one before is seen again."""

    _last: NDArray[np.uint8] | None = None

    def seen(self, frame: NDArray[np.uint8], seconds: float) -> NDArray[np.uint8]:
        if self._last is None or self._rng.random() >= LOST_SHARE:
            self._last = frame
        return self._last


class LateActions(Disturbance):
    """An action counts a step later than it was given, a fiftieth of a second."""

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__(rng)
        self._last = np.zeros(3)

    def acted(self, action: NDArray[np.float64]) -> NDArray[np.float64]:
        late, self._last = self._last, action.copy()
        return late


UNDISTURBED = "none"
DISTURBANCES: dict[str, type[Disturbance]] = {
    UNDISTURBED: Disturbance,
    "colours": Colours,
    "colours3": Colours3,
    "random_colours": RandomColours,
    "bars": Bars,
    "blob": Blob,
    "noise": Noise,
    "lost_frames": LostFrames,
    "late_actions": LateActions,
}
