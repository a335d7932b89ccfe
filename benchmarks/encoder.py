"""Frames a second of V's encoder on one core, at each precision, beside what the core's arithmetic
would allow: a matrix product as large as its caches like, in as many multiplications."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from benchmarks.closed_loop import BATCH_SIZE, IMAGE_SHAPE, PRECISIONS, models
from benchmarks.measure import Rates, in_turn, stay_on_one_core
from worldmodels.models.determinism import use_one_core
from worldmodels.models.inference import Graph, Precision, TensorFlowGraph, make_graph
from worldmodels.models.vae import VAE
from worldmodels.models.vision import driving_posterior, rounded, rounded_by_filter, vision_graph

ROUNDS = 5
SECONDS = 0.5  # a measurement
SIDE = 1024  # of the matrices


def multiplications(vae: VAE) -> int:
    """That the encoder does for a frame."""
    count = 0
    for layer in vae.encoder.layers:
        kernel = getattr(layer, "kernel", None)
        if kernel is not None:
            places = int(np.prod(layer.output.shape[1:-1]))  # 1 of a dense layer
            count += int(np.prod(kernel.shape)) * places
    return count


def product(precision: Precision) -> tuple[Graph, NDArray[np.float32]]:
    """A graph of a matrix product, written as a convolution of one pixel, and what to give it."""
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((1, 1, SIDE, SIDE), np.float32)
    picture = rng.random((1, SIDE // 32, 32, SIDE), np.float32)

    def multiply(picture: tf.Tensor) -> tuple[tf.Tensor]:
        if precision == "int8":
            weights = rounded_by_filter(tf.constant(matrix))
            return (tf.nn.conv2d(rounded(picture, 1.0), weights, 1, "VALID"),)
        return (tf.nn.conv2d(picture, matrix, 1, "VALID"),)

    whole = [tf.TensorSpec((None, *picture.shape[1:]), tf.float32)]
    return make_graph(multiply, whole, precision=precision), picture


def rate(
    graph: Callable[..., Any], rows: NDArray[Any], *, a_row: float = 1.0
) -> Callable[[], float]:
    """Measures rows a second, each counted for `a_row`."""
    graph(rows)

    def measure() -> float:
        started, done = time.perf_counter(), 0
        while time.perf_counter() - started < SECONDS:
            graph(rows)
            done += len(rows)
        return a_row * done / (time.perf_counter() - started)

    return measure


def main() -> None:
    use_one_core()
    stay_on_one_core()
    frames = (
        np.random.default_rng(0).integers(0, 256, (BATCH_SIZE, *IMAGE_SHAPE, 3)).astype(np.uint8)
    )
    subjects = {}
    for precision in PRECISIONS:
        with models(precision) as folder:
            vae = VAE.load(folder / "vae.h5")
        if precision == "float32":
            plain = TensorFlowGraph(
                partial(driving_posterior, vae), [tf.TensorSpec((None, *IMAGE_SHAPE, 3), tf.uint8)]
            )
            subjects["float32 by TensorFlow"] = rate(plain, frames)
        subjects[precision] = rate(vision_graph(vae), frames)
        graph, rows = product(precision)
        share = SIDE**3 / multiplications(vae)
        subjects[f"{precision}, the arithmetic alone"] = rate(graph, rows, a_row=share)
    rates: Rates = in_turn(subjects, rounds=ROUNDS)
    print(json.dumps(rates))


if __name__ == "__main__":
    main()
