"""What a stranger finds in a fresh clone: trained models, and how little runs again with them; and
how an experiment's models get to others."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import cv2
import pytest
from project import BIN, FIRST, ROOT, Project, digests, md5, stages_run
from ruamel.yaml import YAML

from worldmodels.pipeline.dvc_stages import open_stages

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
    with open_stages(ROOT) as stages:
        pushed = {
            out.def_path: name.partition("@")[0]
            for name, stage in stages.items()
            if name != "check_params"  # a line here and there, which others wait for
            for out in stage.outs
            if out.use_cache and out.can_push
        }
    assert all(path.startswith("models/") for path in pushed)
    pulled = re.search(r"^MODELS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert pulled is not None
    assert set(pulled[1].split()) == set(pushed.values())


def test_models_are_declared_as_artifacts_with_what_a_registry_shows() -> None:
    declared = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())
    artifacts = declared["artifacts"]
    assert {artifacts[name]["path"] for name in ("vae", "memory", "controller")} == {
        f"models/second/{name}.h5" for name in ("vae", "memory", "controller")
    }
    with open_stages(ROOT) as stages:
        made = {out.def_path for stage in stages.values() for out in stage.outs}
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
    run("dvc", "get", "clone", "models/second/vae.h5")
    run("dvc", "artifacts", "get", "clone", "vae", "--out", "artifact.h5")
    with open_stages(tmp_path / "clone") as stages:
        (vae,) = (out for out in stages["train_vae@second"].outs if out.use_cache)
    assert md5(tmp_path / "vae.h5") == md5(tmp_path / "artifact.h5") == vae.hash_info.value


@pytest.mark.slow
def test_a_fresh_clone_drives_and_runs_again_only_what_changed(
    project: Project, tmp_path: Path
) -> None:
    trained = project.copy(tmp_path / "trained")
    output = trained.clone(tmp_path / "too early").run(*MAKE_MODELS, fails=True)
    assert "models: expected the models of this dvc.lock in trained/, got what DVC" in output

    trained.run("dvc", "push")
    trained.commit()
    models = digests(trained.root / "models")
    in_remote = {
        "".join(path.parts[-2:]) for path in (trained.root / "trained").rglob("*") if path.is_file()
    }
    mark = md5(trained.root / "data" / "params_checked")
    assert in_remote == {*models.values(), mark}

    stranger = trained.clone(tmp_path / "stranger")
    stranger.run(*MAKE_MODELS)
    pulled = digests(stranger.root / "models")
    assert pulled == {path: one for path, one in models.items() if not path.startswith("none/")}
    assert not (stranger.root / "data" / "episodes").exists()
    stranger.run("python", "-m", "worldmodels.watch", "--steps", "3", "--film", "drive.mp4")
    film = cv2.VideoCapture(str(stranger.root / "drive.mp4"))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == 3
    assert stages_run(stranger.run("dvc", "repro", "--pull", "--allow-missing")) == []

    # In another clone, where nothing was pulled before; --temp: trained/ is found from there, too.
    other = trained.clone(tmp_path / "other")
    again = ("dvc", "exp", "run", "--temp", "--pull", "--allow-missing", "-S")
    output = other.run(*again, "evaluation.episodes=1")
    assert stages_run(output) == ["check_params", "evaluate", "evaluate_disturbed"]
    output = stranger.run(*again[:3], *again[4:], "rounds.second.controller.sigma=0.05")
    assert stages_run(output)[:2] == ["check_params", "evolve@second"]
    assert set(stages_run(output)[2:]) <= {"film_dream", "evaluate", "evaluate_disturbed"}
    assert not (stranger.root / FIRST.episodes).exists()

    # The second round learns from data/episodes: sampled again to the same bits, no model anew.
    output = stranger.run("dvc", "repro", "--pull")
    assert "sample@first" in stages_run(output)
    assert not {"train_vae@first", "evolve@first", "evolve@second"} & set(stages_run(output))
    assert (stranger.root / FIRST.episodes).exists()


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
