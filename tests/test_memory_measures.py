"""M's measures against processes that are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from worldmodels.data.latents import LatentSequences, LatentWriter
from worldmodels.inspection.memory_measures import OneStep, one_step, open_loop
from worldmodels.inspection.memory_report import inspect_memory
from worldmodels.models.memory import MDNRNN
from worldmodels.models.vae import VAE

TRAINING, VALIDATION = [0, 1, 2, 3], [4, 5]
NOISE = 0.1


def write_walks(path: Path, *, steps: int = 400, linear: bool = False) -> None:
    """Walks that a normal number a step moves on; or, `linear`, that turn back and follow the
    action, which makes the last z a poor guess."""
    rng = np.random.default_rng(0)
    with LatentWriter(path, 6 * steps, 2, vae_digest="v") as writer:
        for _ in range(6):
            action = rng.uniform(-1, 1, (steps, 3)).astype(np.float32)
            z = np.zeros((steps, 2))
            for step in range(1, steps):
                luck = NOISE * rng.standard_normal(2)
                if linear:
                    turned = 0.5 * z[step - 1] - 0.3 * z[step - 2] * (step > 1)
                    z[step] = turned + action[step - 1, :2] + luck
                else:
                    z[step] = z[step - 1] + luck
            progress = (action[:, 0] > 0).astype(np.float32)
            writer.write(z, np.full_like(z, -9.0), action, progress, "off_field")


def entropy(std: float) -> float:
    """Of a normal number, nats: no model predicts it better."""
    return 0.5 * np.log(2 * np.pi * np.e) + np.log(std)


def make_memory(*, std: float = 1.0) -> MDNRNN:
    """One that always expects 0, with this standard deviation."""
    memory = MDNRNN(2, 4, 1, rng=np.random.default_rng(0), vae_digest="v", has_outcome=True)
    memory.head.kernel.assign(tf.zeros_like(memory.head.kernel))
    bias = np.zeros((2, 3), np.float32)
    bias[:, 2] = np.log(std)
    memory.head.bias.assign(bias.ravel())
    return memory


def decode(z: NDArray[np.float32]) -> NDArray[np.float32]:
    """A picture whose pixels are z."""
    return z[:, None, :, None]


def measured(path: Path, memory: MDNRNN) -> OneStep:
    sequences = LatentSequences(path, length=100)
    return one_step(memory, sequences, training=TRAINING, validation=VALIDATION)


def test_copying_the_last_z_is_best_for_a_walk(tmp_path: Path) -> None:
    write_walks(tmp_path / "l.h5")
    nll = measured(tmp_path / "l.h5", make_memory()).nll
    assert nll["copy"] == pytest.approx(entropy(NOISE), abs=0.05)
    assert nll["linear"] == pytest.approx(entropy(NOISE), abs=0.05)


def test_the_linear_model_knows_the_last_two_z_and_the_action(tmp_path: Path) -> None:
    write_walks(tmp_path / "l.h5", linear=True)
    nll = measured(tmp_path / "l.h5", make_memory()).nll
    assert nll["linear"] == pytest.approx(entropy(NOISE), abs=0.05)
    assert nll["copy"] > nll["linear"] + 1.0


def test_the_likelihood_and_calibration_are_those_of_what_m_expects(tmp_path: Path) -> None:
    """z is normal with standard deviation 1, as M says; or half of that, or twice."""
    rng = np.random.default_rng(0)
    with LatentWriter(tmp_path / "l.h5", 6 * 2000, 2, vae_digest="v") as writer:
        for _ in range(6):
            z = rng.standard_normal((2000, 2))
            writer.write(z, z, np.zeros((2000, 3)), np.zeros(2000), "time_limit")
    for std, coverage in ((1.0, (0.5, 0.9)), (2.0, (0.823, 0.999)), (0.5, (0.264, 0.589))):
        found = measured(tmp_path / "l.h5", make_memory(std=std))
        expected = 0.5 * np.log(2 * np.pi) + np.log(std) + 0.5 / std**2
        assert found.nll["memory"] == pytest.approx(expected, abs=0.03)
        assert tuple(found.coverage.values()) == pytest.approx(coverage, abs=0.02)
        assert found.pit.sum() == pytest.approx(1)
        middle = found.pit[9:11].mean() * 20
        assert {1.0: 0.9 < middle < 1.1, 2.0: middle > 1.5, 0.5: middle < 0.7}[std]
    assert found.end_auc is None  # none ended


def test_samples_are_drawn_for_all_models_alike(tmp_path: Path) -> None:
    """V's mean is always 0, and its standard deviation a half."""
    with LatentWriter(tmp_path / "l.h5", 6 * 2000, 2, vae_digest="v") as writer:
        nothing = np.zeros((2000, 2))
        for _ in range(6):
            log_var = nothing + 2 * np.log(0.5)
            writer.write(nothing, log_var, np.zeros((2000, 3)), np.zeros(2000), "time_limit")
    sequences = LatentSequences(tmp_path / "l.h5", length=100)
    found = one_step(
        make_memory(std=0.5), sequences, training=TRAINING, validation=VALIDATION, latent="sample"
    )
    assert found.nll["memory"] == pytest.approx(entropy(0.5), abs=0.02)
    assert found.nll["linear"] == pytest.approx(entropy(0.5), abs=0.02)
    assert found.nll["copy"] == pytest.approx(entropy(0.5 * np.sqrt(2)), abs=0.02)
    found = one_step(
        make_memory(std=0.5), sequences, training=TRAINING, validation=VALIDATION,
        latent="sample_to_mean",
    )  # fmt: skip
    assert found.nll["copy"] == pytest.approx(entropy(0.5), abs=0.02)  # of what it read, not both
    assert found.nll["memory"] == pytest.approx(entropy(0.5) - 0.5, abs=0.02)  # its mean is right


