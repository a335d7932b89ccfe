"""Latents: encoded row by row as the frames were, and never two episodes in one sequence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import WriteEpisodes
from numpy.typing import NDArray
from project import FIRST, SECOND

from worldmodels.car_racing.task import EndReason
from worldmodels.data.hdf5_files import seal
from worldmodels.data.latents import FORMAT, LatentFileError, LatentSequences, LatentWriter
from worldmodels.models.decoding import Decoder
from worldmodels.models.model_files import file_digest
from worldmodels.models.vae import VAE
from worldmodels.models.vision import vision_graph
from worldmodels.pipeline.rounds import Round

LENGTHS = [1, 2, 7, 30, 6, 11]
WINDOW = 5


def write_latents(
    path: Path,
    lengths: list[int] = LENGTHS,
    *,
    reasons: Sequence[EndReason] = (),
    progress: Callable[[int], NDArray[np.float32]] = lambda length: np.ones(length, np.float32),
) -> None:
    """Means, log variances and actions that say their episode and step: 1000 * episode + step."""
    with LatentWriter(path, sum(lengths), 2, vae_digest="abc") as writer:
        for episode, length in enumerate(lengths):
            place = 1000.0 * episode + np.arange(length, dtype=np.float32)[:, None]
            columns = np.tile(place, 2), np.tile(place + 0.25, 2), np.tile(place + 0.5, 3)
            reason = reasons[episode] if reasons else "time_limit"
            writer.write(*columns, progress(length), reason)


@pytest.fixture
def sequences(tmp_path: Path) -> LatentSequences:
    write_latents(tmp_path / "latents.h5")
    return LatentSequences(tmp_path / "latents.h5", length=WINDOW)


def test_the_file_says_what_it_holds(sequences: LatentSequences) -> None:
    assert sequences.episodes == len(LENGTHS)
    assert sequences.latent_dim == 2
    assert sequences.vae_digest == "abc"


def test_windows_in_order_cover_every_step_once(sequences: LatentSequences) -> None:
    read = sequences.read(sequences.windows(range(len(LENGTHS)), rng=None))
    counted = read.mask == 1
    seen = read.mean[:, :-1, 0][counted].tolist()
    expected = [
        1000.0 * episode + step
        for episode, length in enumerate(LENGTHS)
        for step in range(length - 1)  # nothing follows the last
    ]
    assert seen == expected


@pytest.mark.parametrize("seed", [None, *range(10)])
def test_a_window_never_leaves_its_episode(sequences: LatentSequences, seed: int | None) -> None:
    rng = None if seed is None else np.random.default_rng(seed)
    read = sequences.read(sequences.windows(range(len(LENGTHS)), rng=rng))
    assert read.mask.sum() > 0
    for mean, log_var, action, mask in zip(
        read.mean, read.log_var, read.action, read.mask, strict=True
    ):
        steps = int(mask.sum())
        assert steps >= 1
        assert mask.tolist() == [1.0] * steps + [0.0] * (WINDOW - steps)
        first = mean[0, 0]
        episode = int(first // 1000)
        # Row t is z_t with its own action; row t + 1, the target, is the step after it.
        assert mean[: steps + 1, 0].tolist() == [first + step for step in range(steps + 1)]
        assert (log_var[: steps + 1] == mean[: steps + 1] + 0.25).all()
        assert (action[:steps] == mean[:steps, :1] + 0.5).all()
        assert mean[steps, 0] <= 1000 * episode + LENGTHS[episode] - 1


@pytest.mark.parametrize("seed", [None, 0])
def test_rows_behind_a_short_window_are_zeros(sequences: LatentSequences, seed: int | None) -> None:
    rng = None if seed is None else np.random.default_rng(seed)
    read = sequences.read(sequences.windows([1, 2], rng=rng))
    for index, steps in enumerate(read.mask.sum(axis=1).astype(int)):
        assert not read.mean[index, steps + 1 :].any()
        assert not read.log_var[index, steps + 1 :].any()
        assert not read.action[index, int(read.acted[index].sum()) :].any()


def test_an_empty_window_counts_nowhere(sequences: LatentSequences) -> None:
    """Such windows fill a last batch."""
    read = sequences.read(np.zeros((2, 3), np.int64))
    for name, values in vars(read).items():
        assert not values.any(), name


def test_an_episode_of_one_step_has_no_window(sequences: LatentSequences) -> None:
    assert sequences.windows([0], rng=None).shape == (0, 3)
    assert sequences.windows([0], rng=np.random.default_rng(0)).shape == (0, 3)


def test_drawn_windows_are_as_many_from_all_over_and_repeatable(
    sequences: LatentSequences,
) -> None:
    def draw(seed: int) -> list[list[int]]:
        return sequences.windows([3], rng=np.random.default_rng(seed)).tolist()

    assert len(draw(0)) == len(sequences.windows([3], rng=None)) == 6
    starts = [start - 10 for seed in range(200) for start, _, _ in draw(seed)]
    assert set(starts) == set(range(26))  # the last whole window starts at step 25 of 30
    shares = np.bincount(starts) / len(starts)
    # A step at either end is in as many windows as one in the middle, which is in five.
    assert shares[[0, 25]] == pytest.approx([3 / 30, 3 / 30], abs=0.03)
    assert draw(0) == draw(0)
    assert draw(0) != draw(1)


def test_drawn_windows_of_several_episodes_are_shuffled(sequences: LatentSequences) -> None:
    episodes = np.searchsorted(
        np.cumsum(LENGTHS), sequences.windows([3, 5], rng=np.random.default_rng(0))[:, 0], "right"
    )
    assert sorted(episodes.tolist()) == [3] * 6 + [5] * 2
    assert episodes.tolist() != sorted(episodes.tolist())


def test_what_came_of_a_step_is_beside_it(tmp_path: Path) -> None:
    """Steps that each made as much progress as its number, modulo 7, but for the last forty."""
    reasons: list[EndReason] = ["off_field", "patience", "lap", "time_limit"]
    path = tmp_path / "latents.h5"
    progress = np.arange(300) % 7.0 * (np.arange(300) < 260)
    write_latents(path, [300] * 4, reasons=reasons, progress=lambda length: progress)
    sequences = LatentSequences(path, length=300)
    read = sequences.read(sequences.windows(range(4), rng=None))
    later = [progress[step + 1 : step + 201].sum() for step in range(300)]
    for episode, reason in enumerate(reasons):
        assert np.array_equal(read.progress[episode], progress)
        lost = {"off_field": 299, "patience": 258}.get(reason, 300)  # from which step on
        assert read.ended[episode].tolist() == [float(step >= lost) for step in range(300)]
        assert read.later_progress[episode].tolist() == later
        ends_for_good = reason in ("off_field", "patience")
        assert read.later_known[episode].sum() == (300 if ends_for_good else 100)
        assert (read.acted[episode].sum(), read.mask[episode].sum()) == (300, 299)


def test_the_rows_around_failures_are_those_of_the_last_progress(tmp_path: Path) -> None:
    def progress(length: int) -> NDArray[np.float32]:
        return (np.arange(length) == 20).astype(np.float32)

    path = tmp_path / "latents.h5"
    reasons: list[EndReason] = ["off_field", "lap", "patience"]
    write_latents(path, [30, 30, 22], reasons=reasons, progress=progress)
    rows = LatentSequences(path, length=5).rows_before_failures(4, 3)
    assert rows.tolist() == [16, 17, 18, 19, 20, 21, 22, 76, 77, 78, 79, 80, 81]


def test_windows_before_rows_end_there_and_stay_in_their_episode(
    sequences: LatentSequences,
) -> None:
    rows = np.array([3, 5, 39, 10, 9])  # of lengths 1, 2, 7, 30: steps 0, 2, 29, 0 and 6
    windows = sequences.windows_before(rows)
    assert windows.tolist() == [[3, 0, 1], [3, 2, 1], [34, 5, 1], [10, 0, 1], [4, 5, 1]]
    assert sequences.mean_of(rows)[:, 0].tolist() == [2000.0, 2002.0, 3029.0, 3000.0, 2006.0]


def test_the_same_latents_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.h5", "two.h5"):
        write_latents(tmp_path / name)
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()


def test_a_failed_write_leaves_no_file(tmp_path: Path) -> None:
    def write() -> None:
        with LatentWriter(tmp_path / "latents.h5", 9, 2, vae_digest="abc") as writer:
            columns = (np.zeros((9, size)) for size in (2, 2, 3))
            writer.write(*columns, np.zeros(9), "time_limit")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "latents.h5"
    with pytest.raises(LatentFileError, match=rf"{path}: no such file; `dvc repro`"):
        LatentSequences(path, length=5)


def test_a_truncated_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "latents.h5"
    write_latents(path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(LatentFileError, match=rf"{path}: cut short: .*dvc repro"):
        LatentSequences(path, length=5)


def test_a_foreign_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "latents.h5"
    with h5py.File(path, "w") as file:
        file["mean"] = np.zeros((3, 2))
    with pytest.raises(LatentFileError, match=rf"{path}: expected worldmodels-latents.*without"):
        LatentSequences(path, length=5)


def test_a_missing_dataset_is_named(tmp_path: Path) -> None:
    path = tmp_path / "latents.h5"
    write_latents(path)
    with h5py.File(path, "a") as file:
        del file["episode_lengths"]
    seal(path, FORMAT)
    with pytest.raises(LatentFileError, match=r"episode_lengths.*got none.*dvc repro"):
        LatentSequences(path, length=5)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("mean", np.zeros((57, 1025), np.float32), "mean: expected 1 to 1024 columns, got 1025"),
        ("mean", np.zeros((57, 3), np.float32), r"log_var: expected .*\(57, 3\), got .*\(57, 2\)"),
        ("log_var", np.zeros((57, 2)), "log_var: expected .*float32.* got float64"),
        ("action", np.zeros((56, 3), np.float32), r"action: expected .*\(57, 3\), got .*\(56, 3\)"),
        ("action", np.full((57, 3), np.nan, np.float32), "action: expected finite numbers"),
        ("log_var", np.full((57, 2), np.inf, np.float32), "log_var: expected finite numbers"),
        ("episode_lengths", np.array([1, 2, 7, 30, 6, 12]), "one behind the other in all 57 rows"),
        (
            "progress",
            np.zeros((57, 1), np.float32),
            r"progress: expected .*\(57,\), got .*\(57, 1\)",
        ),
        ("progress", np.full(57, np.nan, np.float32), "progress: expected finite numbers"),
        ("episode_reasons", np.array([b"crashed"] * 6, "S10"), "lap, off_field, .* got 'crashed'"),
        ("episode_reasons", np.array([b"lap"] * 5, "S10"), r"expected .*\(6,\), got .*\(5,\)"),
    ],
)
def test_a_layout_that_makes_no_sense_is_refused(
    tmp_path: Path, name: str, values: NDArray[np.generic], message: str
) -> None:
    path = tmp_path / "latents.h5"
    write_latents(path)
    with h5py.File(path, "a") as file:
        del file[name]
        file[name] = values
    seal(path, FORMAT)
    with pytest.raises(LatentFileError, match=rf"{path}: .*{message}.*; .*dvc repro"):
        LatentSequences(path, length=5)


def test_a_flipped_byte_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "latents.h5"
    write_latents(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(LatentFileError, match=rf"{path}: damaged: .*dvc repro"):
        LatentSequences(path, length=5)


@pytest.mark.parametrize("index", [0, 1, 2, 3])
def test_what_is_no_number_is_not_written(tmp_path: Path, index: int) -> None:
    mean, log_var, action, progress = (np.zeros((3, size)) for size in (2, 2, 3, 1))
    (mean, log_var, action, progress)[index][1, -1] = np.nan

    def write() -> None:
        with LatentWriter(tmp_path / "latents.h5", 3, 2, vae_digest="abc") as writer:
            writer.write(mean, log_var, action, progress[:, 0], "time_limit")

    with pytest.raises(LatentFileError, match=r"latents.h5: not saved: .* episode 0 is not finite"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_fewer_rows_than_announced_are_not_a_file(tmp_path: Path) -> None:
    def write() -> None:
        with LatentWriter(tmp_path / "latents.h5", 9, 2, vae_digest="abc") as writer:
            columns = (np.zeros((4, size)) for size in (2, 2, 3))
            writer.write(*columns, np.zeros(4), "time_limit")

    with pytest.raises(LatentFileError, match=r"not saved: expected 9 rows, got 4"):
        write()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("steps", [1, 3, 4, 9, 130])
def test_an_encoder_of_fixed_batches_takes_episodes_of_any_length(
    tiny_vae: VAE, steps: int
) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (steps, 32, 32, 3), dtype=np.uint8)
    mean, log_var = vision_graph(tiny_vae)(frames)
    expected_mean, expected_log_var = tiny_vae.posterior(frames)
    assert mean.shape == log_var.shape == (steps, 4)
    assert mean == pytest.approx(expected_mean.numpy(), abs=1e-5)
    assert log_var == pytest.approx(expected_log_var.numpy(), abs=1e-5)


@pytest.mark.parametrize("count", [1, 127, 128, 129, 300])
def test_a_decoder_of_fixed_batches_takes_any_number_of_latents(tiny_vae: VAE, count: int) -> None:
    z = np.random.default_rng(0).standard_normal((count, 4), dtype=np.float32)
    pixels = Decoder(tiny_vae).decode(z)
    assert pixels == pytest.approx(tiny_vae.decoder(z).numpy(), abs=1e-5)


@pytest.mark.parametrize("round_", [FIRST, SECOND])
def test_the_stage_encodes_every_frame_beside_the_action_chosen_on_seeing_it(
    round_: Round,
    tmp_path: Path,
    tiny_vae: VAE,
    write_episodes: WriteEpisodes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from stages import encode

    monkeypatch.chdir(tmp_path)
    root = Path(__file__).parent.parent
    shutil.copy(root / "params.yaml", tmp_path)
    outcomes = write_episodes(round_.all_episodes[0], [1, 9, 4] + [2] * 15)  # two shards
    if round_ is SECOND:
        outcomes += write_episodes(round_.episodes, [3, 8])
    vae_path = f"{round_.models}/vae.h5"
    tiny_vae.save(vae_path)
    encode.main(round_)
    with h5py.File(round_.latents) as file:
        lengths, starts = file["episode_lengths"][:], file["episode_starts"][:]
        assert lengths.tolist() == [outcome.steps for outcome in outcomes]
        for outcome, start, length in zip(outcomes, starts, lengths, strict=True):
            rows = slice(start, start + length)
            mean, log_var = tiny_vae.encode(outcome.recorded.frames)
            assert file["mean"][rows] == pytest.approx(mean, abs=1e-5)
            assert file["log_var"][rows] == pytest.approx(log_var, abs=1e-5)
            assert np.array_equal(file["action"][rows], outcome.recorded.actions)
            assert np.array_equal(file["progress"][rows], outcome.recorded.progress)
        reasons = [reason.decode() for reason in file["episode_reasons"]]
        assert reasons == [outcome.reason for outcome in outcomes]
    assert LatentSequences(round_.latents, length=3).vae_digest == file_digest(vae_path)
    metrics = json.loads(Path(f"{round_.metrics}/encode.json").read_text())
    assert metrics["frames"] == sum(outcome.steps for outcome in outcomes)
