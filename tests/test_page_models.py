"""V, M and C on the web page: JavaScript computes what Python does, from what was exported."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray
from project import ROOT

from worldmodels.car_racing.task import CarRacingTask
from worldmodels.core.errors import WorldModelsError
from worldmodels.dream.imagination import act_and_imagine, imagine
from worldmodels.dream.starts import KIND, DreamStarts
from worldmodels.models import memory as memory_module
from worldmodels.models import vae_networks
from worldmodels.models.agent_policy import AgentPolicy, agent_graphs
from worldmodels.models.controller import LinearController, linear_layer
from worldmodels.models.memory import MDNRNN
from worldmodels.models.model_files import Setting, file_digest, save_model
from worldmodels.models.vae import VAE
from worldmodels.page import weights as weights_module
from worldmodels.page.weights import export_weights, memory_layout, vae_layout
from worldmodels.rollouts.episode import Episode

SCRIPT = ROOT / "tests" / "page" / "models.mjs"
MODELS = ROOT / "page" / "models"
RECORDED = ROOT / "models" / "second"
STEPS = 6
STORED = 40  # moments, more than are exported
NUMBERS = 1e-5  # how far float32 sums may differ that are added up in another order

needs_node = pytest.mark.skipif(
    shutil.which("node") is None, reason="node is not installed: it runs the page's JavaScript"
)


@dataclass(frozen=True)
class Sizes:
    """What a set of models is made of."""

    image_shape: tuple[int, int]
    latent_dim: int
    hidden_units: int
    mixtures: int
    inputs: tuple[str, ...]
    latent: str
    has_outcome: bool = True


# Every second feature map of the larger shapes has zeros added, below or to the right.
SIZES = {
    "z": Sizes((32, 32), 5, 7, 3, ("z",), "mean"),
    "z and h": Sizes((60, 80), 9, 6, 1, ("z", "h"), "sample"),
    "odd sides": Sizes((47, 33), 1, 13, 5, ("z", "h"), "mean", has_outcome=False),
}


@dataclass(frozen=True)
class Models:
    """Small random models, and the folder that they are saved and exported in."""

    folder: Path
    sizes: Sizes

    @cached_property
    def vae(self) -> VAE:
        return VAE.load(self.folder / "vae.h5")

    @cached_property
    def memory(self) -> MDNRNN:
        return MDNRNN.load(self.folder / "memory.h5")

    @cached_property
    def controller(self) -> LinearController:
        return LinearController.load(self.folder / "controller.h5")

    @cached_property
    def starts(self) -> DreamStarts:
        return DreamStarts.load(self.folder / "dream_starts.h5", self.memory)

    def ask(self, *questions: tuple[Any, ...]) -> list[Any]:
        """What the page's JavaScript says to these; see tests/page/models.mjs."""
        said = json.dumps(questions, default=lambda array: array.tolist())
        (self.folder / "questions.json").write_text(said)
        command = ["node", str(SCRIPT), str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        answers: list[Any] = json.loads(done.stdout)
        return answers

    def frames(self, count: int = STEPS) -> NDArray[np.uint8]:
        shape = (count, *self.sizes.image_shape, 3)
        return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)

    def normal(self, *shape: int, seed: int = 2) -> NDArray[np.float32]:
        return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)

    def latents(self, count: int = STEPS) -> NDArray[np.float32]:
        return self.normal(count, self.sizes.latent_dim)

    def hidden(self, count: int = STEPS) -> NDArray[np.float32]:
        return np.tanh(self.normal(count, self.sizes.hidden_units, seed=3))


def halved(values: NDArray[Any]) -> NDArray[np.float32]:
    """Numbers that half precision holds, so that exporting changes none."""
    return values.astype(np.float16).astype(np.float32)


def randomise(variables: list[tf.Variable], rng: np.random.Generator) -> None:
    """Moves weights, and biases, which begin as zeros."""
    for variable in variables:
        moved = variable.numpy() + 0.1 * rng.normal(size=variable.shape)
        variable.assign(halved(moved) if len(variable.shape) > 1 else moved)


