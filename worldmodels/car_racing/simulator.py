"""CarRacing at the speed of its physics, for gym 0.26 and for gymnasium.

gym spends 98 % of a CarRacing step on drawing: a new 1000 x 800 picture, shrunk to 96 x 96.
`FastDrawing` goes over gym's class by inheritance, leaves track, physics, reward and seeding to
it, and draws the state from parts that are drawn once: the field with its road as a texture, which
each frame sees through one affine warp, and small cached pictures of the car and the indicators.
Read `FastDrawing._draw_state` first, it is one frame from top to bottom; then `FastCarRacing`, the
class to use. `worldmodels.car_racing.registration` makes it known to `gym.make`.
"""

import math
from difflib import get_close_matches
from functools import cache, lru_cache
from importlib.util import find_spec
from types import FunctionType, SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

import cv2
import numpy as np
import pygame
from Box2D import b2Body

from worldmodels.car_racing import indicators
from worldmodels.car_racing.indicators import WHITE, Colour, W

HAS_GYM = find_spec("gym") is not None
HAS_GYMNASIUM = find_spec("gymnasium") is not None
if HAS_GYM:
    from gym.envs.box2d.car_racing import CarRacing as CarRacing
if HAS_GYMNASIUM:
    from gymnasium.envs.box2d.car_racing import CarRacing as CarRacingV3

# gym's measures. W and H: the picture that gym draws and then shrinks to STATE x STATE pixels.
H = 800
STATE = 96
ROAD_ROWS = 84  # the last 12 rows of the state are the indicator bar
FULL_ZOOM = 2.7 * 6  # gym's pixels in a world unit, from the second second on
PLAYFIELD = 2000 / 6  # half a side of the field, in world units
GRASS_SIDE = PLAYFIELD / 20  # the lawn is 40 x 40 squares, light where both numbers are even
CAR_UNIT = 0.02  # the car's polygons count in fiftieths of a world unit
CAR_COLOURS = np.array([(0, 0, 0), (77, 77, 77), (204, 0, 0)])  # 1 tyre, 2 its stripe, 3 hull
WHEELS_AT = ((-55, 80), (55, 80), (-55, -82), (55, -82))
# Corners in the order that Box2D puts them: pygame's rounding depends on it.
WHEEL = np.array([(14, -27), (14, 27), (-14, 27), (-14, -27)])
HULL = (
    np.array([(60, 110), (60, 130), (-60, 130), (-60, 110)]),
    np.array([(20, 20), (15, 120), (-15, 120), (-20, 20)]),
    np.array(
        [(50, -40), (50, -10), (25, 20), (-25, 20), (-50, -10), (-50, -40), (-20, -90), (20, -90)]
    ),
    np.array([(50, -120), (50, -90), (-50, -90), (-50, -120)]),
)

# A texel is about a pixel of the state. Finer ones (32 to a square) bring frames nearer to gym's,
# but 32 environments stepped in turn then wait longer for memory.
SQUARE_TEXELS = 24
TEXELS = SQUARE_TEXELS / GRASS_SIDE  # in a world unit
FIELD_TEXELS = 40 * SQUARE_TEXELS
LEVELS = 5  # each half as fine as the one before: an episode's first frame is zoomed out 18 times
# OpenCV's antialiased polygons reach this many texels too far; fitted to gym's frames.
OVERDRAWN = 0.7

# The pixels of the state that the car can touch, and how finely its cached pictures go.
CAR_TOP, CAR_LEFT = 66, 44
CAR_ROWS, CAR_COLUMNS = 12, 8
ANGLE_STEPS = 24  # in a radian of steering: a tip of a wheel is at most 1/50 pixel off
PHASE_STEPS = 32  # in a turn of a wheel

RED, GREEN = (255, 0, 0), (0, 255, 0)
BLUE, VIOLET = (0, 0, 255), (51, 0, 255)

