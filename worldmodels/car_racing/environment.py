"""CarRacing for gym and gymnasium, compiled: their arguments, spaces, tracks, physics, rewards and
ends of episodes, to the bit.

Actions are computed with in float64, as gymnasium does. gym computes with float32 actions in
float32: for its bits, pass float64. Read `CompiledCarRacing`.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np

from worldmodels.car_racing.race import LAP, OFF_FIELD
from worldmodels.car_racing.race_view import RaceView
from worldmodels.car_racing.world import STATE, Races

if TYPE_CHECKING:
    import pygame

    _Env: TypeAlias = Any
else:
    _Env = object

ONLY = np.arange(1)  # the one race of an environment
FRAMES_PER_SECOND = 50
# Steering, gas and brake of gym's five discrete actions.
DISCRETE = np.array([(0, 0, 0), (0.6, 0, 0), (-0.6, 0, 0), (0, 0.2, 0), (0, 0, 0.8)])
RENDER_MODES = ("human", "rgb_array", "state_pixels")


class CompiledCarRacing(RaceView, _Env):
    """Base class to name before gym's or gymnasium's Env.

    Args:
        render_mode: "human", "rgb_array", "state_pixels" or None.
        verbose: is there for gym's sake.
        lap_complete_percent: share of the tiles after which the first one ends the lap.
        domain_randomize: other colours at every reset.
        continuous: steering, gas and brake; or five discrete actions.
    """

    metadata: ClassVar[dict[str, Any]] = {
        "render_modes": list(RENDER_MODES),
        "render_fps": FRAMES_PER_SECOND,
    }
    spaces: ClassVar[Any]
    invalid_action: ClassVar[type[Exception]]
    score_format: ClassVar[str]
    lap_terminates: ClassVar[bool]  # as in gymnasium, which rounds the score in the picture, too

    def __init__(
        self,
        render_mode: str | None = None,
        verbose: bool = False,
        lap_complete_percent: float = 0.95,
        domain_randomize: bool = False,
        continuous: bool = True,
    ) -> None:
        if render_mode is not None and render_mode not in RENDER_MODES:
            expected = ", ".join(RENDER_MODES)
            raise ValueError(f"render_mode: expected one of {expected}, got {render_mode!r}")
        self.render_mode = render_mode
        self.verbose = verbose
        self.lap_complete_percent = lap_complete_percent
        self.domain_randomize = domain_randomize
        self.continuous = continuous
        if continuous:
            low, high = np.array([-1, 0, 0], np.float32), np.array([1, 1, 1], np.float32)
            self.action_space = self.spaces.Box(low, high)
        else:
            self.action_space = self.spaces.Discrete(len(DISCRETE))
        shape = (STATE, STATE, 3)
        self.observation_space = self.spaces.Box(low=0, high=255, shape=shape, dtype=np.uint8)
        self.races = Races(1, rounds_score=self.lap_terminates)
        RaceView.__init__(self, self.races, 0)
        self._begun = False
        self._screen: pygame.Surface | None = None
        self._clock: Any = None
        if domain_randomize:
            self._draw_colours()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """A new track and a new car.

        Args:
            seed: of the track, and of all that follow.
            options: `start_tile`, the number of the tile to start on or "random", as the World
                Models paper's sampler does; `randomize`, for gym's `domain_randomize`.

        Raises:
            ValueError: an unknown tile, or an option that is nearly `start_tile`.
        """
        super().reset(seed=seed)
        options = dict(options or {})
        tile = options.pop("start_tile", None)
        if slips := get_close_matches("start_tile", map(str, options), n=1, cutoff=0.8):
            raise ValueError(f"reset option {slips[0]!r}: did you mean start_tile?")
        if self.domain_randomize and options.get("randomize", True):
            self._draw_colours()
        self.races.make_track(0, self.np_random)
        self.races.start(0, lap_complete_share=self.lap_complete_percent)
        if tile is not None:
            self._start_on(tile)
        self._begun = True
        if self.render_mode == "human":
            self.render()
        return self.races.frames(ONLY)[0], {}

    def _start_on(self, tile: int | str) -> None:
        """Move the new car; what it touched on the first tile stays visited."""
        tiles = len(self.track)
        if tile == "random":
            tile = int(self.np_random.integers(tiles))
        elif isinstance(tile, np.integer):
            tile = int(tile)
        if type(tile) is not int or not 0 <= tile < tiles:
            raise ValueError(f'start_tile: expected 0 to {tiles - 1} or "random", got {tile!r}')
        self.races.move(0, tile)

    def _draw_colours(self) -> None:
        road = self.np_random.uniform(0, 210, size=3)
        lawn = self.np_random.uniform(0, 210, size=3)
        light = lawn.copy()
        light[self.np_random.integers(3)] += 20
        self.races.colours[0] = (lawn, light, road)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Drive for a fiftieth of a second.

        Args:
            action: (3,) numbers, steering, gas and brake, or one of five integers.

        Raises:
            InvalidAction: it is none.
        """
        assert self._begun, "reset() comes first"
        rewards, ends = self.races.step(ONLY, self._as_numbers(action)[None])
        lap, off_field = bool(ends[0] & LAP), bool(ends[0] & OFF_FIELD)
        info = {}
        if self.lap_terminates and (lap or off_field):
            info["lap_finished"] = not off_field
        terminated = off_field or (lap and self.lap_terminates)
        truncated = lap and not self.lap_terminates
        if self.render_mode == "human":
            self.render()
        return self.races.frames(ONLY)[0], float(rewards[0]), terminated, truncated, info

    def _as_numbers(self, action: Any) -> np.ndarray:
        if not self.continuous:
            if not self.action_space.contains(action):
                raise self.invalid_action(
                    f"expected an action of {self.action_space}, got {action!r}"
                )
            return DISCRETE[int(action)]
        numbers = np.asarray(action, np.float64)
        if numbers.shape != (3,) or not np.isfinite(numbers).all():
            raise self.invalid_action(
                f"expected three finite numbers, steering, gas and brake, got {action!r}"
            )
        return numbers

    def render(self) -> np.ndarray | None:
        """The race as a person wants to see it: (400, 600, 3) uint8, or in a window."""
        if self.render_mode is None or not self._begun:
            return None
        if self.render_mode == "state_pixels":
            return self.races.frames(ONLY)[0]
        try:
            import pygame
        except ModuleNotFoundError as error:
            raise ImportError(
                f"render_mode {self.render_mode!r} needs pygame: pip install 'worldmodels[window]'",
                name="pygame",
            ) from error

        from worldmodels.car_racing.window import HEIGHT, WIDTH, draw_scene, video_frame

        if self.render_mode == "rgb_array":
            return video_frame(self.races, 0, self.score_format)
        if self._screen is None:
            pygame.display.init()
            self._screen = pygame.display.set_mode((WIDTH, HEIGHT))
            self._clock = pygame.time.Clock()
        pygame.event.pump()
        self._clock.tick(FRAMES_PER_SECOND)
        self._screen.blit(draw_scene(self.races, 0, self.score_format), (0, 0))
        pygame.display.flip()
        return None

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._screen is not None:
            import pygame

            pygame.display.quit()
            self._screen = None


FastCarRacing: Callable[..., Any]
FastCarRacingV3: Callable[..., Any]

if find_spec("gym"):
    import gym

    class FastCarRacing(CompiledCarRacing, gym.Env):  # type: ignore[no-redef, misc]
        """gym 0.26's CarRacing-v2: a finished lap truncates the episode."""

        spaces: ClassVar[Any] = gym.spaces
        invalid_action = gym.error.InvalidAction
        score_format = "%04i"
        lap_terminates = False


if find_spec("gymnasium"):
    import gymnasium

    class FastCarRacingV3(CompiledCarRacing, gymnasium.Env):  # type: ignore[no-redef]
        """gymnasium's CarRacing-v3: a finished lap terminates the episode."""

        spaces: ClassVar[Any] = gymnasium.spaces
        invalid_action = gymnasium.error.InvalidAction
        score_format = "%04.0f"
        lap_terminates = True
