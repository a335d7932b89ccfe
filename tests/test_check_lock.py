"""check_lock names every stage of dvc.lock that no longer fits, and no other; no data needed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from worldmodels.core.errors import WorldModelsError
from worldmodels.pipeline.check_lock import main, stale_stages

DVC = Path(sys.executable).parent / "dvc"
PARAMS = """\
base: {seed: 1}
vae: {epochs: 10, size: [60, 80], clip: null}
controller: {sigma: 0.1, population: 64}
rounds: {first: {}, second: {}}
"""
DVC_YAML = """\
stages:
  train:
    foreach: ${rounds}
    do:
      cmd: mkdir -p models/${key} latents/${key} && cp code/vae.py models/${key} &&
        touch latents/${key}/mean
      deps: [code]
      params: [base, vae]
      outs: ['models/${key}/vae.py', 'latents/${key}']
  evolve:
    cmd: cp models/first/vae.py evolved && echo '{}' > score.json && cp score.json score.csv
    deps: [models/first/vae.py, evolution.py]
    params: [controller.sigma]
    outs: [evolved]
    metrics: [score.json: {cache: false}]
    plots: [score.csv: {cache: false}]
  check:
    cmd: echo fine > checked
    params: [{params.yaml: null}]
    outs: [checked]
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose pipeline ran."""
    root = tmp_path_factory.mktemp("ran") / "project"
    (root / "code").mkdir(parents=True)
    for name, text in {
        "params.yaml": PARAMS,
        "dvc.yaml": DVC_YAML,
        "code/vae.py": "vae",
        "evolution.py": "evolution",
    }.items():
        (root / name).write_text(text)
    for command in (["git", "init", "-q"], [DVC, "init", "-q"], [DVC, "repro", "-q"]):
        subprocess.run(command, cwd=root, check=True)
    return root


@pytest.fixture
def project(ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh clone of it: the files that git holds, and none of the data."""
    root = tmp_path / "project"
    data = shutil.ignore_patterns("models", "latents", "evolved", "checked", "cache", "tmp")
    shutil.copytree(ran, root, ignore=data)
    monkeypatch.chdir(root)
    return root


def test_a_fresh_clone_fits_and_so_does_one_with_the_data(project: Path, ran: Path) -> None:
    for root in (project, ran):
        stages = stale_stages(root)
        assert list(stages) == ["train@first", "train@second", "evolve", "check"]
        assert not any(stages.values())
    (project / "evolved").write_text("of another run")  # data on the disk plays no part
    (project / "code" / "__pycache__").mkdir()  # nor does what .dvcignore names
    (project / "code" / "__pycache__" / "vae.pyc").write_text("bytes")
    (project / ".dvcignore").write_text("__pycache__/\n")
    assert not any(stale_stages(project).values())


BOTH = ["train@first", "train@second"]


@pytest.mark.parametrize(
    ("name", "old", "new", "stale", "reason"),
    [
        ("code/vae.py", "vae", "VAE", BOTH, "code modified"),
        ("score.json", "{}", "{ }", ["evolve"], "score.json modified"),
        ("score.csv", "{}", "", ["evolve"], "score.csv modified"),
        ("params.yaml", "sigma: 0.1", "sigma: 0.2", ["evolve"], "controller.sigma 0.1 -> 0.2"),
        ("params.yaml", "sigma: 0.1, ", "", ["evolve"], "controller.sigma 0.1 -> nothing"),
        ("params.yaml", "seed: 1", "seed: '1'", BOTH, 'base.seed 1 -> "1"'),
        ("params.yaml", "[60, 80]", "[6, 8]", BOTH, "vae.size [60, 80] -> [6, 8]"),
        ("params.yaml", "epochs: 10, ", "", BOTH, "vae.epochs 10 -> nothing"),
        ("params.yaml", "epochs", "a: null, epochs", BOTH, "vae.a nothing -> null"),
        ("params.yaml", "population: 64", "population: 8", ["check"], "controller.population 64"),
        ("dvc.yaml", "cp models/first", "ls models/first", ["evolve"], "another command"),
        ("dvc.yaml", "score.csv: {", "score.tsv: {", ["evolve"], "score.tsv new"),
        (
            "dvc.yaml",
            "[models/first/vae.py, ",
            "[params.yaml, ",
            ["evolve"],
            "params.yaml modified",
        ),
        ("dvc.lock", "  evolve:\n", "  controller:\n", ["evolve"], "not in dvc.lock"),
    ],
)
def test_each_difference_is_named(
    project: Path, name: str, old: str, new: str, stale: list[str], reason: str
) -> None:
    text = (project / name).read_text()
    assert old in text
    (project / name).write_text(text.replace(old, new))
    found = {stage: reasons for stage, reasons in stale_stages(project).items() if reasons}
    found.pop("check" if stale != ["check"] else "", None)  # which any parameter makes stale
    assert list(found) == stale
    for reasons in found.values():
        assert any(one.startswith(reason) for one in reasons)


def test_an_input_that_its_maker_did_not_write_is_named(project: Path) -> None:
    lock = (project / "dvc.lock").read_text()
    at_evolve = lock.index("  evolve:\n")
    md5 = re.search(r"md5: (\w{32})", lock[lock.index("path: models/first/vae.py", at_evolve) :])
    assert md5 is not None
    changed = lock[at_evolve:].replace(md5[1], "f" * 32, 1)
    (project / "dvc.lock").write_text(lock[:at_evolve] + changed)
    reason = "models/first/vae.py is not the one that train@first wrote"
    assert stale_stages(project)["evolve"] == [reason]


def test_a_missing_file_is_named(project: Path) -> None:
    (project / "score.json").unlink()
    (project / "evolution.py").unlink()
    reasons = ["evolution.py deleted", "score.json deleted"]
    assert stale_stages(project)["evolve"] == reasons


def test_without_a_lock_every_stage_is_stale(project: Path) -> None:
    (project / "dvc.lock").unlink()
    assert set(map(tuple, stale_stages(project).values())) == {("not in dvc.lock",)}


def test_what_cannot_be_read_is_refused_in_one_line(project: Path) -> None:
    (project / "dvc.yaml").write_text("stages: 3\n")
    with pytest.raises(WorldModelsError, match="validation failed"):
        stale_stages(project)


def test_the_command_says_all_on_one_line_a_stage(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out == "dvc.lock fits the code and the parameters: 4 stages\n"
    (project / "evolution.py").write_text("changed")
    line = "evolve: evolution.py modified\n"
    assert main([]) == 1
    assert capsys.readouterr().out == line
    assert main(["--warn"]) == 0
    assert capsys.readouterr().out == line
    shutil.rmtree(project / ".dvc")
    assert main([]) == 1
    assert capsys.readouterr().err.startswith("error: ")
