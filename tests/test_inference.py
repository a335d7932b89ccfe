"""Graphs: a row's bits depend on nothing beside it, and workers need no TensorFlow for them."""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
import weakref
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from conftest import distance
from numpy.typing import NDArray
from project import ROOT

from worldmodels.models import inference
from worldmodels.models.agent_policy import AgentPolicy, agent_graphs, decide
from worldmodels.models.controller import linear_layer
from worldmodels.models.inference import Graph, TensorFlowGraph, make_graph
from worldmodels.models.memory import MDNRNN
from worldmodels.models.openvino_graph import OpenVINOGraph, has_openvino
from worldmodels.models.vae import VAE, Precision
from worldmodels.models.vision import calibrate, driving_posterior, vision_graph
from worldmodels.rollouts.episode import Episode

ROWS = 130  # more than two of the largest batches
COUNTS = (1, 3, 4, 31, 64, 65, ROWS)
THREADS = (1, 2, 4)
PRECISIONS = pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
SIZES = pytest.mark.parametrize(("image_shape", "latent_dim"), [((32, 32), 4), ((60, 80), 32)])
MEMORIES = pytest.mark.parametrize(("latent_dim", "hidden_units"), [(4, 8), (32, 256)])
INPUTS = ("z", "h")

Arrays = tuple[NDArray[Any], ...]

needs_openvino = pytest.mark.skipif(not has_openvino(), reason="no wheel of OpenVINO here")


def some_frames(count: int, image_shape: tuple[int, int] = (32, 32)) -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, *image_shape, 3), dtype=np.uint8)


def make_vae(
    precision: Precision, image_shape: tuple[int, int] = (32, 32), latent_dim: int = 4
) -> VAE:
    vae = VAE(image_shape, latent_dim, precision=precision, rng=np.random.default_rng(1))
    calibrate(vae, some_frames(32, image_shape))
    return vae


def make_memory(latent_dim: int = 4, hidden_units: int = 8) -> MDNRNN:
    memory = MDNRNN(latent_dim, hidden_units, 2, rng=np.random.default_rng(2))
    size = latent_dim + hidden_units
    memory.feature_mean = np.random.default_rng(3).normal(size=size).astype(np.float32)
    return memory


def decision(
    memory: MDNRNN, rows: int
) -> tuple[partial[tuple[tf.Tensor, ...]], list[tf.TensorSpec], Arrays]:
    """`decide` with its inputs: what they are, and so many rows of them."""
    latent_dim, hidden_units = memory.latent_dim, memory.hidden_units
    controller = linear_layer(INPUTS, latent_dim=latent_dim, hidden_units=hidden_units)
    rng = np.random.default_rng(4)
    weights = controller.stacked(0.3 * rng.normal(size=(rows, controller.parameters)))
    sizes = [latent_dim] * 3 + [hidden_units] * 2
    mean, log_var, noise, hidden, cell = (
        rng.standard_normal((rows, size), dtype=np.float32) for size in sizes
    )
    inputs = (mean, log_var, noise, weights, np.tanh(hidden), cell)
    specs = [tf.TensorSpec((None, *each.shape[1:]), each.dtype) for each in inputs]
    return partial(decide, memory, controller, INPUTS), specs, inputs


def seeing(vae: VAE) -> tuple[partial[tuple[tf.Tensor, ...]], list[tf.TensorSpec]]:
    """What V's graph is made of."""
    return partial(driving_posterior, vae), [tf.TensorSpec((None, *vae.image_shape, 3), tf.uint8)]


def require_rows_alone(graph: Graph, inputs: Arrays, expected: Arrays) -> None:
    """Of any number of rows, the first and the last, are as expected of all, to the bit."""
    for count in COUNTS:
        for rows in (slice(count), slice(ROWS - count, ROWS)):
            for got, wanted in zip(graph(*(each[rows] for each in inputs)), expected, strict=True):
                assert got.dtype == np.float32
                assert got.tobytes() == wanted[rows].tobytes(), (count, rows)


