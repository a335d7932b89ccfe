"""No message asks anybody to remove a file that this project did not write."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from worldmodels.data.episodes import EpisodeFileError, EpisodeFiles
from worldmodels.data.latents import LatentFileError, LatentSequences
from worldmodels.models.controller import LinearController
from worldmodels.models.model_files import ModelFileError

HOLD = """
import sys, h5py
with h5py.File(sys.argv[1], "a"):
    print("open", flush=True)
    sys.stdin.readline()
"""


def controller(path: Path) -> LinearController:
    made = LinearController(np.ones((5, 3), np.float32), ("z",), "mean")
    made.save(path)
    return made


@pytest.mark.parametrize("kind", ["text", "folder", "hdf5", "empty"])
def test_what_is_somebody_else_s_is_said_to_be_something_else(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "shard-00000.h5"
    if kind == "folder":
        path.mkdir()
    elif kind == "hdf5":
        with h5py.File(path, "w") as file:
            file["mine"] = np.ones(3)
    else:
        path.write_text("" if kind == "empty" else "what I wrote last night\n")
    for read, error in (
        (LinearController.load, ModelFileError),
        (lambda path: LatentSequences(path, length=3), LatentFileError),
        (lambda path: EpisodeFiles(path.parent), EpisodeFileError),
    ):
        with pytest.raises(error, match=r"expected .* got") as refused:
            read(path)
        assert "remove" not in str(refused.value)
    assert path.exists()


def test_a_damaged_file_of_the_project_s_own_is_made_anew_by_dvc(tmp_path: Path) -> None:
    path = tmp_path / "controller.h5"
    controller(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        ModelFileError, match=r"cut short.*`dvc repro` makes the pipeline's own anew"
    ):
        LinearController.load(path)


def test_a_file_that_another_process_writes_to_is_not_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "controller.h5"
    controller(path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(ModelFileError, match="another process has open for writing; try again"):
            LinearController.load(path)
        other.stdin.write("\n")
