"""V, M and C for the web page: one blob of tensors, and a manifest that says what lies where.

The files are read with h5py alone, so that a page can be built where TensorFlow is not installed.
What is known only with it, the order and the shapes of weights, is therefore said here once more;
a test holds it against the models themselves. Read `export_weights`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from worldmodels.car_racing.frames import LARGEST_SIDE, SMALLEST_SIDE
from worldmodels.car_racing.task import ACTIONS, FRAME_COST, OFF_FIELD_COST, TILE_REWARD
from worldmodels.core.errors import WorldModelsError
from worldmodels.data.latents import LATER, MAX_LATENT_DIM
from worldmodels.models.controller import LinearController
from worldmodels.models.model_files import (
    MAKE_ANEW,
    ModelFileError,
    StoredModel,
    file_digest,
    load_model,
)

FORMAT = 1  # of the manifest; page/models/weights.js knows which it reads
MOMENTS = 32  # that dreams can begin at: 35 KB of half precision
ALIGNMENT = 4  # bytes, of every tensor's offset: a browser views float32 nowhere else
LARGEST_HALF = float(np.finfo(np.float16).max)

KERNEL, STRIDE = 4, 2  # of `models.vae_networks`
LATER_UNIT = 20.0  # of `models.memory`
STARTS = "start of dreams"  # of `dream.starts`, a kind of model file
LARGEST_MEMORY = 4096, 100  # hidden units and mixtures, of `models.memory`

Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Tensor:
    """A tensor of the blob.

    exact: in float32, not in float16.
    """

    name: str
    values: NDArray[np.float32]
    exact: bool

    @property
    def bytes(self) -> bytes:
        """As the blob has them, filled up so that the next one is aligned."""
        packed = self.values.astype("<f4" if self.exact else "<f2").tobytes()
        return packed + bytes(-len(packed) % ALIGNMENT)

    @property
    def dtype(self) -> str:
        return "float32" if self.exact else "float16"


def export_weights(folder: str | Path, *, moments: int = MOMENTS) -> tuple[dict[str, Any], bytes]:
    """The models of a folder as the page reads them.

    Matrices and kernels are float16: of the recorded models, z moves by at most 0.0004, where int8
    moves it by 0.03, and a pixel by a tenth of what it can show. C's weights, M's feature mean,
    biases and the bounds of z are float32: in half precision they would save 11 KB of 4 MB, and
    double how far actions are off. `vae.precision` is ignored: the page computes V from its float
    weights, whatever V drives in here.

    Args:
        folder: with vae.h5, memory.h5, controller.h5 and dream_starts.h5.
        moments: at which dreams can begin, so many of those in dream_starts.h5, spread over them;
            all where there are fewer.

    Returns:
        the manifest, which JSON can say: `settings` of the models and `tensors`, each with name,
        shape, dtype and its offset in bytes; and the blob, little-endian.

    Raises:
        WorldModelsError: a file is missing or damaged, they do not belong together, or no moments
            are asked for.
    """
    folder = Path(folder)
    if moments < 1:
        raise WorldModelsError(f"moments: expected 1 or more, got {moments}")
    vae, vae_tensors = _vae(load_model(folder / "vae.h5", "vae"))
    memory_file = load_model(folder / "memory.h5", "memory")
    memory, memory_tensors = _memory(memory_file)
    if vae["latent_dim"] != memory["latent_dim"]:
        raise WorldModelsError(
            f"memory: expected latents of {vae['latent_dim']} numbers, as the VAE makes them, got "
            f"a memory for {memory['latent_dim']}; run `dvc repro`"
        )
    if memory_file.text("vae_digest") not in ("", file_digest(folder / "vae.h5")):
        raise WorldModelsError(
            "memory.h5: expected a memory fitted to the latents of vae.h5, got one fitted to "
            "another VAE's; run `dvc repro`"
        )
    controller, controller_tensors = _controller(folder / "controller.h5", memory)
    starts = load_model(folder / "dream_starts.h5", STARTS)
    tensors = [
        *vae_tensors,
        *memory_tensors,
        *controller_tensors,
        *_starts(starts, memory_file, memory, moments),
    ]
    settings = {"vae": vae, "memory": memory, "controller": controller, "task": _task()}
    entries, blob = _packed(tensors)
    return {"format": FORMAT, "bytes": len(blob), "settings": settings, "tensors": entries}, blob


def _task() -> dict[str, Any]:
    """What the page needs to turn M's outcomes into rewards."""
    return {
        "tile_reward": TILE_REWARD,
        "frame_cost": FRAME_COST,
        "off_field_cost": OFF_FIELD_COST,
        "later": LATER,
    }