# Either gym's or gymnasium's CarRacing stands behind FastDrawing; neither says its types.
if TYPE_CHECKING:
    _CarRacing: TypeAlias = Any
else:
    _CarRacing = object


def _shrunk(colour: Any) -> Colour:
    """A colour as pygame's smoothscale leaves it: it truncates once along x and once along y."""
    r, g, b = (max(int(part) - 2, 0) for part in colour)
    return r, g, b


class TrackTexture:
    """The field from above, (texels, texels, 4) uint8 at `LEVELS` sizes; y grows with the rows.

    Red, green, blue and an unused channel: OpenCV warps four twice as fast as three.
    """

    def __init__(self) -> None:
        sides = [FIELD_TEXELS >> level for level in range(LEVELS)]
        self.levels = [np.empty((side, side, 4), np.uint8) for side in sides]

    def draw(self, road: list[tuple[Any, Any]], lawn: Colour, grass: Colour) -> None:
        """Draw anew: `road` holds gym's polygons, left, right, right and left, with colours."""
        np.copyto(self.levels[0], _lawn(lawn, grass))
        # Where a bend turns neither way for a moment, gym lays a kerb without any width.
        road = [(polygon, colour) for polygon, colour in road if polygon[0] != polygon[1]]
        polygons = _in_texels(np.array([polygon for polygon, _ in road]), inset=OVERDRAWN)
        for polygon, (_, colour) in zip(polygons, road, strict=True):
            self._fill(polygon, colour)
        for finer, coarser in zip(self.levels, self.levels[1:], strict=False):
            cv2.resize(finer, coarser.shape[:2], coarser, interpolation=cv2.INTER_AREA)

    def repaint(self, polygon: Any, colour: Any) -> None:
        """Recolour one tile, up to its edges, which keep their blend with what lies beside.

        Only at full size: gym's three greys are 5 of 255 apart, nothing to see from far.
        """
        self._fill(_in_texels(np.array(polygon), inset=OVERDRAWN + 1), colour)

    def _fill(self, polygon: np.ndarray, colour: Any) -> None:
        cv2.fillConvexPoly(self.levels[0], polygon, _shrunk(colour), cv2.LINE_AA, shift=4)


@lru_cache(maxsize=1)  # all environments share it, unless their colours are randomised
def _lawn(lawn: Colour, grass: Colour) -> np.ndarray:
    """The field without a road, (texels, texels, 4) uint8."""
    pattern = np.empty((2 * SQUARE_TEXELS, 2 * SQUARE_TEXELS, 4), np.uint8)
    pattern[:] = (*lawn, 0)
    pattern[:SQUARE_TEXELS, :SQUARE_TEXELS] = (*grass, 0)
    return np.tile(pattern, (20, 20, 1))


def _in_texels(polygons: np.ndarray, *, inset: float) -> np.ndarray:
    """World coordinates (..., 4, 2) in sixteenths of a texel, the sides `inset` texels inwards."""
    across = polygons[..., [1, 0, 3, 2], :] - polygons
    polygons = polygons + across * (inset / TEXELS / np.linalg.norm(across, axis=-1)[..., None])
    texels = (polygons + PLAYFIELD) * TEXELS - 0.5  # a texel's centre is a whole number
    return np.rint(texels * 16).astype(np.int32)


