"""Each measure of V against a case that is known, and the whole report on the smallest sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from conftest import WriteEpisodes
from numpy.typing import NDArray

from worldmodels.car_racing.telemetry import COLUMNS
from worldmodels.data.episodes import EpisodeFiles
from worldmodels.inspection.latent_map import map_latents
from worldmodels.inspection.probes import probe
from worldmodels.inspection.reconstruction import psnr, reconstruction, worst_moments
from worldmodels.inspection.vision_charts import draw_dimensions
from worldmodels.inspection.vision_frames import HeldOut, InspectionParams, car, road_edge
from worldmodels.inspection.vision_measures import (
    Dimensions,
    Seen,
    aggregate_posterior,
    choose_pairs,
    dimensions,
    embed,
    generation,
    interpolation,
    kl_from_standard_normal,
    latent_space,
    linear_path,
    see,
    spherical_path,
    squared_mmd,
)
from worldmodels.inspection.vision_report import inspect_vision
from worldmodels.models.vae import VAE

SIDE = 32
DIMENSIONS = 4


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def a_set(count: int, *, episodes: int = 4) -> HeldOut:
    """Frames whose first pixels are the latents of `first_pixels`, in multiples of 1 / 255."""
    frames = rng().integers(0, 128, (count, SIDE, SIDE, 3), dtype=np.uint8) * 2
    whose = np.arange(count) * episodes // count
    privileged = rng(1).normal(size=(count, len(COLUMNS))).astype(np.float32)
    return HeldOut("driving", frames, np.roll(frames, 1, 0), whose, np.arange(count), privileged)


class FirstPixels:
    """A V whose latents are the red of the first pixels: it decodes them, and grey elsewhere."""

    log_var = float(np.log(0.25))

    def encode(self, frames: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        mean = frames[:, 0, :DIMENSIONS, 0] / np.float32(255)
        return mean, np.full_like(mean, self.log_var)

    def decode(self, z: NDArray[np.float32]) -> NDArray[np.float32]:
        pixels = np.full((len(z), SIDE, SIDE, 3), 0.5, np.float32)
        pixels[:, 0, :DIMENSIONS, 0] = np.clip(z, 0, 1)
        return pixels


def seen_by_first_pixels(count: int = 40, *, episodes: int = 4) -> Seen:
    fake = FirstPixels()
    return see(a_set(count, episodes=episodes), fake.encode, fake.decode)


def test_squared_error_psnr_and_ssim_are_the_fields() -> None:
    seen = seen_by_first_pixels(10)
    of = reconstruction(seen)
    true, drawn = (x / np.float64(255) for x in (seen.held_out.frames, seen.reconstructions))
    squared = np.square(true - drawn)
    row = of.table[0]
    assert row["frames"] == 10
    assert row["mse"] == pytest.approx(squared.mean(), rel=1e-5)
    assert row["psnr"] == pytest.approx(-10 * np.log10(squared.mean()), rel=1e-5)
    expected = tf.image.ssim(true.astype(np.float32), drawn.astype(np.float32), 1.0)
    assert row["ssim"] == pytest.approx(expected.numpy().mean(), rel=1e-4)
    assert of.frame_errors == pytest.approx(squared.mean(axis=(1, 2, 3)), rel=1e-5)
    for name, mask in (("edge", road_edge), ("car", car)):
        chosen = squared.mean(axis=-1)[mask(seen.held_out.frames)]
        assert row[f"{name}_mse"] == pytest.approx(chosen.mean(), rel=1e-5)


def test_a_perfect_reconstruction_scores_so() -> None:
    held_out = a_set(10)
    nothing = np.zeros((10, 1), np.float32)
    seen = Seen(held_out, nothing, nothing, nothing, held_out.frames)
    row = reconstruction(seen).table[0]
    assert (row["mse"], row["psnr"], row["car_psnr"]) == (0.0, 100.0, 100.0)
    assert row["ssim"] == pytest.approx(1.0)
    assert psnr(0.01) == pytest.approx(20.0)


def test_scenes_that_there_are_none_of_have_no_metrics() -> None:
    of = reconstruction(seen_by_first_pixels(40))  # steps 0 to 39
    assert of.table[1] == {"scene": "straight", "frames": 0} | {
        f"{region}{name}": None
        for region in ("", "edge_", "car_")
        for name in ("mse", "psnr", "ssim")
    }
    metrics: Any = of.metrics()
    assert "straight" not in metrics
    assert metrics["first_second"]["frames"] == 40
    assert metrics["first_second"]["mse"] == metrics["mse"]


def test_the_aggregate_posterior_has_the_moments_of_its_samples() -> None:
    mean = rng().normal(2.0, 1.5, (500, 2)).astype(np.float32)
    log_var = rng(1).normal(-1.0, 0.5, (500, 2)).astype(np.float32)
    noise = rng(2).standard_normal((400, 500, 2))
    samples = (mean + np.exp(0.5 * log_var) * noise).reshape(-1, 2)
    centre, covariance = aggregate_posterior(mean, log_var)
    assert centre == pytest.approx(samples.mean(axis=0), abs=0.02)
    assert covariance == pytest.approx(np.cov(samples.T), abs=0.03)


def test_kl_of_gaussians_in_closed_form() -> None:
    assert kl_from_standard_normal(np.zeros(3), np.eye(3)) == pytest.approx(0.0)
    assert kl_from_standard_normal(np.array([1.0, 2.0]), np.eye(2)) == pytest.approx(2.5)
    variances = np.array([0.25, 4.0])
    expected = 0.5 * (variances - 1 - np.log(variances)).sum()
    assert kl_from_standard_normal(np.zeros(2), np.diag(variances)) == pytest.approx(expected)
    correlated = np.array([[1.0, 0.8], [0.8, 1.0]])
    expected = -0.5 * np.log(1 - 0.8**2)
    assert kl_from_standard_normal(np.zeros(2), correlated) == pytest.approx(expected)


def test_kernel_distance_tells_shifted_samples_from_equal_ones() -> None:
    first, second = rng(1).normal(size=(2, 300, 5))
    assert abs(squared_mmd(first, second)) < 0.005
    assert squared_mmd(first, second + 1.0) > 0.05
    unbiased = [squared_mmd(*rng(seed).normal(size=(2, 30, 5))) for seed in range(100)]
    assert abs(np.mean(unbiased)) < 3 * np.std(unbiased) / 10
    assert min(unbiased) < 0


def test_kernel_distance_is_the_plain_sum() -> None:
    first, second = np.array([[0.0], [1.0]]), np.array([[0.5], [3.0]])

    def kernel(distance: float) -> float:
        return float(np.mean([np.exp(-(distance**2) / (2 * s * s)) for s in (0.5, 1, 2, 4, 8)]))

    across = (kernel(0.5) + kernel(3.0) + kernel(0.5) + kernel(2.0)) / 4
    expected = kernel(1.0) + kernel(2.5) - 2 * across
    assert squared_mmd(first, second) == pytest.approx(expected)


def test_the_embedding_is_one_size_for_all_shapes() -> None:
    for shape in ((32, 32), (60, 80), (96, 96)):
        frames = np.full((2, *shape, 3), 51, np.uint8)
        assert embed(frames) == pytest.approx(np.full((2, 900), 0.2))


def test_noise_that_decodes_to_other_frames_is_far_from_them() -> None:
    seen = seen_by_first_pixels(200)
    found: Any = generation(seen, FirstPixels().decode, rng=rng())
    assert found["mmd_noise"] > 10 * abs(found["mmd_floor"])
    assert found["mmd_reconstructions"] > 10 * abs(found["mmd_floor"])
    itself = Seen(seen.held_out, seen.mean, seen.log_var, seen.mean, seen.held_out.frames)
    found = generation(itself, FirstPixels().decode, rng=rng())
    assert found["mmd_reconstructions"] == found["mmd_floor"]
    assert found["aggregate_mean"] == pytest.approx(0.5, abs=0.1)


def test_a_unit_step_and_the_dimensions_in_use() -> None:
    seen = seen_by_first_pixels()
    mean = seen.mean.copy()
    mean[:, 3] = 0.25  # unused
    mean[:, 0] = 0.0  # a step of 1 is a whole pixel value, of one in 32 * 32 * 3
    of = dimensions(
        Seen(seen.held_out, mean, seen.log_var, mean, seen.reconstructions), FirstPixels().decode
    )
    assert of.active.tolist() == [False, True, True, False]
    assert of.unit_step[0] == pytest.approx(1 / np.sqrt(SIDE * SIDE * 3))
    assert of.unit_step[1] < of.unit_step[3] < of.unit_step[0]
    expected = 0.5 * (0.25**2 + 0.25 - 1 - np.log(0.25))
    assert of.kl[3] == pytest.approx(expected, rel=1e-6)
    assert of.std[3] == pytest.approx(0.5)


def test_successive_frames_are_near_where_z_moves_little() -> None:
    mean = np.linspace(0, 10, 200, dtype=np.float32)[:, None] * np.array([[0.6, 0.8]], np.float32)
    seen = seen_by_first_pixels()
    moving = Seen(seen.held_out, mean, np.zeros_like(mean), mean + np.float32([0.03, 0.04]), mean)
    of = dimensions(moving, lambda z: np.zeros((len(z), 2, 2, 3), np.float32))
    found: Any = latent_space(moving, of, rng=rng())
    assert found["step_distance"] == pytest.approx(0.05, rel=1e-4)
    assert found["random_distance"] == pytest.approx(10 / 3, rel=0.2)  # of uniform numbers
    ratio = found["step_distance"] / found["random_distance"]
    assert found["distance_ratio"] == pytest.approx(ratio)
    assert found["active_units"] == 2


def test_paths_end_at_their_ends_and_the_spherical_one_keeps_norms() -> None:
    first, last = rng().normal(size=(2, 6, 5)).astype(np.float32)
    for path in (linear_path, spherical_path):
        z = path(first, last, 7)
        assert z.shape == (6, 7, 5)
        assert z[:, 0] == pytest.approx(first, abs=1e-5)
        assert z[:, -1] == pytest.approx(last, abs=1e-5)
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (first, last)]
    z = spherical_path(*unit, 7)
    assert np.linalg.norm(z, axis=2) == pytest.approx(np.ones((6, 7)), abs=1e-5)
    steps = np.linalg.norm(np.diff(z, axis=1), axis=2)
    assert steps == pytest.approx(np.repeat(steps[:, :1], 6, axis=1), rel=1e-3)
    assert np.linalg.norm(linear_path(*unit, 7)[:, 3], axis=1).max() < 0.99


def test_where_there_is_no_one_arc_the_path_is_straight() -> None:
    first = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]], np.float32)
    last = np.array([[-1.0, 0.0], [3.0, 0.0], [0.0, 2.0], [0.0, 0.0]], np.float32)
    assert np.array_equal(spherical_path(first, last, 5), linear_path(first, last, 5))
    one = np.array([[2.0], [-1.0]], np.float32), np.array([[1.0], [3.0]], np.float32)
    assert np.array_equal(spherical_path(*one, 5), linear_path(*one, 5))


def test_pairs_are_of_different_episodes() -> None:
    episodes = np.repeat([3, 5, 9], 10)
    pairs = choose_pairs(episodes, 50, rng=rng())
    assert (episodes[pairs[:, 0]] != episodes[pairs[:, 1]]).all()
    alone = choose_pairs(np.zeros(8, int), 50, rng=rng())
    assert (alone[:, 0] != alone[:, 1]).all()


def test_a_v_that_inverts_itself_brings_midpoints_back() -> None:
    seen, fake = seen_by_first_pixels(), FirstPixels()
    found: Any = interpolation(seen, fake.encode, fake.decode, rng=rng())
    assert found["endpoint"] == pytest.approx(0.0, abs=1e-6)
    assert found["linear"]["midpoint"] == pytest.approx(0.0, abs=1e-5)  # a multiple of 1 / 255
    assert found["linear"]["evenness"] == pytest.approx(1.0, abs=1e-4)
    assert found["spherical"]["evenness"] > 1.0

    def moved(frames: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        mean, log_var = fake.encode(frames)
        return mean + np.float32(1.5), log_var

    found = interpolation(seen, moved, fake.decode, rng=rng())
    assert found["linear"]["midpoint"] == pytest.approx(3.0, rel=1e-4)  # 1.5 by 0.5


def test_the_worst_moments_are_a_second_apart() -> None:
    held_out = a_set(200, episodes=2)  # steps 0 to 99 and 100 to 199
    errors = np.linspace(0, 1, 200)
    errors[[20, 60, 70, 120]] = [9, 8, 7, 6]
    assert worst_moments(errors, held_out, 3).tolist() == [20, 70, 120]
    assert worst_moments(errors, held_out, 9).tolist() == [20, 70, 120, 199]


def probe_data(episodes: int = 10) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    mean = rng().normal(size=(600, 5)).astype(np.float32)
    return mean, np.arange(600) * episodes // 600


def test_a_linear_value_is_found_and_noise_is_not() -> None:
    mean, episodes = probe_data()
    values = rng(1).normal(size=(600, 6)).astype(np.float32)
    values[:, 0] = 3 * mean[:, 0] - mean[:, 4] + 7
    values[:, 1] = 5.0  # never changes
    r2 = probe(mean, values, episodes).r2
    assert list(r2) == list(COLUMNS)
    assert r2["speed"] > 0.999
    assert r2["steering_angle"] == 0.0
    assert all(abs(r2[name]) < 0.15 for name in COLUMNS[2:])


def test_what_holds_within_episodes_alone_is_not_found() -> None:
    _, episodes = probe_data()
    mean = np.eye(10, dtype=np.float32)[episodes]  # z says which episode it is, and nothing else
    values = np.repeat(rng(1).normal(size=(10, 6)), 60, axis=0).astype(np.float32)
    shuffled = rng(2).permutation(episodes)  # as if frames were split, not episodes
    assert min(probe(mean, values, shuffled).r2.values()) > 0.9
    assert max(probe(mean, values, episodes).r2.values()) < 0.05


def test_one_episode_is_split_by_time() -> None:
    mean, episodes = probe_data(episodes=1)
    values = np.repeat(mean[:, :1], 6, axis=1)
    values[300:] += 10  # the halves know nothing of each other
    found = probe(mean, values, episodes)
    assert found.predicted[:300] == pytest.approx(found.true[:300] + 10, abs=0.2)


def test_a_map_of_few_points_and_one_dimension() -> None:
    mean = rng().normal(size=(16, 1)).astype(np.float32)
    places = map_latents(mean, seed=3)
    assert places.shape == (16, 2)
    assert np.isfinite(places).all()
    assert np.array_equal(places, map_latents(mean, seed=3))


def report(
    folder: Path, episodes: Path, *, image_shape: tuple[int, int], latent_dim: int = 1
) -> None:
    """The report of an untrained V, from the sets in `episodes`."""
    inspect_vision(
        VAE(image_shape, latent_dim, rng=rng()),
        {name: EpisodeFiles(episodes / name) for name in ("explored", "agent")},
        EpisodeFiles(episodes / "driving"),
        InspectionParams(frames=20, map_frames=24),
        validation_share=0.1,
        rng=rng(5),
        folder=folder,
    )


def test_the_report_of_the_smallest_sets_is_whole_and_the_same_twice(
    tmp_path: Path, write_episodes: WriteEpisodes
) -> None:
    image_shape = (32, 57)
    lengths = {"explored": [9] * 6, "agent": [9] * 10, "driving": [5, 6]}
    for name, of_set in lengths.items():
        write_episodes(tmp_path / "data" / name, of_set, image_shape=image_shape)
    for folder in ("first", "again"):
        report(tmp_path / folder, tmp_path / "data", image_shape=image_shape)
    files = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert len(files) == 17
    for name in files:
        once, again = ((tmp_path / folder / name).read_bytes() for folder in ("first", "again"))
        assert once == again, name
        if name.endswith(".png"):
            assert cv2.imread(str(tmp_path / "first" / name)) is not None
            assert len(once) < 500_000
    found = json.loads((tmp_path / "first" / "vision_details.json").read_text())
    few = json.loads((tmp_path / "first" / "vision.json").read_text())
    assert few["psnr"] == found["driving"]["reconstruction"]["psnr"]
    assert few["r2_distance"] == found["driving"]["probes"]["road_distance"]
    assert [found[name]["frames"] for name in ("driving", "explored", "agent")] == [9, 8, 8]
    assert list(found["driving"]["probes"]) == list(COLUMNS)
    table = pd.read_csv(tmp_path / "first" / "vision_dimensions.csv")
    assert table["dimension"].tolist() == [0]
    assert table["driving_kl"].is_monotonic_decreasing


def test_a_set_of_which_nothing_was_held_out_is_left_out(
    tmp_path: Path, write_episodes: WriteEpisodes, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, of_set in {"explored": [9] * 6, "agent": [9] * 4, "driving": [12]}.items():
        write_episodes(tmp_path / "data" / name, of_set)
    report(tmp_path, tmp_path / "data", image_shape=(32, 32), latent_dim=2)
    assert "inspect_vision: agent left out, 0 frames held out" in capsys.readouterr().out
    assert "agent" not in json.loads((tmp_path / "vision_details.json").read_text())
    for name in ("vision_dimensions.csv", "vision_probes.csv"):  # the same columns for DVC's plots
        table = pd.read_csv(tmp_path / name)
        assert table.filter(like="agent_").isna().all(axis=None)
        assert table.filter(like="explored_").notna().all(axis=None)


def test_pictures_that_show_frames_show_their_colours(
    tmp_path: Path, write_episodes: WriteEpisodes
) -> None:
    car_red = np.array([204, 0, 0], np.uint8)
    frames = rng().integers(90, 180, (13, SIDE, SIDE, 3), dtype=np.uint8)  # far more than 256
    frames[:, 24:26, 15:17] = car_red
    for name, count in {"explored": 6, "agent": 10, "driving": 2}.items():
        write_episodes(tmp_path / "data" / name, [13] * count, frames=frames)
    report(tmp_path, tmp_path / "data", image_shape=(SIDE, SIDE))
    drawn = {
        name: cv2.cvtColor(cv2.imread(str(tmp_path / f"vision_{name}.png")), cv2.COLOR_BGR2RGB)
        for name in ("reconstructions", "worst", "generated", "interpolations", "map")
    }
    for name, picture in drawn.items():
        assert (picture == car_red).all(axis=-1).sum() >= 2 * 4, name
    scale = 5  # a frame is drawn 160 pixels wide
    found = 0
    for frame in frames:
        square = frame[24:26, 10:20].repeat(scale, axis=0).repeat(scale, axis=1)
        places = np.argwhere((drawn["reconstructions"] == square[0, 0]).all(axis=-1))
        boxes = (drawn["reconstructions"][y : y + 10, x : x + 50] for y, x in places)
        found += any(np.array_equal(box, square) for box in boxes)
    assert found >= 3


def test_the_chart_of_dimensions_shows_as_many_as_its_legend_says(tmp_path: Path) -> None:
    kl = np.geomspace(2.0, 1e-7, 30)
    variance = np.geomspace(1.0, 1e-6, 30)  # 11 of them above 0.01, the last of little KL
    nothing = np.zeros(30)
    of = Dimensions(kl, variance, nothing, nothing, nothing)
    draw_dimensions(tmp_path / "dimensions.png", {"driving": of})
    picture = cv2.imread(str(tmp_path / "dimensions.png"))
    for colour, count in (("#0072B2", of.active.sum()), ("#999999", (~of.active).sum())):
        red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
        exact = (picture == [blue, green, red]).all(axis=-1).astype(np.uint8)
        _, _, areas, _ = cv2.connectedComponentsWithStats(exact, connectivity=8)
        points = (areas[1:, cv2.CC_STAT_AREA] >= 16).sum()
        assert points == count + 1  # that of the legend
