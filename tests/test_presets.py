"""Presets change values in params.yaml and nothing else, and `default` takes them back."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest
from project import ROOT, preset_here

from worldmodels.core.errors import WorldModelsError
from worldmodels.core.params import flatten, read_params
from worldmodels.pipeline.presets import apply_preset, main, preset_names

PARAMS = """\
# The parameters of all stages.
base:
  seed: 1                 # of everything

vae:
  epochs: 10              # passes over all frames
                          # (the paper: 1)
  learning_rate: 1.0e-4   # Adam's
  device: 'cpu'           # quoted so
  size: [60,80]           # rows, columns

controller: {sigma: 0.1, inputs: [z, h]}  # in one line
evaluation:
  limit: null  # beside its value
  # none of these is set by a preset
  note: "a: #b"   # text
"""
DEFAULT = """\
vae: {epochs: 10, learning_rate: 1.0e-4, device: 'cpu', size: [60,80]}
controller: {sigma: 0.1, inputs: [z, h]}
evaluation: {limit: null}
"""
TINY = """\
vae:
  epochs: 1
  learning_rate: 0.0001   # the same number
  device: a-device-that-is-too-long-for-the-column
  size: [6, 8]
controller: {sigma: 0.25, inputs: [z]}
evaluation: {limit: 3}
"""
AFTER_TINY = """\
# The parameters of all stages.
base:
  seed: 1                 # of everything

vae:
  epochs: 1               # passes over all frames
                          # (the paper: 1)
  learning_rate: 1.0e-4   # Adam's
  device: a-device-that-is-too-long-for-the-column  # quoted so
  size: [6, 8]            # rows, columns

controller: {sigma: 0.25, inputs: [z]}  # in one line
evaluation:
  limit: 3  # beside its value
  # none of these is set by a preset
  note: "a: #b"   # text
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "presets").mkdir()
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "presets" / "default.yaml").write_text(DEFAULT)
    (tmp_path / "presets" / "tiny.yaml").write_text(TINY)
    return tmp_path


def test_a_preset_changes_values_and_no_other_byte(project: Path) -> None:
    changes = apply_preset("tiny", project)
    assert (project / "params.yaml").read_text() == AFTER_TINY
    assert [str(change) for change in changes] == [
        "vae.epochs: 10 -> 1",
        "vae.device: 'cpu' -> a-device-that-is-too-long-for-the-column",
        "vae.size: [60,80] -> [6, 8]",
        "controller.sigma: 0.1 -> 0.25",
        "controller.inputs: [z, h] -> [z]",
        "evaluation.limit: null -> 3",
    ]


def test_default_gives_back_the_same_bytes(project: Path) -> None:
    apply_preset("tiny", project)
    apply_preset("default", project)
    assert (project / "params.yaml").read_text() == PARAMS


def test_comments_that_follow_their_values_keep_their_distance(project: Path) -> None:
    params = "vae:\n  dddd: 5000  # zero\n  a: 5 # one\n  bb: 50  # two\n  c: 5      # three\n"
    (project / "params.yaml").write_text(params)
    (project / "presets" / "default.yaml").write_text("vae: {dddd: 5000, a: 5, bb: 50, c: 5}\n")
    (project / "presets" / "tiny.yaml").write_text("vae: {dddd: 5, a: 500, bb: 1, c: 123456789}\n")
    apply_preset("tiny", project)
    assert (project / "params.yaml").read_text() == (
        "vae:\n  dddd: 5  # zero\n  a: 500 # one\n  bb: 1  # two\n  c: 123456789      # three\n"
    )
    apply_preset("default", project)
    assert (project / "params.yaml").read_text() == params


ROUNDS = """\
rounds:
  first: {after: none}
  # then

  second:   # again
    after: first
"""
THREE = """\
rounds:
  one: {after: none}
  two: {after: one}
  three:
    after: two
"""


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_rounds_are_the_preset_s_as_a_whole(project: Path, line_end: str) -> None:
    params, presets = project / "params.yaml", project / "presets"
    text = PARAMS.replace("controller:", f"{ROUNDS}\n# What follows.\n\ncontroller:")
    params.write_bytes(text.replace("\n", line_end).encode())
    (presets / "default.yaml").write_text(DEFAULT + ROUNDS)
    (presets / "tiny.yaml").write_text(THREE + TINY)
    changes = apply_preset("tiny", project)
    assert str(changes[-1]) == "rounds: first, second -> one, two, three"
    after = AFTER_TINY.replace("controller:", f"{THREE}\n# What follows.\n\ncontroller:")
    assert params.read_bytes() == after.replace("\n", line_end).encode()
    apply_preset("default", project)
    assert params.read_bytes() == text.replace("\n", line_end).encode()