@lru_cache(maxsize=1 << 14)
def _quarter_car(corner: int, zoom: float, angle: int, phase: int) -> np.ndarray:
    """A quarter of the car with one wheel, (2, 6, 4, 3) float32: what to multiply and to add.

    Drawn as gym draws it and then shrunk. The camera turns with the hull, so at a given zoom only
    the wheel's steering and rolling make a difference.
    """
    # gym's pixels 458 to 542 across, 150 to 250 upwards; each holds a number of CAR_COLOURS, or 0.
    surface = pygame.Surface((84, 100), depth=8)

    def fill(points: np.ndarray, colour: int) -> None:
        at = points * (CAR_UNIT * zoom) + (W / 2 - 458, H / 4 - 150)
        pygame.draw.polygon(surface, colour, at.tolist())

    c, s = math.cos(angle / ANGLE_STEPS), math.sin(angle / ANGLE_STEPS)
    turn = np.array([(c, s), (-s, c)])
    fill(WHEEL @ turn + WHEELS_AT[corner], 1)
    # A stripe, 1.2 radians of the tyre, rolls into sight and out again.
    first = phase * 2 * math.pi / PHASE_STEPS
    s1, s2, c1, c2 = math.sin(first), math.sin(first + 1.2), math.cos(first), math.cos(first + 1.2)
    if s1 <= 0 or s2 <= 0:
        ends = (math.copysign(1, c1) if s1 > 0 else c1, math.copysign(1, c2) if s2 > 0 else c2)
        stripe = np.array([(-14, ends[0]), (14, ends[0]), (14, ends[1]), (-14, ends[1])])
        fill(stripe * (1, 27) @ turn + WHEELS_AT[corner], 2)
    for polygon in HULL:
        fill(polygon, 3)

    below, right = divmod(corner, 2)
    top, left = 50 * below, 42 * right
    picture = pygame.surfarray.array2d(surface).T[::-1][top : top + 50, left : left + 42]
    rows = _shares(550 + top, 50, first=CAR_TOP + 6 * below, count=6, size=H / STATE)
    columns = _shares(458 + left, 42, first=CAR_LEFT + 4 * right, count=4, size=W / STATE)
    shares = rows @ (picture == np.array([1, 2, 3])[:, None, None]) @ columns.T  # (3, 6, 4)
    light = np.tensordot(shares, CAR_COLOURS, axes=(0, 0))  # (6, 4, 3)
    covered = shares.sum(axis=0)[..., None]
    quarter = np.empty((2, 6, 4, 3), np.float32)
    quarter[0] = 1 - covered
    # Less 2 for smoothscale, see _shrunk, and 0.5 more, as the sum will be truncated.
    quarter[1] = np.maximum(light - 2 * covered, 0) + 0.5
    return quarter


@cache
def _shares(start: int, pixels: int, *, first: int, count: int, size: float) -> np.ndarray:
    """(count, pixels): how much of each of gym's pixels lies in each pixel of the state."""
    low = (np.arange(count)[:, None] + first) * size
    edge = np.arange(pixels) + start
    inside = np.minimum(low + size, edge + 1) - np.maximum(low, edge)
    return (np.clip(inside, 0, None) / size).astype(np.float32)


# NumPy for single numbers, without its price: the same results, as both follow IEEE 754.
_scalars = SimpleNamespace(
    **{
        **vars(np),
        "sqrt": math.sqrt,
        "square": lambda x: x * x,
        "sign": lambda x: (x > 0) - (x < 0),
        "clip": lambda x, low, high: min(max(x, low), high),
    }
)


def _with_scalars(method: Any) -> Any:
    """gym's method as it is, except that it finds `_scalars` under the name np."""
    return FunctionType(method.__code__, {**method.__globals__, "np": _scalars})


@cache
def _fast_car(car: Any) -> type:
    """gym's `Car` with plain floats for its state: half the time and the same numbers."""

    class FastCar(car):
        step = _with_scalars(car.step)
        _gas = _with_scalars(car.gas)

        def gas(self, gas: float) -> None:
            self._gas(float(gas))

        def brake(self, b: float) -> None:
            super().brake(float(b))

        def steer(self, s: float) -> None:
            super().steer(float(s))

    return FastCar


class _FastWheel(b2Body):
    """A wheel with tuples for vectors: every look at an element of a b2Vec2 is a call into C++."""

    def GetWorldVector(self, local: tuple[float, float]) -> tuple[float, float]:  # noqa: N802
        vector = super().GetWorldVector(local)
        return vector.x, vector.y

    @property
    def linearVelocity(self) -> tuple[float, float]:  # noqa: N802
        vector = super().linearVelocity
        return vector.x, vector.y


