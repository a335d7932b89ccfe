"""Noise on a policy's actions, so that V and M see what lies beside the road that it drives.

A good driver alone shows them the middle of the road. Noise shows what is beside it, and how to get
back. Read `NoisyPolicy`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from worldmodels.rollouts.episode import Episode
from worldmodels.rollouts.policies import wander

if TYPE_CHECKING:
    from worldmodels.rollouts.policies import Policy


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