def save_models(folder: Path, sizes: Sizes) -> None:
    rng = np.random.default_rng(0)
    latent_dim, hidden_units = sizes.latent_dim, sizes.hidden_units
    vae = VAE(sizes.image_shape, latent_dim, rng=rng)
    randomise(vae.weights, rng)
    vae.save(folder / "vae.h5")
    memory = MDNRNN(
        latent_dim,
        hidden_units,
        sizes.mixtures,
        rng=rng,
        vae_digest=file_digest(folder / "vae.h5"),
        has_outcome=sizes.has_outcome,
    )
    randomise(memory.weights, rng)
    mean = rng.normal(size=latent_dim + hidden_units, scale=0.5)
    memory.feature_mean = mean.astype(np.float32)
    memory.save(folder / "memory.h5")
    features = {"z": latent_dim, "h": hidden_units}
    rows = sum(features[name] for name in sizes.inputs) + 1
    weights = rng.normal(size=(rows, 3), scale=0.4).astype(np.float32)  # few actions at their ends
    LinearController(weights, sizes.inputs, sizes.latent).save(folder / "controller.h5")
    bounds = np.array([[-0.5] * latent_dim, [0.7] * latent_dim], np.float32)
    states = [halved(rng.normal(size=(STORED, size))) for size in (latent_dim, *[hidden_units] * 2)]
    DreamStarts(states[0], states[1], states[2], bounds).save(folder / "dream_starts.h5", memory)


def export(folder: Path) -> dict[str, Any]:
    manifest, blob = export_weights(folder)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "weights.bin").write_bytes(blob)
    return manifest


@pytest.fixture(scope="module")
def all_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Models]:
    made = {}
    for name, sizes in SIZES.items():
        folder = tmp_path_factory.mktemp("models")
        save_models(folder, sizes)
        export(folder)
        made[name] = Models(folder, sizes)
    return made


@pytest.fixture(params=list(SIZES))
def models(all_models: dict[str, Models], request: pytest.FixtureRequest) -> Models:
    return all_models[request.param]


@pytest.fixture
def folder(all_models: dict[str, Models], tmp_path: Path) -> Path:
    """A folder of models that a test may spoil."""
    shutil.copytree(all_models["z"].folder, tmp_path / "models")
    return tmp_path / "models"


def near(expected: Any, tolerance: float = NUMBERS) -> Any:
    """Within so much of the largest number, as sums of large numbers may be small."""
    values = np.asarray(expected)
    return pytest.approx(values, abs=tolerance * max(1.0, float(np.abs(values).max())))


@needs_node
def test_v_encodes_as_in_python(models: Models) -> None:
    frames = models.frames()
    mean, log_var = models.vae.encode(frames)
    (answers,) = models.ask(("encode", frames.reshape(STEPS, -1)))
    assert np.std(mean) > 0.01
    assert np.array([answer["mean"] for answer in answers]) == near(mean)
    assert np.array([answer["logVar"] for answer in answers]) == near(log_var)


@needs_node
def test_v_decodes_as_in_python(models: Models) -> None:
    z = models.latents()
    values = models.vae.decoder(z).numpy().reshape(STEPS, -1)
    frames = models.vae.decode(z).reshape(STEPS, -1).astype(int)
    (answers,) = models.ask(("decode", z))
    assert np.std(values) > 0.01
    assert np.array([answer["values"] for answer in answers]) == near(values)
    differences = np.abs(np.array([answer["frame"] for answer in answers]) - frames)
    assert differences.max() <= 1  # where a value lies halfway between two
    assert differences.mean() < 1e-3


@needs_node
def test_m_steps_as_in_python(models: Models) -> None:
    z, actions = models.latents(), models.normal(STEPS, 3, seed=4)
    (answers,) = models.ask(("steps", z, actions))
    hidden = cell = tf.zeros((1, models.sizes.hidden_units))
    for step, answer in enumerate(answers):
        hidden, cell = models.memory.step(z[step][None], actions[step][None], hidden, cell)
        assert np.array(answer["hidden"]) == near(hidden[0])
        assert np.array(answer["cell"]) == near(cell[0])


