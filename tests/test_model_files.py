"""Model files: exact, the same bytes every time, harmless to read, clear when they are wrong."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from worldmodels.data.hdf5_files import seal
from worldmodels.models.controller import LinearController
from worldmodels.models.memory import MDNRNN
from worldmodels.models.model_files import (
    FORMAT,
    ModelFileError,
    Setting,
    file_digest,
    load_model,
    save_model,
)
from worldmodels.models.vae import VAE

Model = VAE | MDNRNN | LinearController


def make_vae() -> VAE:
    return VAE((32, 48), 3, rng=np.random.default_rng(1))


def make_memory() -> MDNRNN:
    memory = MDNRNN(3, 5, 2, rng=np.random.default_rng(1))
    memory.feature_mean = np.random.default_rng(1).normal(size=8).astype(np.float32)
    return memory


def make_controller() -> LinearController:
    weights = np.random.default_rng(1).normal(size=(9, 3)).astype(np.float32)
    return LinearController(weights, ("z", "h"), "sample")


MAKERS = pytest.mark.parametrize(
    "make", [make_vae, make_memory, make_controller], ids=["vae", "memory", "controller"]
)


def weights_of(model: Model) -> list[bytes]:
    if isinstance(model, LinearController):
        return [model.weights.tobytes()]
    if isinstance(model, MDNRNN):
        weights = (weight.numpy().tobytes() for weight in model.weights)
        return [model.feature_mean.tobytes(), *weights]
    return [weight.numpy().tobytes() for weight in model.weights]


@MAKERS
def test_a_model_comes_back_to_the_bit(tmp_path: Path, make: Callable[[], Model]) -> None:
    model = make()
    model.save(tmp_path / "model.h5")
    assert weights_of(type(model).load(tmp_path / "model.h5")) == weights_of(model)


def test_sizes_and_settings_come_back_too(tmp_path: Path) -> None:
    make_vae().save(tmp_path / "vae.h5")
    vae = VAE.load(tmp_path / "vae.h5")
    assert (vae.image_shape, vae.latent_dim) == ((32, 48), 3)
    make_memory().save(tmp_path / "memory.h5")
    memory = MDNRNN.load(tmp_path / "memory.h5")
    assert (memory.latent_dim, memory.hidden_units, memory.mixtures) == (3, 5, 2)
    make_controller().save(tmp_path / "controller.h5")
    controller = LinearController.load(tmp_path / "controller.h5")
    assert (controller.inputs, controller.latent) == (("z", "h"), "sample")


def test_a_loaded_model_computes_the_same(tmp_path: Path) -> None:
    vae = make_vae()
    vae.save(tmp_path / "vae.h5")
    frames = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), dtype=np.uint8)
    loaded = VAE.load(tmp_path / "vae.h5")
    assert np.array_equal(loaded.encode(frames)[0], vae.encode(frames)[0])
    z = np.ones((1, 3), np.float32)
    assert np.array_equal(loaded.decode(z), vae.decode(z))


@MAKERS
def test_the_same_model_gives_the_same_bytes(tmp_path: Path, make: Callable[[], Model]) -> None:
    make().save(tmp_path / "one.h5")
    model = make()
    model.save(tmp_path / "two.h5")
    type(model).load(tmp_path / "two.h5").save(tmp_path / "three.h5")
    digests = {file_digest(tmp_path / f"{name}.h5") for name in ("one", "two", "three")}
    content = (tmp_path / "one.h5").read_bytes()
    assert digests == {hashlib.sha256(content).hexdigest()}


@MAKERS
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_not_saved(
    tmp_path: Path, make: Callable[[], Model], value: float
) -> None:
    model = make()
    model.save(tmp_path / "model.h5")
    before = (tmp_path / "model.h5").read_bytes()
    if isinstance(model, LinearController):
        model.weights[0, 0] = value
    else:
        weight = model.weights[-1]
        weight.assign(np.full(weight.shape, value))
    with pytest.raises(ModelFileError, match=r"not saved.*not finite"):
        model.save(tmp_path / "model.h5")
    assert (tmp_path / "model.h5").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["model.h5"]


@MAKERS
def test_a_missing_file_is_named_with_what_to_do(tmp_path: Path, make: Callable[[], Model]) -> None:
    path = tmp_path / "nowhere.h5"
    with pytest.raises(ModelFileError, match=rf"{path}: no such file; `dvc repro`"):
        type(make()).load(path)


@MAKERS
@pytest.mark.parametrize("kept", [100, 512, 1500])
def test_a_truncated_file_is_named_with_what_to_do(
    tmp_path: Path, make: Callable[[], Model], kept: int
) -> None:
    model, path = make(), tmp_path / "model.h5"
    model.save(path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ModelFileError, match=rf"{path}: cut short: expected \d+ bytes, got {kept}"):
        type(model).load(path)


def foreign_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["weights"] = np.zeros(3)


def another_kind(path: Path) -> None:
    save_model(path, "else", {}, [np.zeros(3, np.float32)])


def another_version(path: Path) -> None:
    save_model(path, "vae", {}, [])
    seal(path, dataclasses.replace(FORMAT, version=99))


def another_format(path: Path) -> None:
    save_model(path, "vae", {}, [])
    seal(path, dataclasses.replace(FORMAT, name="worldmodels-else"))


def an_empty_file(path: Path) -> None:
    path.touch()


def a_folder(path: Path) -> None:
    path.mkdir()


OTHERS = pytest.mark.parametrize(
    "write",
    [foreign_hdf5, another_kind, another_version, another_format, an_empty_file, a_folder],
)


@MAKERS
@OTHERS
def test_another_file_is_named_with_expected_and_got(
    tmp_path: Path, make: Callable[[], Model], write: Callable[[Path], None]
) -> None:
    write(tmp_path / "model.h5")
    with pytest.raises(
        ModelFileError, match=rf"{tmp_path}/model.h5: expected .*, got .*`dvc repro`"
    ):
        type(make()).load(tmp_path / "model.h5")


def test_a_memory_in_place_of_a_vae_is_refused(tmp_path: Path) -> None:
    make_memory().save(tmp_path / "vae.h5")
    with pytest.raises(ModelFileError, match=r"expected a vae, got a memory; .*dvc repro"):
        VAE.load(tmp_path / "vae.h5")


VAE_SETTINGS: dict[str, Setting] = {
    "image_shape": [32, 48],
    "latent_dim": 3,
    "precision": "float32",
}


NO_RANGES: list[dict[str, Setting]] = [  # of int8, of what each of V's four convolutions reads
    {},
    {"ranges": []},
    {"ranges": [1.0, 2.0, 3.0]},
    {"ranges": [1.0, 2.0, 3.0, 0.0]},
    {"ranges": [1.0, 2.0, -3.0, 4.0]},
    {"ranges": [1.0, float("inf"), 3.0, 4.0]},
    {"ranges": [1.0, float("nan"), 3.0, 4.0]},
    {"ranges": ["1", "2", "3", "4"]},
    {"ranges": 7.0},
]


def weights_of_another_vae(path: Path) -> None:
    smaller = VAE((32, 48), 2, rng=np.random.default_rng(0))
    save_model(path, "vae", VAE_SETTINGS, [weight.numpy() for weight in smaller.weights])


def too_few_weights(path: Path) -> None:
    weights = [weight.numpy() for weight in make_vae().weights]
    save_model(path, "vae", VAE_SETTINGS, weights[:-1])


ARCHITECTURES = pytest.mark.parametrize("write", [weights_of_another_vae, too_few_weights])


@ARCHITECTURES
def test_weights_of_another_architecture_are_refused(
    tmp_path: Path, write: Callable[[Path], None]
) -> None:
    path = tmp_path / "vae.h5"
    write(path)
    with pytest.raises(
        ModelFileError, match=rf"{path}: weights of another architecture: expected .*got"
    ):
        VAE.load(path)


def test_a_memory_of_an_earlier_architecture_is_refused(tmp_path: Path) -> None:
    path, memory = tmp_path / "memory.h5", make_memory()
    settings: dict[str, Setting] = {"latent_dim": 3, "hidden_units": 5, "mixtures": 2}
    weights = [weight.numpy() for weight in memory.weights]
    *lstm, kernel, bias = weights[:5]
    without_outcome = [*lstm, kernel[:5], bias, memory.feature_mean]  # its head reads h alone
    for of_before in (weights, [*weights, np.zeros(7)], without_outcome):
        save_model(path, "memory", {**settings, "vae_digest": ""}, of_before)
        with pytest.raises(ModelFileError, match=r"expected shapes .*\(8,\)\], got.*`dvc repro`"):
            MDNRNN.load(path)


def test_settings_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    for settings in ({}, {"latent_dim": "3"}, {"latent_dim": True}, {"latent_dim": 2.5}):
        save_model(path, "memory", settings, [np.zeros(1, np.float32)])
        with pytest.raises(ModelFileError, match=rf"{path}: latent_dim: expected a whole number"):
            MDNRNN.load(path)
    save_model(path, "vae", {"image_shape": [32], "latent_dim": 3}, [np.zeros(1, np.float32)])
    with pytest.raises(ModelFileError, match=rf"{path}: image_shape: expected 2 whole numbers"):
        VAE.load(path)
    save_model(path, "controller", {"inputs": "z", "latent": "mean"}, [np.zeros((2, 3))])
    with pytest.raises(ModelFileError, match=rf"{path}: inputs: expected a list of texts"):
        LinearController.load(path)


@pytest.mark.parametrize(
    ("cls", "settings", "message"),
    [
        (VAE, {"latent_dim": 1025}, "latent_dim: expected a whole number from 1 to 1024, got 1025"),
        (VAE, {"image_shape": [32, 97]}, "image_shape: expected 2 whole numbers from 32 to 96"),
        (VAE, {"image_shape": [32, 48.5]}, "image_shape: expected 2 whole numbers"),
        (VAE, {"precision": "float8"}, "precision: expected one of float32, bfloat16, int8"),
        *[
            (VAE, {"precision": "int8", **ranges}, "ranges: expected 4 finite numbers above 0")
            for ranges in NO_RANGES
        ],
        (MDNRNN, {"latent_dim": 0}, "latent_dim: expected a whole number from 1 to 1024, got 0"),
        (MDNRNN, {"hidden_units": 10**9}, "hidden_units: expected a whole number from 1 to 4096"),
        (MDNRNN, {"mixtures": 101}, "mixtures: expected a whole number from 1 to 100, got 101"),
        (MDNRNN, {"vae_digest": 7}, "vae_digest: expected a text, got 7"),
        (LinearController, {"inputs": ["h"]}, "inputs: expected one of"),
        (LinearController, {"latent": "mode"}, "latent: expected one of sample, mean, got 'mode'"),
    ],
)
def test_settings_beyond_what_the_parameters_allow_are_refused_before_a_model_is_built(
    tmp_path: Path, cls: type[Model], settings: dict[str, Setting], message: str
) -> None:
    good: dict[type[Model], dict[str, Setting]] = {
        VAE: VAE_SETTINGS,
        MDNRNN: {"latent_dim": 3, "hidden_units": 5, "mixtures": 2, "vae_digest": ""},
        LinearController: {"inputs": ["z"], "latent": "mean"},
    }
    path = tmp_path / "model.h5"
    save_model(path, cls.KIND, good[cls] | settings, [np.zeros((4, 3), np.float32)])
    with pytest.raises(ModelFileError, match=rf"{path}: {message}.*; .*dvc repro"):
        cls.load(path)


def test_a_large_model_is_not_built_for_small_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "memory.h5"
    weights = [weight.numpy() for weight in make_memory().weights]
    largest = {"latent_dim": 1024, "hidden_units": 4096, "mixtures": 100, "vae_digest": ""}
    save_model(path, "memory", largest, weights)
    monkeypatch.setattr(MDNRNN, "__init__", lambda *_, **__: pytest.fail("5 GB of weights"))
    with pytest.raises(
        ModelFileError, match=r"expected shapes \[\(1027, 16384\).* got \[\(6, 20\)"
    ):
        MDNRNN.load(path)


@pytest.mark.parametrize("text", ["__import__('os')", "[" * 60_000, "7", " " * 60_000])
def test_settings_that_are_no_json_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "vae.h5"
    make_vae().save(path)
    with h5py.File(path, "a") as file:
        file.attrs["settings"] = text
    seal(path, FORMAT)
    with pytest.raises(ModelFileError, match=rf"{path}: settings: expected a JSON object"):
        VAE.load(path)


@MAKERS
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_not_loaded(
    tmp_path: Path, make: Callable[[], Model], value: float
) -> None:
    model, path = make(), tmp_path / "model.h5"
    model.save(path)
    with h5py.File(path, "a") as file:
        first = file["weights/000"]
        first[(0,) * first.ndim] = value
    seal(path, FORMAT)
    with pytest.raises(ModelFileError, match=rf"{path}: weights/000: expected finite weights"):
        type(model).load(path)


@MAKERS
def test_a_flipped_byte_is_seen(tmp_path: Path, make: Callable[[], Model]) -> None:
    model, path = make(), tmp_path / "model.h5"
    model.save(path)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=rf"{path}: damaged: expected contents of SHA-256"):
        type(model).load(path)


def test_weights_of_another_type_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "vae.h5"
    make_vae().save(path)
    with h5py.File(path, "a") as file:
        del file["weights/001"]
        file["weights/001"] = np.zeros(32)
    seal(path, FORMAT)
    with pytest.raises(ModelFileError, match=r"weights/001: expected a dataset of float32 of any"):
        VAE.load(path)


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


@MAKERS
def test_loading_never_unpickles(
    tmp_path: Path, make: Callable[[], Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = pickle.dumps(Bomb(tmp_path / "exploded"))
    model, path = make(), tmp_path / "model.h5"
    path.write_bytes(bomb)
    with pytest.raises(ModelFileError):
        type(model).load(path)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a pickle was read")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    model.save(path)
    type(model).load(path)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("name", ["kind", "settings"])
def test_attributes_of_another_type_are_refused(tmp_path: Path, name: str) -> None:
    make_vae().save(tmp_path / "vae.h5")
    with h5py.File(tmp_path / "vae.h5", "a") as file:
        file.attrs[name] = 7
    seal(tmp_path / "vae.h5", FORMAT)
    with pytest.raises(
        ModelFileError, match=rf"vae.h5: attribute {name}: expected a text, got int"
    ):
        VAE.load(tmp_path / "vae.h5")


@pytest.mark.parametrize(
    "write", [another_kind, another_version, weights_of_another_vae, too_few_weights]
)
def test_a_wrong_file_s_message_says_what_to_do(
    tmp_path: Path, write: Callable[[Path], None]
) -> None:
    write(tmp_path / "vae.h5")
    with pytest.raises(ModelFileError, match=r"dvc repro"):
        VAE.load(tmp_path / "vae.h5")


@pytest.mark.parametrize("count", [0, 2])
def test_a_controller_of_another_architecture_is_refused(tmp_path: Path, count: int) -> None:
    path = tmp_path / "controller.h5"
    save_model(path, "controller", {"inputs": ["z"], "latent": "mean"}, [np.zeros((2, 3))] * count)
    with h5py.File(path, "a") as file:
        file.require_group("weights")
    with pytest.raises(ModelFileError, match=rf"{path}: "):
        LinearController.load(path)


def test_a_file_holds_numbers_and_json_only(tmp_path: Path) -> None:
    make_controller().save(tmp_path / "controller.h5")
    with h5py.File(tmp_path / "controller.h5") as file:
        assert sorted(file.attrs) == ["kind", "settings"]
        assert json.loads(file.attrs["settings"]) == {"inputs": ["z", "h"], "latent": "sample"}
        assert file["weights/000"].dtype == np.float32


def test_many_weights_keep_their_order(tmp_path: Path) -> None:
    weights = [np.full(index + 1, index, np.float32) for index in range(120)]
    save_model(tmp_path / "model.h5", "many", {}, weights)
    loaded = load_model(tmp_path / "model.h5", "many").weights
    assert [weight.tolist() for weight in loaded] == [weight.tolist() for weight in weights]
