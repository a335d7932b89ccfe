"""Memory, M: an MDN-RNN that predicts the next latent from this one, the action, and what came
before.

An LSTM reads (z_t, a_t); a linear head turns its output into one mixture of Gaussians for each
latent dimension of z_{t+1}. The loss is the negative log likelihood under these mixtures, by
log-sum-exp, in nats a latent dimension. Architecture after Ha & Schmidhuber 2018, appendix A.2.
Read `MDNRNN` first, then `mixture_log_likelihood`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from pydantic import Field

from worldmodels.car_racing.task import ACTIONS
from worldmodels.core.errors import WorldModelsError
from worldmodels.core.params import Params
from worldmodels.core.shapes import require_shape
from worldmodels.data.latents import MAX_LATENT_DIM
from worldmodels.models.keras_on_tensorflow import keras
from worldmodels.models.model_files import load_model, save_model
from worldmodels.models.row_product import row_product

if TYPE_CHECKING:
    from worldmodels.models.vae import VAE

MAX_HIDDEN_UNITS = 4096
MAX_MIXTURES = 100

Tensor: TypeAlias = tf.Tensor


class MemoryParams(Params):
    """The `memory` group of params.yaml.

    hidden_units: of the LSTM. mixtures: Gaussians for each latent dimension.
    sequence_length: steps a training window. batch_size: windows a training step.
    epochs: passes over the training windows.
    learning_rate: Adam's at the start; it falls to zero along a cosine.
    gradient_clip: every gradient is clipped to plus and minus this.
    """

    hidden_units: int = Field(ge=1, le=4096)
    mixtures: int = Field(ge=1, le=100)
    sequence_length: int = Field(ge=1, le=1000)
    batch_size: int = Field(ge=1, le=4096)
    epochs: int = Field(ge=1, le=100_000)
    learning_rate: float = Field(ge=1e-9, le=1)
    gradient_clip: float = Field(ge=1e-9, le=1e9)


def mixture_log_likelihood(
    target: Tensor, log_weight: Tensor, mean: Tensor, log_std: Tensor
) -> Tensor:
    """log of sum_k weight_k N(target; mean_k, std_k), in nats.

    Args:
        target: (...). The others: (..., mixtures); the log weights are normalised.
    """
    standardised = (target[..., None] - mean) * tf.exp(-log_std)
    log_normal = -0.5 * tf.square(standardised) - log_std - 0.5 * math.log(2 * math.pi)
    return tf.reduce_logsumexp(log_weight + log_normal, axis=-1)


class MDNRNN:
    """LSTM and mixture density head.

    Args:
        latent_dim, hidden_units, mixtures: sizes.
        rng: where the first weights come from.
        vae_digest: which VAE's latents it is fitted to, `model_files.file_digest` of its file;
            empty if that is not known, as in a memory that nobody trained.

    Attributes:
        feature_mean: mean of [z, h] over the drives that it was fitted to, (latent_dim +
            hidden_units,); zeros in a memory that nobody trained. A controller reads how far a step
            is from it.
    """

    KIND = "memory"

    def __init__(
        self,
        latent_dim: int,
        hidden_units: int,
        mixtures: int,
        *,
        rng: np.random.Generator,
        vae_digest: str = "",
    ) -> None:
        self.vae_digest = vae_digest
        self.latent_dim, self.hidden_units, self.mixtures = latent_dim, hidden_units, mixtures
        self.feature_mean = np.zeros(latent_dim + hidden_units, np.float32)

        def seed() -> int:
            return int(rng.integers(2**31))

        self.lstm = keras.layers.LSTM(
            hidden_units,
            return_sequences=True,
            kernel_initializer=keras.initializers.GlorotUniform(seed=seed()),
            recurrent_initializer=keras.initializers.Orthogonal(seed=seed()),
            dtype="float32",
        )
        self.lstm.build((None, None, latent_dim + ACTIONS))
        self.head = keras.layers.Dense(
            3 * mixtures * latent_dim,
            kernel_initializer=keras.initializers.GlorotUniform(seed=seed()),
            dtype="float32",
        )
        self.head.build((None, hidden_units))

    @property
    def weights(self) -> list[tf.Variable]:
        """All weights, the LSTM's first."""
        return self.lstm.trainable_variables + self.head.trainable_variables

    def feature_mean_of(self, inputs: tuple[str, ...]) -> NDArray[np.float32]:
        """The part of `feature_mean` that a controller with these inputs, z or h or both, reads."""
        z, h = np.split(self.feature_mean, [self.latent_dim])
        return np.concatenate([{"z": z, "h": h}[name] for name in inputs])

    def require_vae(self, vae: VAE) -> None:
        """Raises WorldModelsError if V makes latents of another size, or is known to be another
        than the one that this memory was fitted to."""
        if vae.latent_dim != self.latent_dim:
            raise WorldModelsError(
                f"memory: expected latents of {vae.latent_dim} numbers, as the VAE makes them, got "
                f"a memory for {self.latent_dim}; run `dvc repro`"
            )
        if vae.digest and self.vae_digest not in ("", vae.digest):
            raise WorldModelsError(
                "memory.h5: expected a memory fitted to the latents of vae.h5, got one fitted to "
                "another VAE's; run `dvc repro`"
            )

    def predict(self, z: Tensor, action: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The mixtures of every next latent of whole sequences.

        Args:
            z: (batch, steps, latent_dim). action: (batch, steps, 3).

        Returns:
            log weight, mean and log standard deviation, each (batch, steps, latent_dim, mixtures).

        Raises:
            WorldModelsError: z or action have another shape.
        """
        require_shape("z", z, ("batch", "steps", self.latent_dim))
        require_shape("action", action, ("batch", "steps", ACTIONS))
        hidden = self.lstm(tf.concat([z, action], axis=-1))  # (batch, steps, hidden_units)
        return self.mixture(hidden)

    def mixture(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The mixtures that a hidden state (..., hidden_units) stands for; see `predict`."""
        shape = tf.concat([tf.shape(hidden)[:-1], [self.latent_dim, 3 * self.mixtures]], axis=0)
        logit, mean, log_std = tf.split(tf.reshape(self.head(hidden), shape), 3, axis=-1)
        return tf.nn.log_softmax(logit), mean, log_std

    def negative_log_likelihood(self, z: Tensor, action: Tensor, mask: Tensor) -> Tensor:
        """Mean over the steps that count, in nats a latent dimension.

        Args:
            z: (batch, steps + 1, latent_dim); row t + 1 is the target of row t.
            action: (batch, steps, 3). mask: (batch, steps), 1 where a step counts.
        """
        likelihood = mixture_log_likelihood(z[:, 1:], *self.predict(z[:, :-1], action))
        per_step = tf.reduce_mean(likelihood, axis=-1)  # (batch, steps)
        return -tf.reduce_sum(per_step * mask) / tf.reduce_sum(mask)

    def loss(self, z: Tensor, action: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """What training minimises, `loss`, and its terms; arguments as those of
        `negative_log_likelihood`, which is all of it."""
        return {"loss": self.negative_log_likelihood(z, action, mask)}

    def step(
        self, z: Tensor, action: Tensor, hidden: Tensor, cell: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One step of the LSTM, with the same bits for a row whatever else is in its batch.

        Args:
            z: (batch, latent_dim). action: (batch, 3). hidden, cell: (batch, hidden_units), zeros
                at the start of an episode.

        Returns:
            the next hidden and cell state.

        Raises:
            WorldModelsError: one of them has another shape.
        """
        require_shape("z", z, ("batch", self.latent_dim))
        require_shape("action", action, ("batch", ACTIONS))
        require_shape("hidden", hidden, ("batch", self.hidden_units))
        require_shape("cell", cell, ("batch", self.hidden_units))
        weights = self.lstm.cell
        gates = (
            row_product(tf.concat([z, action], axis=-1), weights.kernel)
            + row_product(hidden, weights.recurrent_kernel)
            + weights.bias
        )
        take, keep, new, give = tf.split(gates, 4, axis=1)  # in Keras' order
        cell = tf.sigmoid(keep) * cell + tf.sigmoid(take) * tf.tanh(new)
        return tf.sigmoid(give) * tf.tanh(cell), cell

    def __reduce__(self) -> tuple[object, ...]:
        """Pickled and copied as what it is rebuilt from; Keras' own layers cannot be."""
        sizes = (self.latent_dim, self.hidden_units, self.mixtures)
        weights = [weight.numpy() for weight in self.weights]
        return _rebuilt, (*sizes, self.vae_digest, self.feature_mean, weights)

    def save(self, path: str | Path) -> None:
        """Write weights and what is needed to rebuild the model; see `model_files`."""
        save_model(
            path,
            self.KIND,
            {
                "latent_dim": self.latent_dim,
                "hidden_units": self.hidden_units,
                "mixtures": self.mixtures,
                "vae_digest": self.vae_digest,
            },
            [*(weight.numpy() for weight in self.weights), self.feature_mean],
        )

    @classmethod
    def load(cls, path: str | Path) -> MDNRNN:
        """The model that `save` wrote.

        Raises:
            ModelFileError: no such file, another kind of file, or weights of another architecture.
        """
        stored = load_model(path, cls.KIND)
        latent_dim = stored.whole_number("latent_dim", 1, MAX_LATENT_DIM)
        hidden_units = stored.whole_number("hidden_units", 1, MAX_HIDDEN_UNITS)
        mixtures = stored.whole_number("mixtures", 1, MAX_MIXTURES)
        vae_digest = stored.text("vae_digest")
        # Before the model is built: the settings may be those of one that fills the memory.
        shapes = _weight_shapes(latent_dim, hidden_units, mixtures)
        centred = len(stored.weights) != len(shapes)  # files of early versions have no mean
        stored.require_shapes([*shapes, (latent_dim + hidden_units,)] if centred else shapes)
        rng = np.random.default_rng(0)
        model = cls(latent_dim, hidden_units, mixtures, rng=rng, vae_digest=vae_digest)
        if centred:
            model.feature_mean = stored.weights.pop()
        stored.assign_to(model.weights)
        return model


def _rebuilt(
    latent_dim: int,
    hidden_units: int,
    mixtures: int,
    vae_digest: str,
    feature_mean: NDArray[np.float32],
    weights: Sequence[NDArray[np.float32]],
) -> MDNRNN:
    rng = np.random.default_rng(0)
    memory = MDNRNN(latent_dim, hidden_units, mixtures, rng=rng, vae_digest=vae_digest)
    memory.feature_mean = feature_mean.copy()
    for variable, weight in zip(memory.weights, weights, strict=True):
        variable.assign(weight)
    return memory


def _weight_shapes(latent_dim: int, hidden_units: int, mixtures: int) -> list[tuple[int, ...]]:
    """Shapes of `MDNRNN.weights`."""
    gates, outputs = 4 * hidden_units, 3 * mixtures * latent_dim
    lstm = [(latent_dim + ACTIONS, gates), (hidden_units, gates), (gates,)]
    return [*lstm, (hidden_units, outputs), (outputs,)]