@needs_node
def test_m_expects_what_it_does_in_python(models: Models) -> None:
    z, hidden = models.latents(), models.hidden()
    answers = models.ask(*(("expect", *each) for each in zip(hidden, z, strict=True)))
    log_weight, mean, log_std = models.memory.mixture(hidden, z)
    expected = {
        "logWeight": tf.reshape(log_weight, (STEPS, -1)),
        "mean": tf.reshape(mean, (STEPS, -1)),
        "logStd": tf.reshape(log_std, (STEPS, -1)),
        "expected": tf.reduce_sum(tf.exp(log_weight) * mean, axis=-1),
    }
    for name, values in expected.items():
        assert np.array([answer[name] for answer in answers]) == near(values)


@needs_node
def test_m_says_what_comes_of_steps_if_it_learnt_it(models: Models) -> None:
    z, hidden = models.latents(), models.hidden()
    answers = models.ask(*(("outcome", *each) for each in zip(hidden, z, strict=True)))
    if not models.sizes.has_outcome:
        assert answers[0]["refused"].startswith("memory: expected one that learnt what steps pay")
        return
    progress, end, later = models.memory.outcome(hidden, z)
    assert np.array([answer["progress"] for answer in answers]) == near(progress)
    assert np.array([answer["end"] for answer in answers]) == near(tf.sigmoid(end))
    assert np.array([answer["later"] for answer in answers]) == near(later)


@needs_node
@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0, 1.4])
def test_a_dream_goes_on_as_in_python_by_the_same_luck(models: Models, temperature: float) -> None:
    sizes, rng = models.sizes, np.random.default_rng(5)
    uniform = rng.random((STEPS, sizes.latent_dim + 1), dtype=np.float32)
    normal = models.normal(STEPS, sizes.latent_dim, seed=6)
    actions = rng.uniform(-1, 1, (STEPS, 3)).astype(np.float32)
    drawn = slice(None) if temperature else slice(sizes.latent_dim, None)  # of a step's, the end
    question = {
        "start": 1,
        "temperature": temperature,
        "actions": actions,
        "steps": STEPS,
        "uniform": uniform[:, drawn].reshape(-1),
        "normal": normal.reshape(-1),
    }
    (answers,) = models.ask(("dream", question))
    second = round((STORED - 1) / 31)
    z, hidden, cell = (
        each[second : second + 1]
        for each in (models.starts.z, models.starts.hidden, models.starts.cell)
    )
    clipped = 0
    for step, answer in enumerate(answers):
        luck = uniform[step : step + 1, :-1], normal[step : step + 1]
        now = z, actions[step : step + 1], hidden, cell
        dreamt = imagine(models.memory, temperature, models.starts.bounds, *now, *luck)
        z, hidden, cell, *pays = (each.numpy() for each in dreamt)
        assert np.array(answer["z"]) == near(z[0])
        assert np.array(answer["hidden"]) == near(hidden[0])
        assert np.array(answer["cell"]) == near(cell[0])
        clipped += int((z == models.starts.bounds).sum())
        if sizes.has_outcome:
            names = ("reward", "end", "progress", "value")
            assert [answer[name] for name in names] == near(np.ravel(pays), 1e-4)
            assert answer["ended"] == bool(uniform[step, -1] < pays[1][0, 0])
        else:
            assert (answer["reward"], answer["end"], answer["ended"]) == (None, None, False)
    assert clipped or temperature == 0


def actions_of(
    models: Models,
    weights: NDArray[np.float32],
    z: NDArray[np.float32],
    hidden: NDArray[np.float32],
) -> NDArray[np.float64]:
    """What a C of these weights does, in Python."""
    inputs = models.sizes.inputs
    features = np.concatenate([{"z": z, "h": hidden}[name] for name in inputs], axis=1)
    features = features - models.memory.feature_mean_of(inputs)
    outputs = replace(models.controller, weights=weights).outputs(features)
    return CarRacingTask().actions_of(tf.constant(outputs)).numpy()


