"""Vision: its loss against formulas written out, its shapes, and its training."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import h5py
import numpy as np
import pytest
import tensorflow as tf
from conftest import MakeOutcome, PluggedOut, WriteEpisodes
from numpy.typing import NDArray
from params_files import replaced
from project import FIRST, SECOND

from worldmodels.car_racing.telemetry import COLUMNS
from worldmodels.core.checkpoint import Checkpoint
from worldmodels.core.errors import WorldModelsError
from worldmodels.data.episodes import EpisodeFiles, EpisodeWriter, read_episodes, split_episodes
from worldmodels.data.frame_batches import FrameBatches
from worldmodels.data.hdf5_files import seal
from worldmodels.models.determinism import make_deterministic
from worldmodels.models.keras_on_tensorflow import keras
from worldmodels.models.model_files import FORMAT, ModelFileError
from worldmodels.models.openvino_graph import has_openvino
from worldmodels.models.vae import VAE, Precision, TrainingPrecision, VAEParams, kl_divergence
from worldmodels.models.vision import calibrate
from worldmodels.training import vae_training
from worldmodels.training.loop import Row, best_epoch
from worldmodels.training.vae_training import fit_vae, training_step

SHAPES = [(32, 32), (32, 96), (61, 47), (33, 64), (60, 80), (96, 96)]


@pytest.fixture
def frames() -> NDArray[np.uint8]:
    """Five frames from black to white, with some texture."""
    rng = np.random.default_rng(0)
    texture = rng.integers(-20, 20, (5, 32, 32, 3))
    brightness = np.linspace(0, 255, 5)[:, None, None, None]
    return np.clip(brightness + texture, 0, 255).astype(np.uint8)


def set_posterior(vae: VAE, *, mean: float, log_var: float, scale: float = 0.0) -> None:
    """Give every frame this posterior; `scale` keeps a share of what the encoder says of it."""
    kernel, bias = vae.encoder.weights[-2:]
    kernel.assign(scale * kernel)
    bias.assign([mean] * vae.latent_dim + [log_var] * vae.latent_dim)


def set_pixels(vae: VAE, logit: float) -> None:
    """Let every pixel that is decoded be the sigmoid of `logit`."""
    kernel, bias = vae.decoder.weights[-2:]
    kernel.assign(tf.zeros_like(kernel))
    bias.assign(tf.fill(bias.shape, logit))


def computes_bfloat16() -> bool:
    """Is it more than a wish here? Once V has computed: so OpenVINO is imported as it should be."""
    if not has_openvino():
        return False
    from openvino import Core

    return "BF16" in Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def terms(
    vae: VAE,
    frames: NDArray[np.uint8],
    noise: NDArray[np.float32],
    *,
    kl_tolerance: float = 0.0,
    beta: float = 1.0,
) -> dict[str, float]:
    found = vae.negative_elbo(
        tf.constant(frames), tf.constant(noise), kl_tolerance=kl_tolerance, beta=beta
    )
    return {name: float(value) for name, value in found.items()}


def divergence_of_each(vae: VAE, frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    """KL of each frame, (batch,)."""
    mean, log_var = (part.astype(np.float64) for part in vae.encode(frames))
    return 0.5 * (mean**2 + np.exp(log_var) - 1 - log_var).sum(axis=1)


@pytest.mark.parametrize("mean", [-2.0, 0.0, 0.5])
@pytest.mark.parametrize("log_var", [-4.0, 0.0, 1.5])
def test_the_kl_is_the_integral_that_it_stands_for(mean: float, log_var: float) -> None:
    std = np.exp(log_var / 2)
    z = np.linspace(mean - 12 * std, mean + 12 * std, 20_001)
    log_q = -0.5 * ((z - mean) / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi)
    log_p = -0.5 * z**2 - 0.5 * np.log(2 * np.pi)
    integral = np.trapezoid(np.exp(log_q) * (log_q - log_p), z)
    closed = kl_divergence(tf.constant(mean, tf.float64), tf.constant(log_var, tf.float64))
    assert float(closed) == pytest.approx(integral, abs=1e-6)


def test_without_free_bits_the_loss_is_error_plus_kl_counted_once(
    tiny_vae: VAE, frames: NDArray[np.uint8]
) -> None:
    set_posterior(tiny_vae, mean=1.5, log_var=-1.0, scale=1.0)
    noise = np.random.default_rng(1).standard_normal((5, 4), dtype=np.float32)
    got = terms(tiny_vae, frames, noise)
    kl = divergence_of_each(tiny_vae, frames).mean()
    assert kl > 4
    assert got["kl"] == pytest.approx(kl, rel=1e-5)
    assert got["free_kl"] == got["kl"]
    assert got["loss"] - got["reconstruction"] == pytest.approx(kl, rel=1e-4)
    assert got["elbo"] == pytest.approx(-got["loss"])


@pytest.mark.parametrize("beta", [0.0, 0.25, 4.0])
def test_beta_weighs_the_kl_in_the_loss_and_nowhere_else(
    tiny_vae: VAE, frames: NDArray[np.uint8], beta: float
) -> None:
    set_posterior(tiny_vae, mean=0.0, log_var=0.0, scale=6.0)
    noise = np.random.default_rng(1).standard_normal((5, 4), dtype=np.float32)
    tolerance = float(np.median(divergence_of_each(tiny_vae, frames))) / tiny_vae.latent_dim
    plain = terms(tiny_vae, frames, noise, kl_tolerance=tolerance)
    got = terms(tiny_vae, frames, noise, kl_tolerance=tolerance, beta=beta)
    expected = plain["reconstruction"] + beta * plain["free_kl"]
    assert got.pop("loss") == pytest.approx(expected, rel=1e-6)
    assert plain.pop("loss") != got
    assert got == plain


def test_the_reconstruction_is_the_gaussian_log_likelihood_up_to_its_constant(
    tiny_vae: VAE, frames: NDArray[np.uint8]
) -> None:
    """Of N(decode(z), 1/2) for each pixel value; the ELBO's other term is the KL."""
    noise = np.random.default_rng(1).standard_normal((5, 4), dtype=np.float32)
    mean, log_var = tiny_vae.encode(frames)
    decoded = tiny_vae.decoder(tf.constant(mean + np.exp(log_var / 2) * noise)).numpy()
    x, std = frames / 255.0, np.sqrt(0.5)
    log_normal = -0.5 * ((x - decoded) / std) ** 2 - np.log(std * np.sqrt(2 * np.pi))
    values = 32 * 32 * 3
    nats = -log_normal.sum(axis=(1, 2, 3)).mean() - values / 2 * np.log(np.pi)
    got = terms(tiny_vae, frames, noise)
    assert got["reconstruction"] == pytest.approx(nats, rel=1e-5)
    assert got["mse"] == pytest.approx(np.square(x - decoded).mean(), rel=1e-5)
    assert got["elbo"] == pytest.approx(-nats - divergence_of_each(tiny_vae, frames).mean())


