"""V's encoder as it drives: float32 as Keras has it, int8 near it, with ranges that it keeps."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorflow as tf
from conftest import distance
from numpy.typing import NDArray

from worldmodels.core.errors import WorldModelsError
from worldmodels.data.hdf5_files import seal
from worldmodels.models import vision
from worldmodels.models.agent_policy import agent_graphs
from worldmodels.models.keras_on_tensorflow import keras
from worldmodels.models.memory import MDNRNN
from worldmodels.models.model_files import FORMAT, ModelFileError
from worldmodels.models.vae import VAE, Precision
from worldmodels.models.vision import calibrate, driving_posterior, vision_graph

SIZES = pytest.mark.parametrize(
    ("image_shape", "latent_dim"), [((32, 32), 4), ((61, 47), 3), ((60, 80), 32)]
)


def some_frames(
    count: int, image_shape: tuple[int, int] = (32, 32), *, seed: int = 0
) -> NDArray[np.uint8]:
    """Coarse patches of random colours."""
    height, width = image_shape
    patches = np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    rows, columns = np.arange(height) * 8 // height, np.arange(width) * 8 // width
    return patches[:, rows[:, None], columns]


def make_vae(
    precision: Precision, image_shape: tuple[int, int] = (32, 32), latent_dim: int = 4
) -> VAE:
    """Untrained, but with biases."""
    vae = VAE(image_shape, latent_dim, precision=precision, rng=np.random.default_rng(1))
    rng = np.random.default_rng(2)
    for weight in vae.encoder.trainable_variables:
        if weight.shape.rank == 1:
            weight.assign(rng.normal(size=weight.shape, scale=0.05))
    return vae


@pytest.fixture
def int8_vae() -> VAE:
    vae = make_vae("int8")
    calibrate(vae, some_frames(64))
    return vae


def convolutions(vae: VAE) -> list[keras.layers.Layer]:
    return [layer for layer in vae.encoder.layers if isinstance(layer, keras.layers.Conv2D)]


def keras_maps(vae: VAE, frames: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """What the convolutions make of these frames, by Keras."""
    outputs = [layer.output for layer in convolutions(vae)]
    maps = keras.Model(vae.encoder.inputs, outputs)(tf.constant(frames / 255.0, tf.float32))
    return [each.numpy() for each in maps]


@SIZES
def test_float32_is_what_keras_own_encoder_says(
    image_shape: tuple[int, int], latent_dim: int
) -> None:
    vae = make_vae("float32", image_shape, latent_dim)
    frames = some_frames(7, image_shape)
    expected = np.split(vae.encoder(frames / np.float32(255)).numpy(), 2, axis=1)
    traced = driving_posterior(vae, tf.constant(frames))
    for one, two, wanted in zip(vae.encode(frames), traced, expected, strict=True):
        assert one == pytest.approx(wanted, abs=1e-5)
        assert two.numpy() == pytest.approx(wanted, abs=1e-5)
        assert wanted.std(axis=0).min() > 1e-3


@SIZES
def test_the_feature_maps_are_those_of_keras_layers(
    image_shape: tuple[int, int], latent_dim: int
) -> None:
    """By the function that both float32 and calibration go through; nothing public shows them."""
    vae = make_vae("float32", image_shape, latent_dim)
    frames = some_frames(5, image_shape)
    pixels, *maps = vision._feature_maps(vae, tf.constant(frames), None)
    assert pixels.numpy()[:, : image_shape[0], : image_shape[1]] == pytest.approx(frames / 255.0)
    assert len(maps) == 4
    for got, expected in zip(maps, keras_maps(vae, frames), strict=True):
        got = got.numpy()[:, : expected.shape[1], : expected.shape[2]]
        assert got == pytest.approx(expected, abs=1e-5)  # beside it are zeros for the next one


@SIZES
def test_int8_is_within_a_few_percent_of_float32_on_other_frames(
    image_shape: tuple[int, int], latent_dim: int
) -> None:
    exact = make_vae("float32", image_shape, latent_dim)
    rounded = make_vae("int8", image_shape, latent_dim)
    calibrate(rounded, some_frames(64, image_shape))
    frames = some_frames(50, image_shape, seed=1)
    for got, expected in zip(rounded.encode(frames), exact.encode(frames), strict=True):
        assert got.dtype == np.float32
        assert 1e-4 < distance(got, expected) < 0.03


@SIZES
def test_int8_is_its_rounding_written_out(image_shape: tuple[int, int], latent_dim: int) -> None:
    vae = make_vae("int8", image_shape, latent_dim)
    calibrate(vae, some_frames(64, image_shape))
    frames = some_frames(50, image_shape, seed=1)
    exact, values = make_vae("float32", image_shape, latent_dim), frames / np.float32(255)
    ranges = iter([*vae.ranges[1:], None])  # a pixel is one of 256 steps as it is
    for layer in exact.encoder.layers[1:]:
        if not isinstance(layer, keras.layers.Conv2D):
            values = layer(values).numpy()
            continue
        kernel = layer.kernel.numpy()
        step = np.abs(kernel).max(axis=(0, 1, 2)) / 127
        layer.kernel.assign(np.rint(kernel / step) * step)
        values, largest = layer(values).numpy(), next(ranges)
        if largest is not None:
            values = np.rint(np.minimum(values, largest) / (largest / 255)) * (largest / 255)
    for got, expected in zip(vae.encode(frames), np.split(values, 2, axis=1), strict=True):
        assert distance(got, expected) < 0.002


def test_ranges_are_the_largest_values_that_convolutions_read() -> None:
    vae = make_vae("int8", (61, 47))
    frames = some_frames(130, (61, 47)) // 2
    frames[70] *= 2  # neither in the first batch nor in the last
    calibrate(vae, frames)
    *maps, _ = keras_maps(vae, frames)
    assert vae.ranges == pytest.approx([1.0, *(each.max() for each in maps)], rel=1e-5)
    assert maps[0].max() == maps[0][70].max()


def test_frames_of_another_shape_find_no_ranges() -> None:
    vae = make_vae("int8")
    with pytest.raises(WorldModelsError, match=r"frames: expected \(batch, 32, 32, 3\) uint8, got"):
        calibrate(vae, some_frames(2, (32, 33)))
    assert vae.ranges == []


def test_int8_without_ranges_is_refused() -> None:
    vae, memory = make_vae("int8"), MDNRNN(4, 8, 2, rng=np.random.default_rng(0))
    for use in (
        lambda: vae.encode(some_frames(1)),
        lambda: vision_graph(vae),
        lambda: agent_graphs(vae, memory, inputs=("z",), latent="mean"),
    ):
        with pytest.raises(
            WorldModelsError,
            match=r"^VAE: expected ranges to round to int8 in, got none; calibrate\(vae, frames\)",
        ):
            use()


def saved_and_loaded(vae: VAE, folder: Path) -> VAE:
    vae.save(folder / "vae.h5")
    return VAE.load(folder / "vae.h5")


@pytest.mark.parametrize(
    "again",
    [
        saved_and_loaded,
        lambda vae, _: pickle.loads(pickle.dumps(vae)),
        lambda vae, _: copy.deepcopy(vae),
    ],
)
def test_ranges_are_kept(int8_vae: VAE, tmp_path: Path, again: Callable[[VAE, Path], VAE]) -> None:
    other, frames = again(int8_vae, tmp_path), some_frames(3)
    assert other.ranges == int8_vae.ranges
    assert np.array_equal(other.encode(frames)[0], int8_vae.encode(frames)[0])
    other.ranges[1] *= 2
    assert other.ranges != int8_vae.ranges


@pytest.mark.parametrize("ranges", ["[]", "[1.0, 2.0, 3.0]", "[1.0, 2.0, 3.0, -4.0]", "NaN"])
def test_a_file_of_int8_with_other_ranges_is_refused(
    int8_vae: VAE, tmp_path: Path, ranges: str
) -> None:
    path = tmp_path / "vae.h5"
    int8_vae.save(path)
    with h5py.File(path, "a") as file:
        before = file.attrs["settings"]
        file.attrs["settings"] = before.replace(str(int8_vae.ranges), ranges)
        assert file.attrs["settings"] != before
    seal(path, FORMAT)
    with pytest.raises(ModelFileError, match=r"ranges: expected 4 finite numbers above 0, got"):
        VAE.load(path)


def test_a_file_of_int8_without_ranges_is_refused(tmp_path: Path) -> None:
    make_vae("int8").save(tmp_path / "vae.h5")
    with pytest.raises(
        ModelFileError, match=r"ranges: expected 4 finite numbers above 0, got \[\]"
    ):
        VAE.load(tmp_path / "vae.h5")


def scale_a_kernel(vae: VAE) -> None:
    kernel = convolutions(vae)[2].kernel
    kernel.assign(0.5 * kernel)


def add_to_a_bias(vae: VAE) -> None:
    bias = vae.encoder.layers[-1].bias
    bias.assign(bias + 0.1)


def halve_a_range(vae: VAE) -> None:
    vae.ranges[2] /= 2


def go_back_to_float32(vae: VAE) -> None:
    vae.precision = "float32"


@pytest.mark.parametrize(
    "change", [scale_a_kernel, add_to_a_bias, halve_a_range, go_back_to_float32]
)
def test_what_is_changed_after_encoding_changes_what_it_says(
    int8_vae: VAE, change: Callable[[VAE], None]
) -> None:
    frames = some_frames(3)
    before, _ = int8_vae.encode(frames)
    assert np.array_equal(int8_vae.encode(frames)[0], before)
    change(int8_vae)
    after, _ = int8_vae.encode(frames)
    assert not np.array_equal(after, before)
    assert np.array_equal(pickle.loads(pickle.dumps(int8_vae)).encode(frames)[0], after)


def test_a_filter_of_zeros_is_rounded_to_zeros() -> None:
    exact, rounded = make_vae("float32"), make_vae("int8")
    for vae in (exact, rounded):
        kernel = convolutions(vae)[0].kernel
        kernel.assign(kernel * (np.arange(32) % 3 > 0))
    calibrate(rounded, some_frames(64))
    frames = some_frames(9, seed=1)
    assert distance(rounded.encode(frames)[0], exact.encode(frames)[0]) < 0.03


def test_a_convolution_that_gives_nothing_but_zeros_has_a_range_too(tmp_path: Path) -> None:
    exact, rounded = make_vae("float32"), make_vae("int8")
    for vae in (exact, rounded):
        convolutions(vae)[1].bias.assign(np.full(64, -100.0))
    calibrate(rounded, some_frames(64))
    frames = some_frames(3)
    got, _ = saved_and_loaded(rounded, tmp_path).encode(frames)
    assert distance(got, exact.encode(frames)[0]) < 0.03