@needs_node
def test_c_acts_as_in_python(models: Models) -> None:
    z, hidden = models.latents(), models.hidden()
    answers = models.ask(*(("act", *each) for each in zip(z, hidden, strict=True)))
    expected = actions_of(models, models.controller.weights, z, hidden)
    assert (expected.std(axis=0) > 0.01).all()
    assert np.array(answers) == near(expected)


@needs_node
def test_c_goes_on_with_the_weights_of_another(models: Models) -> None:
    z, hidden = models.latents(1), models.hidden(1)
    weights = models.normal(*models.controller.weights.shape, seed=9)
    taken, refused = models.ask(
        ("actWith", weights.reshape(-1), z[0], hidden[0]),
        ("actWith", weights.reshape(-1)[1:], z[0], hidden[0]),
    )
    assert np.array([taken]) == near(actions_of(models, weights, z, hidden))
    count = weights.size
    assert refused["refused"] == f"controller: expected {count} numbers, got {count - 1}"


@needs_node
def test_the_agent_drives_and_sees_as_in_python(models: Models) -> None:
    sizes, frames = models.sizes, models.frames()
    graphs = agent_graphs(models.vae, models.memory, inputs=sizes.inputs, latent=sizes.latent)
    policy = AgentPolicy(1, graphs=graphs)
    policy.set_candidates(models.controller.parameters[None])
    policy.begin(0, Episode(track_seed=0, steps=STEPS, noise_seed=7))
    noise = models.normal(STEPS, sizes.latent_dim, seed=7)
    (answers,) = models.ask(("drive", frames.reshape(STEPS, -1), noise.reshape(-1)))
    before = np.zeros(sizes.hidden_units)
    for frame, answer in zip(frames, answers, strict=True):
        action = policy.act(frame[None])
        assert np.array(answer["action"]) == near(action[0])
        assert np.array(answer["state"]["hidden"]) == near(policy.hidden[0])
        mean, _ = models.vae.encode(frame[None])
        log_weight, means, _ = models.memory.mixture(policy.hidden, mean)
        expected = tf.reduce_sum(tf.exp(log_weight) * means, axis=-1).numpy()
        shown = models.vae.decode(np.concatenate([mean, expected])).reshape(2, -1).astype(int)
        view = answer["view"]
        assert np.array(view["z"]) == near(mean[0])
        assert np.array(view["action"]) == near(action[0])
        assert np.abs(np.array(view["reconstruction"]) - shown[0]).max() <= 1
        assert np.abs(np.array(view["expectation"]) - shown[1]).max() <= 1
        assert np.array(answer["moment"]["z"]) == near(mean[0])
        assert np.array(answer["moment"]["hidden"]) == near(before)
        before = policy.hidden[0].copy()


@needs_node
def test_an_agent_that_begins_anew_forgets(models: Models) -> None:
    noise = models.normal(STEPS, models.sizes.latent_dim).reshape(-1)
    ((first, second),) = models.ask(("driveTwice", models.frames().reshape(STEPS, -1), noise))
    assert first == second


@needs_node
def test_c_drives_a_dream_that_begins_where_a_drive_stands(models: Models) -> None:
    sizes, rng = models.sizes, np.random.default_rng(8)
    noise = models.normal(STEPS, sizes.latent_dim)
    (drive,) = models.ask(("drive", models.frames().reshape(STEPS, -1), noise.reshape(-1)))
    start = drive[-1]["moment"]
    uniform = rng.random((STEPS, sizes.latent_dim + 1), dtype=np.float32)
    question = {
        "start": start,
        "temperature": 1.0,
        "steps": STEPS,
        "uniform": uniform.reshape(-1),
        "normal": noise.reshape(-1),
    }
    (answers,) = models.ask(("dream", question))
    layer = linear_layer(sizes.inputs, latent_dim=sizes.latent_dim, hidden_units=sizes.hidden_units)
    z, hidden, cell = (np.array([start[name]], np.float32) for name in ("z", "hidden", "cell"))
    for step, answer in enumerate(answers):
        z, hidden, cell, *_ = act_and_imagine(
            *(models.memory, 1.0, models.starts.bounds, layer, sizes.inputs, z),
            *(layer.stacked(models.controller.parameters[None]), hidden, cell),
            *(uniform[step : step + 1, :-1], noise[step : step + 1]),
        )
        assert np.array(answer["z"]) == near(z[0])
        assert np.array(answer["hidden"]) == near(hidden[0])


