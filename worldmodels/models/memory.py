"""Memory, M: an MDN-RNN that predicts the next latent from this one, the action, and what came
before; and what becomes of the episode.

An LSTM reads (z_t, a_t); a linear head turns [h, z_t] into one mixture of Gaussians for each latent
dimension of z_{t+1}. The loss is the negative log likelihood under these mixtures, by log-sum-exp,
in nats a latent dimension. Architecture after Ha & Schmidhuber 2018, appendix A.2, whose head reads
h alone: from 256 bounded numbers it cannot say what 32 others are to one in a hundred, which is as
far as they change in a step. They have a head for the end as well, in Doom. The outcome head here
is a small network on [h, z]: progress in this step, whether the episode is lost, and progress
later. Read `MDNRNN` first, then `MDNRNN.loss`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from pydantic import Field

from worldmodels.car_racing.task import ACTIONS
from worldmodels.core.errors import WorldModelsError
from worldmodels.core.params import Params
from worldmodels.core.shapes import require_shape
from worldmodels.data.latents import MAX_LATENT_DIM, Sequences
from worldmodels.models.keras_on_tensorflow import keras
from worldmodels.models.mixture import mixture_log_likelihood, sample_mixture
from worldmodels.models.model_files import load_model, save_model
from worldmodels.models.row_product import row_product

if TYPE_CHECKING:
    from worldmodels.models.vae import VAE

MAX_HIDDEN_UNITS = 4096
MAX_MIXTURES = 100
OUTCOME_UNITS = 64  # between [h, z] and the outcome
RARE = -2.0  # where the outcomes start, before their softplus or sigmoid
LATER_UNIT = 20.0  # of progress later, so that its loss is of the size of the others
FARTHEST = 6.0  # that a z which M reads of its own is from 0; V's are closer

Latent = Literal["sample", "mean", "sample_to_mean"]
Tensor: TypeAlias = tf.Tensor


class MemoryParams(Params):
    """The `memory` group of params.yaml.

    hidden_units: of the LSTM. mixtures: Gaussians for each latent dimension.
    latent: what it reads and predicts, a sample of V's posterior, drawn anew each time, or its
        mean; `sample_to_mean` reads samples and predicts means.
    own_predictions: share of the windows in which it reads samples of its own predictions instead,
        for up to own_steps successive steps, as it does in a dream.
    outcome_weight: of the outcome head's losses; 0 for no such head.
    sequence_length: steps a training window. batch_size: windows a training step.
    epochs: passes over the training windows.
    learning_rate: Adam's at the start; it falls to zero along a cosine.
    gradient_clip: every gradient is clipped to plus and minus this.
    """

    hidden_units: int = Field(ge=1, le=4096)
    mixtures: int = Field(ge=1, le=100)
    latent: Latent
    own_predictions: float = Field(ge=0, le=1)
    own_steps: int = Field(ge=1, le=1000)
    outcome_weight: float = Field(ge=0, le=1000)
    sequence_length: int = Field(ge=1, le=1000)
    batch_size: int = Field(ge=1, le=4096)
    epochs: int = Field(ge=1, le=100_000)
    learning_rate: float = Field(ge=1e-9, le=1)
    gradient_clip: float = Field(ge=1e-9, le=1e9)


class MemoryBatch(NamedTuple):
    """Windows of successive steps; `data.latents.Sequences` has more on them.

    z: what is read, (batch, steps, latent_dim) float32. target: what comes next, of the same shape.
    action: (batch, steps, 3) float32. The others: (batch, steps) float32.
    mask: 1 where the step after is there. acted: 1 where the step is there.
    progress, ended, later_progress: what came of it. later_known: 1 where the last of them is.
    own: 1 where M reads its own prediction in the place of z, which only training does.
    """

    z: Tensor
    target: Tensor
    action: Tensor
    mask: Tensor
    acted: Tensor
    progress: Tensor
    ended: Tensor
    later_progress: Tensor
    later_known: Tensor
    own: Tensor


def z_and_target(
    windows: Sequences, latent: Latent, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What M reads in these windows, and what it is to predict, (batch, length, latent_dim) each.

    Args:
        latent: see `MemoryParams`. rng: of samples.
    """
    mean = windows.mean
    if latent == "mean":
        return mean[:, :-1], mean[:, 1:]
    noise = rng.standard_normal(mean.shape, dtype=np.float32)
    sample = mean + np.exp(0.5 * windows.log_var) * noise
    target = mean if latent == "sample_to_mean" else sample
    return sample[:, :-1], target[:, 1:]


