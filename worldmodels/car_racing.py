"""gym's CarRacing at the speed of its physics.

gym spends 98 % of a CarRacing step on drawing. `FastDrawing` goes over gym's class (or
gymnasium's) by inheritance, leaves track, physics, reward and seeding as they are, and draws the
96 x 96 state from parts that are drawn once: the track as a texture in world coordinates, one
affine warp a frame; the car and the indicators as small cached sprites. Read
`FastDrawing._draw_state` first: it is one frame from top to bottom.
"""

import math
from functools import lru_cache
from types import FunctionType
from typing import Any

import cv2
import numpy as np
import pygame
from Box2D import b2Body

WINDOW_W, WINDOW_H = 1000, 800  # what gym draws before it shrinks it to the state
STATE = 96  # rows and columns of the state
ROAD_ROWS = 84  # the rows above the indicator bar: WINDOW_H * 7/8 in rows of the state
SCALE = 6.0
ZOOM = 2.7
PLAYFIELD = 2000 / SCALE  # half the field's side
GRASS_DIM = PLAYFIELD / 20  # side of a grass square
CAR_SIZE = 0.02  # world units in a unit of the car's polygons
# A texel is a little larger than half a world unit, 0.8 to 1 pixel of the state. Powers of two
# keep the grass squares on texel borders at every level.
SQUARE_TEXELS = 32
TEXELS = SQUARE_TEXELS / GRASS_DIM  # texels in a world unit
LEVELS = 5  # the first frame is zoomed out 18 times
FIELD_TEXELS = 40 * SQUARE_TEXELS

Colour = tuple[int, int, int]


@lru_cache(maxsize=4)  # one entry unless the colours are randomised
def _lawn(background: Colour, grass: Colour) -> list[np.ndarray]:
    """The field without a road, at every level: (side, side, 4) uint8 with unused alpha."""
    levels = []
    for level in range(LEVELS):
        square = SQUARE_TEXELS >> level
        pattern = np.empty((2 * square, 2 * square, 4), np.uint8)
        pattern[:] = (*background, 255)
        pattern[:square, :square] = (*grass, 255)
        levels.append(np.tile(pattern, (20, 20, 1)))
    return levels


class TrackTexture:
    """The field with its road, seen from above, at `LEVELS` resolutions halving each time."""

    def __init__(self) -> None:
        self.levels: list[np.ndarray] = []

    def draw(self, road_poly: list[Any], background: Colour, grass: Colour) -> None:
        lawn = _lawn(background, grass)
        if not self.levels:
            self.levels = [np.empty_like(level) for level in lawn]
        field = self.levels[0]
        np.copyto(field, lawn[0])
        corners = _fixed_point([polygon for polygon, _ in road_poly])
        for points, (_, colour) in zip(corners, road_poly, strict=True):
            cv2.fillConvexPoly(field, points, _colour(colour), cv2.LINE_AA, 4)
        for level in range(1, LEVELS):
            side = FIELD_TEXELS >> level
            cv2.resize(
                self.levels[level - 1], (side, side), self.levels[level],
                interpolation=cv2.INTER_AREA,
            )

    def repaint(self, polygon: Any, colour: np.ndarray) -> None:
        """Give one tile of the road another colour, in the finest level."""
        x = np.array(polygon)  # left, right, right and left before, (4, 2)
        centre = x.mean(axis=0)
        points = _fixed_point(centre + (x - centre) * 0.9)
        cv2.fillConvexPoly(self.levels[0], points, _colour(colour), cv2.LINE_AA, 4)


def _fixed_point(points: Any) -> np.ndarray:
    """World coordinates as texels with 4 fractional bits, the way OpenCV takes them."""
    texels = (np.asarray(points) + PLAYFIELD) * TEXELS - 0.5  # OpenCV: centres are whole numbers
    return np.rint(texels * 16).astype(np.int32)


# ---- the car ----

WHEEL = np.array([(-14, 27), (14, 27), (14, -27), (-14, -27)])
WHEEL_AT = ((-55, 80), (55, 80), (-55, -82), (55, -82))
HULL = (
    [(-60, 130), (60, 130), (60, 110), (-60, 110)],
    [(-15, 120), (15, 120), (20, 20), (-20, 20)],
    [(25, 20), (50, -10), (50, -40), (20, -90), (-20, -90), (-50, -40), (-50, -10), (-25, 20)],
    [(-50, -120), (50, -120), (50, -90), (-50, -90)],
)
CAR_ROWS, CAR_COLUMNS = 12, 8  # the pixels of the state that the car can touch
CAR_TOP, CAR_LEFT = 66, 44
ANGLE_STEPS = 40  # in a radian of steering
PHASE_STEPS = 48  # in a turn of a wheel


