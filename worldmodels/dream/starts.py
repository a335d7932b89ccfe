"""Where dreams begin: moments of recorded episodes, with what M made of the steps before them.

The stage `draw_starts` writes them beside V and M, so that one can dream without the episodes. Read
`dream_starts`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from worldmodels.core.errors import WorldModelsError
from worldmodels.data.latents import LatentSequences
from worldmodels.models.memory import MDNRNN
from worldmodels.models.model_files import ModelFileError, load_model, save_model

KIND = "start of dreams"  # of a model file
WARM_UP = 50  # steps, after which h says as much as it ever will
BATCH_SIZE = 256  # moments that M comes to at once
BEFORE, AFTER = 80, 20  # steps around the last progress of an episode that went wrong
OUTLIERS = 0.0005  # share of z that is left out at either end of its bounds
ROOM = 0.3  # beyond them


@dataclass(frozen=True)
class DreamStarts:
    """Moments to dream on from.

    z: (moments, latent_dim). hidden, cell: (moments, hidden_units), M's state before it reads z.
    bounds: (2, latent_dim), between which all z lie, outliers aside. All are float32.
    """

    z: NDArray[np.float32]
    hidden: NDArray[np.float32]
    cell: NDArray[np.float32]
    bounds: NDArray[np.float32]

    def save(self, path: str | Path, memory: MDNRNN) -> None:
        """Write a file of them.

        Args:
            memory: whose state they hold.
        """
        weights = [self.z, self.hidden, self.cell, self.bounds]
        save_model(path, KIND, {"vae_digest": memory.vae_digest}, weights)

    @classmethod
    def load(cls, path: str | Path, memory: MDNRNN) -> DreamStarts:
        """Read a file of them.

        Args:
            memory: that dreams on from there.

        Raises:
            ModelFileError: there is none, it is something else, damaged, or of another memory.
        """
        stored = load_model(path, KIND)
        moments = stored.weights[0].shape[0] if stored.weights and stored.weights[0].ndim else 0
        of_z, of_state = (moments, memory.latent_dim), (moments, memory.hidden_units)
        stored.require_shapes([of_z, of_state, of_state, (2, memory.latent_dim)])
        if not moments or stored.text("vae_digest") != memory.vae_digest:
            raise ModelFileError(
                f"{path}: expected moments of the memory beside it, got "
                f"{'those of another' if moments else 'none'}; run `dvc repro`"
            )
        return cls(*stored.weights)


def dream_starts(
    memory: MDNRNN,
    path: str | Path,
    *,
    moments: int,
    warm_up: int = WARM_UP,
    failures: float = 0.0,
    seed: int,
) -> DreamStarts:
    """Draw moments from a file of latents.

    Args:
        memory: comes to each moment from zeros, over the steps before it; they are fewer than
            `warm_up` where an episode begins in them.
        path: of the latents.
        moments: how many.
        failures: share of them that lie shortly before an episode went wrong.
        seed: of what is drawn.

    Raises:
        LatentFileError: no such file, another kind of file, or a damaged one.
        WorldModelsError: they are latents of another VAE than the memory's.
    """
    sequences = LatentSequences(path, length=warm_up)
    if memory.vae_digest != sequences.vae_digest:
        raise WorldModelsError(
            f"{path}: expected latents of the VAE that the memory is fitted to, got another's; "
            "run `dvc repro`"
        )
    rng = np.random.default_rng(seed)
    around = sequences.rows_before_failures(BEFORE, AFTER)
    hard = round(failures * moments) if len(around) else 0
    others = rng.integers(sequences.rows, size=moments - hard)
    chosen = np.concatenate([rng.choice(around, hard), others]).astype(np.int64)
    return DreamStarts(
        sequences.mean_of(chosen),
        *_states(memory, sequences, sequences.windows_before(chosen)),
        z_bounds(sequences),
    )


def _states(
    memory: MDNRNN, sequences: LatentSequences, windows: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """M's hidden and cell state after these windows, from zeros before them."""
    read_on = tf.function(partial(state_after, memory), autograph=False)
    states = []
    for start in range(0, len(windows), BATCH_SIZE):
        read = sequences.read(windows[start : start + BATCH_SIZE])
        states.append(read_on(read.mean[:, :-1], read.action, read.acted))
    hidden, cell = (np.concatenate(each) for each in zip(*states, strict=True))
    return hidden, cell


def state_after(
    memory: MDNRNN, z: tf.Tensor, action: tf.Tensor, acted: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Hidden and cell state after the steps of windows that are there."""

    def step(state: tuple[tf.Tensor, ...], given: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
        z, action, acted = given
        _, moved_on = memory.lstm.cell(tf.concat([z, action], axis=1), list(state))
        return tuple(
            acted[:, None] * new + (1.0 - acted[:, None]) * old
            for new, old in zip(moved_on, state, strict=True)
        )

    by_time = tuple(tf.einsum("bt...->tb...", each) for each in (z, action, acted))
    zeros = tf.zeros((tf.shape(z)[0], memory.hidden_units))
    return tuple(each[-1] for each in tf.scan(step, by_time, (zeros, zeros)))


def start_after(
    memory: MDNRNN,
    z: NDArray[np.float32],
    actions: NDArray[np.float32],
    now: NDArray[np.float32],
    bounds: NDArray[np.float32],
) -> DreamStarts:
    """One moment, after some steps of an episode.

    Args:
        z, actions: of the steps, (steps, latent_dim) and (steps, 3).
        now: z of the moment, (latent_dim,).
        bounds: see `DreamStarts`.
    """
    acted = np.ones((1, len(z)), np.float32)
    hidden, cell = (each.numpy() for each in state_after(memory, z[None], actions[None], acted))
    return DreamStarts(now[None], hidden, cell, bounds)


def z_bounds(sequences: LatentSequences) -> NDArray[np.float32]:
    """See `DreamStarts.bounds`."""
    everywhere = sequences.mean_of(np.arange(sequences.rows))
    low, high = np.quantile(everywhere, [OUTLIERS, 1 - OUTLIERS], axis=0)
    return np.stack([low - ROOM, high + ROOM]).astype(np.float32)
