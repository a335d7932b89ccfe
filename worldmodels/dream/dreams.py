"""Dreams side by side, in which anybody may act. Read `Dreams.step`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worldmodels.dream.imagination import dream_graph
from worldmodels.dream.starts import DreamStarts
from worldmodels.models.memory import MDNRNN


class Dreams:
    """So many dreams, each known by its index.

    Rewards and ends mean nothing where the memory's outcome head was not trained; whoever needs
    them calls `MDNRNN.require_outcome`.

    Args:
        memory: what dreams. starts: where dreams begin.
        count: how many.
        temperature: see `imagination.imagine`.
        threads: that share the work; they change no result.

    Attributes:
        z: (count, latent_dim). hidden, cell: (count, hidden_units), M's state. All are float32.
    """

    def __init__(
        self,
        memory: MDNRNN,
        starts: DreamStarts,
        *,
        count: int,
        temperature: float,
        threads: int = 1,
    ) -> None:
        self._graph = dream_graph(
            memory, temperature=temperature, bounds=starts.bounds, threads=threads
        )
        self._starts = starts
        self.z = np.zeros((count, memory.latent_dim), np.float32)
        self.hidden = np.zeros((count, memory.hidden_units), np.float32)
        self.cell = np.zeros_like(self.hidden)

    @property
    def observations(self) -> NDArray[np.float32]:
        """What a controller reads: z and h, (count, latent_dim + hidden_units)."""
        return np.concatenate([self.z, self.hidden], axis=1)

    def reset(self, index: int, rng: np.random.Generator) -> None:
        """Begin a dream at a moment that the generator draws."""
        moment = rng.integers(len(self._starts.z))
        self.z[index] = self._starts.z[moment]
        self.hidden[index] = self._starts.hidden[moment]
        self.cell[index] = self._starts.cell[moment]

    def step(
        self, actions: NDArray[np.float32], rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Dream on.

        Args:
            actions: (count, 3) float32. rng: draws what is seen next, and who ends.

        Returns:
            what M expects the steps to pay, and which dreams have ended, (count,) each.
        """
        uniform = rng.random(self.z.shape, dtype=np.float32)
        normal = rng.standard_normal(self.z.shape, dtype=np.float32)
        chance = rng.random(len(self.z))
        self.z, self.hidden, self.cell, reward, end, *_ = self._graph(
            self.z, actions, self.hidden, self.cell, uniform, normal
        )
        return reward[:, 0], chance < end[:, 0]