def _overlap(pixels: int, first: int, scale: float, count: int, origin: float) -> np.ndarray:
    """(count, pixels) share of each screen pixel in each pixel of the state."""
    low = (np.arange(count)[:, None] + origin) * scale
    edge = np.arange(pixels)[None] + first
    return np.clip(np.minimum(low + scale, edge + 1) - np.maximum(low, edge), 0, None) / scale


_ROWS = _overlap(100, 550, WINDOW_H / STATE, CAR_ROWS, CAR_TOP).astype(np.float32)
_COLUMNS = _overlap(84, 458, WINDOW_W / STATE, CAR_COLUMNS, CAR_LEFT).astype(np.float32)


@lru_cache(maxsize=1 << 14)
def _car_corner(corner: int, zoom: float, angle: int, phase: int) -> np.ndarray:
    """A quarter of the car with its wheel: (2, 6, 4, 3) float32, transparency and light."""
    canvas = np.zeros((100, 84, 4), np.uint8)

    def fill(points: np.ndarray, colour: Colour) -> None:
        at = np.floor(points * (CAR_SIZE * zoom) + (WINDOW_W / 2, WINDOW_H / 4)).astype(np.int32)
        at[:, 0] -= 458
        at[:, 1] = WINDOW_H - 1 - 550 - at[:, 1]
        cv2.fillConvexPoly(canvas, at, (*colour, 255))

    a = angle / ANGLE_STEPS
    turn = np.array([(math.cos(a), math.sin(a)), (-math.sin(a), math.cos(a))])
    fill(WHEEL @ turn + WHEEL_AT[corner], (0, 0, 0))
    a1 = phase * 2 * math.pi / PHASE_STEPS
    s1, s2, c1, c2 = math.sin(a1), math.sin(a1 + 1.2), math.cos(a1), math.cos(a1 + 1.2)
    if not (s1 > 0 and s2 > 0):
        if s1 > 0:
            c1 = math.copysign(1, c1)
        if s2 > 0:
            c2 = math.copysign(1, c2)
        stripe = WHEEL * 1.0
        stripe[:2, 1] *= c1
        stripe[2:, 1] *= -c2
        fill(stripe @ turn + WHEEL_AT[corner], (77, 77, 77))
    for polygon in HULL:
        fill(np.array(polygon), (204, 0, 0))
    below, right = corner // 2, corner % 2
    rows, columns = _ROWS[below * 6 : below * 6 + 6], _COLUMNS[right * 4 : right * 4 + 4]
    small = (rows @ canvas.reshape(100, -1)).reshape(6, 84, 4)
    small = columns @ small  # (6, 4, 4)
    sprite = np.empty((2, 6, 4, 3), np.float32)
    sprite[0] = 1 - small[..., 3:] / 255
    sprite[1] = small[..., :3] - 2 * (1 - sprite[0]) + 0.5  # the sum is truncated to whole numbers
    return sprite


# ---- the indicators ----


