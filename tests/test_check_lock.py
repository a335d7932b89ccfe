"""check_lock names every stage of dvc.lock that no longer fits, and no other; no data needed."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from worldmodels.core.errors import WorldModelsError
from worldmodels.pipeline.check_lock import main, stale_stages

DVC = Path(sys.executable).parent / "dvc"


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


PARAMS = """\
base: {seed: 1}
vae: {epochs: 10, size: [60, 80]}
controller: {sigma: 0.1, population: 64}
"""
DVC_YAML = """\
stages:
  train:
    cmd: python stages/train.py
    deps:
      - stages/train.py
      - worldmodels/models/vae.py
    params:
      - base
      - vae
    outs:
      - models/vae.h5
      - data/latents/
    plots:
      - plots/loss.csv: {x: step}
  evolve:
    cmd: python stages/evolve.py
    deps:
      - data/latents
      - models/vae.h5
      - worldmodels/training/evolution.py
    params:
      - controller.sigma
    metrics:
      - metrics/evolve.json: {cache: false}
    plots:
      - metrics/evolve.csv: {cache: false, x: generation}
"""
# What DVC 3.67 writes, with the sizes left out.
DVC_LOCK = f"""\
schema: '2.0'
stages:
  train:
    cmd: python stages/train.py
    deps:
    - {{path: stages/train.py, hash: md5, md5: {md5("train")}}}
    - {{path: worldmodels/models/vae.py, hash: md5, md5: {md5("vae")}}}
    params:
      params.yaml:
        base:
          seed: 1
        vae:
          epochs: 10
          size: [60, 80]
    outs:
    - {{path: data/latents/, hash: md5, md5: 0a0a.dir}}
    - {{path: models/vae.h5, hash: md5, md5: 1b1b}}
    - {{path: plots/loss.csv, hash: md5, md5: 3d3d}}
  evolve:
    cmd: python stages/evolve.py
    deps:
    - {{path: data/latents, hash: md5, md5: 0a0a.dir}}
    - {{path: models/vae.h5, hash: md5, md5: 1b1b}}
    - {{path: worldmodels/training/evolution.py, hash: md5, md5: {md5("evolution")}}}
    params:
      params.yaml:
        controller.sigma: 0.1
    outs:
    - {{path: metrics/evolve.csv, hash: md5, md5: {md5("csv")}}}
    - {{path: metrics/evolve.json, hash: md5, md5: {md5("json")}}}
