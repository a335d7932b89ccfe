"""Where machine code is kept: by the sources of all of the simulator, in the user's own folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from project import ROOT

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


def test_nothing_is_written_beside_the_sources(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "worldmodels", tmp_path / "worldmodels")
    run(tmp_path, tmp_path / "cache")
    assert not list((tmp_path / "worldmodels").rglob("*.nb?"))