def _strip(left: int, right: int, *, rectangle: Any = None, colour: Any = None,
           text: str = "") -> np.ndarray:
    """Columns left to right of the indicator bar as gym draws and shrinks them, (12, n, 3)."""
    x0 = left * WINDOW_W // STATE
    surface = pygame.Surface(((right - left) * WINDOW_W // STATE, 100))
    if rectangle:
        x1, x2, y1, y2 = rectangle
        points = [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]
        pygame.draw.polygon(surface, colour, [(x - x0, y - 700) for x, y in points])
    if text:
        pygame.font.init()
        font = pygame.font.Font(pygame.font.get_default_font(), 42)
        image = font.render(text, True, (255, 255, 255), (0, 0, 0))
        surface.blit(image, image.get_rect(center=(60, 50)))
    small = pygame.transform.smoothscale(surface, (right - left, 12))
    return pygame.surfarray.array3d(small).transpose(1, 0, 2).copy()


@lru_cache(maxsize=4096)
def _score(text: str) -> np.ndarray:
    return _strip(0, 12, text=text)


@lru_cache(maxsize=4096)
def _vertical(place: int, colour: Colour, top: int) -> np.ndarray:
    return _strip(12, 36, rectangle=(place * 25, place * 25 + 25, top, 780), colour=colour)


@lru_cache(maxsize=4096)
def _horizontal(place: int, colour: Colour, end: int) -> np.ndarray:
    left, right = (36, 60) if place == 20 else (60, 96)
    return _strip(left, right, rectangle=(place * 25, end, 720, 760), colour=colour)


# ---- gym's car without NumPy's price for single numbers ----


class _Scalars:
    """What gym's `Car` uses of NumPy, for single numbers."""

    sqrt = math.sqrt

    @staticmethod
    def sign(x: float) -> int:
        return (x > 0) - (x < 0)

    @staticmethod
    def square(x: float) -> float:
        return x * x

    @staticmethod
    def clip(x: float, low: float, high: float) -> float:
        return min(max(x, low), high)


class _Wheel(b2Body):
    """A wheel whose vectors come as tuples: each element of a b2Vec2 is a call into C++."""

    def GetWorldVector(self, local: tuple[float, float]) -> tuple[float, float]:
        v = b2Body.GetWorldVector(self, local)
        return v.x, v.y

    @property
    def linearVelocity(self) -> tuple[float, float]:
        v = b2Body.linearVelocity.fget(self)
        return v.x, v.y


def _with_scalars(method: FunctionType) -> FunctionType:
    """The method as it is, except that it finds `_Scalars` under the name np."""
    names = {**method.__globals__, "np": _Scalars}
    return FunctionType(method.__code__, names, method.__name__, method.__defaults__)


@lru_cache
def _fast_car(car: type) -> type:
    return type(
        "FastCar",
        (car,),
        {
            "step": _with_scalars(car.step),
            "gas": lambda self, gas, _gas=_with_scalars(car.gas): _gas(self, float(gas)),
            "brake": lambda self, brake: car.brake(self, float(brake)),
            "steer": lambda self, steer: car.steer(self, float(steer)),
        },
    )


class FastDrawing:
    """Goes before CarRacing in the list of bases and draws its state; see the module."""

    _score_format = "%04i"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._texture = TrackTexture()
        self._car_layers = np.empty((2, CAR_ROWS, CAR_COLUMNS, 3), np.float32)

    def _create_track(self) -> bool:
        if not super()._create_track():
            return False
        # One array for the colours of all tiles: one comparison a frame finds what gym recoloured.
        self._tile_colours = np.array([tile.color for tile in self.road])
        self._painted = self._tile_colours[:, 0].copy()
        rows = {id(tile.color): row for tile, row in zip(self.road, self._tile_colours)}
        for tile in self.road:
            tile.color = rows[id(tile.color)]
        self.road_poly = [(p, rows.get(id(colour), colour)) for p, colour in self.road_poly]
        self._tile_polygons = [p for p, colour in self.road_poly if type(colour) is np.ndarray]
        self._texture.draw(self.road_poly, _colour(self.bg_color), _colour(self.grass_color))
        return True

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        options = dict(options or {})
        start_tile = options.pop("start_tile", None)
        unknown = set(options) - {"randomize"}
        if unknown:
            raise ValueError(
                f"reset options: expected start_tile or randomize, got {sorted(unknown)}"
            )
        result = super().reset(seed=seed, options=options or None)
        if start_tile is not None:
            self._place_car(start_tile)
        self.car.__class__ = _fast_car(type(self.car))
        for wheel in self.car.wheels:
            wheel.__class__ = _Wheel
        if start_tile is not None:
            self.state = self._render("state_pixels")
        return self.state, result[1]

    def _place_car(self, start_tile: int | str) -> None:
        """A new car at a tile of the track, the way the World Models paper's sampler did it."""
        tiles = len(self.track)
        if start_tile == "random":
            start_tile = int(self.np_random.integers(tiles))
        if not isinstance(start_tile, (int, np.integer)) or not 0 <= start_tile < tiles:
            raise ValueError(
                f'start_tile: expected "random" or 0 to {tiles - 1}, got {start_tile!r}'
            )
        self.car.destroy()
        self.car = type(self.car)(self.world, *self.track[start_tile][1:4])

    def _render(self, mode: str) -> Any:
        return self._draw_state() if mode == "state_pixels" else super()._render(mode)

    def _draw_state(self) -> np.ndarray:
        hull = self.car.hull
        wheels = self.car.wheels
        zoom = 0.1 * SCALE * max(1 - self.t, 0) + ZOOM * SCALE * min(self.t, 1)
        frame = np.empty((STATE, STATE, 3), np.uint8)

        for i in np.flatnonzero(self._tile_colours[:, 0] != self._painted):
            self._texture.repaint(self._tile_polygons[i], self._tile_colours[i])
            self._painted[i] = self._tile_colours[i, 0]
        angle = hull.angle
        x, y = hull.position
        across, along = WINDOW_W / STATE / zoom, WINDOW_H / STATE / zoom  # world units a pixel
        level = min(max(int(math.log2(across * TEXELS)), 0), LEVELS - 1)
        texels = TEXELS / (1 << level)
        c, s = math.cos(angle) * texels, math.sin(angle) * texels
        matrix = np.array(
            (
                (c * across, s * along, 0.0),
                (s * across, -c * along, 0.0),
            )
        )
        # The car's place in the state is (47.5, 71.5), counting pixels by their centres.
        matrix[0, 2] = (x + PLAYFIELD) * texels - 0.5 - c * across * 47.5 - s * along * 71.5
        matrix[1, 2] = (y + PLAYFIELD) * texels - 0.5 - s * across * 47.5 + c * along * 71.5
        road = cv2.warpAffine(
            self._texture.levels[level], matrix, (STATE, ROAD_ROWS),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        )
        cv2.cvtColor(road, cv2.COLOR_RGBA2RGB, frame[:ROAD_ROWS])

        layers = self._car_layers
        for corner, wheel in enumerate(wheels):
            turned = round(wheel.joint.angle * ANGLE_STEPS) if corner < 2 else 0
            phase = round(wheel.phase * PHASE_STEPS / (2 * math.pi)) % PHASE_STEPS
            row, column = corner // 2 * 6, corner % 2 * 4
            layers[:, row : row + 6, column : column + 4] = _car_corner(
                corner, zoom, turned, phase
            )
        patch = frame[CAR_TOP : CAR_TOP + CAR_ROWS, CAR_LEFT : CAR_LEFT + CAR_COLUMNS]
        patch[:] = patch * layers[0] + layers[1]

        panel = frame[ROAD_ROWS:]
        panel[:] = 0
        panel[:, :12] = _score(self._score_format % self.reward)
        bars = panel[:, 12:36]
        speed = math.hypot(*hull.linearVelocity)
        if speed > 1e-4:
            bars += _vertical(5, (255, 255, 255), int(780 - 20 * (0.02 * speed)))
        for i, wheel in enumerate(wheels):
            if abs(wheel.omega) > 1e-4:
                colour = (0, 0, 255) if i < 2 else (51, 0, 255)
                bars += _vertical(7 + i, colour, int(780 - 20 * (0.01 * wheel.omega)))
        steering = wheels[0].joint.angle
        if abs(steering) > 1e-4:
            panel[:, 36:60] = _horizontal(20, (0, 255, 0), int((20 - 10 * steering) * 25))
        turning = hull.angularVelocity
        if abs(turning) > 1e-4:
            panel[:, 60:] = _horizontal(30, (255, 0, 0), int((30 - 0.8 * turning) * 25))
        return frame


def _colour(values: Any) -> Colour:
    """A colour as it comes out of pygame's smoothscale, which truncates twice."""
    r, g, b = (max(int(v) - 2, 0) for v in values)
    return r, g, b



try:
    from gym.envs.box2d.car_racing import CarRacing as _GymCarRacing
except ImportError:
    _GymCarRacing = None

try:
    from gymnasium.envs.box2d.car_racing import CarRacing as _GymnasiumCarRacing
except ImportError:
    _GymnasiumCarRacing = None

if _GymCarRacing is not None:

    class FastCarRacing(FastDrawing, _GymCarRacing):
        """gym 0.26's CarRacing-v2, drawn fast."""


if _GymnasiumCarRacing is not None:

    class FastCarRacingV3(FastDrawing, _GymnasiumCarRacing):
        """gymnasium's CarRacing-v3, drawn fast."""

        _score_format = "%04.0f"  # gymnasium rounds where gym truncates


def register() -> None:
    """Make `FastCarRacing-v2` known to gym and `FastCarRacing-v3` to gymnasium."""
    limits = {"max_episode_steps": 1000, "reward_threshold": 900}
    if _GymCarRacing is not None:
        from gym.envs.registration import register as register_in_gym

        # gym's checker uses np.bool8, which NumPy 2 no longer has.
        register_in_gym(
            "FastCarRacing-v2", entry_point=FastCarRacing, disable_env_checker=True, **limits
        )
    if _GymnasiumCarRacing is not None:
        from gymnasium.envs.registration import register as register_in_gymnasium

        register_in_gymnasium("FastCarRacing-v3", entry_point=FastCarRacingV3, **limits)
