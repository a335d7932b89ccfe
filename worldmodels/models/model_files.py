"""Model files: weights in HDF5, with what is needed to rebuild the model as attributes.

The same weights always give the same bytes (Keras' own `.keras` file carries the time it was
saved), and nothing in a file can run code when it is read; `hdf5_files` says what else is safe
about it. Read `save_model` and `load_model`.
"""

from __future__ import annotations

import hashlib
import json
import math
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

import h5py
import numpy as np
from numpy.typing import NDArray

from worldmodels.core.errors import WorldModelsError
from worldmodels.data.hdf5_files import (
    Format,
    open_sealed,
    require_dataset,
    require_text,
    sealed_file,
)

if TYPE_CHECKING:
    import tensorflow as tf

MAKE_ANEW = "`dvc repro` makes the pipeline's own anew"
MAX_SETTINGS = 64 << 10  # characters

Setting: TypeAlias = int | float | str | list[int] | list[float] | list[str]


class ModelFileError(WorldModelsError):
    """A model file that is missing, is something else, or does not fit."""


FORMAT = Format(
    "worldmodels-model",
    2,
    ModelFileError,
    remedy=MAKE_ANEW,
    max_bytes=1 << 30,
)


@dataclass(frozen=True)
class StoredModel:
    """What a model file holds: its path, its settings and its weights, in the model's order."""

    path: Path
    settings: dict[str, Setting]
    weights: list[NDArray[np.float32]]

    def whole_number(self, name: str, lowest: int, highest: int) -> int:
        """The setting of this name, if it is a whole number within these bounds."""
        value = self.settings.get(name)
        if not _is_whole_number(value, lowest, highest):
            raise self._unexpected(name, f"a whole number from {lowest} to {highest}")
        return int(cast(int, value))

    def whole_numbers(self, name: str, count: int, lowest: int, highest: int) -> list[int]:
        """The setting of this name, if it is a list of so many whole numbers within bounds."""
        value = self.settings.get(name)
        if (
            not isinstance(value, list)
            or len(value) != count
            or not all(_is_whole_number(number, lowest, highest) for number in value)
        ):
            raise self._unexpected(name, f"{count} whole numbers from {lowest} to {highest}")
        return [int(number) for number in value]

    def positive_numbers(self, name: str, count: int) -> list[float]:
        """The setting of this name, if it is a list of so many finite numbers above 0."""
        value = self.settings.get(name)
        if (
            not isinstance(value, list)
            or len(value) != count
            or not all(isinstance(number, float) and 0 < number < math.inf for number in value)
        ):
            raise self._unexpected(name, f"{count} finite numbers above 0")
        return [float(number) for number in value]

    def text(self, name: str) -> str:
        """The setting of this name, if it is a text."""
        value = self.settings.get(name)
        if not isinstance(value, str):
            raise self._unexpected(name, "a text")
        return value

    def one_of(self, name: str, allowed: Sequence[str]) -> str:
        """The setting of this name, if it is one of these texts."""
        value = self.text(name)
        if value not in allowed:
            raise self._unexpected(name, f"one of {', '.join(allowed)}")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """The setting of this name, if it is a list of texts."""
        value = self.settings.get(name)
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise self._unexpected(name, "a list of texts")
        return tuple(str(text) for text in value)

    def require_shapes(self, expected: Sequence[tuple[int, ...]]) -> None:
        """Raises ModelFileError if the weights differ in number or shape."""
        got = [weight.shape for weight in self.weights]
        if list(expected) != got:
            raise ModelFileError(
                f"{self.path}: weights of another architecture: expected shapes {list(expected)}, "
                f"got {reprlib.repr(got)}; {MAKE_ANEW}"
            )

    def _unexpected(self, name: str, expected: str) -> ModelFileError:
        got = reprlib.repr(self.settings.get(name))
        return ModelFileError(f"{self.path}: {name}: expected {expected}, got {got}; {MAKE_ANEW}")

    def assign_to(self, variables: Sequence[tf.Variable]) -> None:
        """Set the model's variables to the weights.

        Raises:
            ModelFileError: they differ in number or shape.
        """
        self.require_shapes([tuple(variable.shape) for variable in variables])
        for variable, weight in zip(variables, self.weights, strict=True):
            variable.assign(weight)


def save_model(
    path: str | Path,
    kind: str,
    settings: Mapping[str, Setting],
    weights: Sequence[NDArray[np.float32]],
) -> None:
    """Write a model file; it gets its name only when it is whole.

    Args:
        path: where to.
        kind: what sort of model, checked by `load_model`.
        settings: what the model is rebuilt from.
        weights: float arrays, in the model's order.

    Raises:
        ModelFileError: a weight is not finite.
    """
    for index, weight in enumerate(weights):
        if not np.isfinite(weight).all():
            raise ModelFileError(f"{path}: not saved: weight {index} of the {kind} is not finite")
    with sealed_file(path, FORMAT) as file:
        file.attrs["kind"] = kind
        file.attrs["settings"] = json.dumps(dict(settings), sort_keys=True)
        for index, weight in enumerate(weights):
            file.create_dataset(f"weights/{index:03d}", data=np.asarray(weight, np.float32))


def load_model(path: str | Path, kind: str) -> StoredModel:
    """Read a model file.

    Raises:
        ModelFileError: there is none, or it is not a model file of this kind and version, or it
            is damaged, unsafe to open, or holds weights that are no numbers.
    """
    path = Path(path)
    with open_sealed(path, FORMAT) as file:
        found = require_text(file, "kind", FORMAT)
        if found != kind:
            raise ModelFileError(f"{path}: expected a {kind}, got a {found[:40]}; {MAKE_ANEW}")
        settings = _settings(path, require_text(file, "settings", FORMAT))
        weights = _weights(path, file)
    return StoredModel(path, settings, weights)


def _settings(path: Path, text: str) -> dict[str, Setting]:
    try:
        if len(text) > MAX_SETTINGS:
            raise ValueError(f"{len(text)} characters")
        settings = json.loads(text)
        if not isinstance(settings, dict):
            raise ValueError(f"a {type(settings).__name__}")
    except (ValueError, RecursionError) as error:
        raise ModelFileError(
            f"{path}: settings: expected a JSON object of at most {MAX_SETTINGS} characters, "
            f"got something else ({error}); {MAKE_ANEW}"
        ) from error
    return settings


def _weights(path: Path, file: h5py.File) -> list[NDArray[np.float32]]:
    weights: list[NDArray[np.float32]] = []
    while (name := f"weights/{len(weights):03d}") in file:
        weight = require_dataset(file, name, np.float32, None, FORMAT)[()]
        if not np.isfinite(weight).all():
            raise ModelFileError(
                f"{path}: {name}: expected finite weights, got NaN or infinity; {MAKE_ANEW}"
            )
        weights.append(weight)
    return weights


def _is_whole_number(value: object, lowest: int, highest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal: which model made something."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
