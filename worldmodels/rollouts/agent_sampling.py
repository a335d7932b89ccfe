"""How the first round's agent drives for the second round to learn from.

Half of its episodes it drives as it likes, the other half with noise on its actions.
A good driver alone shows V and M the middle of the road. Noise shows them what lies beside it, and
how it gets back. Read `NoisyPolicy`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from worldmodels.core.params import require
from worldmodels.rollouts.episode import Episode
from worldmodels.rollouts.policies import wander
from worldmodels.rollouts.sampling import DrivesParams

if TYPE_CHECKING:
    from worldmodels.rollouts.policies import Policy


@dataclass(frozen=True)
class AgentSamplingParams(DrivesParams):
    """The `agent_sampling` group of params.yaml.

    noise: standard deviations of what is added to steering, gas and brake.
    """

    noise: tuple[float, float, float]

    def __post_init__(self) -> None:
        super().__post_init__()
        noise_fits = all(0 <= spread <= 10 for spread in self.noise)
        require("noise", self.noise, noise_fits, "three numbers from 0 to 10")

    @property
    def noisy_seeds(self) -> range:
        """Track seeds that are driven with noise: the second half."""
        return self.seeds[self.episodes // 2 :]


class NoisyPolicy:
    """A policy whose actions are not quite what is done.

    The noise wanders, as that of the exploring policy: it comes from the episode's noise seed. The
    policy does not know of it; an agent's memory goes on from the action that it chose.

    Args:
        policy: who chooses.
        noise: standard deviations of what is added to steering, gas and brake.
        noisy: track seeds of the episodes that have noise.
        batch_size: slots.
    """

    def __init__(
        self, policy: Policy, noise: Sequence[float], *, noisy: range, batch_size: int
    ) -> None:
        self._policy = policy
        self._spread = np.array(noise)
        self._noisy = noisy
        self._noise = [np.zeros((1, 3))] * batch_size
        self._step = np.zeros(batch_size, int)

    def set_candidates(self, candidates: NDArray[np.float64] | None) -> None:
        """Hand them on."""
        self._policy.set_candidates(candidates)

    def begin(self, slot: int, episode: Episode) -> None:
        """Draw the noise of the episode that starts in this slot."""
        self._policy.begin(slot, episode)
        self._step[slot] = 0
        spread = self._spread * (episode.track_seed in self._noisy)
        rng = np.random.default_rng([episode.noise_seed, 1])  # an agent's z is drawn from the other
        self._noise[slot] = wander(episode.steps, spread, rng=rng)

    def act(
        self, frames: NDArray[np.uint8], slots: Sequence[int] | None = None
    ) -> NDArray[np.float32]:
        """The policy's actions and the noise, within the action space; see `Policy.act`."""
        actions = self._policy.act(frames, slots)
        slots = range(len(self._step)) if slots is None else slots
        noise = np.stack(
            [self._noise[slot][self._step[slot] % len(self._noise[slot])] for slot in slots]
        )
        self._step[np.array(slots)] += 1
        return np.clip(actions + noise, [-1.0, 0.0, 0.0], 1.0).astype(np.float32)


def noisy_policy(
    batch_size: int, *, policy: Callable[[int], Policy], noise: Sequence[float], noisy: range
) -> NoisyPolicy:
    """A `NoisyPolicy` around what `policy` makes: for an engine, in a partial."""
    return NoisyPolicy(policy(batch_size), noise, noisy=noisy, batch_size=batch_size)
