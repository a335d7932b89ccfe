"""Vision, V: a variational autoencoder that turns a frame into a few Gaussian numbers and back.

The evidence. A frame x is taken to come about in two steps: a latent z is drawn from the prior
p(z) = N(0, I), then x from p(x | z), whose mean the decoder gives. Good weights make the frames
that were seen likely, so what ought to be maximised is the evidence

    log p(x) = log integral p(x | z) p(z) dz,

an integral over all z of which all but a few explain x not at all: nobody can do it.

The posterior. The few that do explain x are those of p(z | x), which is as hard. The encoder
guesses it: q(z | x) = N(mean(x), exp(log_var(x))), independent in each dimension. For any q,

    log p(x) = E_q[log p(x | z)] - KL(q(z | x) || p(z)) + KL(q(z | x) || p(z | x)),

as Bayes' rule p(z | x) = p(x | z) p(z) / p(x) shows when it is put into the last term.

The ELBO. A KL divergence is never negative, so without its last term the right side is a lower
bound of the evidence,

    ELBO = E_q[log p(x | z)] - KL(q(z | x) || p(z)),

nearer to it the better the encoder guesses, and free of what nobody can compute. Encoder and
decoder maximise it together: `reconstruction` and `kl` are its two terms, with their signs turned.

Why squared error. Let p(x | z) = N(decode(z), s^2) for each of the n pixel values. Then

    -log p(x | z) = |x - decode(z)|^2 / (2 s^2) + (n / 2) log(2 pi s^2),

and with s^2 = 1/2, as the paper has it, that is the squared error summed over the frame, in nats,
and a constant, (n / 2) log pi, which is left out here everywhere. `beta` multiplies the KL: the
same minimum as with s^2 = beta / 2, a decoder that is asked to be less exact where beta is larger.

The KL has a closed form, since both sides are Gaussian; for each latent dimension

    KL = integral q log(q / p) dz = (mean^2 + exp(log_var) - 1 - log_var) / 2.

Free bits (`kl_tolerance`): below so many nats a dimension, summed over the dimensions, the KL is
no longer pressed. The loss then has max(KL, kl_tolerance * latent_dim) in place of the KL.

Reparameterisation. The expectation over q is taken from one draw a frame. z = mean +
exp(log_var / 2) * noise with noise ~ N(0, I) is such a draw, and a smooth function of what the
encoder says, so gradients go through it (Kingma & Welling 2013).

Read `VAE` first, then `VAE.negative_elbo`; `vae_networks` has the layers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast, get_args

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from pydantic import Field

from worldmodels.car_racing.frames import LARGEST_SIDE, SMALLEST_SIDE
from worldmodels.core.errors import WorldModelsError
from worldmodels.core.params import Params
from worldmodels.core.shapes import require_shape
from worldmodels.data.latents import MAX_LATENT_DIM
from worldmodels.models.inference import Graph, Precision
from worldmodels.models.model_files import file_digest, load_model, save_model
from worldmodels.models.vae_networks import CONVOLUTIONS, FILTERS, make_networks
from worldmodels.models.vision import vision_graph

TrainingPrecision = Literal["float32", "bfloat16"]

Tensor: TypeAlias = tf.Tensor


class VAEParams(Params):
    """The `vae` group of params.yaml.

    latent_dim: independent Gaussians a frame is turned into.
    kl_tolerance: free bits, nats a latent dimension below which the KL is not pressed.
    beta: weight of the KL against the reconstruction; 1 is the ELBO.
    learning_rate: Adam's at the start; it falls to zero along a cosine.
    batch_size: frames a training step.
    epochs: passes over the training frames, at most; 0 keeps V as the round before left it.
    patience: epochs without a better validation loss after which training ends; null for never.
    precision: what the encoder computes in once V is trained, wherever it is used; see `VAE`.
    training_precision: what convolutions compute in while V is trained, where the processor has
        it; float32 where it has not.
    augmentation: share of the training frames that V sees disturbed, and reconstructs undisturbed;
        0 for none. See `training.augmentation`.
    """

    latent_dim: int = Field(ge=1, le=1024)
    kl_tolerance: float = Field(ge=0, le=1000)
    beta: float = Field(ge=0, le=1000)
    learning_rate: float = Field(ge=1e-9, le=1)
    batch_size: int = Field(ge=1, le=4096)
    epochs: int = Field(ge=0, le=100_000)
    patience: int | None = Field(ge=1, le=100_000)
    precision: Precision
    training_precision: TrainingPrecision
    augmentation: float = Field(ge=0, le=1)


def kl_divergence(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mean, exp(log_var)) || N(0, 1)) in nats, element by element."""
    return 0.5 * (tf.square(mean) + tf.exp(log_var) - 1.0 - log_var)