def test_free_bits_are_the_mean_of_each_frame_s_larger_one(
    tiny_vae: VAE, frames: NDArray[np.uint8]
) -> None:
    """Not the larger of the means, and not a floor for each latent dimension."""
    set_posterior(tiny_vae, mean=0.0, log_var=0.0, scale=6.0)
    kl = divergence_of_each(tiny_vae, frames)
    floor = float(np.median(kl))
    assert kl.min() < 0.7 * floor < 1.4 * floor < kl.max()
    noise = np.zeros((5, 4), np.float32)
    got = terms(tiny_vae, frames, noise, kl_tolerance=floor / tiny_vae.latent_dim)
    free_kl = np.maximum(kl, floor).mean()
    assert got["loss"] - got["reconstruction"] == pytest.approx(free_kl, rel=1e-3)
    assert got["free_kl"] == pytest.approx(free_kl, rel=1e-4)
    assert got["kl"] == pytest.approx(kl.mean(), rel=1e-4)


def test_free_bits_take_the_pressure_off_a_small_kl(
    tiny_vae: VAE, frames: NDArray[np.uint8]
) -> None:
    set_pixels(tiny_vae, 0.0)  # the error no longer depends on z: what gradient is left is the KL's
    noise = np.zeros((5, 4), np.float32)

    def pressure(kl_tolerance: float) -> float:
        with tf.GradientTape() as tape:
            found = tiny_vae.negative_elbo(
                tf.constant(frames), tf.constant(noise), kl_tolerance=kl_tolerance, beta=1.0
            )
        gradients = tape.gradient(found["loss"], tiny_vae.encoder.trainable_variables)
        return max(float(tf.reduce_max(tf.abs(gradient))) for gradient in gradients)

    tolerance = float(divergence_of_each(tiny_vae, frames).max()) / tiny_vae.latent_dim
    assert pressure(0.0) > 0
    assert pressure(1.01 * tolerance) == 0


