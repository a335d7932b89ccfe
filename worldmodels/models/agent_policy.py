"""The agent: vision, memory and controller acting together.

At every step V turns the frame into z, C turns [z, h], less M's feature mean, into an action, and M
turns (z, action) and its state into the next h: C sees what M made of everything up to the last
step. `AgentPolicy` does this for many episodes and many controllers at once. Read `decide` first:
there z becomes an action.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from worldmodels.car_racing.task import CarRacingTask
from worldmodels.core.errors import WorldModelsError
from worldmodels.models.controller import Controller, linear_layer
from worldmodels.models.inference import Graph, make_graph
from worldmodels.rollouts.episode import Episode

if TYPE_CHECKING:
    import tensorflow as tf

    from worldmodels.models.memory import MDNRNN
    from worldmodels.models.vae import VAE


def decide(
    memory: MDNRNN,
    controller: Controller,
    inputs: tuple[str, ...],
    mean: tf.Tensor,
    log_var: tf.Tensor,
    noise: tf.Tensor,
    weights: tf.Tensor,
    hidden: tf.Tensor,
    cell: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """What C does, and M's next state.

    Args:
        inputs: what C reads, of "z" and "h".
        mean, log_var, noise: (batch, latent_dim), V's posterior and what z is drawn by; no noise is
            the mean.
        weights: of a C for each row, as `Controller.stacked` has them.
        hidden, cell: (batch, hidden_units).
    """
    import tensorflow as tf  # workers, which have the graph of this, do without

    z = mean + tf.exp(0.5 * log_var) * noise
    features = tf.concat([{"z": z, "h": hidden}[name] for name in inputs], axis=1)
    features -= memory.feature_mean_of(inputs)
    action = CarRacingTask().actions_of(controller.forward(weights, features))  # (batch, 3)
    hidden, cell = memory.step(z, action, hidden, cell)
    return action, hidden, cell


@dataclass(frozen=True)
class AgentGraphs:
    """What an agent computes, whatever its C's parameters are.

    vision: frames to mean and log variance. decision: `decide`.
    latent_dim, hidden_units: sizes of z and h. samples: is z drawn, or the mean?
    """

    vision: Graph
    decision: Graph
    controller: Controller
    latent_dim: int
    hidden_units: int
    samples: bool


def agent_graphs(vae: VAE, memory: MDNRNN, *, inputs: tuple[str, ...], latent: str) -> AgentGraphs:
    """The graphs of a trained V and M.

    Args:
        inputs: what the controllers read, ("z",) or ("z", "h").
        latent: "sample" draws z from V's posterior, "mean" takes its mean.

    Raises:
        WorldModelsError: V and M disagree on the size of z, or are known not to belong together.
    """
    import tensorflow as tf

    from worldmodels.models.vision import vision_graph

    memory.require_vae(vae)
    controller = linear_layer(inputs, latent_dim=vae.latent_dim, hidden_units=memory.hidden_units)
    stacked = controller.stacked(np.zeros((1, controller.parameters)))
    shapes = [
        *[(vae.latent_dim,)] * 3,
        stacked.shape[1:],
        *[(memory.hidden_units,)] * 2,
    ]
    return AgentGraphs(
        vision_graph(vae),
        make_graph(
            partial(decide, memory, controller, inputs),
            [tf.TensorSpec((None, *shape)) for shape in shapes],
        ),
        controller,
        vae.latent_dim,
        memory.hidden_units,
        latent == "sample",
    )


class AgentPolicy:
    """A `policies.Policy`: one agent per slot, all with the same V and M, each with its own C.

    Args:
        batch_size: slots.
        graphs: what it computes.
    """

    def __init__(self, batch_size: int, *, graphs: AgentGraphs) -> None:
        self._graphs = graphs
        self._hidden = np.zeros((batch_size, graphs.hidden_units), np.float32)
        self._cell = np.zeros_like(self._hidden)
        self._noise = np.zeros((batch_size, 1, graphs.latent_dim), np.float32)  # a row a step
        self._steps = np.ones(batch_size, int)  # that have noise; then it comes again
        self._step = np.zeros(batch_size, int)
        none = np.zeros((batch_size, graphs.controller.parameters))
        self._candidates = graphs.controller.stacked(none)
        self._weights = np.zeros_like(self._candidates)

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
        self._candidates = self._graphs.controller.stacked(candidates)

    def begin(self, slot: int, episode: Episode) -> None:
        """Forget the slot's last episode; the noise of the new one depends on its seed alone."""
        self._hidden[slot] = 0.0
        self._cell[slot] = 0.0
        self._weights[slot] = self._candidates[episode.candidate]
        self._step[slot] = 0
        if self._graphs.samples:
            if episode.steps > self._noise.shape[1]:
                more = episode.steps - self._noise.shape[1]
                self._noise = np.pad(self._noise, ((0, 0), (0, more), (0, 0)))
            rng = np.random.default_rng(episode.noise_seed)
            self._steps[slot] = episode.steps
            self._noise[slot, : episode.steps] = rng.standard_normal(
                (episode.steps, self._graphs.latent_dim), dtype=np.float32
            )

    def act(
        self, frames: NDArray[np.uint8], slots: Sequence[int] | None = None
    ) -> NDArray[np.float32]:
        """As `policies.Policy.act` says; moves the memory of these slots on."""
        at = np.arange(len(self._step)) if slots is None else np.array(slots)
        mean, log_var = self._graphs.vision(frames)
        noise = self._noise[at, self._step[at] % self._steps[at]]
        state = (noise, self._weights[at], self._hidden[at], self._cell[at])
        action, self._hidden[at], self._cell[at] = self._graphs.decision(mean, log_var, *state)
        self._step[at] += 1
        return action


def policy_maker(
    models: str | Path, *, inputs: tuple[str, ...], latent: str
) -> partial[AgentPolicy]:
    """Makes an `AgentPolicy` of so many slots, with V and M from the folder `models`: for an
    engine."""
    from worldmodels.models.memory import MDNRNN
    from worldmodels.models.vae import VAE

    vae, memory = VAE.load(Path(models) / "vae.h5"), MDNRNN.load(Path(models) / "memory.h5")
    return partial(AgentPolicy, graphs=agent_graphs(vae, memory, inputs=inputs, latent=latent))
