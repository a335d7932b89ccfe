"""One step of a dream: from what M holds to be the case, and an action, to what it expects next.

Read `imagine`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from worldmodels.car_racing.task import ACTIONS, CarRacingTask
from worldmodels.data.latents import LATER
from worldmodels.models.controller import Controller, linear_layer
from worldmodels.models.inference import Graph, make_graph
from worldmodels.models.memory import MDNRNN
from worldmodels.models.mixture import sample_mixture


def imagine(
    memory: MDNRNN,
    temperature: float,
    bounds: NDArray[np.float32],
    z: tf.Tensor,
    action: tf.Tensor,
    hidden: tf.Tensor,
    cell: tf.Tensor,
    uniform: tf.Tensor,
    normal: tf.Tensor,
) -> tuple[tf.Tensor, ...]:
    """The next z, hidden and cell state; and the reward, the chance that the episode ends, and the
    progress that M expects of this step, and the reward of the `LATER` steps after it, (batch, 1)
    each.

    Args:
        temperature: how far z is drawn from what is likely, after Ha & Schmidhuber: it divides the
            mixtures' logits and multiplies their variances. 0 takes the mean of the mixture.
        bounds: (2, latent_dim), the least and the largest that z can be.
        z: (batch, latent_dim). action: (batch, 3). hidden, cell: (batch, hidden_units).
        uniform, normal: (batch, latent_dim), what the next z is drawn by.
    """
    hidden, cell = memory.step(z, action, hidden, cell)
    outcome = memory.outcome(hidden, z)
    log_weight, mean, log_std = memory.mixture(hidden, z)
    if temperature == 0.0:
        following = tf.reduce_sum(tf.exp(log_weight) * mean, axis=-1)
    else:
        log_weight = tf.nn.log_softmax(log_weight / temperature)
        log_std = log_std + 0.5 * math.log(temperature)
        following = sample_mixture(log_weight, mean, log_std, uniform, normal)
    following = tf.clip_by_value(following, *bounds)
    task, end = CarRacingTask(), tf.sigmoid(outcome.end)
    reward = task.expected_reward(outcome.progress, end)
    value = task.expected_reward(outcome.later, 0.0, steps=LATER)
    expected = (reward, end, outcome.progress, value)
    return following, hidden, cell, *(each[:, None] for each in expected)


def act_and_imagine(
    memory: MDNRNN,
    temperature: float,
    bounds: NDArray[np.float32],
    controller: Controller,
    inputs: tuple[str, ...],
    z: tf.Tensor,
    weights: tf.Tensor,
    hidden: tf.Tensor,
    cell: tf.Tensor,
    uniform: tf.Tensor,
    normal: tf.Tensor,
) -> tuple[tf.Tensor, ...]:
    """`imagine` the action that C chooses, of `weights` for each row, as `Controller.stacked` has
    them."""
    features = tf.concat([{"z": z, "h": hidden}[name] for name in inputs], axis=1)
    features -= memory.feature_mean_of(inputs)
    action = CarRacingTask().actions_of(controller.forward(weights, features))
    return imagine(memory, temperature, bounds, z, action, hidden, cell, uniform, normal)


def dream_graph(
    memory: MDNRNN, *, temperature: float, bounds: NDArray[np.float32], threads: int = 1
) -> Graph:
    """`imagine` as a graph."""
    sizes = (memory.latent_dim, ACTIONS, *_state_sizes(memory))
    return _graph(partial(imagine, memory, temperature, bounds), sizes, threads=threads)


def agent_dream_graph(
    memory: MDNRNN, *, temperature: float, bounds: NDArray[np.float32], inputs: tuple[str, ...]
) -> tuple[Graph, Controller]:
    """`act_and_imagine` as a graph, and the controllers that act in it.

    Raises:
        WorldModelsError: the memory's outcome head was not trained.
    """
    memory.require_outcome()
    layer = linear_layer(inputs, latent_dim=memory.latent_dim, hidden_units=memory.hidden_units)
    (of_one,) = layer.stacked(np.zeros((1, layer.parameters)))
    function = partial(act_and_imagine, memory, temperature, bounds, layer, inputs)
    sizes = (memory.latent_dim, of_one.shape, *_state_sizes(memory))
    return _graph(function, sizes), layer


def _state_sizes(memory: MDNRNN) -> tuple[int, ...]:
    """Of hidden and cell state, and of the numbers that z is drawn by."""
    return memory.hidden_units, memory.hidden_units, memory.latent_dim, memory.latent_dim


def _graph(
    function: Callable[..., tuple[tf.Tensor, ...]],
    sizes: tuple[int | tuple[int, ...], ...],
    *,
    threads: int = 1,
) -> Graph:
    shapes = [(size,) if isinstance(size, int) else size for size in sizes]
    specs = [tf.TensorSpec((None, *shape)) for shape in shapes]
    return make_graph(function, specs, threads=threads)