@needs_node
def test_moments_to_dream_from_are_spread_over_those_that_are_stored(models: Models) -> None:
    (starts,) = models.ask(("starts",))
    chosen = [round(place) for place in np.linspace(0, STORED - 1, 32)]
    for name in ("z", "hidden", "cell"):
        got = np.array([start[name] for start in starts])
        assert np.array_equal(got, getattr(models.starts, name)[chosen])


@needs_node
def test_luck_depends_on_the_seed_alone(all_models: dict[str, Models]) -> None:
    one, same, other = all_models["z"].ask(*(("random", seed, 20_000) for seed in (3, 3, 4)))
    assert one == same
    assert one != other
    uniform, normal = np.array(one).T
    assert 0 <= uniform.min() < uniform.max() < 1
    assert uniform.mean() == pytest.approx(0.5, abs=0.02)
    assert normal.mean() == pytest.approx(0, abs=0.03)
    assert normal.std() == pytest.approx(1, abs=0.03)
    assert abs(np.corrcoef(normal[::2], normal[1::2])[0, 1]) < 0.04


@needs_node
def test_what_does_not_fit_is_refused_in_one_line(all_models: dict[str, Models]) -> None:
    models = all_models["z"]  # 32 x 32, 5 latents, 7 hidden units
    start = {"z": [0] * 5, "hidden": [0] * 7, "cell": [0] * 7}
    dream = {"start": start, "temperature": 1, "steps": 1, "uniform": [], "normal": []}
    tensor = {"name": "a", "shape": [1], "dtype": "float16", "offset": 0}
    refusals = {
        "frame: expected 3072 numbers, got 3071": ("encode", [[0] * 3071]),
        "frame: expected bytes, got Float32Array": ("encodeFloats", [0] * 3072),
        "z: expected 5 numbers, got 4": ("decode", [[0] * 4]),
        "action: expected 3 numbers, got 2": ("steps", [[0] * 5], [[0] * 2]),
        "hidden: expected 7 numbers, got 5": ("expect", [0] * 5, [0] * 5),
        "cell: expected 7 numbers, got 0": ("dream", {**dream, "start": {**start, "cell": []}}),
        "temperature: expected 0 or more, got -1": ("dream", {**dream, "temperature": -1}),
        "agent: expected a frame to have been acted on, got none": ("viewTooEarly",),
        "manifest: expected format 1, got 2; export the models anew": (
            *("readAnother", {"format": 2}),
        ),
        "weights: expected 9 bytes, got": ("readAnother", {"bytes": 9}),
        "weights: a: expected float16 or float32 within the file, got 1 of int8 at 0": (
            *("readAnother", {"tensors": [{**tensor, "dtype": "int8"}]}),
        ),
        "weights: a: expected float16 or float32 within the file, got 1 of float16 at 99": (
            *("readAnother", {"tensors": [{**tensor, "offset": 99 * 10**6}]}),
        ),
        "weights: memory/lstm/bias: expected shape (28), got none; export the models anew": (
            *("readWithout", "memory/lstm/bias"),
        ),
    }
    for refusal, answer in zip(refusals, models.ask(*refusals.values()), strict=True):
        assert answer["refused"].startswith(refusal), answer
        assert "\n" not in answer["refused"]


@needs_node
def test_an_agent_that_draws_z_wants_something_to_draw_with(all_models: dict[str, Models]) -> None:
    (answer,) = all_models["z and h"].ask(("driveWithoutNoise",))
    assert answer["refused"] == "random: expected a source, as C drives on drawn z, got none"


