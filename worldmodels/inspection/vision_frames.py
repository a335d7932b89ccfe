"""Which frames V is judged by: held-out ones, with the privileged values of their moments.

Three sets, measured apart. `driving` are all episodes of data/driving, driven by a script along the
road, and nothing is ever trained on them. `explored` and `agent` are the validation episodes of
data/episodes and of data/agent_episodes: V was not trained on them, yet they are driven as its
training frames were, `explored` by the sampling policy, `agent` by the first round's agent. So
another parameter makes other sets, and between experiments only `driving` can be compared. Read
`split_sets` and `read_held_out` first; then `scene_kinds`, `road_edge` and `car`, which say what is
on a frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from worldmodels.car_racing.frames import GYM_FRAME_SHAPE, ROWS_ABOVE_INDICATORS
from worldmodels.car_racing.telemetry import COLUMNS, ROAD_HALF_WIDTH
from worldmodels.core.params import Params
from worldmodels.data.episodes import EpisodeFileError, EpisodeFiles, open_shard, split_episodes

SETS = {  # and who drives
    "driving": "a script along the road",
    "explored": "the sampling policy",
    "agent": "the agent of the round before",
}
WHOSE = "The driving agent's V"  # as titles say it: that of the round which is evaluated
FEWEST = 8  # frames: of fewer, halves and neighbours say nothing

SCENES = ("straight", "curve", "off_road", "first_second")
FIRST_SECOND = 50  # steps, while the camera zooms in
# Radians a unit: the road turns by 20 degrees within the 35 units that `curvature_ahead` looks at,
# about as far as a frame shows it. Half of the frames of random driving lie above.
CURVE = 0.01


class InspectionParams(Params):
    """The `inspection` group of params.yaml.

    frames: of each set that are measured, spread evenly over it; all, where it has fewer.
    map_frames: of all sets together that the t-SNE map shows, no more than are measured.
    """

    frames: int = Field(ge=FEWEST, le=20_000)
    map_frames: int = Field(ge=2 * FEWEST, le=20_000)


@dataclass(frozen=True)
class HeldOut:
    """Frames of one set, in the order of its episodes.

    name: of the set.
    frames, following: (frames, height, width, 3) uint8; each frame and the one a step later.
    episodes, steps: (frames,) int64; which episode of the folder, and which step of it.
    privileged: (frames, 6) float32, columns as `telemetry.COLUMNS`.
    """

    name: str
    frames: NDArray[np.uint8]
    following: NDArray[np.uint8]
    episodes: NDArray[np.int64]
    steps: NDArray[np.int64]
    privileged: NDArray[np.float32]


def split_sets(
    fitted: Mapping[str, EpisodeFiles], validation_share: float
) -> dict[str, tuple[list[int], list[int]]]:
    """Of each set, which episodes V was trained on and which were held out.

    Args:
        fitted: the sets that V was fitted to, in the order in which its training read them: that
            splits them as one list.
        validation_share: `base.validation_share`.
    """
    training, validation = split_episodes(
        sum(len(files.episodes) for files in fitted.values()), validation_share
    )
    found, first = {}, 0
    for name, files in fitted.items():
        own = range(first, first + len(files.episodes))
        first = own.stop
        of_each = [
            [index - own.start for index in x if index in own] for x in (training, validation)
        ]
        found[name] = (of_each[0], of_each[1])
    return found


def frames_with_following(files: EpisodeFiles, episodes: Sequence[int]) -> int:
    """How many frames of these episodes `read_held_out` can take."""
    return sum(files.episodes[episode].length - 1 for episode in episodes)


def read_held_out(
    name: str, files: EpisodeFiles, episodes: Sequence[int], *, count: int
) -> HeldOut:
    """At most `count` frames, evenly spread over these episodes of a folder.

    The last frame of an episode has none that follows and is never taken.

    Raises:
        EpisodeFileError: there are fewer than `FEWEST` frames, or a file is damaged or unsafe.
    """
    lengths = [files.episodes[episode].length - 1 for episode in episodes]
    whose = np.repeat(np.asarray(episodes, np.int64), lengths)
    step_of = np.concatenate([np.arange(length, dtype=np.int64) for length in lengths])
    if len(whose) < FEWEST:
        raise EpisodeFileError(
            f"{files}: expected at least {FEWEST} held-out frames to judge V by, got "
            f"{len(whose)} from episodes {list(episodes)}; raise driving.episodes or "
            "driving.steps"
        )
    taken = np.arange(min(count, len(whose))) * len(whose) // min(count, len(whose))
    whose, step_of = whose[taken], step_of[taken]
    pairs = np.empty((len(taken), 2, *files.image_shape, 3), np.uint8)
    privileged = np.empty((len(taken), len(COLUMNS)), np.float32)
    places = [files.episodes[episode] for episode in whose]
    for shard, group in groupby(range(len(taken)), key=lambda index: places[index].shard):
        with open_shard(shard) as file:
            for index in group:
                row = places[index].start + int(step_of[index])
                pairs[index] = file["frames"][row : row + 2]
                privileged[index] = file["privileged"][row]
    return HeldOut(name, pairs[:, 0], pairs[:, 1], whose, step_of, privileged)


def read_privileged(files: EpisodeFiles, episodes: Sequence[int]) -> NDArray[np.float32]:
    """The privileged values of every step of these episodes, (steps, 6) float32."""
    places = [files.episodes[episode] for episode in episodes]
    found = []
    for shard, group in groupby(places, key=lambda place: place.shard):
        with open_shard(shard) as file:
            values = file["privileged"][:]
        found += [values[place.start : place.start + place.length] for place in group]
    return np.concatenate(found)


def scene_kinds(held_out: HeldOut) -> NDArray[np.str_]:
    """What each frame shows, (frames,): the first of these that holds.

    `first_second`: of the episode, while the camera zooms in. `off_road`: the car's middle is
    beside the road. `curve`: the road ahead bends by more than `CURVE`. `straight`.
    """
    distance = held_out.privileged[:, COLUMNS.index("road_distance")]
    curvature = held_out.privileged[:, COLUMNS.index("curvature_ahead")]
    return np.select(
        [
            held_out.steps < FIRST_SECOND,
            np.abs(distance) > ROAD_HALF_WIDTH,
            np.abs(curvature) > CURVE,
        ],
        ["first_second", "off_road", "curve"],
        default="straight",
    )


# Pixels of gym's frame that the car can touch.
CAR_TOP, CAR_LEFT = 66, 44
CAR_ROWS, CAR_COLUMNS = 12, 8


def car_box(image_shape: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns that the car can touch: the camera follows it, so always the same ones."""
    height, width = image_shape
    rows, columns = height / ROWS_ABOVE_INDICATORS, width / GYM_FRAME_SHAPE[1]
    return (
        slice(int(CAR_TOP * rows), int(np.ceil((CAR_TOP + CAR_ROWS) * rows))),
        slice(int(CAR_LEFT * columns), int(np.ceil((CAR_LEFT + CAR_COLUMNS) * columns))),
    )


