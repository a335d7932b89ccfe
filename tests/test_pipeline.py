"""The pipeline as its users run it: real `dvc` commands, the tiny preset, a fresh repository."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import h5py
import pytest
from ruamel.yaml import YAML
from stage_modules import modules_used

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
STAGES = ["check_params", "sample", "train_vae", "encode", "train_memory", "evolve", "evaluate"]


class Project:
    """A fresh git repository made from the working tree, with its own DVC state."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "project"
        self._environment = {
            **os.environ,
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "DVC_GLOBAL_CONFIG_DIR": str(folder / "dvc-config"),
            "DVC_SITE_CACHE_DIR": str(folder / "dvc-site"),
            "WORLDMODELS_WORKERS": "1",  # each imports TensorFlow; test_rollout has more of them
            "GIT_AUTHOR_NAME": "test",
            "GIT_AUTHOR_EMAIL": "test@example.com",
            "GIT_COMMITTER_NAME": "test",
            "GIT_COMMITTER_EMAIL": "test@example.com",
        }
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file() and name != "dvc.lock":
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.root / name)
        self.run("git", "init", "-q")
        self.commit()

    def run(self, *command: str, fails: bool = False) -> str:
        """Output of a command, both streams, which must succeed (or fail)."""
        done = subprocess.run(
            command,
            cwd=self.root,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stdout
        return done.stdout

    def commit(self) -> None:
        """Commit everything."""
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "-m", "a state")

    def metrics(self, name: str) -> dict[str, float]:
        """What metrics/<name>.json says."""
        found: dict[str, float] = json.loads((self.root / "metrics" / f"{name}.json").read_text())
        return found


def stages_run(output: str) -> list[str]:
    """The stages that DVC says it ran, in its order."""
    lines = [line for line in output.splitlines() if line.startswith("Running stage '")]
    return [line.split("'")[1] for line in lines]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project(tmp_path_factory.mktemp("pipeline"))
    made.run("python", "-m", "worldmodels.presets", "tiny")
    output = made.run("dvc", "repro")
    assert stages_run(output) == STAGES
    made.commit()
    return made


def test_every_stage_leaves_its_outputs(project: Project) -> None:
    assert project.metrics("sample")["episodes"] == 6
    assert project.metrics("encode")["frames"] == project.metrics("sample")["frames"]
    for name in ("vae", "memory", "controller", "evaluation"):
        assert project.metrics(name)
    for name in ("vae_reconstructions", "drive"):
        assert cv2.imread(str(project.root / "metrics" / f"{name}.png")) is not None
    film = cv2.VideoCapture(str(project.root / "data" / "drive.mp4"))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == 100
    with h5py.File(project.root / "data" / "latents.h5") as latents:
        assert latents["mean"].shape == (project.metrics("sample")["frames"], 32)
    rows = (project.root / "metrics" / "episodes.csv").read_text().splitlines()
    assert rows[0] == "episode,seed,return,steps,tiles,end"
    assert len(rows) == 1 + project.metrics("evaluation")["episodes"]


def test_again_there_is_nothing_to_do(project: Project) -> None:
    assert stages_run(project.run("dvc", "repro")) == []
    project.run("dvc", "status", "-q")
    project.run("python", "-m", "worldmodels.check_lock")


def test_plots_are_declared_so_that_dvc_draws_them(project: Project) -> None:
    project.run("dvc", "plots", "show", "--out", "plots_html")
    page = (project.root / "plots_html" / "index.html").read_text()
    for title in ("VAE, negative ELBO", "MDN-RNN, negative log likelihood", "CMA-ES, return"):
        assert title in page


def test_a_refused_value_costs_nothing(project: Project) -> None:
    output = project.run("dvc", "exp", "run", "-S", "vae.latent_dim=many", fails=True)
    assert "vae.latent_dim: expected a whole number, got 'many'" in output
    assert "git restore params.yaml" in output
    assert stages_run(output) == ["check_params"]
    assert (project.root / "models" / "vae.h5").exists()
    project.run("git", "restore", "params.yaml")
    overlap = "evaluation.first_seed=1000005"
    output = project.run("dvc", "exp", "run", "-S", overlap, fails=True)
    assert "sampling.first_seed: expected tracks that nothing else uses" in output
    assert "1000000-1000005, which overlap seeds 1000005-1000006 of evaluation.first_seed" in output
    project.run("git", "restore", "params.yaml", "dvc.lock", "metrics")
    project.run("dvc", "checkout")


def test_another_latent_dim_reruns_what_depends_on_it(project: Project) -> None:
    output = project.run("dvc", "exp", "run", "-S", "vae.latent_dim=8")
    assert stages_run(output) == [name for name in STAGES if name != "sample"]
    changes = project.run("dvc", "metrics", "diff")
    assert "val_loss" in changes
    assert "metrics/evaluation.json" in changes
    with h5py.File(project.root / "data" / "latents.h5") as latents:
        assert latents["mean"].shape[1] == 8
    project.run("git", "restore", "params.yaml", "dvc.lock", "metrics")
    project.run("dvc", "checkout")


def test_another_controller_reruns_only_what_depends_on_it(project: Project) -> None:
    output = project.run("dvc", "exp", "run", "-S", "controller.inputs=[z]")
    assert stages_run(output) == ["check_params", "evolve", "evaluate"]
    project.run("git", "restore", "params.yaml", "dvc.lock", "metrics")
    project.run("dvc", "checkout")
    project.run("dvc", "status", "-q")


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_yaml_lists_the_modules_that_a_stage_imports(stage: str) -> None:
    declared = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"][stage]["deps"]
    code = {path for path in declared if path.endswith(".py")}
    assert code == modules_used(ROOT / "stages" / f"{stage}.py", ROOT)


def test_stages_import_no_stage() -> None:
    for stage in STAGES:
        used = modules_used(ROOT / "stages" / f"{stage}.py", ROOT)
        assert [path for path in used if path.startswith("stages/")] == [f"stages/{stage}.py"]
