"""What a policy is, and policies that explore: they act without looking, for the first episodes.

The actions of those are a function of the episode's noise seed alone. Read `Policy`, then
`BrownianPolicy`, the default.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from worldmodels.rollouts.episode import Episode


class Policy(Protocol):
    """Chooses actions for a fixed number of slots, each of them one running episode."""

    def set_candidates(self, candidates: NDArray[np.float64] | None) -> None:
        """Take the candidates that `Episode.candidate` numbers, (candidates, parameters)."""

    def begin(self, slot: int, episode: Episode) -> None:
        """A new episode starts in this slot."""

    def act(
        self, frames: NDArray[np.uint8], slots: Sequence[int] | None = None
    ) -> NDArray[np.float32]:
        """What the episodes in these slots do next; in all slots, if None.

        Args:
            frames: (slots, height, width, 3) uint8.

        Returns:
            (slots, 3) float32: steering, gas and brake.
        """


PolicyName = Literal["brownian", "uniform", "random_agent"]


FRAMES_PER_SECOND = 50
SECONDS = 0.2  # after which a wandering control has forgotten most of where it was


def wander(
    steps: int, spread: NDArray[np.float64], *, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Ornstein-Uhlenbeck processes around zero, that begin there, (steps, controls).

    Args:
        spread: their standard deviations once they have wandered, (controls,).
    """
    keep = np.exp(-1.0 / (SECONDS * FRAMES_PER_SECOND))
    offsets = np.empty((steps, len(spread)))
    offset = np.zeros(len(spread))
    for step in range(steps):
        noise = rng.standard_normal(len(spread))
        offset = keep * offset + np.sqrt(1 - keep**2) * spread * noise
        offsets[step] = offset
    return offsets


class ScriptedPolicy:
    """A policy that knows all actions of an episode when it begins; see `script`."""

    def __init__(self, batch_size: int) -> None:
        self._scripts = [np.zeros((1, 3), np.float32)] * batch_size
        self._step = np.zeros(batch_size, int)

    def set_candidates(self, candidates: NDArray[np.float64] | None) -> None:
        """Exploring takes no candidates."""

    def begin(self, slot: int, episode: Episode) -> None:
        """Write the script for the episode that starts in this slot."""
        rng = np.random.default_rng(episode.noise_seed)
        self._scripts[slot] = self.script(episode.steps, rng=rng).astype(np.float32)
        self._step[slot] = 0

    def act(
        self, frames: NDArray[np.uint8], slots: Sequence[int] | None = None
    ) -> NDArray[np.float32]:
        """The next action of each script, whatever the frames show; see `Policy.act`."""
        slots = range(len(self._step)) if slots is None else slots
        actions = np.stack(
            [
                self._scripts[slot][min(self._step[slot], len(self._scripts[slot]) - 1)]
                for slot in slots
            ]
        )
        self._step[np.array(slots)] += 1
        return actions

    def script(self, steps: int, *, rng: np.random.Generator) -> NDArray[np.float64]:
        """All actions of an episode, (steps, 3): steering in [-1, 1], gas and brake in [0, 1]."""
        raise NotImplementedError


class UniformPolicy(ScriptedPolicy):
    """Every action drawn uniformly from the action space, gym's `action_space.sample()`."""

    def script(self, steps: int, *, rng: np.random.Generator) -> NDArray[np.float64]:
        return rng.uniform([-1.0, 0.0, 0.0], [1.0, 1.0, 1.0], size=(steps, 3))


class BrownianPolicy(ScriptedPolicy):
    """Each control wanders: an Ornstein-Uhlenbeck process around a resting value, clipped to range.

    Independent actions cancel out from frame to frame and the car hardly moves; wandering ones hold
    a turn or a speed for a moment, so that the frames show road, bends, drifts and grass.
    """

    REST = np.array([0.0, 0.15, -0.15])  # steering straight, a little gas, the brake mostly off
    SPREAD = np.array([0.45, 0.3, 0.25])  # standard deviation once it has wandered

    def script(self, steps: int, *, rng: np.random.Generator) -> NDArray[np.float64]:
        return np.clip(self.REST + wander(steps, self.SPREAD, rng=rng), [-1.0, 0.0, 0.0], 1.0)


class RandomAgentPolicy(ScriptedPolicy):
    """The paper's explorer: V, M and C with Cauchy weights (Ha & Schmidhuber's extract.py).

    Their loaders divide what V and M are given by 10,000: whatever a frame shows, z is N(0, I) and
    h is 0. What is left is C, linear in noise that is new at each step, with weights of a scale
    drawn for each episode. Most such agents keep near half gas, few ever slam a control.
    """

    LATENT_DIM = 32
    LARGEST_SCALE = 0.01

    def script(self, steps: int, *, rng: np.random.Generator) -> NDArray[np.float64]:
        scale = rng.uniform(0, self.LARGEST_SCALE)
        weights = scale * rng.standard_cauchy((self.LATENT_DIM, 3))
        bias = scale * rng.standard_cauchy(3)
        z = rng.standard_normal((steps, self.LATENT_DIM))
        steering, gas, brake = np.tanh(z @ weights + bias).T
        return np.stack([steering, (gas + 1) / 2, np.clip(brake, 0, 1)], axis=1)


POLICIES: dict[PolicyName, type[ScriptedPolicy]] = {
    "brownian": BrownianPolicy,
    "uniform": UniformPolicy,
    "random_agent": RandomAgentPolicy,
}
