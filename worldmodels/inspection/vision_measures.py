"""How good an eye V is, in numbers: generation, latent space, interpolation.

Everything here is a function of held-out frames, of what V's encoder makes of them, and of V's
decoder as a plain function, so that each measure can be held against a case that is known. Read
`Seen`, then the function of the property you are after; two more are in `reconstruction` and in
`probes`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics.pairwise import rbf_kernel

from worldmodels.core.metrics import Metrics
from worldmodels.inspection.vision_frames import HeldOut

ACTIVE = 0.01  # variance of the mean from which a dimension is in use (Burda et al. 2015)

EMBEDDING = (15, 20)  # rows and columns that a frame is shrunk to before it is compared
# Of the kernels, in the embedding's units: two frames of one set lie 1 to 5 apart, 3.4 the median.
BANDWIDTHS = (0.5, 1.0, 2.0, 4.0, 8.0)
COMPARED = 1000  # frames at most on each side of a kernel distance

STEPPED = 16  # latents that a unit step is taken from
PAIRS = 64  # of frames that are interpolated between
PATH = 11  # frames of an interpolation, both ends among them

Encode: TypeAlias = Callable[[NDArray[np.uint8]], tuple[NDArray[np.float32], NDArray[np.float32]]]
Decode: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True)
class Seen:
    """A set of held-out frames and what V makes of it.

    mean, log_var: (frames, latent_dim) float32, the posteriors.
    following_mean: (frames, latent_dim) float32, of the frames one step later.
    reconstructions: (frames, height, width, 3) uint8, decoded from the means.
    """

    held_out: HeldOut
    mean: NDArray[np.float32]
    log_var: NDArray[np.float32]
    following_mean: NDArray[np.float32]
    reconstructions: NDArray[np.uint8]


def see(held_out: HeldOut, encode: Encode, decode: Decode) -> Seen:
    """Let V look at a set of frames."""
    mean, log_var = encode(held_out.frames)
    following_mean, _ = encode(held_out.following)
    return Seen(held_out, mean, log_var, following_mean, to_frames(decode(mean)))


def to_frames(pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Pixels from 0 to 1 as frames, as `VAE.decode` rounds them."""
    return np.rint(pixels * 255.0).astype(np.uint8)