def _vae(stored: StoredModel) -> tuple[dict[str, Any], list[Tensor]]:
    height, width = stored.whole_numbers("image_shape", 2, SMALLEST_SIDE, LARGEST_SIDE)
    latent_dim = stored.whole_number("latent_dim", 1, MAX_LATENT_DIM)
    layers = max((len(stored.weights) - 4) // 4, 0)
    kernels = stored.weights[: 2 * layers : 2]
    filters = tuple(kernel.shape[-1] if kernel.ndim else 0 for kernel in kernels)
    layout = vae_layout((height, width), latent_dim, filters)
    settings = {
        "image_shape": [height, width],
        "latent_dim": latent_dim,
        "filters": list(filters),
        "kernel": KERNEL,
        "stride": STRIDE,
    }
    return settings, _tensors(stored, layout)


def _memory(stored: StoredModel) -> tuple[dict[str, Any], list[Tensor]]:
    latent_dim = stored.whole_number("latent_dim", 1, MAX_LATENT_DIM)
    hidden_units = stored.whole_number("hidden_units", 1, LARGEST_MEMORY[0])
    mixtures = stored.whole_number("mixtures", 1, LARGEST_MEMORY[1])
    weights = stored.weights
    outcome_units = weights[6].shape[0] if len(weights) > 6 and weights[6].ndim else 0
    layout = memory_layout(latent_dim, hidden_units, mixtures, outcome_units)
    settings = {
        "latent_dim": latent_dim,
        "hidden_units": hidden_units,
        "mixtures": mixtures,
        "outcome_units": outcome_units,
        "has_outcome": bool(stored.whole_number("has_outcome", 0, 1)),
        "later_unit": LATER_UNIT,
    }
    return settings, _tensors(stored, layout)


def _controller(path: Path, memory: dict[str, Any]) -> tuple[dict[str, Any], list[Tensor]]:
    controller = LinearController.load(path)
    sizes = {"z": memory["latent_dim"], "h": memory["hidden_units"]}
    rows = sum(sizes[name] for name in controller.inputs) + 1
    if len(controller.weights) != rows:
        raise ModelFileError(
            f"{path}: expected a controller of {rows} rows, for {' and '.join(controller.inputs)} "
            f"of the memory beside it, got {len(controller.weights)}; {MAKE_ANEW}"
        )
    settings = {"inputs": list(controller.inputs), "latent": controller.latent}
    return settings, [Tensor("controller/weights", controller.weights, exact=True)]


def _starts(
    stored: StoredModel, memory_file: StoredModel, memory: dict[str, Any], moments: int
) -> list[Tensor]:
    found = stored.weights[0].shape[0] if stored.weights and stored.weights[0].ndim else 0
    of_z, of_state = (found, memory["latent_dim"]), (found, memory["hidden_units"])
    stored.require_shapes([of_z, of_state, of_state, (2, memory["latent_dim"])])
    if not found or stored.text("vae_digest") != memory_file.text("vae_digest"):
        raise ModelFileError(
            f"{stored.path}: expected moments of the memory beside it, got "
            f"{'those of another' if found else 'none'}; run `dvc repro`"
        )
    chosen = np.linspace(0, found - 1, min(moments, found)).round().astype(int)
    *states, bounds = stored.weights
    names = ("starts/z", "starts/hidden", "starts/cell")
    tensors = [
        _tensor(stored.path, name, values[chosen])
        for name, values in zip(names, states, strict=True)
    ]
    return [*tensors, Tensor("starts/bounds", bounds, exact=True)]


def vae_layout(
    image_shape: tuple[int, int], latent_dim: int, filters: Sequence[int]
) -> list[tuple[str, Shape]]:
    """Names and shapes of a VAE's weights, in their order.

    Args:
        filters: of the encoder's convolutions.
    """
    channels = (3, *filters)
    height, width = image_shape
    for _ in filters:
        height, width = _convolved(height), _convolved(width)
    flat = height * width * channels[-1]
    layout: list[tuple[str, Shape]] = []
    for index, (before, after) in enumerate(pairwise(channels)):
        layout += _layer(f"vae/encoder/convolution_{index}", (KERNEL, KERNEL, before, after))
    layout += _layer("vae/encoder/dense", (flat, 2 * latent_dim))
    layout += _layer("vae/decoder/dense", (latent_dim, flat))
    for index, (before, after) in enumerate(pairwise(channels[::-1])):
        # Keras has the outputs of a transposed convolution before its inputs.
        name = f"vae/decoder/transposed_{index}"
        layout += [(f"{name}/kernel", (KERNEL, KERNEL, after, before)), (f"{name}/bias", (after,))]
    return layout


def _convolved(side: int) -> int:
    """A side of a feature map after a convolution; zeros are added so that it meets every pixel."""
    padded = side + max(KERNEL - side, side % STRIDE)
    return (padded - KERNEL) // STRIDE + 1


def memory_layout(
    latent_dim: int, hidden_units: int, mixtures: int, outcome_units: int
) -> list[tuple[str, Shape]]:
    """Names and shapes of a memory's weights, in their order."""
    gates, features = 4 * hidden_units, latent_dim + hidden_units
    return [
        ("memory/lstm/kernel", (latent_dim + ACTIONS, gates)),
        ("memory/lstm/recurrent_kernel", (hidden_units, gates)),
        ("memory/lstm/bias", (gates,)),
        *_layer("memory/head", (features, 3 * mixtures * latent_dim)),
        *_layer("memory/outcome_0", (features, outcome_units)),
        *_layer("memory/outcome_1", (outcome_units, 3)),
        ("memory/feature_mean", (features,)),
    ]


def _layer(name: str, kernel: Shape) -> list[tuple[str, Shape]]:
    return [(f"{name}/kernel", kernel), (f"{name}/bias", kernel[-1:])]


def _tensors(stored: StoredModel, layout: Sequence[tuple[str, Shape]]) -> list[Tensor]:
    """The weights of a file, if they are what is expected of it."""
    stored.require_shapes([shape for _, shape in layout])
    return [
        _tensor(stored.path, name, values)
        for (name, _), values in zip(layout, stored.weights, strict=True)
    ]


def _tensor(path: Path, name: str, values: NDArray[np.float32]) -> Tensor:
    """A matrix or a kernel in half precision, a vector in single."""
    exact = values.ndim == 1
    largest = float(np.abs(values).max(initial=0.0))
    if not exact and largest > LARGEST_HALF:
        raise ModelFileError(
            f"{path}: {name}: expected numbers up to {LARGEST_HALF:.0f}, as half precision holds, "
            f"got {largest:g}; {MAKE_ANEW}"
        )
    return Tensor(name, values, exact)


def _packed(tensors: Iterable[Tensor]) -> tuple[list[dict[str, Any]], bytes]:
    """The manifest's entries and the blob."""
    entries, blob = [], bytearray()
    for tensor in tensors:
        entries.append(
            {
                "name": tensor.name,
                "shape": list(tensor.values.shape),
                "dtype": tensor.dtype,
                "offset": len(blob),
            }
        )
        blob += tensor.bytes
    return entries, bytes(blob)
