"""Plays one episode in one environment: frames out, actions in, and what came of it at the end.

Whose actions they are is not its business: an engine plays many at once with a policy, `driver` one
after the other by the privileged values. Read `Episode` first, then `EpisodePlay.step`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldmodels.car_racing.task import ACTIONS, MAX_STEPS, EndReason, Task
from worldmodels.core.errors import WorldModelsError
from worldmodels.data.episodes import EpisodeData
from worldmodels.rollouts.film import Film


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


class EpisodePlay:
    """One environment and the episode that runs in it: `begin`, then `step` until it ends.

    Args:
        task: what is played.
        image_shape: height and width that frames are resized to before anybody sees them.
    """

    def __init__(self, task: Task, image_shape: tuple[int, int]) -> None:
        self._task, self._env = task, task.make_env()
        self._image_shape = image_shape

    def begin(self, episode: Episode) -> NDArray[np.uint8]:
        """Reset to the episode's track; the first frame, (height, width, 3) uint8."""
        self._episode = episode
        frame = self._task.reset(
            self._env, seed=episode.track_seed, random_start=episode.random_start
        )
        self._return = 0.0
        self._steps = 0
        self._tiles = self._task.progress(self._env)
        self._steps_since_tile = 0
        self._film = Film(episode.film) if episode.film else None
        if episode.record:
            height, width = self._image_shape
            self._frames = np.empty((episode.steps, height, width, 3), np.uint8)
            self._actions = np.empty((episode.steps, ACTIONS), np.float32)
            self._rewards = np.empty(episode.steps, np.float32)
            self._privileged = np.empty((episode.steps, len(self._task.columns)), np.float32)
            self._privileged_now = self._task.privileged(self._env)
        self._path = [self._task.place(self._env)] if episode.trace else []
        self._seen = self._task.preprocess(frame, self._image_shape)
        return self._seen

    def measure(self) -> NDArray[np.float32]:
        """The privileged values of this moment, (6,) float32; of an episode that is recorded."""
        return self._privileged_now()

    def step(self, action: NDArray[np.float32]) -> Outcome | NDArray[np.uint8]:
        """The outcome, if that was the last step, or else the next preprocessed frame.

        Args:
            action: (3,) float32, steering, gas and brake.

        Raises:
            RolloutError: the action holds NaN or infinity.
        """
        episode = self._episode
        row = self._steps
        if episode.record:
            self._frames[row] = self._seen
            self._actions[row] = action
            self._privileged[row] = self.measure()
        if self._film:
            self._film.add(self._env.render())
        if not np.isfinite(action).all():
            raise RolloutError(f"{episode}: expected a finite action in step {row}, got {action}")
        frame, reward, terminated, truncated, _ = self._env.step(action.astype(np.float64))
        if episode.record:
            self._rewards[row] = reward
        self._return += reward
        self._steps += 1
        if episode.trace:
            self._path.append(self._task.place(self._env))
        self._steps_since_tile += 1
        tiles = self._task.progress(self._env)
        if tiles > self._tiles:
            self._tiles = tiles
            self._steps_since_tile = 0
        reason = self._task.end_reason(terminated=terminated, truncated=truncated)
        if reason is not None:
            return self._outcome(reason)
        if self._steps == episode.steps:
            return self._outcome("time_limit")
        if episode.patience is not None and self._steps_since_tile >= episode.patience:
            self._return -= self._task.frame_cost * (episode.steps - self._steps)
            return self._outcome("patience")
        self._seen = self._task.preprocess(frame, self._image_shape)
        return self._seen

    def _outcome(self, reason: EndReason) -> Outcome:
        if self._film:
            self._film.close()
        recording = None
        if self._episode.record:
            rows = slice(self._steps)
            ended = np.arange(self._steps) == self._steps - 1
            recording = EpisodeData(
                self._episode.track_seed,
                self._frames[rows],
                self._actions[rows],
                self._rewards[rows],
                ended & (reason == "off_field"),
                ended & (reason != "off_field"),
                self._privileged[rows],
            )
        trace = None
        if self._episode.trace:
            trace = Trace(np.array(self._path, np.float32), self._task.road(self._env))
        return Outcome(
            self._episode,
            float(self._return),
            self._steps,
            self._tiles,
            reason,
            recording,
            trace,
        )