@PRECISIONS
@SIZES
def test_a_frame_gives_the_same_bits_in_any_batch_and_with_any_number_of_threads(
    precision: Precision, image_shape: tuple[int, int], latent_dim: int
) -> None:
    vae, frames = make_vae(precision, image_shape, latent_dim), some_frames(ROWS, image_shape)
    expected = vision_graph(vae)(frames)
    assert len(np.unique(expected[0], axis=0)) == ROWS
    for threads in THREADS:
        require_rows_alone(vision_graph(vae, threads=threads), (frames,), expected)


@MEMORIES
def test_a_decision_has_the_same_bits_in_any_batch_and_with_any_number_of_threads(
    latent_dim: int, hidden_units: int
) -> None:
    function, specs, inputs = decision(make_memory(latent_dim, hidden_units), ROWS)
    expected = make_graph(function, specs)(*inputs)
    assert len(np.unique(expected[0], axis=0)) == ROWS
    for threads in THREADS:
        require_rows_alone(make_graph(function, specs, threads=threads), inputs, expected)


@SIZES
def test_without_openvino_a_frame_has_the_same_bits_in_any_batch(
    image_shape: tuple[int, int], latent_dim: int
) -> None:
    graph = TensorFlowGraph(*seeing(make_vae("float32", image_shape, latent_dim)))
    frames = some_frames(ROWS, image_shape)
    require_rows_alone(graph, (frames,), graph(frames))


@MEMORIES
def test_without_openvino_a_decision_has_the_same_bits_in_any_batch(
    latent_dim: int, hidden_units: int
) -> None:
    function, specs, inputs = decision(make_memory(latent_dim, hidden_units), ROWS)
    graph = TensorFlowGraph(function, specs)
    require_rows_alone(graph, inputs, graph(*inputs))


@needs_openvino
@PRECISIONS
@SIZES
def test_openvino_and_tensorflow_see_the_same(
    precision: Precision, image_shape: tuple[int, int], latent_dim: int
) -> None:
    """int8: what is half a step apart from two steps may be rounded to one or to the other."""
    near = {"float32": 1e-5, "bfloat16": 0.02, "int8": 0.003}[precision]
    vae, frames = make_vae(precision, image_shape, latent_dim), some_frames(20, image_shape)
    ours, theirs = vision_graph(vae), TensorFlowGraph(*seeing(vae))
    assert isinstance(ours, OpenVINOGraph)
    for got, expected in zip(ours(frames), theirs(frames), strict=True):
        assert distance(got, expected) < near


@needs_openvino
@MEMORIES
def test_openvino_and_tensorflow_decide_the_same(latent_dim: int, hidden_units: int) -> None:
    function, specs, inputs = decision(make_memory(latent_dim, hidden_units), 20)
    ours, theirs = OpenVINOGraph(function, specs), TensorFlowGraph(function, specs)
    for got, expected in zip(ours(*inputs), theirs(*inputs), strict=True):
        assert got == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("kind", [OpenVINOGraph, TensorFlowGraph])
def test_a_graph_is_of_the_model_as_it_was(kind: type[OpenVINOGraph | TensorFlowGraph]) -> None:
    if kind is OpenVINOGraph and not has_openvino():
        pytest.skip("no wheel of OpenVINO here")
    vae, frames = make_vae("float32"), some_frames(3)
    expected = kind(*seeing(vae))(frames)
    graph, unused = kind(*seeing(vae)), kind(*seeing(vae))
    graph(frames)
    for weight in vae.weights:
        weight.assign(weight + 1.0)
    for later in (graph, unused, pickle.loads(pickle.dumps(unused))):
        for got, wanted in zip(later(frames), expected, strict=True):
            assert np.array_equal(got, wanted)


WITHOUT_TENSORFLOW = """
import pickle, sys
with open(sys.argv[1], "rb") as file:
    graph, inputs = pickle.load(file)
for output in graph(*inputs):
    print(output.tobytes().hex())
loaded = [name for name in sys.modules if name.partition(".")[0] in ("tensorflow", "keras")]
assert not loaded, loaded
"""


