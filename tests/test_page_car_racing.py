"""The page's race in JavaScript against the simulator in Python: the same bits of tracks, cars and
rewards, and the agent's pictures within a trace."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_vectors import DRIVES, make_vectors
from project import ROOT

from worldmodels.car_racing.resize import taps

COMPARE = Path(__file__).parent / "page" / "car_racing.mjs"

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None, reason="node is not installed: it runs the page's JavaScript"
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What differs, as `tests/page/car_racing.mjs` says."""
    vectors = tmp_path_factory.mktemp("page") / "vectors.json"
    vectors.write_text(json.dumps(make_vectors(tracks=20, frame_every=25)))
    command = ["node", str(COMPARE), str(vectors)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_sines_are_the_c_library_s_to_the_bit(report: dict[str, Any]) -> None:
    assert report["sines"] >= 10000
    assert report["differentSines"] == 0


def test_polygons_at_a_tile_s_border_touch_it_as_box2d_says(report: dict[str, Any]) -> None:
    assert 0 < report["touching"] < report["overlaps"]
    assert report["differentOverlaps"] == 0


def test_tracks_are_gym_s_in_float32_to_the_bit(report: dict[str, Any]) -> None:
    assert report["tracks"] == 20 + len(DRIVES)
    assert report["differentTrackNumbers"] == 0, report


def test_lines_of_tracks_differ_from_gym_s_in_last_bits_at_most(report: dict[str, Any]) -> None:
    """C libraries do not round every sine correctly; the page does."""
    assert report["largestLineDifference"] < 1e-9


def test_drives_are_the_simulator_s_to_the_bit(report: dict[str, Any]) -> None:
    assert report["steps"] > 5000
    assert report["differentSteps"] == 0, report["firstDifferences"]


def test_drives_reach_both_ends_of_an_episode(report: dict[str, Any]) -> None:
    assert report["terminated"] > 0
    assert report["truncated"] > 0


def test_frames_are_the_simulator_s_in_nearly_all_bytes(report: dict[str, Any]) -> None:
    assert report["frames"] > 200
    assert report["largestMeanDifference"] < 0.01, report
    assert report["differentBytes"] < 0.0001 * report["bytes"], report
    assert report["largestByteDifference"] <= 3, report


@pytest.mark.parametrize(("source", "target"), [(84, 60), (84, 85), (84, 96), (96, 33), (96, 96)])
def test_pixels_are_weighed_for_a_resize_as_the_simulator_does(source: int, target: int) -> None:
    module = (ROOT / "page" / "car_racing" / "resize.js").as_uri()
    code = f"import {{taps}} from '{module}'; console.log(JSON.stringify(taps({source}, {target})))"
    command = ["node", "--input-type=module", "-e", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    pixels, weights = taps(source, target)
    assert json.loads(done.stdout) == [
        {"first": first, "second": second, "weights": [one, other]}
        for first, second, one, other in np.concatenate([pixels, weights]).T.tolist()
    ]


def test_a_race_is_drawn_in_gym_s_colours_in_any_size(report: dict[str, Any]) -> None:
    alone, with_rival = report["drawings"]
    for drawing in (alone, with_rival):
        assert drawing["finite"]
        assert drawing["unchanged"]
        assert drawing["car"] == pytest.approx([1 / 2, 6 / 7])
    assert {"rgb(102, 230, 102)", "rgb(107, 107, 107)", "rgb(204, 0, 0)"} <= set(alone["colours"])
    added = set(with_rival["colours"]) - set(alone["colours"])
    assert "faint rgb(32, 80, 204)" in added
    assert all(colour.startswith("faint") for colour in added)