@pytest.mark.parametrize("log_var", [-3.0, 0.0, 2.0])
def test_the_standard_deviation_is_exp_of_half_the_log_variance(
    tiny_vae: VAE, frames: NDArray[np.uint8], log_var: float
) -> None:
    set_posterior(tiny_vae, mean=0.25, log_var=log_var)
    noise = np.random.default_rng(2).standard_normal((5, 4), dtype=np.float32)
    z = 0.25 + np.exp(log_var / 2) * noise
    pixels = tiny_vae.decoder(tf.constant(z, tf.float32)).numpy()
    error = ((frames / 255.0 - pixels) ** 2).sum(axis=(1, 2, 3)).mean()
    got = terms(tiny_vae, frames, noise)
    assert got["reconstruction"] == pytest.approx(error, rel=1e-5)

    drawn = np.random.default_rng(3).standard_normal((5, 4), dtype=np.float32)
    expected = tiny_vae.decode((0.25 + np.exp(log_var / 2) * drawn).astype(np.float32))
    reconstructed = tiny_vae.reconstruct(frames, rng=np.random.default_rng(3))
    assert np.abs(reconstructed.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(("value", "logit"), [(255, -100.0), (0, 100.0)])
def test_the_error_does_not_wrap_around_in_uint8(tiny_vae: VAE, value: int, logit: float) -> None:
    set_pixels(tiny_vae, logit)
    frames = np.full((2, 32, 32, 3), value, np.uint8)
    got = terms(tiny_vae, frames, np.zeros((2, 4), np.float32))
    assert got["reconstruction"] == pytest.approx(32 * 32 * 3)


@pytest.mark.parametrize(("logit", "value"), [(-100.0, 0), (0.0, 128), (100.0, 255)])
def test_decoded_pixels_go_from_0_to_255_and_never_wrap(
    tiny_vae: VAE, logit: float, value: int
) -> None:
    set_pixels(tiny_vae, logit)
    assert (tiny_vae.decode(np.zeros((1, 4), np.float32)) == value).all()


def test_the_encoder_is_given_pixels_from_0_to_1(tiny_vae: VAE, frames: NDArray[np.uint8]) -> None:
    expected = tiny_vae.encoder(tf.constant(frames / 255.0, tf.float32)).numpy()
    mean, log_var = tiny_vae.encode(frames)
    assert np.allclose(np.concatenate([mean, log_var], axis=1), expected, atol=1e-6)
    assert not np.allclose(mean[0], mean[-1], atol=1e-3)


@pytest.mark.parametrize("image_shape", SHAPES)
def test_every_image_shape_keeps_its_shapes_and_types(image_shape: tuple[int, int]) -> None:
    vae = VAE(image_shape, 3, rng=np.random.default_rng(0))
    seen = np.random.default_rng(1).integers(0, 256, (2, *image_shape, 3), dtype=np.uint8)
    for part in vae.encode(seen):
        assert part.shape == (2, 3)
        assert part.dtype == np.float32
        assert np.isfinite(part).all()
    rng = np.random.default_rng(2)
    for pictures, count in (
        (vae.decode(np.zeros((4, 3), np.float32)), 4),
        (vae.reconstruct(seen, rng=rng), 2),
        (vae.generate(3, rng=rng), 3),
        (vae.interpolate(seen[0], seen[1], 5), 5),
    ):
        assert pictures.shape == (count, *image_shape, 3)
        assert pictures.dtype == np.uint8


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_precision_is_what_the_trained_encoder_computes_in_and_nothing_else(
    precision: Precision, tiny_vae: VAE, frames: NDArray[np.uint8]
) -> None:
    vae = VAE((32, 32), 4, precision=precision, rng=np.random.default_rng(0))
    for ours, theirs in zip(vae.weights, tiny_vae.weights, strict=True):
        assert ours.dtype == "float32"
        ours.assign(theirs)
    calibrate(vae, frames)
    for got, expected in zip(vae.encode(frames), tiny_vae.encode(frames), strict=True):
        assert got.dtype == np.float32
        assert got == pytest.approx(expected, abs=0.02)
        if precision == "int8" or computes_bfloat16():
            assert not np.array_equal(got, expected)
    for got, expected in zip(vae.posterior(frames), tiny_vae.posterior(frames), strict=True):
        assert np.array_equal(got.numpy(), expected.numpy())
    noise = np.random.default_rng(1).standard_normal((5, 4), dtype=np.float32)
    assert terms(vae, frames, noise) == terms(tiny_vae, frames, noise)  # as it is trained
    assert np.array_equal(vae.decode(noise), tiny_vae.decode(noise))


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_precision_is_stored_with_the_weights(
    precision: Precision, frames: NDArray[np.uint8], tmp_path: Path
) -> None:
    vae = VAE((32, 32), 4, precision=precision, rng=np.random.default_rng(0))
    calibrate(vae, frames)
    vae.save(tmp_path / "vae.h5")
    assert VAE.load(tmp_path / "vae.h5").precision == precision


def test_another_precision_in_a_file_is_refused(tiny_vae: VAE, tmp_path: Path) -> None:
    path = tmp_path / "vae.h5"
    tiny_vae.save(path)
    with h5py.File(path, "a") as file:
        file.attrs["settings"] = file.attrs["settings"].replace("float32", "float8")
    seal(path, FORMAT)
    with pytest.raises(
        ModelFileError, match=r"precision: expected one of float32, bfloat16, int8, got "
    ):
        VAE.load(path)


def test_interpolation_goes_from_one_mean_to_the_other(
    tiny_vae: VAE, frames: NDArray[np.uint8]
) -> None:
    set_posterior(tiny_vae, mean=0.0, log_var=0.0, scale=20.0)
    (first, last), _ = tiny_vae.encode(frames[[0, -1]])
    way = tiny_vae.interpolate(frames[0], frames[-1], 3)
    expected = tiny_vae.decode(np.stack([first, (first + last) / 2, last]))
    assert np.abs(way.astype(int) - expected).max() <= 1
    assert not np.array_equal(way[0], way[-1])


def test_first_weights_and_draws_are_the_generator_s() -> None:
    def build(seed: int) -> VAE:
        return VAE((32, 32), 4, rng=np.random.default_rng(seed))

    one, two, other = build(0), build(0), build(1)
    for weight, same in zip(one.weights, two.weights, strict=True):
        assert np.array_equal(weight.numpy(), same.numpy())
    assert not np.array_equal(one.weights[0].numpy(), other.weights[0].numpy())
    assert np.array_equal(
        one.generate(2, rng=np.random.default_rng(0)), two.generate(2, rng=np.random.default_rng(0))
    )


@pytest.mark.parametrize("image_shape", [(31, 80), (60, 97)])
def test_other_image_shapes_are_refused(image_shape: tuple[int, int]) -> None:
    with pytest.raises(WorldModelsError, match=rf"32 to 96 pixels, got \({image_shape[0]}, "):
        VAE(image_shape, 4, rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("wrong", "got"),
    [
        (np.zeros((2, 32, 33, 3), np.uint8), r"\(2, 32, 33, 3\) uint8"),
        (np.zeros((32, 32, 3), np.uint8), r"\(32, 32, 3\) uint8"),
        (np.zeros((2, 32, 32, 3), np.float32), r"\(2, 32, 32, 3\) float32"),
    ],
)
def test_frames_of_another_shape_or_type_are_refused(
    tiny_vae: VAE, wrong: NDArray[np.uint8], got: str
) -> None:
    with pytest.raises(WorldModelsError, match=rf"expected \(batch, 32, 32, 3\) uint8, got {got}"):
        tiny_vae.encode(wrong)


def test_a_vae_for_other_frames_than_params_is_refused(tiny_vae: VAE) -> None:
    tiny_vae.require_image_shape((32, 32))
    with pytest.raises(WorldModelsError, match=r"\(60, 80\).*got one for \(32, 32\).*dvc repro"):
        tiny_vae.require_image_shape((60, 80))


@pytest.fixture(scope="module")
def batches(
    tmp_path_factory: pytest.TempPathFactory, write_episodes: WriteEpisodes
) -> tuple[FrameBatches, FrameBatches]:
    """To train on and to validate on."""
    make_deterministic(0)
    folder = tmp_path_factory.mktemp("episodes")
    write_episodes(folder, [50, 30, 16])
    files = EpisodeFiles(folder)
    return (
        FrameBatches(files, [0, 1], batch_size=16, seed=0),
        FrameBatches(files, [2], batch_size=16, seed=0),
    )


def params(epochs: int) -> VAEParams:
    return VAEParams(
        latent_dim=4,
        kl_tolerance=0.5,
        beta=1.0,
        learning_rate=0.002,
        batch_size=16,
        epochs=epochs,
        patience=None,
        precision="float32",
        training_precision="bfloat16",
        augmentation=0,
    )


def train(
    batches: tuple[FrameBatches, FrameBatches], checkpoint: Checkpoint | None = None
) -> tuple[VAE, list[Row]]:
    vae = VAE((32, 32), 4, rng=np.random.default_rng(0))
    return vae, list(fit_vae(vae, params(3), *batches, seed=0, checkpoint=checkpoint))


@pytest.fixture(scope="module")
def trained(batches: tuple[FrameBatches, FrameBatches]) -> tuple[VAE, list[Row]]:
    return train(batches)


def test_training_lowers_the_loss(trained: tuple[VAE, list[Row]]) -> None:
    _, rows = trained
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[-1]["loss"] < 0.7 * rows[0]["loss"]
    assert rows[-1]["val_loss"] < 0.7 * rows[0]["val_loss"]
    for row in rows:  # the rows' means obey the loss's formula too
        assert row["loss"] == pytest.approx(row["reconstruction"] + row["free_kl"], rel=1e-5)
        assert row["free_kl"] >= max(row["kl"], 0.5 * 4) - 1e-2
        assert row["val_elbo"] == pytest.approx(
            -row["val_reconstruction"] - row["val_kl"], rel=1e-5
        )


def test_in_bfloat16_training_convolves_and_does_nothing_else(
    batches: tuple[FrameBatches, FrameBatches],
) -> None:
    frames = next(iter(batches[0].epoch(0)))
    noise = np.random.default_rng(0).standard_normal((len(frames), 4), dtype=np.float32)
    losses, moved = {}, {}
    for precision in get_args(TrainingPrecision):
        vae = VAE((32, 32), 4, rng=np.random.default_rng(0))
        optimizer = keras.optimizers.SGD(0.001)
        step = training_step(vae, optimizer, kl_tolerance=0.5, beta=1.0, precision=precision)
        before = vae.posterior(frames)
        first = [weight.numpy() for weight in vae.weights]
        losses[precision] = step(frames, noise)["loss"].numpy()
        moved[precision] = [
            weight.numpy() - was for weight, was in zip(vae.weights, first, strict=True)
        ]
        assert {weight.dtype for weight in vae.weights} == {"float32"}
        for weight, was in zip(vae.weights, first, strict=True):
            weight.assign(was)
        for part, same in zip(vae.posterior(frames), before, strict=True):  # as it is used
            assert np.array_equal(part, same)
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.005)
    for step_, same in zip(moved["bfloat16"], moved["float32"], strict=True):
        assert np.linalg.norm(step_ - same) < 0.15 * np.linalg.norm(same)


