"""What is played, and what comes of it. Read `Episode`, then `Outcome`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldmodels.car_racing.task import MAX_STEPS, EndReason
from worldmodels.core.errors import WorldModelsError
from worldmodels.data.episodes import EpisodeData


class RolloutError(WorldModelsError):
    """An episode could not be played."""


@dataclass(frozen=True)
class Episode:
    """One episode to play.

    track_seed: what the environment is reset with; the same seed gives the same track.
    noise_seed: what the policy draws its noise from.
    candidate: which of the candidates handed to `Engine.play` drives.
    steps: the episode is truncated after this many.
    patience: give up after this many steps without a new tile; None plays on.
    random_start: start on a tile drawn by the environment, not the track's first.
    record: bring back frames, actions, rewards and privileged values.
    film: write what gym's own camera sees to this MP4.
    trace: bring back where the car went.
    """

    track_seed: int
    noise_seed: int = 0
    candidate: int = 0
    steps: int = MAX_STEPS
    patience: int | None = None
    random_start: bool = False
    record: bool = False
    film: str | None = None
    trace: bool = False


@dataclass
class Trace:
    """Where the car went, and on which road, in the units of CarRacing's world.

    path: (steps + 1, 3) float32, x and y of the hull and its speed, at the start and after each
        step.
    road: (tiles, 3) float32, heading, x and y of the centre line.
    """

    path: NDArray[np.float32]
    road: NDArray[np.float32]


@dataclass
class Outcome:
    """How an episode ended.

    episode_return: the sum of rewards. An episode given up for want of patience is charged the
    frames that it would still have cost, so that giving up is never the better choice.
    """

    episode: Episode
    episode_return: float
    steps: int
    tiles: int
    reason: EndReason
    recording: EpisodeData | None = None
    trace: Trace | None = None

    @property
    def recorded(self) -> EpisodeData:
        """The recording of an episode that asked for one.

        Raises:
            RolloutError: it did not.
        """
        if self.recording is None:
            raise RolloutError(f"{self.episode}: expected record=True, got no recording")
        return self.recording


def noise_seed(seed: int, track_seed: int) -> int:
    """The noise seed of the episode on this track, of a run with this `base.seed`."""
    return int(np.random.SeedSequence([seed, track_seed]).generate_state(1)[0])
