"""metrics/environment.json says what each stage last ran in."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from worldmodels.core.environment import environment, has_bfloat16
from worldmodels.pipeline import environment as module
from worldmodels.pipeline.environment import record_environment
from worldmodels.pipeline.stage_run import run_stage


def stages_in(path: Path) -> list[list[str]]:
    return [record["stages"] for record in json.loads(path.read_text())]


def test_it_names_the_packages_and_the_processor_that_compute() -> None:
    here = json.loads(json.dumps(environment()))
    assert here["packages"]["numpy"] == np.__version__
    assert here["packages"].keys() >= {"tensorflow", "openvino", "numba", "cma", "gym", "h5py"}
    assert here["settings"]["TF_ENABLE_ONEDNN_OPTS"] == "1"
    assert here["processor"]["instruction_sets"] == sorted(here["processor"]["instruction_sets"])


def test_bfloat16_is_there_where_the_processor_says_so_and_no_setting_hides_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    said = Path("/proc/cpuinfo").read_text().split()
    assert has_bfloat16() == ("avx512_bf16" in said or "amx_bf16" in said)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert not has_bfloat16()


def test_stages_of_one_environment_stand_together(tmp_path: Path) -> None:
    path = tmp_path / "environment.json"
    for stage in ("sample", "evolve", "sample"):
        record_environment(stage, path)
    assert stages_in(path) == [["evolve", "sample"]]
    assert json.loads(path.read_text())[0]["environment"] == environment()


def test_a_stage_that_ran_again_elsewhere_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "environment.json"
    for stage in ("sample", "evolve"):
        record_environment(stage, path)
    monkeypatch.setattr(module, "environment", lambda: {"python": "4.0"})
    record_environment("evolve", path)
    assert sorted(stages_in(path)) == [["evolve"], ["sample"]]
    record_environment("sample", path)
    assert json.loads(path.read_text()) == [
        {"environment": {"python": "4.0"}, "stages": ["evolve", "sample"]}
    ]


@pytest.mark.parametrize("content", ["", "{}", '[{"stages": 1}]', "[1]", "\0"])
def test_a_file_that_is_none_of_ours_is_begun_anew(tmp_path: Path, content: str) -> None:
    path = tmp_path / "environment.json"
    path.write_text(content)
    record_environment("sample", path)
    assert stages_in(path) == [["sample"]]


def test_a_stage_is_logged_where_no_cores_can_be_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)  # as on macOS
    monkeypatch.setenv("WORLDMODELS_WORKERS", "7")
    run_stage("a_stage", lambda: None)
    monkeypatch.delenv("WORLDMODELS_WORKERS")
    run_stage("a_stage", lambda: None)
    workers = [line.rsplit(",")[-1] for line in Path("logs/stages.csv").read_text().splitlines()]
    assert workers[:2] == ["workers", "7"]
    assert int(workers[2]) >= 1