@needs_node
@pytest.mark.skipif(not RECORDED.is_dir(), reason="no models/second here: `dvc pull` gets it")
def test_half_precision_moves_the_recorded_models_by_less_than_a_pixel_shows(
    tmp_path: Path,
) -> None:
    for name in ("vae", "memory", "controller", "dream_starts"):
        shutil.copy(RECORDED / f"{name}.h5", tmp_path)
    export(tmp_path)
    vae, memory = VAE.load(tmp_path / "vae.h5"), MDNRNN.load(tmp_path / "memory.h5")
    starts = DreamStarts.load(tmp_path / "dream_starts.h5", memory)
    frames = vae.decode(starts.z[:STEPS])
    models = Models(tmp_path, replace(SIZES["z"], image_shape=vae.image_shape))
    encoded, decoded = models.ask(
        ("encode", frames.reshape(STEPS, -1)), ("decode", starts.z[:STEPS])
    )
    mean, _ = vae.posterior(tf.constant(frames))
    assert np.array([answer["mean"] for answer in encoded]) == near(mean, 2e-3)
    values = vae.decoder(starts.z[:STEPS]).numpy().reshape(STEPS, -1)
    got = np.array([answer["values"] for answer in decoded])
    assert np.abs(got - values).max() < 0.5 / 255


def test_layouts_are_the_models_own(models: Models) -> None:
    sizes, vae, memory = models.sizes, models.vae, models.memory
    layout = vae_layout(sizes.image_shape, sizes.latent_dim, vae_networks.FILTERS)
    assert [shape for _, shape in layout] == [tuple(weight.shape) for weight in vae.weights]
    of_memory = memory_layout(
        *(sizes.latent_dim, sizes.hidden_units, sizes.mixtures, memory_module.OUTCOME_UNITS)
    )
    expected = [*(tuple(weight.shape) for weight in memory.weights), memory.feature_mean.shape]
    assert [shape for _, shape in of_memory] == expected


def test_numbers_that_are_said_twice_are_the_models_own() -> None:
    assert (weights_module.KERNEL, weights_module.STRIDE) == (
        vae_networks.KERNEL,
        vae_networks.STRIDE,
    )
    assert weights_module.LATER_UNIT == memory_module.LATER_UNIT
    largest = memory_module.MAX_HIDDEN_UNITS, memory_module.MAX_MIXTURES
    assert largest == weights_module.LARGEST_MEMORY
    assert weights_module.STARTS == KIND


