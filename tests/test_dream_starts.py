"""Dreams begin where recorded episodes were, with what M made of the steps before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from worldmodels.core.errors import WorldModelsError
from worldmodels.data.latents import LatentWriter
from worldmodels.dream.environment import GymDream
from worldmodels.dream.starts import DreamStarts, dream_starts, start_after
from worldmodels.models.memory import MDNRNN
from worldmodels.models.model_files import ModelFileError
from worldmodels.models.vae import VAE

STEPS, WARM_UP = 40, 6
LAST_PROGRESS = 20  # of the episodes that end for want of it
BOUNDS = np.array([[-1.0] * 4, [1.0] * 4], np.float32)


@pytest.fixture
def latents(tmp_path: Path) -> Path:
    """Ten episodes, of which four were given up."""
    path, rng = tmp_path / "latents.h5", np.random.default_rng(0)
    with LatentWriter(path, 10 * STEPS, 4, vae_digest="") as writer:
        for episode in range(10):
            z = rng.normal(size=(STEPS, 4)).astype(np.float32)
            action = rng.uniform(-1, 1, (STEPS, 3)).astype(np.float32)
            progress = (np.arange(STEPS) <= LAST_PROGRESS).astype(np.float32)
            writer.write(z, z, action, progress, "patience" if episode < 4 else "time_limit")
    return path


def rows(path: Path) -> tuple[np.ndarray, np.ndarray]:
    import h5py

    with h5py.File(path) as file:
        return file["mean"][:], file["action"][:]


def rows_of(z: np.ndarray, path: Path) -> np.ndarray:
    """Which rows of the file these are."""
    mean, _ = rows(path)
    return (mean[None] == z[:, None]).all(axis=2).argmax(axis=1)


def test_m_has_read_the_steps_before_a_moment_and_no_others(
    tiny_memory: MDNRNN, latents: Path
) -> None:
    starts = dream_starts(tiny_memory, latents, moments=60, warm_up=WARM_UP, seed=3)
    mean, action = rows(latents)
    chosen = rows_of(starts.z, latents)
    assert len(np.unique(chosen)) > 30
    assert (chosen % STEPS < WARM_UP).any()  # an episode begins in the warm-up
    for index, row in enumerate(chosen):
        hidden = cell = tf.zeros((1, 8))
        for before in range(max(row - WARM_UP, row // STEPS * STEPS), row):
            here = mean[before][None], action[before][None]
            hidden, cell = tiny_memory.step(*map(tf.constant, here), hidden, cell)
        assert starts.hidden[index] == pytest.approx(hidden.numpy()[0], abs=1e-5)
        assert starts.cell[index] == pytest.approx(cell.numpy()[0], abs=1e-5)


def test_a_share_of_the_moments_lies_around_where_episodes_went_wrong(
    tiny_memory: MDNRNN, latents: Path
) -> None:
    starts = dream_starts(tiny_memory, latents, moments=400, failures=0.5, seed=3)
    failed = rows_of(starts.z, latents)[:200]
    assert (failed < 4 * STEPS).all()
    assert (failed % STEPS < LAST_PROGRESS + 20).all()
    others = rows_of(starts.z, latents)[200:]
    assert 0.5 < (others >= 4 * STEPS).mean() < 0.7  # of all rows alike


def test_what_is_drawn_depends_on_the_seed(tiny_memory: MDNRNN, latents: Path) -> None:
    one, same, other = (
        dream_starts(tiny_memory, latents, moments=20, seed=seed).z for seed in (3, 3, 4)
    )
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_all_z_but_outliers_lie_within_the_bounds(tiny_memory: MDNRNN, latents: Path) -> None:
    low, high = dream_starts(tiny_memory, latents, moments=20, seed=3).bounds
    mean, _ = rows(latents)
    assert ((mean > low) & (mean < high)).mean() > 0.99
    assert (high - low < 10).all()


def test_latents_of_another_vae_are_refused(tiny_memory: MDNRNN, latents: Path) -> None:
    tiny_memory.vae_digest = "another"
    with pytest.raises(WorldModelsError, match="expected latents of the VAE that the memory is"):
        dream_starts(tiny_memory, latents, moments=20, seed=3)


def test_a_dream_goes_on_from_where_a_drive_stands(tiny_memory: MDNRNN, latents: Path) -> None:
    mean, action = (part[:10] for part in rows(latents))
    start = start_after(tiny_memory, mean[:9], action[:9], mean[9], BOUNDS)
    hidden = cell = tf.zeros((1, 8))
    for z, taken in zip(mean[:9], action[:9], strict=True):
        hidden, cell = tiny_memory.step(z[None], taken[None], hidden, cell)
    assert np.array_equal(start.z, mean[9:])
    assert start.hidden == pytest.approx(hidden.numpy(), abs=1e-5)
    assert start.cell == pytest.approx(cell.numpy(), abs=1e-5)


def test_a_file_holds_them_to_the_bit(tiny_memory: MDNRNN, latents: Path, tmp_path: Path) -> None:
    starts = dream_starts(tiny_memory, latents, moments=20, seed=3)
    starts.save(tmp_path / "starts.h5", tiny_memory)
    loaded = DreamStarts.load(tmp_path / "starts.h5", tiny_memory)
    for name in ("z", "hidden", "cell", "bounds"):
        assert np.array_equal(getattr(loaded, name), getattr(starts, name))


def test_moments_of_another_memory_or_none_are_refused(
    tiny_memory: MDNRNN, latents: Path, tmp_path: Path
) -> None:
    path = tmp_path / "starts.h5"
    starts = dream_starts(tiny_memory, latents, moments=20, seed=3)
    starts.save(path, tiny_memory)
    larger = MDNRNN(4, 9, 2, rng=np.random.default_rng(0))
    with pytest.raises(ModelFileError, match="another architecture: expected shapes"):
        DreamStarts.load(path, larger)
    tiny_memory.vae_digest = "another"
    with pytest.raises(ModelFileError, match="memory beside it, got those of another"):
        DreamStarts.load(path, tiny_memory)
    none = DreamStarts(starts.z[:0], starts.hidden[:0], starts.cell[:0], starts.bounds)
    none.save(path, tiny_memory)
    with pytest.raises(ModelFileError, match="memory beside it, got none"):
        DreamStarts.load(path, tiny_memory)


def test_a_dream_is_loaded_from_a_folder_of_models(
    tiny_vae: VAE, tiny_memory: MDNRNN, latents: Path
) -> None:
    folder = latents.parent
    tiny_memory.has_outcome = True
    tiny_memory.save(folder / "memory.h5")
    tiny_vae.save(folder / "vae.h5")
    dream_starts(tiny_memory, latents, moments=20, seed=3).save(
        folder / "dream_starts.h5", tiny_memory
    )
    env = GymDream.load(folder)
    observation, _ = env.reset(seed=1)
    assert (rows(latents)[0] == observation[:4]).all(axis=1).any()