class Outcome(NamedTuple):
    """What M expects to come of steps, each (...).

    progress: in this step, its mean. end: the logit of the episode being lost by it.
    later: progress in the `data.latents.LATER` steps after it, its mean.
    """

    progress: Tensor
    end: Tensor
    later: Tensor


class MDNRNN:
    """LSTM, mixture density head, and outcome head.

    Args:
        latent_dim, hidden_units, mixtures: sizes.
        rng: where the first weights come from.
        vae_digest: which VAE's latents it is fitted to, `model_files.file_digest` of its file;
            empty if that is not known, as in a memory that nobody trained.
        has_outcome: was the outcome head trained?

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
        has_outcome: bool = False,
    ) -> None:
        self.vae_digest, self.has_outcome = vae_digest, has_outcome
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
        self.head.build((None, hidden_units + latent_dim))
        self.outcome_layers = [
            keras.layers.Dense(
                units,
                activation,
                kernel_initializer=keras.initializers.GlorotUniform(seed=seed()),
                bias_initializer=keras.initializers.Constant(bias),
                dtype="float32",
            )
            for units, activation, bias in ((OUTCOME_UNITS, "relu", 0.0), (3, None, RARE))
        ]
        for layer, size in zip(
            self.outcome_layers, (hidden_units + latent_dim, OUTCOME_UNITS), strict=True
        ):
            layer.build((None, size))

    @property
    def weights(self) -> list[tf.Variable]:
        """All weights, the LSTM's first, the outcome head's last."""
        layers = [self.lstm, self.head, *self.outcome_layers]
        return [weight for layer in layers for weight in layer.trainable_variables]

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

    def require_outcome(self) -> None:
        """Raises WorldModelsError if it cannot dream, as its outcome head was not trained."""
        if not self.has_outcome:
            raise WorldModelsError(
                "memory.outcome_weight: expected more than 0, so that M learns what a dream pays, "
                "got a memory that was trained without; set it and run `dvc repro`"
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
        return self.mixture(hidden, z)

    def mixture(self, hidden: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The mixtures that follow from the hidden state after a step, (..., hidden_units), and the
        z that it was taken on, (..., latent_dim); see `predict`."""
        return self._mixture_of(self.head(tf.concat([hidden, z], axis=-1)))

    def _mixture_of(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shape = tf.concat([tf.shape(parameters)[:-1], [self.latent_dim, 3 * self.mixtures]], axis=0)
        logit, mean, log_std = tf.split(tf.reshape(parameters, shape), 3, axis=-1)
        return tf.nn.log_softmax(logit), mean, log_std

    def outcome(self, hidden: Tensor, z: Tensor) -> Outcome:
        """What comes of steps: of the hidden state after them, (..., hidden_units), and the z that
        they were taken on, (..., latent_dim)."""
        first, last = self.outcome_layers
        progress, end, later = tf.unstack(last(first(tf.concat([hidden, z], axis=-1))), axis=-1)
        return Outcome(tf.nn.softplus(progress), end, LATER_UNIT * tf.nn.softplus(later))

    def loss(
        self, batch: MemoryBatch, *, outcome_weight: float, seed: Tensor | None = None
    ) -> dict[str, Tensor]:
        """What training minimises, `loss`, and its terms, means over the steps that count.

        `nll` is the negative log likelihood of the next z, in nats a latent dimension. With an
        outcome weight there are `progress` and `later`, of Poisson distributions, and `end`, the
        cross entropy; they count so much beside it.

        Args:
            seed: (2,) int32, of the samples of own predictions; None reads z alone.
        """
        read = batch.z
        if seed is None:
            hidden = self.lstm(tf.concat([read, batch.action], axis=-1))
        else:
            hidden, read = self._unroll(read, batch.action, batch.own, seed)
        likelihood = mixture_log_likelihood(batch.target, *self.mixture(hidden, read))
        nll = -_mean(tf.reduce_mean(likelihood, axis=-1), batch.mask)
        if not outcome_weight:
            return {"loss": nll, "nll": nll}
        outcome = self.outcome(hidden, read)
        progress = _mean(_poisson(batch.progress, outcome.progress), batch.acted)
        cross_entropy = tf.nn.sigmoid_cross_entropy_with_logits(batch.ended, outcome.end)
        end = _mean(cross_entropy, batch.acted)
        in_units = batch.later_progress / LATER_UNIT, outcome.later / LATER_UNIT
        later = _mean(_poisson(*in_units), batch.acted * batch.later_known)
        loss = nll + outcome_weight * (progress + end + later)
        return {"loss": loss, "nll": nll, "progress": progress, "end": end, "later": later}

    def _unroll(
        self, z: Tensor, action: Tensor, own: Tensor, seed: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Hidden states, (batch, steps, hidden_units), and what was read, (batch, steps,
        latent_dim): z, or where `own` is 1, a sample of what was predicted there. No gradient goes
        through samples."""
        uniform = tf.random.stateless_uniform(tf.shape(z), seed)
        normal = tf.random.stateless_normal(tf.shape(z), seed + 1)

        def step(state: tuple[Tensor, ...], given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            hidden, cell, predicted, _ = state
            z, action, own, uniform, normal = given
            read = own[:, None] * predicted + (1.0 - own[:, None]) * z
            hidden, cell = self.lstm.cell(tf.concat([read, action], axis=1), [hidden, cell])[1]
            known = tf.stop_gradient(tf.concat([hidden, read], axis=1))
            parameters = tf.matmul(known, kernel) + bias
            predicted = sample_mixture(*self._mixture_of(parameters), uniform, normal)
            predicted = tf.clip_by_value(predicted, -FARTHEST, FARTHEST)
            return hidden, cell, tf.stop_gradient(predicted), read

        # Outside of the loop, for whose every step TensorFlow would else add up zeros.
        kernel, bias = tf.stop_gradient(self.head.kernel), tf.stop_gradient(self.head.bias)
        batch = tf.shape(z)[0]
        zeros = [tf.zeros((batch, size)) for size in (self.hidden_units, self.latent_dim)]
        by_time = [tf.einsum("bt...->tb...", each) for each in (z, action, own, uniform, normal)]
        states = tf.scan(step, tuple(by_time), (zeros[0], zeros[0], zeros[1], zeros[1]))
        hidden, _, _, read = (tf.einsum("tb...->bt...", each) for each in states)
        return hidden, read

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
        made_of = (self.latent_dim, self.hidden_units, self.mixtures, self.vae_digest)
        weights = [weight.numpy() for weight in self.weights]
        return _rebuilt, (*made_of, self.has_outcome, self.feature_mean, weights)

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
                "has_outcome": int(self.has_outcome),
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
        stored.require_shapes([*shapes, (latent_dim + hidden_units,)])
        model = cls(
            latent_dim,
            hidden_units,
            mixtures,
            rng=np.random.default_rng(0),
            vae_digest=vae_digest,
            has_outcome=bool(stored.whole_number("has_outcome", 0, 1)),
        )
        model.feature_mean = stored.weights.pop()
        stored.assign_to(model.weights)
        return model


def _rebuilt(
    latent_dim: int,
    hidden_units: int,
    mixtures: int,
    vae_digest: str,
    has_outcome: bool,
    feature_mean: NDArray[np.float32],
    weights: Sequence[NDArray[np.float32]],
) -> MDNRNN:
    memory = MDNRNN(
        latent_dim,
        hidden_units,
        mixtures,
        rng=np.random.default_rng(0),
        vae_digest=vae_digest,
        has_outcome=has_outcome,
    )
    memory.feature_mean = feature_mean.copy()
    for variable, weight in zip(memory.weights, weights, strict=True):
        variable.assign(weight)
    return memory


def _weight_shapes(latent_dim: int, hidden_units: int, mixtures: int) -> list[tuple[int, ...]]:
    """Shapes of `MDNRNN.weights`."""
    gates, outputs = 4 * hidden_units, 3 * mixtures * latent_dim
    lstm = [(latent_dim + ACTIONS, gates), (hidden_units, gates), (gates,)]
    head = [(hidden_units + latent_dim, outputs), (outputs,)]
    outcome = [
        (hidden_units + latent_dim, OUTCOME_UNITS),
        (OUTCOME_UNITS,),
        (OUTCOME_UNITS, 3),
        (3,),
    ]
    return [*lstm, *head, *outcome]


def _mean(values: Tensor, counts: Tensor) -> Tensor:
    """Over what counts; 0 where nothing does."""
    return tf.math.divide_no_nan(tf.reduce_sum(values * counts), tf.reduce_sum(counts))


def _poisson(number: Tensor, mean: Tensor) -> Tensor:
    """Negative log likelihood of a number, but for what no mean changes."""
    return mean - number * tf.math.log(mean + 1e-6)
