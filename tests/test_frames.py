"""One preprocess for all: gym's frame cropped and resized, in uint8 that never wraps."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from worldmodels.car_racing.env_params import EnvParams
from worldmodels.car_racing.frames import preprocess
from worldmodels.core.errors import WorldModelsError

SHAPES = [(60, 80), (64, 64), (32, 32), (32, 96), (61, 47), (84, 96), (96, 96)]


@pytest.fixture
def noise() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)


def bilinear(frame: NDArray[np.uint8], image_shape: tuple[int, int]) -> NDArray[np.float64]:
    """Bilinear resizing written out: a result's pixel centre looks between four of the source."""

    def between(size: int, source: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        centre = np.clip((np.arange(size) + 0.5) * source / size - 0.5, 0, source - 1)
        low = np.minimum(centre.astype(int), source - 2)
        return low, centre - low

    rows, down = between(image_shape[0], frame.shape[0])
    columns, right = between(image_shape[1], frame.shape[1])
    picture = frame.astype(float)
    down, right = down[:, None, None], right[None, :, None]
    upper = picture[rows] * (1 - down) + picture[rows + 1] * down
    return upper[:, columns] * (1 - right) + upper[:, columns + 1] * right


@pytest.mark.parametrize("image_shape", SHAPES)
def test_a_frame_is_cropped_and_resized_bilinearly(
    noise: NDArray[np.uint8], image_shape: tuple[int, int]
) -> None:
    seen = preprocess(noise, image_shape)
    assert seen.shape == (*image_shape, 3)
    assert seen.dtype == np.uint8
    assert np.abs(seen - bilinear(noise[:84], image_shape)).max() <= 1


def test_the_indicator_bar_is_never_seen(noise: NDArray[np.uint8]) -> None:
    other = noise.copy()
    other[84:] = 255 - other[84:]
    for image_shape in SHAPES:
        assert np.array_equal(preprocess(noise, image_shape), preprocess(other, image_shape))


@pytest.mark.parametrize("image_shape", SHAPES)
def test_black_and_white_stay_what_they_are(image_shape: tuple[int, int]) -> None:
    for value in (0, 1, 254, 255):
        frame = np.full((96, 96, 3), value, np.uint8)
        assert (preprocess(frame, image_shape) == value).all()


def test_brighter_frames_never_wrap_to_darker_ones(noise: NDArray[np.uint8]) -> None:
    bright = np.maximum(noise, 200)
    for image_shape in SHAPES:
        assert preprocess(bright, image_shape).min() >= 200


def test_the_channels_keep_their_order() -> None:
    frame = np.zeros((96, 96, 3), np.uint8)
    frame[:] = (10, 120, 240)
    assert (preprocess(frame, (60, 80)) == (10, 120, 240)).all()


@pytest.mark.parametrize("image_shape", [(60, 80), (84, 96)])
def test_the_result_is_a_copy(noise: NDArray[np.uint8], image_shape: tuple[int, int]) -> None:
    before = noise.copy()
    preprocess(noise, image_shape)[:] = 0
    assert np.array_equal(noise, before)


@pytest.mark.parametrize(
    ("frame", "got"),
    [
        (np.zeros((96, 96, 3), np.float32), r"\(96, 96, 3\) float32"),
        (np.zeros((60, 80, 3), np.uint8), r"\(60, 80, 3\) uint8"),
        (np.zeros((1, 96, 96, 3), np.uint8), r"\(1, 96, 96, 3\) uint8"),
    ],
)
def test_another_frame_is_refused_with_expected_and_got(frame: NDArray[np.uint8], got: str) -> None:
    with pytest.raises(WorldModelsError, match=rf"expected \(96, 96, 3\) uint8.*got {got}"):
        preprocess(frame, (60, 80))


def test_image_shapes_from_32_to_96_are_taken() -> None:
    for image_shape in [*SHAPES]:
        assert EnvParams(image_shape=image_shape).image_shape == image_shape
    for other in [(31, 80), (60, 97), (60,), (60, 80, 3)]:
        with pytest.raises(ValidationError):
            EnvParams(image_shape=other)
