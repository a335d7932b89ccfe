"""Many CarRacings as one environment of gymnasium, stepped in one call without the interpreter's
lock. Read `FastCarRacingVector`.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from worldmodels.car_racing.environment import DISCRETE, FastCarRacingV3
from worldmodels.car_racing.race import LAP, OFF_FIELD
from worldmodels.car_racing.world import Races


class FastCarRacingVector(VectorEnv):
    """What gymnasium's SyncVectorEnv makes of so many FastCarRacing-v3, to the bit.

    An environment whose episode has ended is reset by the next step, whatever its action.

    Args:
        num_envs: how many.
        max_episode_steps: after which an episode is truncated.
        threads: that share a step; they change no result.
        lap_complete_percent, continuous: as `FastCarRacingV3` has them.
    """

    def __init__(
        self,
        num_envs: int,
        *,
        max_episode_steps: int | None = None,
        threads: int = 1,
        lap_complete_percent: float = 0.95,
        continuous: bool = True,
        render_mode: str | None = None,
    ) -> None:
        if render_mode is not None:
            raise ValueError(
                f"render_mode: expected None, got {render_mode!r}: many races have no one picture"
            )
        single = FastCarRacingV3(continuous=continuous)
        self.num_envs = num_envs
        self.metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP, "render_modes": []}
        self.render_mode = None
        self.single_observation_space = single.observation_space
        self.single_action_space = single.action_space
        self.observation_space = batch_space(single.observation_space, num_envs)
        self.action_space = batch_space(single.action_space, num_envs)
        self._continuous = continuous
        self._lap_complete_percent = lap_complete_percent
        self._max_steps = max_episode_steps
        self._races = Races(num_envs, threads=threads, rounds_score=True)
        self._rngs: list[np.random.Generator] = [seeding.np_random()[0] for _ in range(num_envs)]
        self._steps = np.zeros(num_envs, np.int64)
        self._ended = np.zeros(num_envs, bool)

    def reset(
        self,
        *,
        seed: int | list[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """New tracks and new cars.

        Args:
            seed: of the first; the others' follow. Or one for each.
            options: `reset_mask`, (num_envs,) bool: which ones.

        Raises:
            ValueError: another number of seeds than of environments.
        """
        if seed is None:
            seed = [None] * self.num_envs
        elif isinstance(seed, int | np.integer):
            seed = [int(seed) + index for index in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise ValueError(f"seed: expected {self.num_envs} of them, got {len(seed)}")
        chosen = (options or {}).get("reset_mask", np.ones(self.num_envs, bool))
        for index in np.flatnonzero(chosen):
            if seed[index] is not None:
                self._rngs[index] = seeding.np_random(seed[index])[0]
            self._begin(int(index))
        return self._races.frames(np.arange(self.num_envs)), {}

    def _begin(self, index: int) -> None:
        self._races.make_track(index, self._rngs[index])
        self._races.start(index, lap_complete_share=self._lap_complete_percent)
        self._steps[index] = 0
        self._ended[index] = False

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Drive all for a fiftieth of a second.

        Args:
            actions: (num_envs, 3) numbers, or (num_envs,) integers.

        Raises:
            InvalidAction: they are none.
        """
        numbers = self._as_numbers(actions)
        for index in np.flatnonzero(self._ended):
            self._begin(int(index))
            self._steps[index] = -1  # this step is none of the episode's
        fresh = self._steps == -1
        driving = np.flatnonzero(~fresh)
        rewards, ends = np.zeros(self.num_envs), np.zeros(self.num_envs, np.int64)
        rewards[driving], ends[driving] = self._races.step(driving, numbers[driving])
        self._steps += 1
        terminations = ends != 0
        truncations = np.zeros(self.num_envs, bool)
        if self._max_steps is not None:
            truncations = self._steps >= self._max_steps
        self._ended = terminations | truncations
        infos: dict[str, Any] = {}
        if terminations.any():
            infos["lap_finished"] = (ends == LAP) & ((ends & OFF_FIELD) == 0)
            infos["_lap_finished"] = terminations
        frames = self._races.frames(np.arange(self.num_envs))
        return frames, rewards, terminations, truncations, infos

    def _as_numbers(self, actions: np.ndarray) -> np.ndarray:
        actions = np.asarray(actions)
        if not self._continuous:
            whole = np.issubdtype(actions.dtype, np.integer) and actions.shape == (self.num_envs,)
            if not whole or not ((actions >= 0) & (actions < len(DISCRETE))).all():
                raise gymnasium.error.InvalidAction(
                    f"expected {self.num_envs} integers from 0 to {len(DISCRETE) - 1}, "
                    f"got {actions!r}"
                )
            return DISCRETE[actions]
        numbers = actions.astype(np.float64)
        if numbers.shape != (self.num_envs, 3) or not np.isfinite(numbers).all():
            raise gymnasium.error.InvalidAction(
                f"expected ({self.num_envs}, 3) finite numbers, got {actions!r}"
            )
        return numbers