def test_without_bfloat16_on_the_processor_training_is_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for has, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(vae_training, "has_bfloat16", lambda has=has: has)
        assert vae_training.training_precision(params(1)) == expected


def test_training_twice_from_a_seed_gives_the_same_bits(
    batches: tuple[FrameBatches, FrameBatches], trained: tuple[VAE, list[Row]]
) -> None:
    vae, rows = trained
    again, rows_again = train(batches)
    assert rows == rows_again
    for weight, same in zip(vae.weights, again.weights, strict=True):
        assert weight.numpy().tobytes() == same.numpy().tobytes()


@pytest.mark.parametrize("saves", [1, 5, 6, 7, 17])  # of five steps and a save in each epoch
def test_going_on_gives_the_same_bits_as_never_having_stopped(
    saves: int,
    batches: tuple[FrameBatches, FrameBatches],
    trained: tuple[VAE, list[Row]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert batches[0].steps == 5
    with pytest.raises(KeyboardInterrupt):
        train(batches, PluggedOut(tmp_path, saves))
    vae, rows = train(batches, Checkpoint("train_vae", tmp_path))
    epochs, step = (saves // 6, saves % 6)
    assert f"going on after epoch {epochs}, step {step} of the next" in capsys.readouterr().out
    assert rows == trained[1]
    for weight, same in zip(vae.weights, trained[0].weights, strict=True):
        assert weight.numpy().tobytes() == same.numpy().tobytes()


def test_a_finished_training_is_not_trained_again(
    batches: tuple[FrameBatches, FrameBatches],
    trained: tuple[VAE, list[Row]],
    tmp_path: Path,
) -> None:
    train(batches, Checkpoint("train_vae", tmp_path))
    vae = Spy()
    rows = list(fit_vae(vae, params(3), *batches, seed=0, checkpoint=Checkpoint("v", tmp_path)))
    assert (rows, vae.noise) == (trained[1], [])
    for weight, same in zip(vae.weights, trained[0].weights, strict=True):
        assert weight.numpy().tobytes() == same.numpy().tobytes()


def test_a_damaged_checkpoint_is_said_to_be_and_left(
    batches: tuple[FrameBatches, FrameBatches],
    trained: tuple[VAE, list[Row]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(batches, PluggedOut(tmp_path, 7))
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    _, rows = train(batches, Checkpoint("train_vae", tmp_path))
    said = capsys.readouterr().out
    assert "train_vae: starting anew, its checkpoint is damaged" in said
    assert rows == trained[1]


class Spy(VAE):
    """Keeps the noise that it is trained with."""

    def __init__(self) -> None:
        super().__init__((32, 32), 4, rng=np.random.default_rng(0))
        self.noise: list[NDArray[np.float32]] = []

    def negative_elbo(
        self, frames: tf.Tensor, noise: tf.Tensor, **weights: Any
    ) -> dict[str, tf.Tensor]:
        self.noise.append(noise.numpy())
        return super().negative_elbo(frames, noise, **weights)


class Worsening(VAE):
    """Has these validation losses, one an epoch (of one step to train, one to validate), and
    keeps its first weight as it was when each epoch was validated."""

    def __init__(self, *val_losses: float) -> None:
        super().__init__((32, 32), 4, rng=np.random.default_rng(0))
        self._val_losses = list(val_losses)
        self.validated: list[NDArray[np.float32]] = []
        self._steps = 0

    def negative_elbo(
        self, frames: tf.Tensor, noise: tf.Tensor, **weights: Any
    ) -> dict[str, tf.Tensor]:
        found = super().negative_elbo(frames, noise, **weights)
        self._steps += 1
        if self._steps % 2 == 0:
            found["loss"] = tf.constant(self._val_losses[len(self.validated)], tf.float32)
            self.validated.append(self.weights[0].numpy())
        return found


@pytest.mark.parametrize(
    ("losses", "patience", "epochs", "best"),
    [
        ([5.0, 3.0, 4.0, 2.0], None, 4, 4),
        ([5.0, 3.0, 4.0, 3.0], None, 4, 2),  # the first of equals
        ([5.0, 3.0, 4.0, 2.0], 1, 3, 2),
        ([5.0, 3.0, 4.0, 4.0, 1.0], 2, 4, 2),
        ([5.0, 6.0, 4.0, 4.0, 4.0], 2, 5, 3),
    ],
)
def test_training_ends_without_progress_and_keeps_the_best_weights(
    batches: tuple[FrameBatches, FrameBatches],
    eager: None,
    losses: list[float],
    patience: int | None,
    epochs: int,
    best: int,
) -> None:
    _, small = batches
    vae = Worsening(*losses)
    given = replaced(params(len(losses)), patience=patience)
    rows = list(fit_vae(vae, given, small, small, seed=0))
    assert [row["epoch"] for row in rows] == list(range(1, epochs + 1))
    assert best_epoch(rows) == best
    assert np.array_equal(vae.weights[0].numpy(), vae.validated[best - 1])
    others = [one for epoch, one in enumerate(vae.validated, 1) if epoch != best]
    assert not any(np.array_equal(vae.weights[0].numpy(), other) for other in others)


def test_the_best_weights_outlive_an_interruption(
    batches: tuple[FrameBatches, FrameBatches], eager: None, tmp_path: Path
) -> None:
    _, small = batches  # two saves an epoch
    given = replaced(params(4), patience=None)
    whole = Worsening(5.0, 3.0, 4.0, 6.0)
    rows = list(fit_vae(whole, given, small, small, seed=0))
    cut = Worsening(5.0, 3.0, 4.0, 6.0)
    with pytest.raises(KeyboardInterrupt):
        list(fit_vae(cut, given, small, small, seed=0, checkpoint=PluggedOut(tmp_path, 6)))
    going_on = Worsening(6.0)
    checkpoint = Checkpoint("train_vae", tmp_path)
    rows_again = list(fit_vae(going_on, given, small, small, seed=0, checkpoint=checkpoint))
    assert [row["val_loss"] for row in rows_again] == [row["val_loss"] for row in rows]
    assert np.array_equal(going_on.weights[0].numpy(), whole.validated[1])


def test_noise_is_standard_normal_and_new_in_every_step_but_the_validation_s(
    batches: tuple[FrameBatches, FrameBatches], eager: None
) -> None:
    _, small = batches  # one step to train, one to validate

    def noise(seed: int) -> list[NDArray[np.float32]]:
        spy = Spy()
        list(fit_vae(spy, params(2), small, small, seed=seed))
        return spy.noise

    trained, validated, trained_next, validated_next = noise(0)
    assert np.array_equal(validated, validated_next)
    different = [trained, trained_next, validated, noise(1)[0]]
    for index, one in enumerate(different):
        assert not any(np.array_equal(one, other) for other in different[:index])
    values = np.concatenate(different)
    assert values.mean() == pytest.approx(0, abs=0.25)
    assert values.std() == pytest.approx(1, abs=0.2)


def test_a_loss_that_is_no_number_names_the_learning_rate(
    batches: tuple[FrameBatches, FrameBatches], eager: None
) -> None:
    _, small = batches
    vae = VAE((32, 32), 4, rng=np.random.default_rng(0))
    set_posterior(vae, mean=float("nan"), log_var=0.0)
    with pytest.raises(
        WorldModelsError, match=r"step 1 of epoch 1: .*lower .*vae.learning_rate .*0.002"
    ):
        list(fit_vae(vae, params(1), small, small, seed=0))


STAGE_PARAMS = """\
base: {seed: 0, validation_share: 0.3}
env: {image_shape: [32, 32]}
compute: {threads: 2}
vae:
  {latent_dim: 4, kl_tolerance: 0.5, beta: 1.0, learning_rate: 0.002, batch_size: 16, epochs: 2,
   patience: null, precision: float32, training_precision: float32, augmentation: 0}
rounds:
  first: {after: none, vae: {}}
  second: {after: first, vae: {learning_rate: %s, epochs: %d}}
"""


@pytest.fixture
def stage(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write_episodes: WriteEpisodes,
    make_outcome: MakeOutcome,
) -> ModuleType:
    """The stage, in a folder with episodes of both rounds, the second's brighter, and a VAE of the
    first."""
    from stages import train_vae

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train_vae, "use_threads", lambda _: None)  # too late in this process
    write_episodes(SECOND.all_episodes[0], [40, 30, 16])
    with EpisodeWriter(
        SECOND.episodes,
        environment="a test",
        policy="agent",
        seed=0,
        image_shape=(32, 32),
        privileged_columns=COLUMNS,
    ) as writer:
        for index, length in enumerate([20, 30, 8]):
            outcome = make_outcome(index, length)
            outcome.recorded.frames = outcome.recorded.frames // 2 + 90
            writer.write(outcome.recorded)
    VAE((32, 32), 4, rng=np.random.default_rng(9)).save("models/first/vae.h5")
    return train_vae


def test_an_int8_v_is_saved_with_ranges_of_what_it_was_trained_on(
    stage: ModuleType, write_episodes: WriteEpisodes
) -> None:
    write_episodes(FIRST.episodes, [40, 30, 16])
    text = (STAGE_PARAMS % (0.002, 1)).replace("precision: float32", "precision: int8", 1)
    Path("params.yaml").write_text(text)
    stage.main(FIRST, Checkpoint("train_vae@first", Path()))
    vae = VAE.load("models/first/vae.h5")
    assert vae.precision == "int8"
    ranges = list(vae.ranges)
    episodes = list(read_episodes(FIRST.episodes))
    training, _ = split_episodes(len(episodes), 0.3)
    calibrate(vae, np.concatenate([episodes[index].frames for index in training]))
    assert ranges == pytest.approx(vae.ranges, rel=0.05)  # an epoch drops less than a batch


def run_again(
    stage: ModuleType, *, learning_rate: float = 0.002, epochs: int = 1
) -> tuple[VAE, VAE, dict[str, Any]]:
    """V before and after the second round, and what it was measured to be."""
    Path("params.yaml").write_text(STAGE_PARAMS % (learning_rate, epochs))
    stage.main(SECOND, Checkpoint("train_vae@second", Path()))
    held_out = json.loads(Path("metrics/second/vae_held_out.json").read_text())["held_out_mse"]
    return VAE.load("models/first/vae.h5"), VAE.load("models/second/vae.h5"), held_out


def test_the_second_round_goes_on_with_the_first_s_weights(stage: ModuleType) -> None:
    first, again, measured = run_again(stage, learning_rate=1e-9)
    for weight, same in zip(again.weights, first.weights, strict=True):
        assert weight.numpy() == pytest.approx(same.numpy(), abs=1e-7)
    _, *rows = Path("metrics/second/vae_curve.csv").read_text().splitlines()
    assert len(rows) == 1  # its own epochs
    assert measured["after"] == pytest.approx(measured["before"], rel=1e-4)


def test_a_round_without_epochs_keeps_v_and_measures_it_once(stage: ModuleType) -> None:
    first, again, measured = run_again(stage, epochs=0)
    for weight, same in zip(again.weights, first.weights, strict=True):
        assert np.array_equal(weight, same)
    assert list(measured) == ["after"]
    assert list(measured["after"]) == ["first", "second"]


def test_the_second_round_learns_from_both_folders_and_measures_each(stage: ModuleType) -> None:
    first, again, measured = run_again(stage)
    assert first.digest != again.digest
    for when, vae in (("before", first), ("after", again)):
        assert list(measured[when]) == ["first", "second"]
        for folder, held_out in zip(
            SECOND.all_episodes, (1, 2), strict=True
        ):  # the second and the last of six
            frames = list(read_episodes(folder))[held_out].frames
            decoded = vae.decode(vae.encode(frames)[0]) / 255.0
            expected = np.square(frames / 255.0 - decoded).mean()
            assert measured[when][Path(folder).name] == pytest.approx(expected, rel=0.2)
        assert measured[when]["first"] > 2 * measured[when]["second"]
    for name in ("vae_curve.csv", "vae_reconstructions.png"):
        assert Path(SECOND.metrics, name).exists()
