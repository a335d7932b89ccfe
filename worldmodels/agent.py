"""The agent: vision, memory and controller acting together.

At every step V turns the frame into z, C turns [z, h], less M's centre, into an action, and M turns
(z, action) and its state into the next h: C sees what M made of everything up to the last step.
`AgentPolicy` does this for many episodes and many controllers at once in one compiled graph, of the
smallest of a few fixed shapes that holds them; `Agent` is the same for people: gym frames in, gym
actions out. Read `AgentPolicy.act` first.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from worldmodels.controller import ACTIONS, LinearController, controller_shape
from worldmodels.determinism import use_one_core
from worldmodels.episode_play import Episode
from worldmodels.errors import WorldModelsError
from worldmodels.frames import preprocess
from worldmodels.memory import MDNRNN
from worldmodels.row_product import batch_shapes
from worldmodels.vae import VAE

PADDED_ACTIONS = 4  # `row_product` says why rows have a multiple of four numbers


class AgentPolicy:
    """A `rollout.Policy`: one agent per slot, all with the same V and M, each with its own C.

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
        self._inputs, self._samples = inputs, latent == "sample"
        self._shape = controller_shape(
            inputs, latent_dim=vae.latent_dim, hidden_units=memory.hidden_units
        )
        self._hidden = np.zeros((batch_size, memory.hidden_units), np.float32)
        self._cell = np.zeros_like(self._hidden)
        self._weights = np.zeros((batch_size, self._shape[0], PADDED_ACTIONS), np.float32)
        self._noise = [np.zeros((1, vae.latent_dim), np.float32)] * batch_size  # a row a step
        self._step = np.zeros(batch_size, int)
        self._candidates = np.zeros((0, *self._shape), np.float32)
        # Autograph would leave a temporary file behind for each function, in each worker.
        self._graphs = {
            rows: tf.function(self._decide, autograph=False) for rows in batch_shapes(batch_size)
        }

    def set_candidates(self, candidates: NDArray[np.float64] | None) -> None:
        """Take the controllers that `Episode.candidate` numbers, each as a flat vector.

        Raises:
            WorldModelsError: they have the wrong size.
        """
        if candidates is None:
            raise WorldModelsError("agent: expected candidates to drive, got none")
        size = self._shape[0] * self._shape[1]
        if candidates.shape[1:] != (size,):
            raise WorldModelsError(
                f"controller: expected {size} numbers for {self._inputs}, "
                f"got {candidates.shape[1:]}"
            )
        self._candidates = candidates.reshape(-1, *self._shape).astype(np.float32)

    def begin(self, slot: int, episode: Episode) -> None:
        """Forget the slot's last episode; the noise of the new one depends on its seed alone."""
        self._hidden[slot] = 0.0
        self._cell[slot] = 0.0
        self._weights[slot, :, :ACTIONS] = self._candidates[episode.candidate]
        self._step[slot] = 0
        if self._samples:
            rng = np.random.default_rng(episode.noise_seed)
            self._noise[slot] = rng.standard_normal(
                (episode.steps, self._vae.latent_dim), dtype=np.float32
            )

    def act(
        self, frames: NDArray[np.uint8], slots: Sequence[int] | None = None
    ) -> NDArray[np.float32]:
        """As `rollout.Policy.act` says; moves the memory of these slots on."""
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
        known = tf.concat([{"z": z, "h": hidden}[name] for name in self._inputs], axis=1)
        known -= self._memory.centre_of(self._inputs)
        linear = tf.linalg.matvec(weights[:, :-1], known, transpose_a=True) + weights[:, -1]
        steering, gas, brake, _ = tf.unstack(tf.tanh(linear), axis=1)
        action = tf.stack(
            [steering, (gas + 1.0) / 2.0, tf.clip_by_value(brake, 0.0, 1.0)], axis=1
        )  # (batch, 3)
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
    """`load_policy` for `RolloutEngine`, with V and M from the folder `models`."""
    return partial(
        load_policy,
        vae_path=str(Path(models) / "vae.h5"),
        memory_path=str(Path(models) / "memory.h5"),
        inputs=inputs,
        latent=latent,
    )


class Agent:
    """A trained agent that drives CarRacing.

    >>> agent = Agent.load("models")
    >>> agent.reset(batch_size=1, seed=7)
    >>> action = agent.act(frame)  # (96, 96, 3) uint8 from gym to (3,) float32 for gym
    """

    def __init__(self, vae: VAE, memory: MDNRNN, controller: LinearController) -> None:
        self.vae, self.memory, self.controller = vae, memory, controller
        self._policies: dict[int, AgentPolicy] = {}
        self.reset()

    @classmethod
    def load(cls, folder: str | Path) -> Agent:
        """The agent whose vae.h5, memory.h5 and controller.h5 lie in `folder`.

        Raises:
            WorldModelsError: one is missing, damaged, or does not fit the others.
        """
        folder = Path(folder)
        return cls(
            VAE.load(folder / "vae.h5"),
            MDNRNN.load(folder / "memory.h5"),
            LinearController.load(folder / "controller.h5"),
        )

    def reset(self, batch_size: int = 1, *, seed: int = 0) -> None:
        """Begin `batch_size` episodes.

        Args:
            batch_size: frames that every `act` will be given.
            seed: of the noise of the first episode, the others' follow; only a controller that
                samples z draws any.
        """
        if batch_size not in self._policies:
            self._policies[batch_size] = AgentPolicy(
                self.vae,
                self.memory,
                inputs=self.controller.inputs,
                latent=self.controller.latent,
                batch_size=batch_size,
            )
        self._batch_size, self._policy = batch_size, self._policies[batch_size]
        self._policy.set_candidates(self.controller.weights.reshape(1, -1).astype(np.float64))
        for slot in range(batch_size):
            self._policy.begin(slot, Episode(track_seed=0, noise_seed=seed + slot))

    def act(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Choose the next action.

        Args:
            frames: gym's, (96, 96, 3) uint8, or a batch of them, (batch_size, 96, 96, 3).

        Returns:
            (3,) float32 for one frame, (batch_size, 3) for a batch: steering in [-1, 1], gas and
            brake in [0, 1].

        Raises:
            WorldModelsError: other shapes, or another batch size than at `reset`.
        """
        single = frames.ndim == 3
        batch = frames[None] if single else frames
        if len(batch) != self._batch_size:
            raise WorldModelsError(
                f"frames: expected {self._batch_size}, as given to reset, got {len(batch)}"
            )
        seen = np.stack([preprocess(frame, self.vae.image_shape) for frame in batch])
        action = self._policy.act(seen)
        return action[0] if single else action