class VAE:
    """Encoder and decoder.

    Args:
        image_shape: height and width of a frame, 32 to 96 each.
        latent_dim: numbers a frame is turned into.
        precision: what the encoder computes in, but for training. bfloat16 takes a processor that
            has it, int8 takes ranges that `vision.calibrate` finds. z is float32 either way.
        rng: where the first weights come from.
    """

    KIND = "vae"
    digest: str  # `model_files.file_digest` of the file it was loaded from, empty if it was not

    def __init__(
        self,
        image_shape: tuple[int, int],
        latent_dim: int,
        *,
        precision: Precision = "float32",
        rng: np.random.Generator,
    ) -> None:
        self.image_shape = (int(image_shape[0]), int(image_shape[1]))
        if not all(SMALLEST_SIDE <= side <= LARGEST_SIDE for side in self.image_shape):
            raise WorldModelsError(
                f"image_shape: expected sides from {SMALLEST_SIDE} to {LARGEST_SIDE} pixels, "
                f"got {self.image_shape}"
            )
        self.latent_dim = int(latent_dim)
        self.precision = precision
        self.ranges: list[float] = []  # of int8: the largest value of what each convolution reads
        self.digest = ""
        self.encoder, self.decoder = make_networks(self.image_shape, self.latent_dim, rng)
        self._graph: Graph | None = None
        self._made_of: list[NDArray[Any]] = []  # what it was made of

    @property
    def weights(self) -> list[tf.Variable]:
        """All weights, the encoder's first."""
        return self.encoder.trainable_variables + self.decoder.trainable_variables

    def require_image_shape(self, image_shape: tuple[int, int]) -> None:
        """Raises WorldModelsError if the model was made for frames of another shape."""
        if self.image_shape != tuple(image_shape):
            raise WorldModelsError(
                f"VAE: expected one for frames of {tuple(image_shape)}, as env.image_shape says, "
                f"got one for {self.image_shape}; `dvc repro` makes it anew"
            )

    def posterior(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 frames (batch, height, width, 3) to mean and log variance (batch, latent_dim), in
        float32, as V is trained."""
        mean, log_var = tf.split(self.encoder(_pixels(frames)), 2, axis=1)
        return mean, log_var

    @contextmanager
    def computing_in(self, precision: TrainingPrecision) -> Iterator[None]:
        """What is traced within convolves in this precision: mixed precision training, in which
        weights, mean, log variance and pixels stay float32 (Kalamkar et al. 2019).
        """
        layers = [
            layer
            for layer in (*self.encoder.layers, *self.decoder.layers)
            if isinstance(layer, CONVOLUTIONS)
        ]
        for layer in layers:
            layer.dtype_policy = "mixed_bfloat16" if precision == "bfloat16" else "float32"
        try:
            yield
        finally:
            for layer in layers:
                layer.dtype_policy = "float32"

    def negative_elbo(
        self,
        frames: Tensor,
        noise: Tensor,
        *,
        kl_tolerance: float,
        beta: float,
        seen: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The loss and its terms, means over the batch; the module's text says where from.

        Args:
            frames: (batch, height, width, 3) uint8.
            noise: (batch, latent_dim), standard normal.
            kl_tolerance: free bits, nats a latent dimension.
            beta: weight of the KL.
            seen: what is encoded, to reconstruct `frames` from, of the same shape; `frames`
                themselves, if None. An autoencoder that denoises (Vincent et al. 2008).

        Returns:
            `loss`, to be minimised: reconstruction + beta * free_kl.
            `reconstruction`: nats a frame, the squared error summed over it.
            `mse`: the squared error of a pixel value from 0 to 1, the mean of a frame's.
            `kl`: nats a frame. `free_kl`: with free bits, the mean over the batch of max(kl,
            kl_tolerance * latent_dim), as in the paper's code.
            `elbo`: -(reconstruction + kl), nats a frame.
        """
        mean, log_var = self.posterior(frames if seen is None else seen)
        z = mean + tf.exp(0.5 * log_var) * noise  # (batch, latent_dim)
        pixels = _pixels(frames)
        error = tf.reduce_sum(tf.square(pixels - self.decoder(z)), axis=(1, 2, 3))  # (batch,)
        kl = tf.reduce_sum(kl_divergence(mean, log_var), axis=1)  # (batch,)
        free_kl = tf.maximum(kl, kl_tolerance * self.latent_dim)
        return {
            "loss": tf.reduce_mean(error + beta * free_kl),
            "reconstruction": tf.reduce_mean(error),
            "mse": tf.reduce_mean(error) / math.prod(pixels.shape[1:]),
            "kl": tf.reduce_mean(kl),
            "free_kl": tf.reduce_mean(free_kl),
            "elbo": -tf.reduce_mean(error + kl),
        }

    def encode(self, frames: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Frames to mean and log variance, in V's precision.

        Args:
            frames: (batch, height, width, 3) uint8, preprocessed.

        Returns:
            mean and log variance, each (batch, latent_dim) float32.

        Raises:
            WorldModelsError: the frames have another shape or type, or int8 is not calibrated.
        """
        require_shape("frames", frames, ("batch", *self.image_shape, 3), np.uint8)
        made_of = [weight.numpy() for weight in self.encoder.trainable_variables]
        made_of += [np.array(self.ranges), np.array(self.precision)]
        if self._graph is None or not all(map(np.array_equal, made_of, self._made_of)):
            self._graph = vision_graph(self)
            self._made_of = made_of
        mean, log_var = self._graph(frames)
        return mean, log_var

    def decode(self, z: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Latents (batch, latent_dim) to frames (batch, height, width, 3) uint8.

        Raises:
            WorldModelsError: the latents have another shape.
        """
        require_shape("z", z, ("batch", self.latent_dim))
        pixels = self.decoder(tf.convert_to_tensor(z, tf.float32)).numpy()
        return np.rint(pixels * 255.0).astype(np.uint8)

    def reconstruct(
        self, frames: NDArray[np.uint8], *, rng: np.random.Generator
    ) -> NDArray[np.uint8]:
        """Encode, sample z, decode; shapes as in `encode`."""
        mean, log_var = self.encode(frames)
        noise = rng.standard_normal(mean.shape, dtype=np.float32)
        return self.decode(mean + np.exp(0.5 * log_var) * noise)

    def generate(self, count: int, *, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Decode `count` draws from the prior N(0, I); (count, height, width, 3) uint8.

        Raises:
            WorldModelsError: none are asked for.
        """
        if count < 1:
            raise WorldModelsError(f"count: expected 1 or more, got {count}")
        return self.decode(rng.standard_normal((count, self.latent_dim), dtype=np.float32))

    def interpolate(
        self, start: NDArray[np.uint8], end: NDArray[np.uint8], steps: int
    ) -> NDArray[np.uint8]:
        """Decode the straight line between the means of two frames.

        Args:
            start, end: (height, width, 3) uint8, preprocessed.
            steps: frames to return, both ends included.

        Returns:
            (steps, height, width, 3) uint8.

        Raises:
            WorldModelsError: the frames have another shape or type, or no steps are asked for.
        """
        for name, frame in (("start", start), ("end", end)):
            require_shape(name, frame, (*self.image_shape, 3), np.uint8)
        if steps < 1:
            raise WorldModelsError(f"steps: expected 1 or more, got {steps}")
        (first, last), _ = self.encode(np.stack([start, end]))
        share = np.linspace(0.0, 1.0, steps, dtype=np.float32)[:, None]
        return self.decode((1.0 - share) * first + share * last)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickled and copied as what it is rebuilt from; Keras' own models cannot be."""
        weights = [weight.numpy() for weight in self.weights]
        settings = (self.image_shape, self.latent_dim, self.precision, self.ranges, self.digest)
        return _rebuilt, (*settings, weights)

    def save(self, path: str | Path) -> None:
        """Write weights and what is needed to rebuild the model; see `model_files`."""
        save_model(
            path,
            self.KIND,
            {
                "image_shape": list(self.image_shape),
                "latent_dim": self.latent_dim,
                "precision": self.precision,
                "ranges": self.ranges,
            },
            [weight.numpy() for weight in self.weights],
        )

    @classmethod
    def load(cls, path: str | Path) -> VAE:
        """The model that `save` wrote.

        Raises:
            ModelFileError: no such file, another kind of file, or weights of another architecture.
        """
        stored = load_model(path, cls.KIND)
        height, width = stored.whole_numbers("image_shape", 2, SMALLEST_SIDE, LARGEST_SIDE)
        latent_dim = stored.whole_number("latent_dim", 1, MAX_LATENT_DIM)
        precision = cast(Precision, stored.one_of("precision", get_args(Precision)))
        ranges = stored.positive_numbers("ranges", len(FILTERS)) if precision == "int8" else []
        rng = np.random.default_rng(0)
        model = cls((height, width), latent_dim, precision=precision, rng=rng)
        stored.assign_to(model.weights)
        model.ranges = ranges
        model.digest = file_digest(path)
        return model


def _rebuilt(
    image_shape: tuple[int, int],
    latent_dim: int,
    precision: Precision,
    ranges: list[float],
    digest: str,
    weights: Sequence[NDArray[np.float32]],
) -> VAE:
    vae = VAE(image_shape, latent_dim, precision=precision, rng=np.random.default_rng(0))
    vae.ranges, vae.digest = list(ranges), digest
    for variable, weight in zip(vae.weights, weights, strict=True):
        variable.assign(weight)
    return vae


def _pixels(frames: Tensor) -> Tensor:
    """uint8 frames as the networks see them, float32 from 0 to 1."""
    return tf.cast(frames, tf.float32) / 255.0
