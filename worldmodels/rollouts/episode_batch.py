"""Plays episodes side by side: frames out, actions in, and what came of each at its end.

Whose actions they are is not its business: a worker asks a policy, `driver` goes by the privileged
values. Read `EpisodeBatch.step`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from worldmodels.car_racing.task import ACTIONS, EndReason, EnvBatch, Task
from worldmodels.data.episodes import EpisodeData
from worldmodels.rollouts.episode import Episode, Outcome, RolloutError, Trace
from worldmodels.rollouts.film import Film


class EpisodeBatch:
    """Environments and the episodes that run in them: `begin` one in a slot; then, until all have
    ended, look at `frames` and `step` those that run.

    Args:
        task: what is played.
        slots: how many episodes at once.
        image_shape: height and width of the frames.
    """

    def __init__(self, task: Task, *, slots: int, image_shape: tuple[int, int]) -> None:
        self._task = task
        self._envs = task.make_batch(slots, image_shape)
        self._running: dict[int, _Running] = {}
        self._seen = np.zeros((slots, *image_shape, 3), np.uint8)

    def begin(self, slot: int, episode: Episode) -> None:
        """Begin an episode, on its track."""
        self._envs.reset(slot, seed=episode.track_seed, random_start=episode.random_start)
        shape = self._seen.shape[1:]
        self._running[slot] = _Running(self._task, self._envs, slot, episode, frame_shape=shape)

    def frames(self, slots: Sequence[int]) -> NDArray[np.uint8]:
        """What there is to see in these slots, (slots, height, width, 3) uint8; once a step."""
        frames = self._envs.frames(slots)
        self._seen[slots] = frames
        return frames

    def measure(self, slot: int) -> NDArray[np.float32]:
        """The privileged values of this moment, (columns,) float32, of an episode that records."""
        return self._running[slot].measure()

    def step(self, slots: Sequence[int], actions: NDArray[np.float32]) -> list[Outcome | None]:
        """Act in these slots; the outcome of each episode whose last step that was.

        Args:
            actions: (slots, 3) float32, steering, gas and brake.

        Raises:
            RolloutError: an action holds NaN or infinity.
        """
        running = [self._running[slot] for slot in slots]
        for slot, one, action in zip(slots, running, actions, strict=True):
            one.act(self._seen[slot], action)
        rewards, ends = self._envs.step(slots, actions.astype(np.float64))
        results = zip(running, rewards.tolist(), ends, strict=True)
        return [one.go_on(reward, end) for one, reward, end in results]


class _Running:
    """One episode that runs."""

    def __init__(
        self,
        task: Task,
        envs: EnvBatch,
        slot: int,
        episode: Episode,
        *,
        frame_shape: tuple[int, ...],
    ) -> None:
        self._task, self._envs, self._slot, self._episode = task, envs, slot, episode
        self._return = 0.0
        self._steps = 0
        self._tiles = envs.progress(slot)
        self._steps_since_tile = 0
        self._film = Film(episode.film) if episode.film else None
        if episode.record:
            self._frames = np.empty((episode.steps, *frame_shape), np.uint8)
            self._actions = np.empty((episode.steps, ACTIONS), np.float32)
            self._rewards = np.empty(episode.steps, np.float32)
            self._progress = np.zeros(episode.steps, np.float32)
            self._privileged = np.empty((episode.steps, len(task.columns)), np.float32)
            self.measure = envs.privileged(slot)
        self._path = [envs.place(slot)] if episode.trace else []

    def act(self, frame: NDArray[np.uint8], action: NDArray[np.float32]) -> None:
        """Record what is seen and done, and film it, where that is asked for."""
        row = self._steps
        if not np.isfinite(action).all():
            raise RolloutError(
                f"{self._episode}: expected a finite action in step {row}, got {action}"
            )
        if self._episode.record:
            self._frames[row] = frame
            self._actions[row] = action
            self._privileged[row] = self.measure()
        if self._film:
            self._film.add(self._envs.render(self._slot))

    def go_on(self, reward: float, end: EndReason | None) -> Outcome | None:
        """Take what the step brought; the outcome, if it was the last."""
        episode = self._episode
        tiles = self._envs.progress(self._slot)
        if episode.record:
            self._rewards[self._steps] = reward
            self._progress[self._steps] = tiles - self._tiles
        self._return += reward
        self._steps += 1
        if episode.trace:
            self._path.append(self._envs.place(self._slot))
        self._steps_since_tile += 1
        if tiles > self._tiles:
            self._tiles = tiles
            self._steps_since_tile = 0
        if end is not None:
            return self._outcome(end)
        if self._steps == episode.steps:
            return self._outcome("time_limit")
        if episode.patience is not None and self._steps_since_tile >= episode.patience:
            self._return -= self._task.frame_cost * (episode.steps - self._steps)
            return self._outcome("patience")
        return None

    def _outcome(self, reason: EndReason) -> Outcome:
        if self._film:
            self._film.close()
        recording = None
        if self._episode.record:
            rows = slice(self._steps)
            recording = EpisodeData(
                self._episode.track_seed,
                self._frames[rows],
                self._actions[rows],
                self._rewards[rows],
                self._progress[rows],
                self._privileged[rows],
                reason,
            )
        trace = None
        if self._episode.trace:
            trace = Trace(np.array(self._path, np.float32), self._envs.road(self._slot))
        return Outcome(
            self._episode, self._return, self._steps, self._tiles, reason, recording, trace
        )
