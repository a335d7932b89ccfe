"""Mixtures of Gaussians, one for each number, as M predicts them: how likely a number is under its
mixture, and numbers drawn from it."""

from __future__ import annotations

import math
from typing import TypeAlias

import tensorflow as tf

Tensor: TypeAlias = tf.Tensor


def mixture_log_likelihood(
    target: Tensor, log_weight: Tensor, mean: Tensor, log_std: Tensor
) -> Tensor:
    """log of sum_k weight_k N(target; mean_k, std_k), in nats.

    Args:
        target: (...). The others: (..., mixtures); the log weights are normalised.
    """
    standardised = (target[..., None] - mean) * tf.exp(-log_std)
    log_normal = -0.5 * tf.square(standardised) - log_std - 0.5 * math.log(2 * math.pi)
    return tf.reduce_logsumexp(log_weight + log_normal, axis=-1)


def sample_mixture(
    log_weight: Tensor, mean: Tensor, log_std: Tensor, uniform: Tensor, normal: Tensor
) -> Tensor:
    """A draw from mixtures, (..., mixtures), by a uniform and a normal number each, (...)."""
    below = tf.cumsum(tf.exp(log_weight), axis=-1) < uniform[..., None]
    place = tf.reduce_sum(tf.cast(below, tf.int32), axis=-1)
    mixtures = tf.shape(log_weight)[-1]
    drawn = tf.one_hot(tf.minimum(place, mixtures - 1), mixtures)
    spread = tf.exp(tf.reduce_sum(drawn * log_std, axis=-1))
    return tf.reduce_sum(drawn * mean, axis=-1) + spread * normal