def test_line_ends_and_the_files_mode_are_kept(project: Path) -> None:
    path = project / "params.yaml"
    path.write_bytes(PARAMS.replace("\n", "\r\n").encode())
    path.chmod(0o640)
    apply_preset("tiny", project)
    assert path.read_bytes() == AFTER_TINY.replace("\n", "\r\n").encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_one_and_true_are_different_values(project: Path) -> None:
    (project / "presets" / "tiny.yaml").write_text("base: {seed: true}\n")
    assert [str(change) for change in apply_preset("tiny", project)] == ["base.seed: 1 -> true"]


@pytest.mark.parametrize(
    ("name", "preset", "message"),
    [
        ("huge", None, "expected one of default, tiny, got 'huge'"),
        ("../params", None, "expected one of default, tiny, got '../params'"),
        ("tiny", "vae: {epochs: 1, epcohs: 2}\nextra: {a: 1}\n", "got vae.epcohs, extra.a;"),
        ("tiny", "vae: 3\n", "vae: expected a group of keys"),
        ("tiny", "vae:\n  size:\n    - 6\n    - 8\n", "expected the value of vae.size on one line"),
        ("tiny", "vae:\n  device:\n", "expected the value of vae.device on one line"),
        ("tiny", "controller:\n  sigma: a, b: c\n", "expected YAML"),
        ("tiny", "controller:\n  sigma: a, b\n", "expected values that mean the same"),
    ],
)
def test_a_preset_that_does_not_fit_writes_nothing(
    project: Path, name: str, preset: str | None, message: str
) -> None:
    if preset is not None:
        (project / "presets" / "tiny.yaml").write_text(preset)
    before = (project / "params.yaml").stat()
    with pytest.raises(WorldModelsError, match=message):
        apply_preset(name, project)
    assert (project / "params.yaml").read_text() == PARAMS
    assert (project / "params.yaml").stat().st_ino == before.st_ino


def test_a_failed_write_leaves_the_file_and_no_other(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*paths: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        apply_preset("tiny", project)
    assert (project / "params.yaml").read_text() == PARAMS
    assert sorted(path.name for path in project.iterdir()) == ["params.yaml", "presets"]


def test_the_command_prints_what_changed(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    assert main(["tiny"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "vae.epochs: 10 -> 1"
    assert main(["tiny"]) == 0
    assert capsys.readouterr().out == "params.yaml has every value of preset tiny already\n"
    assert main(["huge"]) == 1
    assert capsys.readouterr().err == "error: presets: expected one of default, tiny, got 'huge'\n"


needs_the_presets = pytest.mark.skipif(
    not ((ROOT / "params.yaml").exists() and preset_names(ROOT)),
    reason="this tree has no params.yaml or no presets",
)


@needs_the_presets
def test_all_presets_set_the_same_keys_and_all_rounds() -> None:
    groups = {name: read_params(ROOT / "presets" / f"{name}.yaml") for name in preset_names(ROOT)}
    for its_groups in groups.values():
        assert all("after" in round_ for round_ in its_groups.pop("rounds").values())
    keys = {name: set(flatten(its_groups)) for name, its_groups in groups.items()}
    assert {name: keys["default"] ^ its_keys for name, its_keys in keys.items()} == {
        name: set() for name in keys
    }


@needs_the_presets
def test_the_default_preset_is_params_yaml() -> None:
    if preset_here():
        pytest.skip(f"params.yaml has preset {preset_here()} here, for a run")
    values = flatten(read_params(ROOT / "params.yaml"))
    default = flatten(read_params(ROOT / "presets" / "default.yaml"))
    assert default == {key: values.get(key) for key in default}


@needs_the_presets
@pytest.mark.parametrize("name", preset_names(ROOT))
def test_default_takes_each_preset_back(tmp_path: Path, name: str) -> None:
    shutil.copytree(ROOT / "presets", tmp_path / "presets")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    apply_preset("default", tmp_path)  # params.yaml may have another here
    default = (tmp_path / "params.yaml").read_bytes()
    apply_preset(name, tmp_path)
    apply_preset("default", tmp_path)
    assert (tmp_path / "params.yaml").read_bytes() == default