"""
FILES = {
    "params.yaml": PARAMS,
    "dvc.yaml": DVC_YAML,
    "dvc.lock": DVC_LOCK,
    "stages/train.py": "train",
    "worldmodels/models/vae.py": "vae",
    "worldmodels/training/evolution.py": "evolution",
    "metrics/evolve.json": "json",
    "metrics/evolve.csv": "csv",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A fresh clone: the files that git holds, and none of the data."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def edit(project: Path) -> Callable[[str, str, str], None]:
    def replace(name: str, old: str, new: str) -> None:
        text = (project / name).read_text()
        assert old in text
        (project / name).write_text(text.replace(old, new))

    return replace


def test_a_fresh_clone_fits(project: Path) -> None:
    assert stale_stages(project) == {}


@pytest.mark.parametrize(
    ("name", "old", "new", "stale"),
    [
        (
            "worldmodels/models/vae.py",
            "vae",
            "VAE",
            {"train": ["worldmodels/models/vae.py changed"]},
        ),
        ("metrics/evolve.json", "json", "j", {"evolve": ["metrics/evolve.json changed"]}),
        ("metrics/evolve.csv", "csv", "", {"evolve": ["metrics/evolve.csv changed"]}),
        ("params.yaml", "sigma: 0.1", "sigma: 0.2", {"evolve": ["controller.sigma 0.1 -> 0.2"]}),
        ("params.yaml", "sigma: 0.1, ", "", {"evolve": ["controller.sigma is not in params.yaml"]}),
        ("params.yaml", "seed: 1", "seed: '1'", {"train": ['base.seed 1 -> "1"']}),
        ("params.yaml", "[60, 80]", "[6, 8]", {"train": ["vae.size [60, 80] -> [6, 8]"]}),
        ("params.yaml", "epochs: 10, ", "", {"train": ["vae.epochs is not in params.yaml"]}),
        ("params.yaml", "epochs", "a: null, epochs", {"train": ["vae.a is new in params.yaml"]}),
        ("params.yaml", "population: 64", "population: 8", {}),
        (
            "dvc.yaml",
            "python stages/evolve.py",
            "echo",
            {"evolve": ["cmd python stages/evolve.py -> echo"]},
        ),
        (
            "dvc.yaml",
            "      - worldmodels/models/vae.py\n",
            "",
            {"train": ["dependency worldmodels/models/vae.py is not in dvc.yaml"]},
        ),
        (
            "dvc.yaml",
            "      - worldmodels/models/vae.py\n",
            "      - worldmodels/models/vae.py\n      - params.yaml\n",
            {"train": ["dependency params.yaml is new in dvc.yaml"]},
        ),
        (
            "dvc.yaml",
            "controller.sigma",
            "controller.population",
            {
                "evolve": [
                    "parameter controller.population is new in dvc.yaml",
                    "parameter controller.sigma is not in dvc.yaml",
                ]
            },
        ),
        (
            "dvc.yaml",
            "metrics/evolve.csv",
            "metrics/e.csv",
            {
                "evolve": [
                    "output metrics/e.csv is new in dvc.yaml",
                    "output metrics/evolve.csv is not in dvc.yaml",
                ]
            },
        ),
        (
            "dvc.lock",
            "  evolve:\n",
            "  controller:\n",
            {
                "evolve": ["not in dvc.lock"],
                "controller": ["in dvc.lock but not in dvc.yaml"],
            },
        ),
        (
            "dvc.lock",
            "1b1b}\n    - {path: plots",
            "2c2c}\n    - {path: plots",
            {"evolve": ["models/vae.h5 is not the one that train wrote"]},
        ),
        (
            "dvc.lock",
            "latents/, hash: md5, md5: 0a0a.dir",
            "latents/, hash: md5, md5: 0b0b.dir",
            {"evolve": ["data/latents is not the one that train wrote"]},
        ),
        (
            "dvc.lock",
            "latents/, hash: md5, md5: 0a0a.dir",
            "latents/",
            {"evolve": ["data/latents is not the one that train wrote"]},
        ),
    ],
)
def test_each_difference_is_named(
    project: Path,
    edit: Callable[[str, str, str], None],
    name: str,
    old: str,
    new: str,
    stale: dict[str, list[str]],
) -> None:
    edit(name, old, new)
    assert stale_stages(project) == stale


@pytest.mark.parametrize(
    ("name", "stage"), [("metrics/evolve.json", "evolve"), ("worldmodels/models/vae.py", "train")]
)
def test_a_missing_file_is_named(project: Path, name: str, stage: str) -> None:
    (project / name).unlink()
    assert stale_stages(project) == {stage: [f"{name} is missing"]}


def test_without_a_lock_every_stage_is_stale(project: Path) -> None:
    (project / "dvc.lock").unlink()
    assert stale_stages(project) == {"train": ["not in dvc.lock"], "evolve": ["not in dvc.lock"]}


def test_data_on_the_disk_plays_no_part(project: Path) -> None:
    (project / "models").mkdir()
    (project / "models" / "vae.h5").write_text("of another run")
    assert stale_stages(project) == {}


def test_a_dependency_that_needs_the_data_is_refused(
    project: Path, edit: Callable[[str, str, str], None]
) -> None:
    dep = "data/latents/0.npz"
    edit("dvc.yaml", "worldmodels/training/evolution.py", dep)
    edit("dvc.lock", "worldmodels/training/evolution.py", dep)
    with pytest.raises(WorldModelsError, match=f"{dep}: expected what is in git, or a whole"):
        stale_stages(project)


def test_a_folder_of_code_is_hashed_as_dvc_does(
    project: Path, edit: Callable[[str, str, str], None]
) -> None:
    folder = "worldmodels/training"
    listing = json.dumps([{"md5": md5("evolution"), "relpath": "evolution.py"}])
    edit("dvc.yaml", f"{folder}/evolution.py", folder)
    edit("dvc.lock", f"{folder}/evolution.py", folder)
    edit("dvc.lock", md5("evolution"), f"{md5(listing)}.dir")
    (project / folder / "__pycache__").mkdir()  # of which .dvcignore tells DVC nothing
    (project / folder / "__pycache__" / "evolution.pyc").write_text("bytes")
    assert stale_stages(project) == {}
    (project / folder / "evolution.py").write_text("other")
    assert stale_stages(project) == {"evolve": [f"{folder} changed"]}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("stages:\n", "stages: 3\nother:\n", "stages: expected a mapping, got 3"),
        ("      - base\n", "      - other.yaml: [a]\n", "train.params: expected a text"),
        (
            "    deps:\n      - stages/train.py\n",
            "    deps: x\n    a:\n",
            "expected a list, got 'x'",
        ),
    ],
)
def test_a_dvc_yaml_that_is_not_flat_is_refused(
    project: Path, edit: Callable[[str, str, str], None], old: str, new: str, message: str
) -> None:
    edit("dvc.yaml", old, new)
    with pytest.raises(WorldModelsError, match=message):
        stale_stages(project)


def test_the_command_says_all_on_one_line_a_stage(
    project: Path,
    edit: Callable[[str, str, str], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(project)
    assert main([]) == 0
    assert capsys.readouterr().out == "dvc.lock fits the code and the parameters: 2 stages\n"

    edit("worldmodels/training/evolution.py", "evolution", "changed")
    edit("params.yaml", "sigma: 0.1", "sigma: 0.2")
    line = "evolve: worldmodels/training/evolution.py changed; controller.sigma 0.1 -> 0.2\n"
    assert main([]) == 1
    assert capsys.readouterr().out == line
    assert main(["--warn"]) == 0
    assert capsys.readouterr().out == line

    (project / "dvc.yaml").unlink()
    assert main([]) == 1
    assert capsys.readouterr().err.startswith("error: dvc.yaml: expected a YAML file, got none")


def test_it_reads_what_dvc_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real `dvc repro` fits; without its data it still does; with other code it does not."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    # Where DVC keeps its own state, away from the user's.
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(tmp_path / ".dvc-global"))
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / ".dvc-site"))

    def run(*command: str | Path) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    run("git", "init", "-q")
    run(DVC, "init", "-q")
    (tmp_path / "params.yaml").write_text(
        "base: {seed: 0}\nvae:\n  learning_rate: 1e-4\n  size: [60, 80]\n  clip: null\n"
    )
    (tmp_path / "make.py").write_text("import os; os.mkdir('data'); open('data/a', 'w').close()\n")
    (tmp_path / "score.py").write_text("open('score.json', 'w').write('{}')\n")
    python = sys.executable
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n"
        f"  make:\n    cmd: {python} make.py\n    deps: [make.py]\n    params: [base, vae]\n"
        "    outs: [data/]\n"
        f"  score:\n    cmd: >\n      {python}\n      score.py\n    deps: [score.py, data]\n"
        "    params: [vae.learning_rate]\n    metrics:\n      - score.json: {cache: false}\n"
    )
    run(DVC, "repro", "-q")
    assert stale_stages(tmp_path) == {}

    shutil.rmtree(tmp_path / "data")
    shutil.rmtree(tmp_path / ".dvc")
    assert stale_stages(tmp_path) == {}

    (tmp_path / "make.py").write_text("# other code\n")
    assert stale_stages(tmp_path) == {"make": ["make.py changed"]}


def test_a_stage_may_depend_on_all_of_params_yaml(project: Path) -> None:
    whole = "    params: {params.yaml: {base: {seed: 1}, vae: {epochs: 10, size: [60, 80]}, %s}}\n"
    (project / "dvc.yaml").write_text(
        DVC_YAML + "  check:\n    cmd: python check.py\n    params:\n      - params.yaml:\n"
    )
    lock = DVC_LOCK + "  check:\n    cmd: python check.py\n"
    (project / "dvc.lock").write_text(lock + whole % "controller: {sigma: 0.1, population: 64}")
    assert not any(stale_stages(project).values())
    (project / "dvc.lock").write_text(lock + whole % "controller: {sigma: 0.1, population: 8}")
    assert stale_stages(project)["check"] == ["controller.population 8 -> 64"]