def test_models_are_exported_without_tensorflow(all_models: dict[str, Models]) -> None:
    lines = (
        "import sys",
        "from worldmodels.page.weights import export_weights",
        "export_weights(sys.argv[1])",
        "assert 'tensorflow' not in sys.modules",
    )
    command = [sys.executable, "-c", "\n".join(lines), str(all_models["z"].folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_manifest_says_where_each_number_lies(models: Models) -> None:
    manifest, blob = export_weights(models.folder)
    assert export_weights(models.folder) == (manifest, blob)
    assert json.loads(json.dumps(manifest)) == manifest
    assert manifest["bytes"] == len(blob)
    end = 0
    for tensor in manifest["tensors"]:
        assert end <= tensor["offset"] < end + 4
        assert tensor["offset"] % 4 == 0
        dtype = {"float16": "<f2", "float32": "<f4"}[tensor["dtype"]]
        values = np.frombuffer(blob, dtype, int(np.prod(tensor["shape"])), tensor["offset"])
        end = tensor["offset"] + values.nbytes
        if tensor["name"] == "controller/weights":
            assert np.array_equal(values.reshape(tensor["shape"]), models.controller.weights)
        if tensor["name"] == "memory/feature_mean":
            assert np.array_equal(values, models.memory.feature_mean)
    assert len(blob) - end < 4


def test_fewer_moments_are_exported_if_there_are_no_more(folder: Path) -> None:
    for asked, expected in ((1, 1), (7, 7), (100, STORED)):
        manifest, _ = export_weights(folder, moments=asked)
        shapes = {tensor["name"]: tensor["shape"] for tensor in manifest["tensors"]}
        assert shapes["starts/z"] == [expected, 5]


def test_no_moments_are_refused(folder: Path) -> None:
    with pytest.raises(WorldModelsError, match=r"^moments: expected 1 or more, got 0$"):
        export_weights(folder, moments=0)


@pytest.mark.parametrize("name", ["vae", "memory", "controller", "dream_starts"])
def test_a_missing_or_another_file_is_refused(folder: Path, name: str) -> None:
    path = folder / f"{name}.h5"
    path.unlink()
    with pytest.raises(WorldModelsError, match=rf"{name}\.h5: "):
        export_weights(folder)
    save_model(path, "thing", {}, [])
    with pytest.raises(WorldModelsError, match=rf"{name}\.h5: expected a .*, got a thing"):
        export_weights(folder)


def test_models_that_do_not_belong_together_are_refused(folder: Path) -> None:
    other = VAE((32, 32), 5, rng=np.random.default_rng(9))
    other.save(folder / "vae.h5")
    with pytest.raises(WorldModelsError, match=r"^memory.h5: expected a memory fitted to"):
        export_weights(folder)
    MDNRNN(4, 7, 3, rng=np.random.default_rng(0)).save(folder / "memory.h5")
    with pytest.raises(WorldModelsError, match=r"^memory: expected latents of 5 numbers, as"):
        export_weights(folder)
    MDNRNN(5, 7, 3, rng=np.random.default_rng(0)).save(folder / "memory.h5")
    with pytest.raises(WorldModelsError, match="memory beside it, got those of another"):
        export_weights(folder)


def test_a_controller_of_another_memory_is_refused(folder: Path) -> None:
    controller = LinearController(np.zeros((6, 3), np.float32), ("z", "h"), "mean")
    controller.save(folder / "controller.h5")
    with pytest.raises(WorldModelsError, match="expected a controller of 13 rows, for z and h"):
        export_weights(folder)


def test_weights_of_another_architecture_are_refused(folder: Path) -> None:
    settings: dict[str, Setting] = {"image_shape": [32, 32], "latent_dim": 5}
    for weights in ([], [np.zeros(2, np.float32)] * 8, [np.zeros((), np.float32)] * 20):
        save_model(folder / "vae.h5", "vae", settings, weights)
        with pytest.raises(WorldModelsError, match="weights of another architecture"):
            export_weights(folder)


def test_a_weight_that_half_precision_does_not_hold_is_refused(folder: Path) -> None:
    memory = MDNRNN.load(folder / "memory.h5")
    memory.head.kernel.assign(memory.head.kernel * 1e7)
    memory.save(folder / "memory.h5")
    with pytest.raises(WorldModelsError, match="memory/head/kernel: expected numbers up to 65504"):
        export_weights(folder)


def without_custom_sections(code: bytes) -> bytes:
    """WebAssembly without the names that `wat2wasm` keeps beside it."""
    kept, at = code[:8], 8
    while at < len(code):
        begin, kind = at, code[at]
        size = shift = 0
        while True:  # LEB128
            at += 1
            size |= (code[at] & 127) << shift
            shift += 7
            if code[at] < 128:
                break
        at += 1 + size
        kept += code[begin:at] if kind else b""
    return kept


def test_the_bytes_in_gemm_js_are_those_of_gemm_wat() -> None:
    """If not, what is expected belongs there, in lines of 92 characters."""
    wasmtime = pytest.importorskip(
        "wasmtime", reason="wasmtime is not installed: its wat2wasm makes the bytes"
    )
    expected = without_custom_sections(bytes(wasmtime.wat2wasm((MODELS / "gemm.wat").read_text())))
    lines = re.search(r"CODE = \[(.*?)\]", (MODELS / "gemm.js").read_text(), re.DOTALL)
    assert lines is not None
    encoded = "".join(re.findall("'(.*)'", lines[1]))
    assert encoded == base64.b64encode(expected).decode()
