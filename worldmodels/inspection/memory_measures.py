"""M judged on held-out episodes: how well it predicts the next z, and how well it dreams.

One step ahead it is held against models that need no memory; in open loop, where it reads its own
predictions while the recorded actions are taken, against worlds in which nothing changes or all
goes on as it was. A good likelihood is no sign of good dreams: `open_loop` is what M is chosen by.
Read `one_step`, then `open_loop`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from worldmodels.core.errors import WorldModelsError
from worldmodels.data.latents import LatentSequences, Sequences
from worldmodels.dream.imagination import imagine
from worldmodels.dream.starts import WARM_UP, state_after
from worldmodels.models.memory import MDNRNN, Latent, z_and_target
from worldmodels.models.mixture import mixture_log_likelihood

ACTIVE = 0.01  # variance of a mean above which a latent dimension counts as used
BATCH_SIZE = 64  # windows
INTERVALS = (0.5, 0.9)  # central ones, whose coverage is measured
BINS = 20  # of the histogram of PIT values
SHOWN = (1, 10, 25, 50, 100, 200)  # steps of open loops that are named
SPANS = (25, 50, 100)  # steps over which progress is summed
HORIZON = 200  # dreamt steps of an open loop

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class OneStep:
    """How the next z is predicted.

    nll, nll_active: nats a latent dimension, over all and over active dimensions, by model:
        `memory`, `copy`, a Gaussian around the last z, and `linear`, one around a linear function
        of the last two z and the action; both fitted to the training episodes.
    pit: histogram of where z falls in what M expected, shares of `BINS` equal bins; flat if M knows
        how sure it is. coverage: share of z inside M's central intervals, by what it should be.
    end_auc: area under the ROC curve of the episode's end; None where all or none end.
    """

    nll: dict[str, float]
    nll_active: dict[str, float]
    pit: Floats
    coverage: dict[float, float]
    end_auc: float | None


def one_step(
    memory: MDNRNN,
    sequences: LatentSequences,
    *,
    training: Sequence[int],
    validation: Sequence[int],
    latent: Latent = "mean",
    seed: int = 0,
) -> OneStep:
    """Measure the predictions of the next z on held-out episodes.

    Args:
        memory: is measured.
        sequences: windows of some length, before which M knows nothing.
        training: episodes that the other models are fitted to. validation: the held-out ones.
        latent: what M reads and predicts, and the others as well; see `MemoryParams`.
        seed: of samples.
    """
    rng = np.random.default_rng(seed)
    fits = _Regressions()
    for read in batches(sequences, training):
        fits.add(_Steps.of(read, *z_and_target(read, latent, rng)))
    fits.solve()
    active = sequences.mean_of(np.arange(sequences.rows)).var(axis=0) > ACTIVE
    logs: dict[str, list[Floats]] = {"memory": [], "copy": [], "linear": []}
    places: list[Floats] = []
    ends: list[tuple[NDArray[np.float32], Floats]] = []
    predict = tf.function(partial(_predict, memory), autograph=False)
    for read in batches(sequences, validation):
        z, target = z_and_target(read, latent, rng)
        counts = read.mask > 0
        log, place, end = (each.numpy() for each in predict(z, target, read.action))
        logs["memory"].append(log[counts])
        places.append(place[counts])
        acted = read.acted > 0
        ends.append((read.ended[acted], end[acted]))
        for name, log in fits.log_likelihoods(_Steps.of(read, z, target)).items():
            logs[name].append(log)
    of_models = {name: np.concatenate(parts).mean(axis=0) for name, parts in logs.items()}
    place = np.concatenate(places)[:, active]
    histogram, _ = np.histogram(place, bins=BINS, range=(0.0, 1.0))
    ended, expected = (np.concatenate(each) for each in zip(*ends, strict=True))
    can_tell = memory.has_outcome and 0 < ended.sum() < len(ended)
    return OneStep(
        {name: -float(log.mean()) for name, log in of_models.items()},
        {name: -float(log[active].mean()) for name, log in of_models.items()},
        histogram / histogram.sum(),
        {share: float((np.abs(place - 0.5) < share / 2).mean()) for share in INTERVALS},
        float(roc_auc_score(ended, expected)) if can_tell else None,
    )


def _predict(
    memory: MDNRNN, z: tf.Tensor, target: tf.Tensor, action: tf.Tensor
) -> tuple[tf.Tensor, ...]:
    """Log likelihoods of every next z and its place in what was expected, 0 to 1, (batch, steps,
    latent_dim) each; and the logit of the end, (batch, steps)."""
    hidden = memory.lstm(tf.concat([z, action], axis=-1))
    log_weight, centre, log_std = memory.mixture(hidden, z)
    log = mixture_log_likelihood(target, log_weight, centre, log_std)
    standardised = (target[..., None] - centre) * tf.exp(-log_std)
    below = 0.5 * (1.0 + tf.math.erf(standardised / np.sqrt(2.0)))
    return log, tf.reduce_sum(tf.exp(log_weight) * below, axis=-1), memory.outcome(hidden, z).end


class _Steps(NamedTuple):
    """Steps of windows that have one before: the last two z, the action and a one, (steps, 2 *
    latent_dim + 4); what comes next, and the last z, (steps, latent_dim)."""

    known: Floats
    following: Floats
    last: Floats

    @classmethod
    def of(cls, read: Sequences, z: NDArray[np.float32], target: NDArray[np.float32]) -> _Steps:
        counts = read.mask[:, 1:] > 0
        ones = np.ones((*counts.shape, 1))
        parts = [z[:, 1:], z[:, :-1], read.action[:, 1:], ones]
        known = np.concatenate(parts, axis=2, dtype=np.float64)
        following, last = (each[:, 1:].astype(np.float64) for each in (target, z))
        return cls(known[counts], following[counts], last[counts])


class _Regressions:
    """Gaussians around what the last z, or a linear function of what was seen last, says of the
    next: fitted batch by batch."""

    def __init__(self) -> None:
        self._gram: Floats | float = 0.0
        self._cross: Floats | float = 0.0
        self._squares: Floats | float = 0.0
        self._changes: list[Floats | float] = [0.0, 0.0]
        self._count = 0

    def add(self, steps: _Steps) -> None:
        """Learn from steps."""
        known, following, last = steps
        self._gram += known.T @ known
        self._cross += known.T @ following
        self._squares += np.square(following).sum(axis=0)
        for power in (1, 2):
            self._changes[power - 1] += ((following - last) ** power).sum(axis=0)
        self._count += len(known)

    def solve(self) -> None:
        """Fit; after all steps were added."""
        size = len(np.atleast_1d(self._gram))
        self._weights = np.linalg.solve(self._gram + 1e-6 * np.eye(size), self._cross)
        residual = self._squares - (self._weights * self._cross).sum(axis=0)
        self._linear_variance = np.maximum(residual / self._count, 1e-8)
        drift, square = (each / self._count for each in self._changes)
        self._drift, self._copy_variance = drift, np.maximum(square - drift**2, 1e-8)

    def log_likelihoods(self, steps: _Steps) -> dict[str, Floats]:
        """Of every next z by `copy` and `linear`, (steps, latent_dim)."""
        known, following, last = steps
        return {
            "copy": _log_normal(following - last - self._drift, self._copy_variance),
            "linear": _log_normal(following - known @ self._weights, self._linear_variance),
        }


def _log_normal(distance: Floats, variance: Floats) -> Floats:
    return np.asarray(-0.5 * (np.log(2 * np.pi * variance) + np.square(distance) / variance))


@dataclass(frozen=True)
class OpenLoop:
    """How dreams part from what happened, on the recorded actions.

    error: squared distance of z from the recorded one over its variance, mean over active
        dimensions, at every step, (steps,), by what is dreamt: `memory`, the mean of what M
        expects, `copy`, where nothing changes, and `velocity`, where z goes on as it did last. 2 is
        as far as two moments of different drives.
    pixels: squared error of a pixel value, 0 to 1, between what V makes of the dreamt and of the
        recorded z, by what is dreamt and the step, of `SHOWN`.
    progress: correlation of the progress that M expects, dreaming at temperature 1, with what was
        made, by the steps over which both are summed; and `ratio`, of what it expects to what was
        made. Spans over which all drives made the same progress are left out, and all of them where
        the outcome head was not trained.
    """

    error: dict[str, Floats]
    pixels: dict[str, dict[int, float]]
    progress: dict[int, float]
    ratio: dict[int, float]

    @property
    def steps(self) -> int:
        """How many were dreamt."""
        return len(self.error["memory"])


def open_loop(
    memory: MDNRNN,
    decode: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    path: str,
    episodes: Sequence[int],
    *,
    seed: int = 0,
) -> OpenLoop:
    """Dream on from moments of held-out episodes, each after `WARM_UP` real steps, over `HORIZON`;
    both are shorter where all episodes are.

    Args:
        decode: V's, from z, (count, latent_dim), to pixels.
        path: of the latents.
        seed: of what is drawn.

    Raises:
        WorldModelsError: no episode has three steps.
    """
    longest = LatentSequences(path, length=1).longest(episodes)
    length = min(WARM_UP + HORIZON, longest - 1)
    warm_up = max(1, length * WARM_UP // (WARM_UP + HORIZON))
    horizon = length - warm_up
    sequences = LatentSequences(path, length=length)
    windows = sequences.windows(episodes, rng=None)
    whole = windows[(windows[:, 1] == warm_up + horizon) & (windows[:, 2] == 1)]
    if not len(whole):
        raise WorldModelsError(
            f"{path}: expected a held-out episode of three steps or more, got none"
        )
    unbounded = np.array([[-np.inf], [np.inf]], np.float32)
    dream = {
        temperature: tf.function(
            partial(_dream, memory, temperature, unbounded, warm_up), autograph=False
        )
        for temperature in (0.0, 1.0)
    }
    errors: dict[str, list[Floats]] = {}
    shown = [step for step in SHOWN if step <= horizon]
    pixels: dict[str, Floats] = {}
    made, expected = [], []
    for start in range(0, len(whole), BATCH_SIZE):
        read = sequences.read(whole[start : start + BATCH_SIZE])
        real = read.mean[:, warm_up + 1 :]
        last, before = read.mean[:, warm_up], read.mean[:, warm_up - 1]
        steps = np.arange(1, horizon + 1)[None, :, None]
        worlds = {
            "copy": np.broadcast_to(last[:, None], real.shape),
            "velocity": last[:, None] + steps * (last - before)[:, None],
        }
        given = read.mean, read.action, tf.constant([seed, start])
        worlds["memory"] = dream[0.0](*given)[0].numpy()
        expected.append(dream[1.0](*given)[1].numpy())
        made.append(read.progress[:, warm_up:])
        seen = _pixels(decode, real, shown)
        for name, world in worlds.items():
            errors.setdefault(name, []).append(np.square(world - real, dtype=np.float64))
            missed = np.square(_pixels(decode, world, shown) - seen, dtype=np.float64)
            pixels[name] = pixels.get(name, 0.0) + missed.mean(axis=(2, 3, 4)).sum(axis=0)
    spans = SPANS if memory.has_outcome else ()
    of_pixels = {
        name: dict(zip(shown, (total / len(whole)).tolist(), strict=True))
        for name, total in pixels.items()
    }
    totals = np.concatenate(made), np.concatenate(expected)
    return OpenLoop(_errors(sequences, errors), of_pixels, *_progress(*totals, spans))


def _pixels(
    decode: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    z: NDArray[np.float32],
    steps: Sequence[int],
) -> NDArray[np.float32]:
    """What V makes of some steps of dreams, (dreams, steps, height, width, 3)."""
    chosen = z[:, np.array(steps) - 1].astype(np.float32)
    decoded = decode(chosen.reshape(-1, z.shape[2]))
    return decoded.reshape(*chosen.shape[:2], *decoded.shape[1:])


def _errors(sequences: LatentSequences, errors: dict[str, list[Floats]]) -> dict[str, Floats]:
    """`OpenLoop.error`, from squared distances, (dreams, steps, latent_dim) a batch."""
    variance = sequences.mean_of(np.arange(sequences.rows)).var(axis=0)
    active = variance > ACTIVE
    return {
        name: (np.concatenate(parts)[..., active] / variance[active]).mean(axis=(0, 2))
        for name, parts in errors.items()
    }


def _progress(
    made: NDArray[np.float32], expected: NDArray[np.float32], spans: Sequence[int]
) -> tuple[dict[int, float], dict[int, float]]:
    """`OpenLoop.progress` and `OpenLoop.ratio`, from the progress of all steps, (dreams, steps)."""
    totals = {
        span: (made[:, :span].sum(axis=1), expected[:, :span].sum(axis=1))
        for span in spans
        if span <= made.shape[1] and made[:, :span].sum(axis=1).std()
    }
    return (
        {span: float(np.corrcoef(real, dreamt)[0, 1]) for span, (real, dreamt) in totals.items()},
        {span: float(dreamt.sum() / real.sum()) for span, (real, dreamt) in totals.items()},
    )


def _dream(
    memory: MDNRNN,
    temperature: float,
    bounds: NDArray[np.float32],
    warm_up: int,
    mean: tf.Tensor,
    action: tf.Tensor,
    seed: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """z and progress of the steps after the warm-up, (batch, steps, latent_dim) and (batch,
    steps)."""
    acted = tf.ones(tf.shape(action)[:2])[:, :warm_up]
    hidden, cell = state_after(memory, mean[:, :warm_up], action[:, :warm_up], acted)
    actions = tf.einsum("bta->tba", action[:, warm_up:])
    shape = tf.concat([tf.shape(actions)[:2], [memory.latent_dim]], axis=0)
    luck = tf.random.stateless_uniform(shape, seed), tf.random.stateless_normal(shape, seed + 1)

    def step(state: tuple[tf.Tensor, ...], given: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
        z, hidden, cell, _ = state
        imagined = imagine(memory, temperature, bounds, z, given[0], hidden, cell, *given[1:])
        return *imagined[:3], imagined[5]

    nothing = tf.zeros((tf.shape(mean)[0], 1))
    states = tf.scan(step, (actions, *luck), (mean[:, warm_up], hidden, cell, nothing))
    return tf.einsum("tbz->btz", states[0]), tf.einsum("tbp->bt", states[3])


def batches(sequences: LatentSequences, episodes: Sequence[int]) -> Iterator[Sequences]:
    """All windows of these episodes, in order."""
    windows = sequences.windows(episodes, rng=None)
    for start in range(0, len(windows), BATCH_SIZE):
        yield sequences.read(windows[start : start + BATCH_SIZE])
