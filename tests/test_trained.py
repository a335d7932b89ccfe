"""What a stranger finds in a fresh clone: trained models, and how little runs again with them; and
how an experiment's models get to others."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import cv2
import pytest
from project import BIN, ROOT, Project, stages_run
from ruamel.yaml import YAML

from worldmodels.pipeline.dvc_files import dvc_md5, read_locked_stages, read_stages

MAKE_MODELS = ("make", "-o", "setup", "models")  # in the environment of the tests
MAKE_CONFIG = ("make", ".dvc/config.local")  # `make setup` does that, too
ONE_STAGE = """\
stages:
  evolve:
    cmd: mkdir -p models && cp params.yaml models/controller.h5
    params:
      - sigma
    outs:
      - models/controller.h5
"""


def test_models_alone_are_pushed_and_make_models_pulls_all_that_were_recorded() -> None:
    declared, recorded = (
        YAML(typ="safe").load((ROOT / name).read_text())["stages"]
        for name in ("dvc.yaml", "dvc.lock")
    )
    pushed = {}
    for name, stage in declared.items():
        for out in stage.get("outs", []):
            if not (isinstance(out, dict) and next(iter(out.values())) == {"push": False}):
                pushed[out] = name
    assert pushed.pop("data/params_checked") == "check_params"  # a line, that `sample` waits for
    assert all(path.startswith("models/") for path in pushed)
    pulled = re.search(r"^MODELS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert pulled is not None
    assert pulled[1].split() == [name for name in pushed.values() if name in recorded]


def test_models_are_declared_as_artifacts_with_what_a_registry_shows() -> None:
    declared = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())
    artifacts = declared["artifacts"]
    assert {artifacts[name]["path"] for name in ("vae", "memory", "controller")} == {
        f"models/{name}.h5" for name in ("vae", "memory", "controller")
    }
    made = {out for stage in declared["stages"].values() for out in map(str, stage.get("outs", []))}
    for artifact in artifacts.values():
        assert artifact["path"] in made
        assert artifact["type"] == "model"
        assert artifact["desc"]
        assert artifact["labels"]


def test_a_clone_gets_a_model_by_path_and_a_tagged_one_by_name(tmp_path: Path) -> None:
    """With nothing pulled before: from the remote in the repository."""
    environment = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "DVC_GLOBAL_CONFIG_DIR": str(tmp_path / "dvc-config"),
        "DVC_SITE_CACHE_DIR": str(tmp_path / "dvc-site"),
        "GIT_COMMITTER_NAME": "test",
        "GIT_COMMITTER_EMAIL": "test@example.com",
    }

    def run(*command: str) -> None:
        subprocess.run(command, cwd=tmp_path, env=environment, check=True)

    run("git", "clone", "-q", str(ROOT), "clone")
    run("git", "-C", "clone", "tag", "-a", "vae@v1.0.0", "-m", "V")  # DVC sees no tag without -a
    run("dvc", "get", "clone", "models/vae.h5")
    run("dvc", "artifacts", "get", "clone", "vae", "--out", "artifact.h5")
    recorded = read_locked_stages(ROOT)["train_vae_again"].outs["models/vae.h5"]
    assert dvc_md5(tmp_path / "vae.h5") == dvc_md5(tmp_path / "artifact.h5") == recorded


@pytest.mark.slow
def test_a_fresh_clone_drives_and_runs_again_only_what_changed(
    project: Project, tmp_path: Path
) -> None:
    trained = project.copy(tmp_path / "trained")
    output = trained.clone(tmp_path / "too early").run(*MAKE_MODELS, fails=True)
    assert "models: expected the models of this dvc.lock in trained/, got what DVC" in output

    trained.run("dvc", "push")
    trained.commit()
    models = {
        path: dvc_md5(trained.root / path)
        for stage in read_stages(trained.root, groups=()).values()
        for path, cached in stage.outs.items()
        if cached and path.startswith("models/")
    }
    in_remote = {
        "".join(path.parts[-2:]) for path in (trained.root / "trained").rglob("*") if path.is_file()
    }
    mark = dvc_md5(trained.root / "data" / "params_checked")
    assert in_remote == {*models.values(), mark}

    stranger = trained.clone(tmp_path / "stranger")
    stranger.run(*MAKE_MODELS)
    assert {path: dvc_md5(stranger.root / path) for path in models} == models
    assert not (stranger.root / "data" / "episodes").exists()
    stranger.run("python", "-m", "worldmodels.watch", "--steps", "3", "--film", "drive.mp4")
    film = cv2.VideoCapture(str(stranger.root / "drive.mp4"))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == 3
    assert stages_run(stranger.run("dvc", "repro", "--pull", "--allow-missing")) == []

    # In another clone, where nothing was pulled before; --temp: trained/ is found from there, too.
    other = trained.clone(tmp_path / "other")
    again = ("dvc", "exp", "run", "--temp", "--pull", "--allow-missing", "-S")
    output = other.run(*again, "evaluation.episodes=1")
    assert stages_run(output) == ["check_params", "evaluate"]
    output = stranger.run(*again[:3], *again[4:], "controller_again.sigma=0.05")
    assert stages_run(output)[:2] == ["check_params", "evolve_again"]
    assert set(stages_run(output)) <= {"check_params", "evolve_again", "evaluate"}
    assert not (stranger.root / "data" / "episodes").exists()

    # The second round learns from data/episodes: sampled again to the same bits, no model anew.
    output = stranger.run("dvc", "repro", "--pull")
    assert "sample" in stages_run(output)
    assert not {"train_vae", "train_memory", "evolve"} & set(stages_run(output))
    assert (stranger.root / "data" / "episodes").exists()


def test_an_experiment_and_its_models_are_shared_by_a_git_remote(tmp_path: Path) -> None:
    """With this project's settings, and one stage that takes no time."""
    ours = Project(tmp_path / "ours")
    (ours.root / "params.yaml").write_text("sigma: 1\n")
    (ours.root / "dvc.yaml").write_text(ONE_STAGE)
    ours.run(*MAKE_CONFIG)
    ours.run("dvc", "repro")
    ours.run("dvc", "push")
    ours.commit()
    ours.run("dvc", "exp", "run", "-n", "wide", "-S", "sigma=2")
    ours.run("git", "init", "-q", "--bare", "../origin.git")
    ours.run("git", "remote", "add", "origin", "../origin.git")
    assert "1 file uploaded" in ours.run("dvc", "exp", "push", "origin", "wide")
    assert "Everything is up to date" in ours.run("dvc", "push", "--all-commits")
    pushed = [path for path in (ours.root / "trained").rglob("*") if path.is_file()]
    assert sorted(path.read_text() for path in pushed) == ["sigma: 1\n", "sigma: 2\n"]
    ours.run("git", "add", "trained")
    ours.run("git", "commit", "-q", "-m", "the model of an experiment")

    theirs = ours.clone(tmp_path / "theirs")
    theirs.run("git", "remote", "set-url", "origin", str(ours.root.parent / "origin.git"))
    theirs.run(*MAKE_CONFIG)
    theirs.run("dvc", "exp", "pull", "origin", "wide")
    theirs.run("dvc", "exp", "apply", "wide")
    assert (theirs.root / "models" / "controller.h5").read_text() == "sigma: 2\n"
    theirs.run("dvc", "status", "-q")
