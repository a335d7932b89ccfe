"""What goes wrong around the pipeline ends in one clear line, and costs nothing that was there."""

from __future__ import annotations

import os
import resource
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from conftest import MakeOutcome, PluggedOut
from project import FIRST, ROOT, STAGES, Project, processes_in, stages_run

from worldmodels.car_racing.telemetry import COLUMNS
from worldmodels.core.errors import WorldModelsError
from worldmodels.core.files import DiskFullError, atomic_copy, atomic_write
from worldmodels.core.metrics import write_curve
from worldmodels.data.episodes import EpisodeWriter
from worldmodels.data.latents import LatentWriter
from worldmodels.models.model_files import load_model, save_model

MEBIBYTE = 1 << 20


@contextmanager
def quota(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes; to its writer that is a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def noise(*shape: int) -> np.ndarray:
    """What gzip cannot make smaller."""
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def write_shard(folder: Path, make_outcome: MakeOutcome) -> None:
    outcome = make_outcome(0, 400, image_shape=(96, 96))
    outcome.recorded.frames[:] = np.random.default_rng(0).integers(0, 256, 96, dtype=np.uint8)[
        None, :, None, None
    ]
    outcome.recorded.frames[:] += (noise(400, 96, 96, 3) * 50).astype(np.uint8)
    with EpisodeWriter(
        folder / "episodes",
        environment="a test",
        policy="a test",
        seed=0,
        image_shape=(96, 96),
        privileged_columns=COLUMNS,
    ) as writer:
        writer.write(outcome.recorded)


def write_latents(folder: Path, _: MakeOutcome) -> None:
    with LatentWriter(folder / "latents.h5", 10_000, 32, vae_digest="") as writer:
        rows = 10_000
        columns = noise(rows, 32), noise(rows, 32), noise(rows, 3), noise(rows)
        writer.write(*columns, "time_limit")


def write_model(folder: Path, _: MakeOutcome) -> None:
    save_model(folder / "vae.h5", "vae", {"latent_dim": 1}, [noise(1000, 1000)])


def write_checkpoint(folder: Path, _: MakeOutcome) -> None:
    import tensorflow as tf

    from worldmodels.training.training_checkpoint import Position, TrainingCheckpoint

    checkpoint = PluggedOut(folder, saves=2)
    TrainingCheckpoint(checkpoint, [tf.Variable(noise(1000, 1000))]).save(Position())


def write_rows(folder: Path, _: MakeOutcome) -> None:
    write_curve(folder / "curve.csv", [{"x": float(x)} for x in noise(200_000)])


WRITERS = [write_shard, write_latents, write_model, write_checkpoint, write_rows]


@pytest.mark.parametrize("write", WRITERS)
def test_a_full_disk_is_one_clear_line_and_leaves_nothing_half_written(
    write: Callable[[Path, MakeOutcome], None], tmp_path: Path, make_outcome: MakeOutcome
) -> None:
    expected = r"expected room on the disk, got none; make some and run `dvc repro` again"
    with quota(MEBIBYTE // 2), pytest.raises(DiskFullError, match=expected) as caught:
        write(tmp_path, make_outcome)
    assert "\n" not in str(caught.value)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    write(tmp_path, make_outcome)  # there is room again


def test_a_full_disk_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "vae.h5"
    save_model(path, "vae", {}, [noise(10)])
    with quota(MEBIBYTE // 2), pytest.raises(DiskFullError):
        save_model(path, "vae", {}, [noise(1000, 1000)])
    assert np.array_equal(load_model(path, "vae").weights[0], noise(10))


@pytest.mark.skipif(
    subprocess.run(["unshare", "-Urm", "true"], capture_output=True).returncode != 0,
    reason="a disk of our own cannot be mounted here",
)
@pytest.mark.parametrize("write", WRITERS)
def test_a_disk_that_is_really_full(
    write: Callable[[Path, MakeOutcome], None], tmp_path: Path
) -> None:
    """HDF5 crashes on one when it is let."""
    code = (
        "import sys, pathlib, conftest, test_faults\n"
        "from worldmodels.core.files import DiskFullError\n"
        "try:\n"
        f"    test_faults.{write.__name__}(pathlib.Path({str(tmp_path)!r}), conftest._outcome)\n"
        "except DiskFullError as error:\n"
        "    sys.exit(str(error))\n"
    )
    mount = f'mount -t tmpfs -o size=512k none {tmp_path} && exec {sys.executable} -c "$0"'
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", mount, code],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    assert "expected room on the disk, got none" in done.stderr.splitlines()[-1]


@contextmanager
def unprivileged() -> Iterator[None]:
    """Without root's right to write everywhere."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_folder_that_may_not_be_written_to_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    folder.chmod(0o555)
    expected = rf"{folder}/vae.h5: expected a folder that can be written to.* `chmod u\+w {folder}`"
    with unprivileged(), pytest.raises(WorldModelsError, match=expected):
        save_model(folder / "vae.h5", "vae", {}, [noise(10)])


def test_a_read_only_file_is_replaced_and_never_written_through(tmp_path: Path) -> None:
    """DVC may make an output a read-only hard link into its cache."""
    cached, output = tmp_path / "cached", tmp_path / "output"
    cached.write_text("the cache's")
    cached.chmod(0o444)
    os.link(cached, output)
    with atomic_write(output) as temporary:
        temporary.write_text("new")
    assert (cached.read_text(), output.read_text()) == ("the cache's", "new")
    assert stat.S_IMODE(cached.stat().st_mode) == 0o444


def test_what_a_kill_left_half_written_is_written_over(tmp_path: Path) -> None:
    (tmp_path / ".a.partial").write_text("half of something long")
    (tmp_path / "source").write_text("whole")
    atomic_copy(tmp_path / "source", tmp_path / "a")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "source"]
    assert (tmp_path / "a").read_text() == "whole"


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["2", "3"])
def test_without_home_display_or_network_more_workers_give_the_same_bits(
    workers: str, project: Project, tmp_path: Path
) -> None:
    """A second fresh clone: every hash in dvc.lock is that of the first, with one worker."""
    other = Project(tmp_path, WORLDMODELS_WORKERS=workers, HOME="/nonexistent")
    other.environment.pop("DISPLAY", None)
    offline = ["unshare", "-Urn"]
    if subprocess.run([*offline, "true"], capture_output=True).returncode != 0:
        offline = []  # the rest of the test is worth having
    output = other.run(*offline, "dvc", "repro")
    assert stages_run(output) == STAGES
    assert other.read_lock() == project.lock
    for name in ("environment.json", "episodes.csv", "second/evolution_curve.csv"):
        metrics = [one.root / "metrics" / name for one in (project, other)]
        assert metrics[0].read_bytes() == metrics[1].read_bytes()


def test_a_second_run_at_once_waits_until_the_first_died_and_goes_on(
    project: Project, tmp_path: Path
) -> None:
    clone = project.copy(tmp_path)
    params = clone.root / "params.yaml"
    params.write_text(params.read_text().replace("generations: 2 ", "generations: 900 "))
    runs: list[subprocess.Popen[str]] = []

    def start() -> IO[str]:
        command = ["python", "-m", "stages.evolve", "first"]
        runs.append(
            subprocess.Popen(
                command, cwd=clone.root, env=clone.environment, stdout=subprocess.PIPE, text=True
            )
        )
        assert runs[-1].stdout is not None
        return runs[-1].stdout

    try:
        assert start().readline().startswith("evolve@first: 900 generations")
        second = start()
        assert second.readline().startswith(
            "evolve@first: waiting for another run of it with the same "
        )
        while not list((clone.root / "scratch/evolve@first").glob("*/evolution.json")):
            time.sleep(0.1)
        runs[0].kill()
        assert any(line.startswith("evolve@first: going on after generation ") for line in second)
    finally:
        for run in runs:
            run.kill()
            run.wait()
    assert processes_in(clone.root) == []


def test_a_stage_s_error_is_one_line_and_how_to_bring_the_outputs_back(
    project: Project, tmp_path: Path
) -> None:
    clone = project.copy(tmp_path)
    shutil.rmtree(clone.root / FIRST.episodes)
    lines = clone.run("python", "-m", "stages.encode", "first", fails=True).splitlines()
    assert lines[0].startswith(f"encode@first: {FIRST.episodes}: no episodes; `dvc repro` makes ")
    assert len(lines) == 2
