"""Many races at once, each in an array's own row, stepped and drawn in one call without Python.

Read `Races`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from worldmodels.car_racing.car_picture import put_car, quarters
from worldmodels.car_racing.car_state import CAR, F, place
from worldmodels.car_racing.compiled import announce_compiling, compiled
from worldmodels.car_racing.indicator_bar import draw_indicators, score_pictures
from worldmodels.car_racing.picture import COLOURS, COLUMNS, LAYERS, ROWS, draw
from worldmodels.car_racing.race import RACE, start, step
from worldmodels.car_racing.resize import NATURAL, columns, resize, rows
from worldmodels.car_racing.track import RANDOM_NUMBERS, TRACK, make_track

STATE = 96  # rows and columns of a frame
# For fewer it takes longer to wake a thread than to do its work.
STEPS_A_THREAD, FRAMES_A_THREAD = 64, 4
LAWN, LIGHT_LAWN, ROAD = (102, 204, 102), (102, 230, 102), (102, 102, 102)


class Races:
    """So many cars, each on a track of its own.

    Args:
        count: how many. threads: among which to share the work of a call; they change no result.
        rounds_score: in the picture, as gymnasium does; gym truncates it.

    Attributes:
        cars, tracks, races, colours: a record for each, of `CAR`, `TRACK`, `RACE` and `COLOURS`.
    """

    def __init__(self, count: int, *, threads: int = 1, rounds_score: bool = False) -> None:
        announce_compiling()
        self._rounds_score = rounds_score
        self.cars = np.zeros(count, CAR)
        self.tracks = np.zeros(count, TRACK)
        self.races = np.zeros(count, RACE)
        self.colours = np.zeros(count, COLOURS)
        self.colours[:] = (LAWN, LIGHT_LAWN, ROAD)
        self._scratch = [
            (np.zeros((ROWS + 1, LAYERS, COLUMNS), F), np.zeros((3, STATE, STATE), np.uint8))
            for _ in range(threads)
        ]
        # Beside the thread that calls.
        self._pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None

    def __len__(self) -> int:
        return len(self.cars)

    def make_track(self, index: int, rng: np.random.Generator) -> None:
        """A new random track, of the numbers that gym draws for it."""
        while not _make_track(self.tracks, index, rng.random(RANDOM_NUMBERS)):
            pass  # gym tries again, too, where head and tail do not meet

    def start(self, index: int, *, tile: int = 0, lap_complete_share: float = 0.95) -> None:
        """Put a new car on a tile; it settles for a step."""
        _start(self.cars, self.tracks, self.races, index, tile, lap_complete_share)

    def move(self, index: int, tile: int) -> None:
        """Put a new car on a tile in the place of the one that is there; all else stays."""
        _move(self.cars, self.tracks, index, tile)

    def step(self, indices: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Step some of them.

        Args:
            indices: (n,) int64, which ones, each once.
            actions: (n, 3) float64, steering, gas and brake.

        Returns:
            rewards, (n,) float64; and how episodes ended, (n,) int64 of `race.LAP` and
            `race.OFF_FIELD`, 0 where one did not.
        """
        rewards, ends = np.empty(len(indices)), np.empty(len(indices), np.int64)

        def step_part(part: slice, _: int) -> None:
            records = self.cars, self.tracks, self.races
            _step(*records, indices[part], actions[part], rewards[part], ends[part])

        self._share(len(indices), step_part, at_least=STEPS_A_THREAD)
        return rewards, ends

    def frames(self, indices: np.ndarray) -> np.ndarray:
        """What gym shows of some of them, (n, 96, 96, 3) uint8."""
        out = np.empty((len(indices), STATE, STATE, 3), np.uint8)
        table, scores = quarters(), score_pictures(rounded=self._rounds_score)

        def draw_part(part: slice, thread: int) -> None:
            records = self.cars, self.tracks, self.races, self.colours
            scratch = self._scratch[thread]
            _draw(*records, indices[part], *scratch, table, scores, self._rounds_score, out[part])

        self._share(len(indices), draw_part, at_least=FRAMES_A_THREAD)
        return out

    def resized(self, indices: np.ndarray, image_shape: tuple[int, int]) -> np.ndarray:
        """The same without the indicators, as `frames.preprocess` resizes it, (n, height, width,
        3) uint8."""
        height, width = image_shape
        out = np.empty((len(indices), height, width, 3), np.uint8)
        table, places = quarters(), (*columns(width), *rows(height))

        def draw_part(part: slice, thread: int) -> None:
            records = self.cars, self.tracks, self.races, self.colours
            scratch = self._scratch[thread]
            _draw_resized(*records, indices[part], *scratch, table, *places, out[part])

        self._share(len(indices), draw_part, at_least=FRAMES_A_THREAD)
        return out

    def _share(self, count: int, work: Callable[[slice, int], None], *, at_least: int) -> None:
        """Call `work` for all of `count`, in as many parts as there are threads, none of which
        starts for fewer than `at_least`."""
        threads = max(1, min(len(self._scratch), count // at_least))
        if self._pool is None or threads == 1:
            work(slice(0, count), 0)
            return
        bounds = [count * thread // threads for thread in range(threads + 1)]
        own, *others = map(slice, bounds, bounds[1:])
        waiting = [
            self._pool.submit(work, part, thread) for thread, part in enumerate(others, start=1)
        ]
        work(own, 0)
        for other in waiting:
            other.result()


@compiled
def _make_track(tracks, index, draws):
    return make_track(tracks[index], draws)


@compiled
def _start(cars, tracks, races, index, tile, lap_complete_share):
    start(cars[index], tracks[index], races[index], tile, lap_complete_share)


@compiled
def _move(cars, tracks, index, tile):
    line = tracks[index].line
    place(cars[index], line[tile, 1], line[tile, 2], line[tile, 3])


@compiled
def _step(cars, tracks, races, indices, actions, rewards, ends):
    for n in range(len(indices)):
        index = indices[n]
        steering, gas, brake = actions[n]
        rewards[n], ends[n] = step(cars[index], tracks[index], races[index], steering, gas, brake)


@compiled
def _draw(cars, tracks, races, colours, indices, sums, planes, table, scores, rounded, out):
    for n in range(len(indices)):
        index = indices[n]
        draw(cars[index], tracks[index], races[index], colours[index], sums, NATURAL, planes)
        put_car(cars[index], races[index], table, NATURAL, planes)
        draw_indicators(cars[index], races[index], scores, rounded, planes)
        for row in range(STATE):
            for column in range(STATE):
                for channel in range(3):
                    out[n, row, column, channel] = planes[channel, row, column]


@compiled
def _draw_resized(
    cars,
    tracks,
    races,
    colours,
    indices,
    sums,
    planes,
    table,
    place,
    starts,
    weights,
    pixels,
    row_weights,
    out,
):
    for n in range(len(indices)):
        index = indices[n]
        draw(cars[index], tracks[index], races[index], colours[index], sums, place, planes)
        put_car(cars[index], races[index], table, place, planes)
        resize(planes, pixels, row_weights, starts, weights, out[n])
