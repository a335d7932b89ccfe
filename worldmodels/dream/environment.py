"""The dream as an environment for gym and gymnasium: what is observed is what C reads, z and h.

Read `DreamtCarRacing`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from worldmodels.core.errors import WorldModelsError
from worldmodels.dream.dreams import Dreams
from worldmodels.dream.starts import DreamStarts
from worldmodels.models.decoding import Decoder
from worldmodels.models.memory import MDNRNN
from worldmodels.models.vae import VAE

if TYPE_CHECKING:
    _Env: TypeAlias = Any
else:
    _Env = object

FRAMES_PER_SECOND = 50  # of CarRacing


class DreamtCarRacing(_Env):
    """Base class to name before gym's or gymnasium's Env.

    Args:
        vae: draws the dream, for `render_mode="rgb_array"`. memory: dreams.
        starts: where dreams begin.
        temperature: how far dreams stray from what is likely; 0 takes the mean of what M expects.
        render_mode: "rgb_array" or None.

    Raises:
        WorldModelsError: the memory's outcome head was not trained, or it is another VAE's.
    """

    metadata: ClassVar[dict[str, Any]] = {
        "render_modes": ["rgb_array"],
        "render_fps": FRAMES_PER_SECOND,
    }
    spaces: ClassVar[Any]

    def __init__(
        self,
        vae: VAE,
        memory: MDNRNN,
        starts: DreamStarts,
        *,
        temperature: float = 1.0,
        render_mode: str | None = None,
    ) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode: expected rgb_array or None, got {render_mode!r}")
        if not 0.0 <= temperature < np.inf:
            raise WorldModelsError(
                "temperature: expected 0, for the mean of what M expects, or more, "
                f"got {temperature}"
            )
        memory.require_vae(vae)
        memory.require_outcome()
        self.render_mode = render_mode
        self._dreams = Dreams(memory, starts, count=1, temperature=temperature)
        self._decoder = Decoder(vae)
        low, high = np.array([-1, 0, 0], np.float32), np.array([1, 1, 1], np.float32)
        self.action_space = self.spaces.Box(low, high)
        size = memory.latent_dim + memory.hidden_units
        self.observation_space = self.spaces.Box(-np.inf, np.inf, (size,), np.float32)

    @classmethod
    def load(
        cls,
        models: str | Path,
        *,
        temperature: float = 1.0,
        render_mode: str | None = None,
    ) -> Self:
        """The dream of the vae.h5, memory.h5 and dream_starts.h5 in this folder.

        Raises:
            WorldModelsError: a file is missing, is damaged, or does not fit the others; or the
                memory's outcome head was not trained.
        """
        vae, memory = VAE.load(Path(models, "vae.h5")), MDNRNN.load(Path(models, "memory.h5"))
        starts = DreamStarts.load(Path(models, "dream_starts.h5"), memory)
        return cls(vae, memory, starts, temperature=temperature, render_mode=render_mode)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin at a moment of a recorded episode."""
        super().reset(seed=seed)
        self._dreams.reset(0, self.np_random)
        return self._dreams.observations[0], {}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Dream a fiftieth of a second.

        Args:
            action: steering, gas and brake, (3,) numbers.

        Raises:
            ValueError: it is none.
        """
        numbers = np.asarray(action, np.float32)
        if numbers.shape != (3,) or not np.isfinite(numbers).all():
            raise ValueError(
                f"expected three finite numbers, steering, gas and brake, got {action!r}"
            )
        clipped = np.clip(numbers, self.action_space.low, self.action_space.high)
        rewards, ended = self._dreams.step(clipped[None], self.np_random)
        return self._dreams.observations[0], float(rewards[0]), bool(ended[0]), False, {}

    def render(self) -> NDArray[np.uint8] | None:
        """What V makes of the dream's z: (height, width, 3) uint8."""
        if self.render_mode is None:
            return None
        pixels = self._decoder.decode(self._dreams.z)[0]
        return np.round(255.0 * pixels).astype(np.uint8)


GymDream: Callable[..., Any]
GymnasiumDream: Callable[..., Any]

if find_spec("gym"):
    import gym

    class GymDream(DreamtCarRacing, gym.Env):  # type: ignore[no-redef, misc]
        """For gym 0.26."""

        spaces: ClassVar[Any] = gym.spaces


if find_spec("gymnasium"):
    import gymnasium

    class GymnasiumDream(DreamtCarRacing, gymnasium.Env):  # type: ignore[no-redef]
        """For gymnasium."""

        spaces: ClassVar[Any] = gymnasium.spaces
