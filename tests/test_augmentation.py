"""Augmentation: what V sees in training, and that it learns to reconstruct the undisturbed."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray
from test_vae import batches, params

from worldmodels.car_racing.disturbed_task import DisturbedTask
from worldmodels.data.frame_batches import FrameBatches
from worldmodels.models.vae import VAE, VAEParams
from worldmodels.training.augmentation import WAYS, augmented, barred, blotted, noisy, recoloured
from worldmodels.training.vae_training import fit_vae

__all__ = ["batches"]  # the fixture


@pytest.fixture(scope="module")
def frames() -> NDArray[np.uint8]:
    """Forty of a drive, (40, 60, 80, 3)."""
    batch = DisturbedTask().make_batch(1, (60, 80))
    batch.reset(0, seed=3, random_start=False)
    seen = []
    for _ in range(100):
        batch.step([0], np.array([[0.0, 0.3, 0.0]]))
        seen.append(batch.frames([0])[0])
    return np.stack(seen[60:])


def with_augmentation(share: float, *, epochs: int = 1) -> VAEParams:
    return params(epochs).model_copy(update={"augmentation": share})


def test_a_share_of_the_frames_is_disturbed_and_the_given_ones_stay(
    frames: NDArray[np.uint8],
) -> None:
    many, before = np.repeat(frames, 20, axis=0), frames.copy()
    for share in (0.0, 0.3, 1.0):
        seen = augmented(many, share, rng=np.random.default_rng(0))
        assert (seen.shape, seen.dtype) == (many.shape, np.uint8)
        changed = (seen != many).any(axis=(1, 2, 3)).mean()
        assert changed == pytest.approx(share, abs=0.05)
    assert np.array_equal(many, np.repeat(before, 20, axis=0))


def test_what_is_disturbed_is_a_function_of_the_generator(frames: NDArray[np.uint8]) -> None:
    first, again, other = (augmented(frames, 0.5, rng=np.random.default_rng(n)) for n in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_each_way_is_as_likely(frames: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    marks = [
        lambda frame, rng, value=value: np.full_like(frame, value) for value in range(len(WAYS))
    ]
    monkeypatch.setattr("worldmodels.training.augmentation.WAYS", marks)
    seen = augmented(np.repeat(frames, 20, axis=0), 1.0, rng=np.random.default_rng(0))
    shares = np.bincount(seen[:, 0, 0, 0], minlength=len(WAYS)) / len(seen)
    assert shares == pytest.approx(np.full(len(WAYS), 1 / len(WAYS)), abs=0.06)


def test_lawn_and_road_change_their_colours_apart(frames: NDArray[np.uint8]) -> None:
    frame = frames[0].astype(int)
    lawn = (frame[..., 1] - frame[..., 0]) > 95
    road = np.ptp(frame, axis=-1) <= 3
    assert lawn.sum() > 1000
    assert road.sum() > 500
    shifts = []
    for seed in range(60):
        seen = recoloured(frames[0], np.random.default_rng(seed)).astype(int)
        changes = seen - frame
        for part in (lawn, road):  # one shift for all of it
            inside = (seen[part] > 0) & (seen[part] < 255)
            spread = np.where(inside, np.abs(changes[part] - np.median(changes[part], axis=0)), 0)
            assert spread.max() <= 6
        shifts.append([np.median(changes[part], axis=0) for part in (lawn, road)])
    of_lawn, of_road = np.array(shifts).transpose(1, 2, 0)  # (3, 60) each
    for shift in (*of_lawn, *of_road):
        assert -52 <= shift.min() < -30
        assert 30 < shift.max() <= 52
    assert abs(np.corrcoef(of_lawn[0], of_road[0])[0, 1]) < 0.4
    assert abs(np.corrcoef(of_lawn[0], of_lawn[2])[0, 1]) < 0.4


def test_bars_are_black_of_one_width_and_leave_the_middle(frames: NDArray[np.uint8]) -> None:
    widths = []
    for seed in range(40):
        seen = barred(frames[0], np.random.default_rng(seed))
        black = (seen == 0).all(axis=(0, 2))
        assert np.array_equal(black, black[::-1])
        assert np.array_equal(seen[:, 12:68], frames[0][:, 12:68])  # 15 % of 80 columns
        widths.append(int(black[:40].sum()))
    assert set(widths) >= {0, 3, 6, 9}


def test_a_blot_is_one_rectangle_anywhere() -> None:
    grey = np.full((60, 80, 3), 100, np.uint8)
    everywhere = np.zeros((60, 80), int)
    for seed in range(200):
        changed = (blotted(grey, np.random.default_rng(seed)) != grey).any(axis=-1)
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        assert np.ptp(rows) < 0.3 * 60 + 1
        assert np.ptp(columns) < 0.3 * 80 + 1
        assert changed[rows[0] + 1 : rows[-1], columns[0] + 1 : columns[-1]].all()
        everywhere += changed
    assert (everywhere[4:-4, 4:-4] > 0).all()


def test_noise_differs_in_strength_and_does_not_wrap_around() -> None:
    grey = np.full((60, 80, 3), 100, np.uint8)
    strengths = [noisy(grey, np.random.default_rng(seed)).std() for seed in range(60)]
    assert min(strengths) < 3
    assert 17 < max(strengths) < 21
    white = noisy(np.full_like(grey, 255), np.random.default_rng(1))
    assert white.min() > 120


def trained(batches: tuple[FrameBatches, FrameBatches], share: float) -> list[NDArray[np.float32]]:
    vae = VAE((32, 32), 4, rng=np.random.default_rng(0))
    list(fit_vae(vae, with_augmentation(share), *batches, seed=0))
    return [weight.numpy() for weight in vae.weights]


def test_it_changes_what_v_learns_and_trains_to_the_same_bits_again(
    batches: tuple[FrameBatches, FrameBatches],
) -> None:
    plain, some, again = (trained(batches, share) for share in (0.0, 0.5, 0.5))
    assert all(map(np.array_equal, some, again))
    assert not all(map(np.array_equal, some, plain))


class Spy(VAE):
    """Keeps what it is given to reconstruct, and what it sees of it."""

    def __init__(self) -> None:
        super().__init__((32, 32), 4, rng=np.random.default_rng(0))
        self.given: list[tuple[NDArray[np.uint8], NDArray[np.uint8] | None]] = []

    def negative_elbo(
        self,
        frames: tf.Tensor,
        noise: tf.Tensor,
        *,
        kl_tolerance: float,
        beta: float,
        seen: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        self.given.append((frames.numpy(), None if seen is None else seen.numpy()))
        return super().negative_elbo(frames, noise, kl_tolerance=kl_tolerance, beta=beta, seen=seen)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_v_reconstructs_undisturbed_frames_and_is_validated_on_them(
    batches: tuple[FrameBatches, FrameBatches], eager: None, share: float
) -> None:
    _, small = batches  # one step to train, one to validate
    spy = Spy()
    list(fit_vae(spy, with_augmentation(share, epochs=2), small, small, seed=0))
    (first, seen), (validated, nothing), (following, seen_next), _ = spy.given
    undisturbed = next(iter(small.epoch(0))).numpy()
    assert np.array_equal(first, undisturbed)
    assert np.array_equal(validated, undisturbed)
    assert nothing is None
    if share == 0.0:
        assert seen is None
    else:
        assert seen is not None
        assert seen_next is not None
        disturbed = (seen != first).any(axis=(1, 2, 3))  # which ones are
        assert 0 < disturbed.sum() < len(first)
        assert not np.array_equal(disturbed, (seen_next != following).any(axis=(1, 2, 3)))


def test_the_loss_is_of_what_is_to_be_reconstructed_from_what_is_seen(
    batches: tuple[FrameBatches, FrameBatches],
) -> None:
    vae = VAE((32, 32), 4, rng=np.random.default_rng(0))
    frames = next(iter(batches[0].epoch(0)))
    seen = tf.zeros_like(frames)
    noise = tf.zeros((len(frames), 4))
    terms = vae.negative_elbo(frames, noise, kl_tolerance=0.0, beta=1.0, seen=seen)
    mean, _ = vae.posterior(seen)
    error = np.square(frames.numpy() / 255 - vae.decoder(mean).numpy()).sum(axis=(1, 2, 3)).mean()
    assert float(terms["reconstruction"]) == pytest.approx(error, rel=1e-4)
    same = vae.negative_elbo(frames, noise, kl_tolerance=0.0, beta=1.0, seen=frames)
    plain = vae.negative_elbo(frames, noise, kl_tolerance=0.0, beta=1.0)
    assert {name: float(term) for name, term in same.items()} == {
        name: float(term) for name, term in plain.items()
    }


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_beyond_all_or_nothing_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="augmentation"):
        VAEParams(**{**params(1).model_dump(), "augmentation": share})