def car(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels of the car, (frames, height, width): those red or dark within its box.

    The box alone would be half road, and a V that draws the road and no car would do well in it.
    """
    rows, columns = car_box(frames.shape[1:3])
    red, green, blue = _colours(frames[:, rows, columns])
    found = np.zeros(frames.shape[:3], bool)
    # Road and grass both have about 100 of red; the darkest road that was seen has 90.
    found[:, rows, columns] = (red - np.maximum(green, blue) >= 20) | (red < 85)
    return found


def road_edge(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels where road and grass meet, (frames, height, width): within one pixel of both.

    Road is grey, about (102, 102, 102); grass is green, about (100, 202, 100) or (100, 228, 100).
    The red and white kerbs lie between and count as edge themselves. The car's pixels never do.
    """
    box_rows, box_columns = car_box(frames.shape[1:3])
    nearby = np.ones((3, 3), np.uint8)
    found = np.empty(frames.shape[:3], bool)
    for index, frame in enumerate(frames):  # one by one stays in the processor's cache
        red, green, blue = _colours(frame)
        brightest = np.maximum(np.maximum(red, green), blue)
        darkest = np.minimum(np.minimum(red, green), blue)
        road = (brightest - darkest <= 24) & (darkest >= 80) & (brightest <= 140)
        grass = green - np.maximum(red, blue) >= 60
        kerb = (red - np.maximum(green, blue) >= 60) | (darkest > 160)
        kerb[box_rows, box_columns] = False  # the car's hull is red too
        near_road = cv2.dilate((road | kerb).astype(np.uint8), nearby).astype(bool)
        near_grass = cv2.dilate((grass | kerb).astype(np.uint8), nearby).astype(bool)
        found[index] = near_road & near_grass
    return found & ~car(frames)


def _colours(
    frames: NDArray[np.uint8],
) -> tuple[NDArray[np.int16], NDArray[np.int16], NDArray[np.int16]]:
    """Red, green and blue, which may be subtracted from each other."""
    signed = frames.astype(np.int16)
    return signed[..., 0], signed[..., 1], signed[..., 2]