def aggregate_posterior(
    mean: NDArray[np.float32], log_var: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (latent_dim,) and covariance (latent_dim, latent_dim) of z over all frames."""
    means = mean.astype(np.float64)
    centre = means.mean(axis=0)
    spread = means - centre
    within = np.exp(log_var.astype(np.float64)).mean(axis=0)
    return centre, spread.T @ spread / len(means) + np.diag(within)


def kl_from_standard_normal(centre: NDArray[np.float64], covariance: NDArray[np.float64]) -> float:
    """KL(N(centre, covariance) || N(0, I)) in nats."""
    _, log_determinant = np.linalg.slogdet(covariance)
    squared = centre @ centre
    return float(0.5 * (np.trace(covariance) + squared - len(centre) - log_determinant))


def embed(frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Frames shrunk by area to `EMBEDDING`, (frames, 900), 0 to 1: fixed, and none of V's."""
    rows, columns = EMBEDDING
    shrunk = [cv2.resize(x, (columns, rows), interpolation=cv2.INTER_AREA) for x in frames]
    return np.stack(shrunk).reshape(len(frames), -1) / 255.0


def squared_mmd(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Squared maximum mean discrepancy of two samples, unbiased (Gretton et al. 2012, eq. 3).

    The kernel is the mean of Gaussian ones of `BANDWIDTHS`. Around 0, below too, for two samples
    of one distribution.

    Args:
        first, second: (samples, features), two samples or more each.
    """

    def kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        kernels = [rbf_kernel(x, y, gamma=0.5 / bandwidth**2) for bandwidth in BANDWIDTHS]
        return np.mean(kernels, axis=0)

    def within(x: NDArray[np.float64]) -> float:
        found = kernel(x, x)
        return float((found.sum() - np.trace(found)) / (len(x) * (len(x) - 1)))

    return within(first) + within(second) - 2.0 * float(kernel(first, second).mean())


def generation(seen: Seen, decode: Decode, *, rng: np.random.Generator) -> Metrics:
    """How near what V can draw is to what there is to see.

    `aggregate_kl`: of the aggregate posterior, as a Gaussian with full covariance, from N(0, I).
    `aggregate_mean`, `aggregate_std`: root mean square of its means, mean of its standard
    deviations; 0 and 1 are N(0, I)'s. `mmd_noise`: squared kernel distance of decoded noise from
    frames. Beside it, at the same sample size, `mmd_floor`, frames from other frames, and
    `mmd_reconstructions`, reconstructions of those other frames.
    """
    centre, covariance = aggregate_posterior(seen.mean, seen.log_var)
    order = rng.permutation(len(seen.mean))
    count = min(len(order) // 2, COMPARED)
    here, there = order[:count], order[count : 2 * count]
    noise = rng.standard_normal((count, seen.mean.shape[1]), dtype=np.float32)
    frames = embed(seen.held_out.frames[here])
    return {
        "aggregate_kl": kl_from_standard_normal(centre, covariance),
        "aggregate_mean": float(np.sqrt(np.square(centre).mean())),
        "aggregate_std": float(np.sqrt(np.diag(covariance)).mean()),
        "mmd_noise": squared_mmd(frames, embed(to_frames(decode(noise)))),
        "mmd_floor": squared_mmd(frames, embed(seen.held_out.frames[there])),
        "mmd_reconstructions": squared_mmd(frames, embed(seen.reconstructions[there])),
    }


@dataclass(frozen=True)
class Dimensions:
    """What each latent dimension does, (latent_dim,) float64 each.

    kl: nats, mean over the frames. variance: of the mean. centre, std: of the aggregate posterior.
    unit_step: root mean square change of a pixel value as the dimension grows by 1.
    """

    kl: NDArray[np.float64]
    variance: NDArray[np.float64]
    centre: NDArray[np.float64]
    std: NDArray[np.float64]
    unit_step: NDArray[np.float64]

    @property
    def active(self) -> NDArray[np.bool_]:
        """The dimensions in use (Burda et al. 2015), (latent_dim,)."""
        return self.variance > ACTIVE


def dimensions(seen: Seen, decode: Decode) -> Dimensions:
    """Measure each dimension; the unit steps start at the means of `STEPPED` frames."""
    mean, log_var = seen.mean.astype(np.float64), seen.log_var.astype(np.float64)
    kl = 0.5 * (np.square(mean) + np.exp(log_var) - 1.0 - log_var).mean(axis=0)
    centre, covariance = aggregate_posterior(seen.mean, seen.log_var)
    starts = seen.mean[evenly(len(mean), STEPPED)]
    drawn = decode(starts)
    steps = np.empty(mean.shape[1])
    for dimension in range(mean.shape[1]):
        moved = starts.copy()
        moved[:, dimension] += 1.0
        change = np.square(decode(moved) - drawn).mean(axis=(1, 2, 3), dtype=np.float64)
        steps[dimension] = np.sqrt(change).mean()
    return Dimensions(kl, mean.var(axis=0), centre, np.sqrt(np.diag(covariance)), steps)


def latent_space(seen: Seen, of: Dimensions, *, rng: np.random.Generator) -> Metrics:
    """Is the latent space continuous and dense?

    `active_units`, `kl` in nats a frame. `step_distance`: of the means of successive frames;
    `random_distance`: of those of random ones; `distance_ratio`: the first by the second.
    `unit_step`: mean over the active dimensions of what a step of 1 changes, a pixel value.
    """
    step = np.linalg.norm(seen.following_mean - seen.mean, axis=1).mean()
    order = rng.permutation(len(seen.mean))
    pairs = seen.mean[order] - seen.mean[np.roll(order, 1)]
    random = np.linalg.norm(pairs, axis=1).mean()
    shown = of.active if of.active.any() else np.ones_like(of.active)
    return {
        "active_units": int(of.active.sum()),
        "kl": float(of.kl.sum()),
        "step_distance": float(step),
        "random_distance": float(random),
        "distance_ratio": float(step / random) if random > 0 else 1.0,
        "unit_step": float(of.unit_step[shown].mean()),
    }


def linear_path(
    first: NDArray[np.float32], last: NDArray[np.float32], steps: int
) -> NDArray[np.float32]:
    """The straight lines between latents (pairs, latent_dim): (pairs, steps, latent_dim)."""
    share = np.linspace(0.0, 1.0, steps, dtype=np.float32)[None, :, None]
    return (1.0 - share) * first[:, None] + share * last[:, None]


def spherical_path(
    first: NDArray[np.float32], last: NDArray[np.float32], steps: int
) -> NDArray[np.float32]:
    """The arcs between latents: the direction turns evenly (Shoemake 1985), the norm grows evenly.

    Shapes as `linear_path`'s. Where there is no one arc, between opposite or parallel latents or
    from zero, it is the straight line.
    """
    norms = [np.linalg.norm(z.astype(np.float64), axis=1)[:, None] for z in (first, last)]
    units = [z / np.maximum(norm, 1e-12) for z, norm in zip((first, last), norms, strict=True)]
    angle = np.arccos(np.clip((units[0] * units[1]).sum(axis=1), -1.0, 1.0))[:, None]  # (pairs, 1)
    share = np.linspace(0.0, 1.0, steps)[None]
    turns = (np.sin(angle) > 1e-4) & (norms[0] > 0) & (norms[1] > 0)
    sine = np.where(turns, np.sin(angle), 1.0)
    from_first = (np.sin((1.0 - share) * angle) / sine)[..., None]
    from_last = (np.sin(share * angle) / sine)[..., None]
    direction = from_first * units[0][:, None] + from_last * units[1][:, None]
    norm = ((1.0 - share) * norms[0] + share * norms[1])[..., None]
    straight = linear_path(first, last, steps)
    return np.where(turns[..., None], norm * direction, straight).astype(np.float32)


PATHS = {"linear": linear_path, "spherical": spherical_path}


def choose_pairs(
    episodes: NDArray[np.int64], count: int, *, rng: np.random.Generator
) -> NDArray[np.int64]:
    """At most `count` random pairs of frames of different episodes, (pairs, 2).

    Where all frames are of one episode, of that one.
    """
    first = rng.integers(len(episodes), size=count)
    last = np.empty_like(first)
    for index, start in enumerate(first):
        others = np.flatnonzero(episodes != episodes[start])
        if not len(others):
            others = np.delete(np.arange(len(episodes)), start)
        last[index] = rng.choice(others)
    return np.stack([first, last], axis=1)


def interpolation(
    seen: Seen, encode: Encode, decode: Decode, *, rng: np.random.Generator
) -> Metrics:
    """Is what lies between two frames a frame too?

    `endpoint`: how far a mean moves when it is decoded and encoded again, root mean square over
    pairs and dimensions, in standard deviations of the new posterior. For each of `PATHS`,
    `midpoint`: the same for the middle of the path; `evenness`: the largest step between two of
    `PATH` decoded frames by the mean step, averaged over the pairs; 1 is even.
    """
    pairs = choose_pairs(seen.held_out.episodes, PAIRS, rng=rng)
    first, last = seen.mean[pairs[:, 0]], seen.mean[pairs[:, 1]]
    found: dict[str, float | Metrics] = {"endpoint": _there_and_back(first, encode, decode)}
    for name, path in PATHS.items():
        z = path(first, last, PATH)  # (pairs, PATH, latent_dim)
        pixels = decode(z.reshape(-1, z.shape[-1])).reshape(len(pairs), PATH, -1)
        step = np.linalg.norm(np.diff(pixels, axis=1), axis=2)  # (pairs, PATH - 1)
        mean = step.mean(axis=1)
        even = np.divide(step.max(axis=1), mean, out=np.ones_like(mean), where=mean > 0)
        found[name] = {
            "midpoint": _there_and_back(z[:, PATH // 2], encode, decode),
            "evenness": float(even.mean()),
        }
    return found


def _there_and_back(z: NDArray[np.float32], encode: Encode, decode: Decode) -> float:
    mean, log_var = encode(to_frames(decode(z)))
    return float(np.sqrt(np.square((mean - z) / np.exp(0.5 * log_var)).mean(dtype=np.float64)))


def evenly(total: int, count: int) -> NDArray[np.int64]:
    """At most `count` of `total` places, evenly spread."""
    chosen = min(total, count)
    return np.arange(chosen) * total // chosen