def test_ends_are_told_from_others(tmp_path: Path) -> None:
    """The logit of the end follows the first z, which is large in the last step alone."""
    steps = 60
    with LatentWriter(tmp_path / "l.h5", 6 * steps, 2, vae_digest="v") as writer:
        for _ in range(6):
            z = np.zeros((steps, 2))
            z[-1] = 5.0
            writer.write(z, z, np.zeros((steps, 3)), np.zeros(steps), "off_field")
    memory = make_memory()
    first, last = memory.outcome_layers
    kernel = np.zeros(first.kernel.shape, np.float32)
    kernel[4] = 1.0  # of [h, z], the first z
    first.kernel.assign(kernel)
    for sign, expected in ((1.0, 1.0), (-1.0, 0.0)):
        last.kernel.assign(sign * np.ones(last.kernel.shape, np.float32))
        assert measured(tmp_path / "l.h5", memory).end_auc == expected


def test_open_loop_is_held_against_worlds_that_are_known(tmp_path: Path) -> None:
    """On a walk, doing nothing errs by the variance of the steps since; M, which expects 0, by that
    of all."""
    write_walks(tmp_path / "l.h5")
    found = open_loop(make_memory(), decode, str(tmp_path / "l.h5"), VALIDATION)
    sequences = LatentSequences(tmp_path / "l.h5", length=250)
    variance = sequences.mean_of(np.arange(sequences.rows)).var(axis=0)
    rows = np.concatenate(
        [np.arange(episode * 400 + 50, episode * 400 + 250) for episode in (4, 5)]
    )
    z = sequences.mean_of(np.concatenate([rows, rows + 1])).reshape(2, 2, 200, 2)
    now, following = z[0][:, :1], z[1]
    expected = (np.square(following - now) / variance).mean(axis=(0, 2))
    assert found.error["copy"] == pytest.approx(expected, rel=1e-4)
    expected = (np.square(following) / variance).mean(axis=(0, 2))
    assert found.error["memory"] == pytest.approx(expected, rel=1e-4)
    assert found.error["velocity"][0] < found.error["velocity"][-1]
    assert found.steps == 200
    expected = np.square(following - now).mean(axis=(0, 2))  # `decode` shows z as it is
    assert list(found.pixels["copy"]) == [1, 10, 25, 50, 100, 200]
    for step, mse in found.pixels["copy"].items():
        assert mse == pytest.approx(expected[step - 1], rel=1e-4)


def test_a_memory_without_an_outcome_head_is_not_asked_for_progress(tmp_path: Path) -> None:
    write_walks(tmp_path / "l.h5")
    memory = make_memory()
    memory.has_outcome = False
    assert open_loop(memory, decode, str(tmp_path / "l.h5"), VALIDATION).progress == {}
    assert measured(tmp_path / "l.h5", memory).end_auc is None


def test_expected_progress_is_held_against_what_was_made(tmp_path: Path) -> None:
    """Of M, an outcome head that reads the action by way of h: no more than noise here."""
    write_walks(tmp_path / "l.h5")
    found = open_loop(make_memory(), decode, str(tmp_path / "l.h5"), VALIDATION)
    assert set(found.progress) == set(found.ratio) == {25, 50, 100}
    assert all(-1 <= r <= 1 for r in found.progress.values())


@pytest.mark.parametrize("steps", [12, 400])
def test_the_report_is_written_of_long_and_of_short_episodes(tmp_path: Path, steps: int) -> None:
    write_walks(tmp_path / "l.h5", steps=steps)
    for name in ("one", "two"):
        inspect_memory(
            make_memory(),
            VAE((32, 32), 2, rng=np.random.default_rng(3)),
            str(tmp_path / "l.h5"),
            training=TRAINING,
            validation=VALIDATION,
            folder=tmp_path / name,
        )
    names = ["dreams.json", "dreams.png", "dreams_details.json", "dreams_open_loop.csv"]
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == names
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
