"""V, M and C of one agent with gym's frames: what `agent_process`, whose `Agent` is for people, has
in its process. Read `AgentModels.act`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from worldmodels.car_racing.frames import preprocess
from worldmodels.core.errors import WorldModelsError
from worldmodels.models.agent_policy import AgentPolicy, agent_graphs
from worldmodels.models.controller import LinearController
from worldmodels.models.memory import MDNRNN
from worldmodels.models.vae import VAE
from worldmodels.rollouts.episode import Episode


class AgentModels:
    """V, M and C of one agent, and the episodes that it drives, in this process; what an
    `agent_process.Agent` has in its own.

    Raises:
        WorldModelsError: they do not fit each other.
    """

    def __init__(self, vae: VAE, memory: MDNRNN, controller: LinearController) -> None:
        self.vae, self.memory, self.controller = vae, memory, controller
        self._policies: dict[int, AgentPolicy] = {}
        self.reset(1, 0)

    @classmethod
    def load(cls, folder: Path, controller: Path) -> AgentModels:
        """V and M from vae.h5 and memory.h5 of `folder`, and this C."""
        return cls(
            VAE.load(folder / "vae.h5"),
            MDNRNN.load(folder / "memory.h5"),
            LinearController.load(controller),
        )

    def take_controller(self, controller: LinearController) -> None:
        """Drive with another C, from an episode that begins now on."""
        before, self.controller = self.controller, controller
        self._policies = {}
        try:
            self.reset(1, 0)
        except WorldModelsError:
            self.controller = before
            self.reset(1, 0)
            raise

    def reset(self, batch_size: int, seed: int) -> None:
        """As `agent_process.Agent.reset` says."""
        if batch_size not in self._policies:
            self._policies[batch_size] = AgentPolicy(
                batch_size,
                graphs=agent_graphs(
                    self.vae,
                    self.memory,
                    inputs=self.controller.inputs,
                    latent=self.controller.latent,
                ),
            )
        self._batch_size, self._policy = batch_size, self._policies[batch_size]
        self._policy.set_candidates(self.controller.parameters[None])
        for slot in range(batch_size):
            self._policy.begin(slot, Episode(track_seed=0, noise_seed=seed + slot))
        self._seen = np.zeros((batch_size, *self.vae.image_shape, 3), np.uint8)

    def act(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """As `agent_process.Agent.act` says, for a batch."""
        if len(frames) != self._batch_size:
            raise WorldModelsError(
                f"frames: expected {self._batch_size}, as given to reset, got {len(frames)}"
            )
        self._seen = np.stack([preprocess(frame, self.vae.image_shape) for frame in frames])
        return self._policy.act(self._seen)

    def view(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
        """As `agent_process.Agent.view` says."""
        z, _ = self.vae.encode(self._seen)
        log_weight, mean, _ = self.memory.mixture(self._policy.hidden, z)
        expected_z = tf.reduce_sum(tf.exp(log_weight) * mean, axis=-1).numpy()
        reconstruction, expected = np.split(self.vae.decode(np.concatenate([z, expected_z])), 2)
        return self._seen, reconstruction, expected