def run_python(script: str, *arguments: str) -> str:
    """What a new process prints."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_openvino
@pytest.mark.parametrize("part", ["float32", "bfloat16", "int8", "decide"])
def test_a_pickled_graph_gives_the_same_bits_without_tensorflow_and_its_model(
    part: str, tmp_path: Path
) -> None:
    model: VAE | MDNRNN
    inputs: Arrays
    if part == "decide":
        model = make_memory(32, 256)
        function, specs, inputs = decision(model, 5)
        make = partial(make_graph, function, specs)
    else:
        model = make_vae(part)  # type: ignore[arg-type]
        inputs = (some_frames(5),)
        make = partial(vision_graph, model)
    expected = "".join(f"{output.tobytes().hex()}\n" for output in make()(*inputs))
    graph, gone = make(), weakref.ref(model)
    del model, make
    if part == "decide":
        del function
    gc.collect()
    tf.random.normal((1 << 20,))  # would take the place of weights that were freed
    assert gone() is None
    path = tmp_path / "graph.pickle"
    path.write_bytes(pickle.dumps((graph, inputs)))
    assert run_python(WITHOUT_TENSORFLOW, str(path)) == expected
    assert "".join(f"{output.tobytes().hex()}\n" for output in graph(*inputs)) == expected


OVER_TENSORFLOW = """
import pickle, sys
assert "tensorflow" not in sys.modules
with open(sys.argv[1], "rb") as file:
    graph, inputs = pickle.load(file)
for output in graph(*inputs):
    print(output.tobytes().hex())
import tensorflow as tf
assert tf.config.threading.get_intra_op_parallelism_threads() == 1
"""


def test_without_openvino_a_worker_computes_the_same_on_one_core(tmp_path: Path) -> None:
    function, specs, inputs = decision(make_memory(), 5)
    graph = TensorFlowGraph(function, specs)
    expected = [output.tobytes().hex() for output in graph(*inputs)]
    path = tmp_path / "graph.pickle"
    path.write_bytes(pickle.dumps((graph, inputs)))
    assert run_python(OVER_TENSORFLOW, str(path)).split() == expected


@PRECISIONS
def test_without_openvino_an_agent_drives_the_same_and_says_so_once(
    precision: Precision, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    vae, memory = make_vae(precision), make_memory()
    parameters = linear_layer(INPUTS, latent_dim=4, hidden_units=8).parameters
    candidates = 0.3 * np.random.default_rng(5).normal(size=(3, parameters))
    seen = some_frames(3 * 6).reshape(6, 3, 32, 32, 3)

    def drive() -> NDArray[np.float32]:
        graphs = agent_graphs(vae, memory, inputs=INPUTS, latent="sample")
        policy = AgentPolicy(3, graphs=graphs)
        policy.set_candidates(candidates)
        for slot in range(3):
            policy.begin(slot, Episode(track_seed=0, noise_seed=slot, candidate=slot, steps=6))
        return np.stack([policy.act(frames) for frames in seen])

    expected = drive()
    assert "OpenVINO" not in capfd.readouterr().err
    monkeypatch.setattr(inference, "has_openvino", lambda: False)
    inference._announce_tensorflow.cache_clear()  # another test may have heard it
    assert drive() == pytest.approx(expected, abs=1e-5 if precision == "float32" else 0.02)
    assert drive().std(axis=0).max(axis=1).min() > 1e-2  # each of the three looks
    said = [line for line in capfd.readouterr().err.splitlines() if "OpenVINO" in line]
    assert len(said) == 1
    assert said[0].startswith("worldmodels: no OpenVINO here; TensorFlow computes V, M and C")


NO_NETWORK = """
import socket, sys
def refuse(*_):
    raise SystemExit("somebody was to be told")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
import numpy as np
from worldmodels import VAE
vae = VAE((32, 32), 4, rng=np.random.default_rng(0))
vae.encode(np.zeros((1, 32, 32, 3), np.uint8))
assert "openvino" in sys.modules
telemetry = [name for name in sys.modules if name.startswith("openvino_telemetry")]
assert [sys.modules[name] for name in telemetry] == [None], telemetry
"""


@needs_openvino
def test_openvino_tells_nobody_that_it_is_used() -> None:
    run_python(NO_NETWORK)
