"""Model files: weights in HDF5, with what is needed to rebuild the model as attributes.

The same weights always give the same bytes (Keras' own `.keras` file carries the time it was
saved), and nothing in a file can run code when it is read. Read `save_model` and `load_model`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import h5py
import numpy as np
from numpy.typing import NDArray

from worldmodels.errors import WorldModelsError
from worldmodels.files import written_whole

if TYPE_CHECKING:
    import tensorflow as tf

FORMAT = "worldmodels-model"
VERSION = 1
MAKE_ANEW = "remove it and run `dvc repro`"

Setting: TypeAlias = int | float | str | list[int] | list[str]


class ModelFileError(WorldModelsError):
    """A model file that is missing, is something else, or does not fit."""


@dataclass(frozen=True)
class StoredModel:
    """What a model file holds: its path, its settings and its weights, in the model's order."""

    path: Path
    settings: dict[str, Setting]
    weights: list[NDArray[np.float32]]

    def whole_number(self, name: str) -> int:
        """The setting of this name, if it is a whole number."""
        value = self.settings.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ModelFileError(f"{self.path}: {name}: expected a whole number, got {value!r}")
        return value

    def whole_numbers(self, name: str, count: int) -> list[int]:
        """The setting of this name, if it is a list of so many whole numbers."""
        value = self.settings.get(name)
        if not isinstance(value, list) or len(value) != count:
            raise ModelFileError(
                f"{self.path}: {name}: expected {count} whole numbers, got {value!r}"
            )
        return [int(number) for number in value]

    def text(self, name: str) -> str:
        """The setting of this name, if it is a text."""
        value = self.settings.get(name)
        if not isinstance(value, str):
            raise ModelFileError(f"{self.path}: {name}: expected a text, got {value!r}")
        return value

    def one_of(self, name: str, allowed: Sequence[str]) -> str:
        """The setting of this name, if it is one of these texts."""
        value = self.text(name)
        if value not in allowed:
            raise ModelFileError(
                f"{self.path}: {name}: expected one of {', '.join(allowed)}, got {value!r}"
            )
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """The setting of this name, if it is a list of texts."""
        value = self.settings.get(name)
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise ModelFileError(f"{self.path}: {name}: expected a list of texts, got {value!r}")
        return tuple(str(text) for text in value)

    def assign_to(self, variables: Sequence[tf.Variable]) -> None:
        """Set the model's variables to the weights.

        Raises:
            ModelFileError: they differ in number or shape.
        """
        expected = [tuple(variable.shape) for variable in variables]
        got = [weight.shape for weight in self.weights]
        if expected != got:
            raise ModelFileError(
                f"{self.path}: weights of another architecture: expected shapes {expected}, "
                f"got {got}; {MAKE_ANEW}"
            )
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
    with written_whole(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["version"] = VERSION
        file.attrs["kind"] = kind
        file.attrs["settings"] = json.dumps(dict(settings), sort_keys=True)
        for index, weight in enumerate(weights):
            file.create_dataset(f"weights/{index:03d}", data=np.asarray(weight, np.float32))


def load_model(path: str | Path, kind: str) -> StoredModel:
    """Read a model file.

    Raises:
        ModelFileError: there is none, or it is not a model file of this kind and version.
    """
    path = Path(path)
    if not path.exists():
        raise ModelFileError(
            f"{path}: no such file; `dvc repro` makes it, `dvc checkout` brings back a cached one"
        )
    try:
        with h5py.File(path, "r") as file:
            found = [file.attrs.get(name) for name in ("format", "version", "kind")]
            expected = [FORMAT, VERSION, kind]
            if found != expected:
                raise ModelFileError(
                    f"{path}: expected format, version and kind {expected}, "
                    f"got {found}; {MAKE_ANEW}"
                )
            settings = json.loads(file.attrs["settings"])
            group = file["weights"]
            weights = [np.asarray(group[name]) for name in sorted(group)]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: not a whole {kind} file ({error}); {MAKE_ANEW}") from error
    return StoredModel(path, settings, weights)


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal: which model made something."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