class FastDrawing(_CarRacing):
    """Base class to name before gym's or gymnasium's CarRacing: it draws the state for it."""

    score_format: str
    car: Any
    road_poly: list[tuple[Any, Any]]
    state: np.ndarray

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._texture = TrackTexture()
        self._car_layers = np.empty((2, CAR_ROWS, CAR_COLUMNS, 3), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """gym's reset, with one more option.

        `start_tile`, a number of a tile or "random", puts a new car on that tile after gym's own
        reset, the way the World Models paper's sampler did: what gym's car touched at the start
        stays visited. Other options are ignored, as gym's CarRacing does, for wrappers hand on what
        is not theirs. Raises ValueError for an unknown tile, or an option that is nearly this one.
        """
        options = dict(options or {})
        start_tile = options.pop("start_tile", None)
        if slips := get_close_matches("start_tile", map(str, options), n=1, cutoff=0.8):
            raise ValueError(f"reset option {slips[0]!r}: did you mean start_tile?")
        _, info = super().reset(seed=seed, options=options)
        if start_tile is not None:
            self._place_car(start_tile)
        self.car.__class__ = _fast_car(self.car.__class__)
        for wheel in self.car.wheels:
            wheel.__class__ = _FastWheel
        if start_tile is not None:
            self.state = self._draw_state()
            if self.render_mode == "human":
                self.render()
        return self.state, info

    def _place_car(self, tile: int | str) -> None:
        tiles = len(self.track)
        if tile == "random":
            tile = int(self.np_random.integers(tiles))
        elif isinstance(tile, np.integer):
            tile = int(tile)
        if type(tile) is not int or not 0 <= tile < tiles:
            raise ValueError(f'start_tile: expected 0 to {tiles - 1} or "random", got {tile!r}')
        self.car.destroy()
        self.car = type(self.car)(self.world, *self.track[tile][1:4])

    def _create_track(self) -> bool:
        if not super()._create_track():
            return False
        # One array for the colours of all tiles, so that one comparison finds what gym recoloured.
        self._tile_colours = np.array([tile.color for tile in self.road])
        for tile, colour in zip(self.road, self._tile_colours, strict=True):
            tile.color = colour
        tiles = iter(self.road)
        self.road_poly = [
            # gym gives tiles an array for a colour, and the border of a curve a tuple.
            (polygon, next(tiles).color if isinstance(colour, np.ndarray) else colour)
            for polygon, colour in self.road_poly
        ]
        self._tiles = [polygon for polygon in self.road_poly if isinstance(polygon[1], np.ndarray)]
        self._painted = self._tile_colours.copy()
        self._painted_visits = 0
        self._texture.draw(self.road_poly, _shrunk(self.bg_color), _shrunk(self.grass_color))
        return True

    def _render(self, mode: str) -> Any:
        if mode != "state_pixels" or self.car is None:
            return super()._render(mode)
        return self._draw_state()

    def _draw_state(self) -> np.ndarray:
        """One frame, (96, 96, 3) uint8."""
        frame = np.empty((STATE, STATE, 3), np.uint8)
        if self._painted_visits != self.tile_visited_count:
            self._repaint_tiles()
        hull, wheels = self.car.hull, self.car.wheels
        zoom = 0.6 * max(1 - self.t, 0) + FULL_ZOOM * min(self.t, 1)
        road = self._view(hull.position, hull.angle, zoom)
        cv2.cvtColor(road, cv2.COLOR_RGBA2RGB, frame[:ROAD_ROWS])

        steering = wheels[0].joint.angle
        layers = self._car_layers
        for corner, wheel in enumerate(wheels):
            row, column = corner // 2 * 6, corner % 2 * 4
            angle = round(steering * ANGLE_STEPS) if corner < 2 else 0
            phase = round(wheel.phase * (PHASE_STEPS / (2 * math.pi))) % PHASE_STEPS
            quarter = _quarter_car(corner, zoom, angle, phase)
            layers[:, row : row + 6, column : column + 4] = quarter
        car = frame[CAR_TOP : CAR_TOP + CAR_ROWS, CAR_LEFT : CAR_LEFT + CAR_COLUMNS]
        car[:] = car * layers[0] + layers[1]

        # The indicators. Bars stand side by side, so their sum is their picture: only in a wild
        # spin does the gyro's reach the steering's.
        velocity = hull.linearVelocity
        speed = math.hypot(velocity.x, velocity.y)
        bars = indicators.upright_bar(5, WHITE, int(80 - 0.4 * speed) if speed > 1e-4 else None)
        for i, wheel in enumerate(wheels):
            value = int(80 - 0.2 * wheel.omega) if abs(wheel.omega) > 1e-4 else None
            bars = bars + indicators.upright_bar(7 + i, BLUE if i < 2 else VIOLET, value)
        frame[ROAD_ROWS:, :12] = indicators.score(self.score_format % self.reward)
        frame[ROAD_ROWS:, 12:36] = bars
        gyro = hull.angularVelocity
        frame[ROAD_ROWS:, 36:] = indicators.level_bar(
            20, GREEN, int((20 - 10 * steering) * 25) if abs(steering) > 1e-4 else None
        ) | indicators.level_bar(30, RED, int((30 - 0.8 * gyro) * 25) if abs(gyro) > 1e-4 else None)
        return frame

    def _view(self, position: Any, angle: float, zoom: float) -> np.ndarray:
        """The road as the camera sees it, (84, 96, 4) uint8."""
        x_step, y_step = W / STATE / zoom, H / STATE / zoom  # world units a pixel
        # Of the coarser levels, the first whose texels are more than half a pixel.
        level = min(max(int(math.log2(x_step * TEXELS)), 0), LEVELS - 1)
        texels = TEXELS / (1 << level)
        c, s = math.cos(angle) * texels, math.sin(angle) * texels
        # gym's car is in the middle and 3/4 down: 47.5 and 71.5, counting pixels by their centres.
        x = (position.x + PLAYFIELD) * texels - 0.5 - c * x_step * 47.5 - s * y_step * 71.5
        y = (position.y + PLAYFIELD) * texels - 0.5 - s * x_step * 47.5 + c * y_step * 71.5
        to_texels = np.array(((c * x_step, s * y_step, x), (s * x_step, -c * y_step, y)))
        return cv2.warpAffine(
            self._texture.levels[level],
            to_texels,
            (STATE, ROAD_ROWS),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,  # black outside the field, as in gym
        )

    def _repaint_tiles(self) -> None:
        for i in np.flatnonzero((self._tile_colours != self._painted).any(axis=1)):
            self._texture.repaint(*self._tiles[i])
        self._painted[:] = self._tile_colours
        self._painted_visits = self.tile_visited_count


if HAS_GYM:

    class FastCarRacing(FastDrawing, CarRacing):
        """gym 0.26's CarRacing-v2: the same arguments, spaces, tracks, rewards and episodes.

        Over a drive, frames differ from gym's by less than 1 of 255 in the mean (above the
        indicators). `render_mode` "rgb_array" and "human"
        are gym's own. Each reset leaks 1 to 3 kB in pybox2d, as gym's does: a worker that resets
        hundreds of thousands of times should be replaced now and then.
        """

        score_format = "%04i"


if HAS_GYMNASIUM:

    class FastCarRacingV3(FastDrawing, CarRacingV3):
        """gymnasium's CarRacing-v3, as `FastCarRacing` is gym's CarRacing-v2."""

        score_format = "%04.0f"  # gymnasium rounds the score, gym truncates it
