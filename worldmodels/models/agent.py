"""The agent: vision, memory and controller acting together.

At every step V turns the frame into z, C turns [z, h], less M's feature mean, into an action, and M
turns (z, action) and its state into the next h: C sees what M made of everything up to the last
step.
`AgentPolicy` does this for many episodes and many controllers at once in one compiled graph, of the
smallest of a few fixed shapes that holds them; `AgentModels` is the same with gym's frames, for
`agent_process`, whose `Agent` is for people. Read `AgentPolicy._decide` first: there z becomes an
action.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from worldmodels.car_racing.frames import preprocess
from worldmodels.car_racing.task import CarRacingTask
from worldmodels.core.errors import WorldModelsError
from worldmodels.models.controller import Controller, LinearController, linear_layer
from worldmodels.models.determinism import use_one_core
from worldmodels.models.memory import MDNRNN
from worldmodels.models.row_product import batch_shapes
from worldmodels.models.vae import VAE
from worldmodels.rollouts.episode import Episode


class AgentPolicy:
    """A `policies.Policy`: one agent per slot, all with the same V and M, each with its own C.

    Args:
        vae, memory: trained models.
        inputs: what the controllers read, ("z",) or ("z", "h").
        latent: "sample" draws z from V's posterior, "mean" takes its mean.
        batch_size: slots.

    Raises:
        WorldModelsError: V and M disagree on the size of z, or are known not to belong together.
    """

    def __init__(
        self,
        vae: VAE,
        memory: MDNRNN,
        *,
        inputs: tuple[str, ...],
        latent: str,
        batch_size: int,
    ) -> None:
        memory.require_vae(vae)
        self._vae, self._memory = vae, memory
        self._task = CarRacingTask()
        self._inputs, self._samples = inputs, latent == "sample"
        self._controller: Controller = linear_layer(
            inputs, latent_dim=vae.latent_dim, hidden_units=memory.hidden_units
        )
        self._hidden = np.zeros((batch_size, memory.hidden_units), np.float32)
        self._cell = np.zeros_like(self._hidden)
        self._noise = [np.zeros((1, vae.latent_dim), np.float32)] * batch_size  # a row a step
        self._step = np.zeros(batch_size, int)
        none = np.zeros((batch_size, self._controller.parameters))
        self._candidates = self._controller.stacked(none)
        self._weights = np.zeros_like(self._candidates)
        self._graphs = self._new_graphs()

    def _new_graphs(self) -> dict[int, Callable[..., tuple[tf.Tensor, tf.Tensor, tf.Tensor]]]:
        # Autograph would leave a temporary file behind for each function, in each worker.
        shapes = batch_shapes(len(self._step))
        return {rows: tf.function(self._decide, autograph=False) for rows in shapes}

    def __getstate__(self) -> dict[str, object]:
        """All but the graphs, episodes that run included."""
        return {name: value for name, value in vars(self).items() if name != "_graphs"}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state)
        self._graphs = self._new_graphs()

    @property
    def hidden(self) -> NDArray[np.float32]:
        """M's h for every slot, after what it did last; (slots, hidden_units)."""
        return self._hidden

    def set_candidates(self, candidates: NDArray[np.float64] | None) -> None:
        """Take the controllers that `Episode.candidate` numbers, each as a flat vector.

        Raises:
            WorldModelsError: they have the wrong size.
        """
        if candidates is None:
            raise WorldModelsError("agent: expected candidates to drive, got none")
        self._candidates = self._controller.stacked(candidates)

    def begin(self, slot: int, episode: Episode) -> None:
        """Forget the slot's last episode; the noise of the new one depends on its seed alone."""
        self._hidden[slot] = 0.0
        self._cell[slot] = 0.0
        self._weights[slot] = self._candidates[episode.candidate]
        self._step[slot] = 0
        if self._samples:
            rng = np.random.default_rng(episode.noise_seed)
            self._noise[slot] = rng.standard_normal(
                (episode.steps, self._vae.latent_dim), dtype=np.float32
            )

    def act(
        self, frames: NDArray[np.uint8], slots: Sequence[int] | None = None
    ) -> NDArray[np.float32]:
        """As `policies.Policy.act` says; moves the memory of these slots on."""
        slots = range(len(self._step)) if slots is None else slots
        at = np.array(slots)
        noise = np.stack(
            [self._noise[slot][self._step[slot] % len(self._noise[slot])] for slot in slots]
        )
        state = (frames, noise, self._weights[at], self._hidden[at], self._cell[at])
        count = len(frames)
        rows = next(rows for rows in self._graphs if rows >= count)
        action, hidden, cell = self._graphs[rows](*(_padded(part, rows) for part in state))
        self._hidden[at], self._cell[at] = hidden[:count], cell[:count]
        self._step[at] += 1
        return action.numpy()[:count]

    def _decide(
        self,
        frames: tf.Tensor,
        noise: tf.Tensor,
        weights: tf.Tensor,
        hidden: tf.Tensor,
        cell: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        z, log_var = self._vae.posterior_by_row(frames)
        if self._samples:
            z += tf.exp(0.5 * log_var) * noise
        features = tf.concat([{"z": z, "h": hidden}[name] for name in self._inputs], axis=1)
        features -= self._memory.feature_mean_of(self._inputs)
        action = self._task.actions_of(self._controller.forward(weights, features))  # (batch, 3)
        hidden, cell = self._memory.step(z, action, hidden, cell)
        return action, hidden, cell


def _padded(part: NDArray[Any], rows: int) -> NDArray[Any]:
    """`part` with zeros behind it, up to so many rows, whose results nobody looks at."""
    padding = np.zeros((rows - len(part), *part.shape[1:]), part.dtype)
    return np.concatenate([part, padding]) if len(padding) else part


def load_policy(
    batch_size: int, *, vae_path: str, memory_path: str, inputs: tuple[str, ...], latent: str
) -> AgentPolicy:
    """An `AgentPolicy` on one core, from files: what a rollout worker makes."""
    use_one_core()
    return AgentPolicy(
        VAE.load(vae_path),
        MDNRNN.load(memory_path),
        inputs=inputs,
        latent=latent,
        batch_size=batch_size,
    )


def policy_maker(
    models: str | Path, *, inputs: tuple[str, ...], latent: str
) -> partial[AgentPolicy]:
    """`load_policy` for an engine, with V and M from the folder `models`."""
    return partial(
        load_policy,
        vae_path=str(Path(models) / "vae.h5"),
        memory_path=str(Path(models) / "memory.h5"),
        inputs=inputs,
        latent=latent,
    )


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
                self.vae,
                self.memory,
                inputs=self.controller.inputs,
                latent=self.controller.latent,
                batch_size=batch_size,
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
        log_weight, mean, _ = self.memory.mixture(self._policy.hidden)
        expected_z = tf.reduce_sum(tf.exp(log_weight) * mean, axis=-1).numpy()
        reconstruction, expected = np.split(self.vae.decode(np.concatenate([z, expected_z])), 2)
        return self._seen, reconstruction, expected
