"""Where machine code is kept: by the sources of all of the simulator, in the user's own folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from project import ROOT

from worldmodels.car_racing.compiled import cache_folder

RUN = """
from worldmodels.car_racing.compiled import cache_folder
from worldmodels.car_racing.trigonometry import sincos
import numpy as np
sincos(np.float32(1))
print(cache_folder())
"""


def run(root: Path, cache: Path) -> Path:
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "XDG_CACHE_HOME": str(cache)},
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(done.stdout.strip())


def test_a_change_in_any_source_is_compiled_anew(tmp_path: Path) -> None:
    sources = tmp_path / "worldmodels"
    shutil.copytree(ROOT / "worldmodels", sources)
    first = run(tmp_path, tmp_path / "cache")
    assert first.parent == tmp_path / "cache" / "worldmodels"
    assert list(first.rglob("*.nbc"))
    assert run(tmp_path, tmp_path / "cache") == first
    with (sources / "car_racing" / "race.py").open("a") as file:
        file.write("# a remark\n")
    assert run(tmp_path, tmp_path / "cache") != first


def test_the_same_sources_in_another_folder_are_not_compiled_again(tmp_path: Path) -> None:
    for name in ("one", "other"):
        shutil.copytree(ROOT / "worldmodels", tmp_path / name / "worldmodels")
    (tmp_path / "other/worldmodels/car_racing/trigonometry.py").touch()  # as in a new clone
    first = run(tmp_path / "one", tmp_path / "cache")
    compiled = {path: path.stat().st_mtime_ns for path in first.iterdir()}
    assert any(path.suffix == ".nbc" for path in compiled)
    assert run(tmp_path / "other", tmp_path / "cache") == first
    assert {path: path.stat().st_mtime_ns for path in first.iterdir()} == compiled


ALONE = """
import sys
for name in ("Box2D", "cv2", "gym", "pydantic", "pygame", "ruamel", "tensorflow"):
    sys.modules[name] = None  # as where it is not installed
import numpy as np
from worldmodels.car_racing.world import Races
races = Races(2, threads=2)
for index in range(2):
    races.make_track(index, np.random.default_rng(index))
    races.start(index)
rewards, _ = races.step(np.arange(2), np.zeros((2, 3)))
print(rewards.shape, len(races))
"""


def test_the_simulator_needs_numpy_and_numba_alone_and_says_when_it_compiles(
    tmp_path: Path,
) -> None:
    shutil.copytree(ROOT / "worldmodels", tmp_path / "worldmodels")
    for expected in ("worldmodels: compiling the simulator", ""):
        done = subprocess.run(
            [sys.executable, "-c", ALONE],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "c")},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split("\n")[0] == "(2,) 2"
        assert done.stderr.startswith(expected) if expected else done.stderr == ""


def test_nothing_is_written_beside_the_sources(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "worldmodels", tmp_path / "worldmodels")
    run(tmp_path, tmp_path / "cache")
    assert not list((tmp_path / "worldmodels").rglob("*.nb?"))


def test_without_a_home_that_can_be_written_to_the_temporary_folder_has_the_machine_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = cache_folder()
    assert folder.parent == tmp_path / f"worldmodels-{os.getuid()}"
    assert folder.parent.stat().st_mode & 0o777 == 0o700
    assert cache_folder() == folder


def test_another_user_s_temporary_folder_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    theirs = cache_folder().parent
    monkeypatch.setattr(os, "getuid", lambda: theirs.stat().st_uid + 1)
    (tmp_path / f"worldmodels-{os.getuid()}").mkdir()
    assert cache_folder().parent.parent == tmp_path
    assert cache_folder().parent not in (theirs, tmp_path / f"worldmodels-{os.getuid()}")
