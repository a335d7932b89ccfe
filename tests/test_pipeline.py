"""The pipeline as its users run it: real `dvc` commands, the tiny preset, a fresh repository."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path

import cv2
import h5py
import pytest
from project import ROOT, STAGES, Project, stages_run
from ruamel.yaml import YAML
from stage_modules import code_of, modules_used, script_of

from worldmodels.data.episodes import read_episodes
from worldmodels.models.controller import LinearController
from worldmodels.pipeline.dvc_files import dvc_md5


def test_every_stage_leaves_its_outputs(project: Project) -> None:
    assert project.metrics("sample")["episodes"] == 6
    assert project.metrics("sample")["driving_episodes"] == 3
    driving = list(read_episodes(project.root / "data" / "driving"))
    assert [episode.track_seed for episode in driving] == [5000000, 5000001, 5000002]
    frames = sum(len(episode.frames) for episode in driving)
    assert project.metrics("sample")["driving_frames"] == frames == 120
    assert project.metrics("sample")["driving_on_road_share"] == 1.0
    assert project.metrics("encode")["frames"] == project.metrics("sample")["frames"]
    for name in ("vae", "vision", "memory", "controller", "evaluation"):
        assert project.metrics(name)
    for name in (
        *("vae_reconstructions", "vae_reconstructions_again", "vision_map", "drive"),
        *("evaluation_returns", "evaluation_lines"),
    ):
        assert cv2.imread(str(project.root / "metrics" / f"{name}.png")) is not None
    film = cv2.VideoCapture(str(project.root / "data" / "drive.mp4"))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == 100
    with h5py.File(project.root / "data" / "latents.h5") as latents:
        assert latents["mean"].shape == (project.metrics("sample")["frames"], 32)
    rows = (project.root / "metrics" / "episodes.csv").read_text().splitlines()
    assert rows[0] == "episode,seed,return,steps,tiles,end"
    assert len(rows) == 1 + project.metrics("evaluation_details")["episodes"]


def test_the_second_round_leaves_its_outputs_beside_the_first_s(project: Project) -> None:
    driven = list(read_episodes(project.root / "data" / "agent_episodes"))
    assert [episode.track_seed for episode in driven] == [6000000, 6000001, 6000002, 6000003]
    frames = project.metrics("sample_agent")["frames"]
    assert frames == sum(len(episode.frames) for episode in driven)
    assert project.metrics("sample_agent")["episodes"] == 4
    assert project.metrics("encode_again")["frames"] == project.metrics("sample")["frames"] + frames
    with h5py.File(project.root / "data" / "latents_again.h5") as latents:
        assert latents["mean"].shape == (project.metrics("encode_again")["frames"], 32)
    # Of the ten episodes the sixth is held out: one that was explored.
    for when in ("before", "after"):
        assert list(project.metrics("vae_held_out_again")["held_out_mse"][when]) == ["episodes"]
    assert project.metrics("memory_again")["val_nll_again"]
    assert project.metrics("evolution_again")["generations"] == 2
    for told in (
        project.metrics("transfer")["held_out_r2"],
        project.metrics("evolution_again")["starts_validation_return_mean"],
    ):
        assert set(told) == {"as_it_was", "transferred"}
    for name, columns in (
        ("vae_curve_again", "epoch,loss,"),
        ("memory_curve_again", "epoch,loss,val_loss"),
        ("evolution_curve_again", "generation,frames,return_mean,"),
        ("validation_curve_again", "generation,frames,validation_return,"),
    ):
        assert (project.root / "metrics" / f"{name}.csv").read_text().startswith(columns)
    for name, scouts in (("evolution_curve", False), ("evolution_curve_again", True)):
        columns = (project.root / "metrics" / f"{name}.csv").read_text().splitlines()[0].split(",")
        assert ("scouted_return" in columns) == scouts
    models = project.root / "models"
    for name in ("vae.h5", "memory.h5"):
        assert (models / name).read_bytes() != (models / "first" / name).read_bytes()
    for name in ("controller.h5", "transferred_controller.h5"):
        assert LinearController.load(models / name).inputs == ("z", "h")


def test_again_there_is_nothing_to_do(project: Project) -> None:
    assert stages_run(project.run("dvc", "repro")) == []
    project.run("dvc", "status", "-q")
    project.run("python", "-m", "worldmodels.pipeline.check_lock")


def test_a_clone_of_a_git_that_rewrites_line_endings_has_nothing_to_do_either(
    project: Project, tmp_path: Path
) -> None:
    clone = project.clone(tmp_path)
    clone.run("git", "config", "core.autocrlf", "true")
    clone.run("git", "rm", "-rq", "--cached", ".")
    clone.run("git", "reset", "-q", "--hard")  # writes every file anew
    clone.run("python", "-m", "worldmodels.pipeline.check_lock")


def test_dvc_yaml_is_as_dvc_writes_it(project: Project) -> None:
    project.run("dvc", "freeze", *STAGES)
    project.run("dvc", "unfreeze", *STAGES)
    assert project.run("git", "diff", "--stat", "dvc.yaml") == ""


def test_each_curve_and_picture_is_drawn_once_with_a_legend_that_fits(
    project: Project, tmp_path: Path
) -> None:
    drawn = json.loads(project.run("dvc", "plots", "show", "--json", "--out", str(tmp_path)))
    assert "errors" not in drawn
    pictures, titles, curves = [], [], []
    for name, (first, *others) in ((name, one) for name, one in drawn["data"].items() if one):
        assert not others
        if first["type"] == "image":
            pictures.append(name.rpartition("::")[2])
            continue
        titles.append(first["content"]["title"]["text"])
        dashes = first["content"].get("encoding", {}).get("strokeDash", {})
        legend = dashes.get("scale", {}).get("domain", [])
        assert all(len(label) <= 26 and "::" not in label for label in legend)  # more is cut
    declared = YAML(typ="safe").load((project.root / "dvc.yaml").read_text())
    for stage in declared["stages"].values():
        for entry in stage.get("plots", []):
            ((path, options),) = entry.items()
            curves += [(path, options["y"])] if "y" in options else []
            assert path.endswith((".png", ".json")) or "y" in options, path
    for entry in declared["plots"]:
        ((_, options),) = entry.items()
        for path, columns in options["y"].items():
            curves += [(path, one) for one in ([columns] if isinstance(columns, str) else columns)]
    for things in (pictures, titles, curves):
        assert things
        assert len(things) == len(set(things))
    assert "C, mean vector on the validation tracks, both rounds" in titles


def test_metrics_are_few_and_each_has_a_name_of_its_own(project: Project) -> None:
    """So `dvc exp show` puts no path before a name."""
    stages = YAML(typ="safe").load((project.root / "dvc.yaml").read_text())["stages"]
    files = [path for stage in stages.values() for one in stage.get("metrics", []) for path in one]
    names = [name for path in files for name in project.metrics(Path(path).stem)]
    assert 10 <= len(names) == len(set(names)) <= 20
    assert all(len(name) <= 16 for name in names)


def test_parameters_are_checked_before_every_other_stage_by_one_arrow(project: Project) -> None:
    arrows: dict[str, list[str]] = {}
    nodes: dict[str, str] = {}
    for line in project.run("dvc", "dag", "--mermaid").splitlines():
        if node := re.fullmatch(r'\s*(\w+)\["(\w+)"\]', line):
            nodes[node[1]] = node[2]
        elif arrow := re.fullmatch(r"\s*(\w+)-->(\w+)", line):
            arrows.setdefault(nodes[arrow[1]], []).append(nodes[arrow[2]])
    assert arrows["check_params"] == ["sample"]
    after, waiting = set(), ["sample"]
    while waiting:
        after.add(stage := waiting.pop())
        waiting += [later for later in arrows.get(stage, []) if later not in after]
    assert {"check_params", *after} == set(STAGES)


def test_a_refused_value_costs_nothing(project: Project) -> None:
    folders = ("data/episodes", "data/agent_episodes", "models", "metrics")
    before = {folder: dvc_md5(project.root / folder) for folder in folders}
    output = project.run("dvc", "exp", "run", "-S", "vae.latent_dim=many", fails=True)
    assert "vae.latent_dim: expected a whole number, got 'many'" in output
    assert "git restore params.yaml" in output
    assert stages_run(output) == ["check_params"]
    for command in (
        ("repro", "evaluate"),
        ("repro", "--keep-going"),
        ("repro", "--pull", "--allow-missing"),
        ("exp", "run", "--temp", "inspect_vision"),
    ):
        assert stages_run(project.run("dvc", *command, fails=True)) == ["check_params"], command
    assert {folder: dvc_md5(project.root / folder) for folder in folders} == before
    project.run("git", "restore", "params.yaml")
    project.run("dvc", "repro", "check_params")
    project.run("dvc", "status", "-q")
    overlap = "evaluation.first_seed=1000005"
    output = project.run("dvc", "exp", "run", "-S", overlap, fails=True)
    assert "sampling.first_seed: expected tracks that nothing else uses" in output
    assert "1000000-1000005, which overlap seeds 1000005-1000006 of evaluation.first_seed" in output
    project.run("git", "restore", "params.yaml", "dvc.lock", "metrics")
    project.run("dvc", "checkout")


def test_another_latent_dim_reruns_what_depends_on_it(project: Project) -> None:
    output = project.run("dvc", "exp", "run", "-S", "vae.latent_dim=8")
    assert stages_run(output) == [name for name in STAGES if name != "sample"]
    for command, names in (
        (("dvc", "metrics", "diff"), ("val_elbo_again", "r2_distance", "return_mean")),
        (("dvc", "params", "diff"), ("vae.latent_dim",)),
        (("make", "-o", "setup", "experiments"), ("vae.latent_dim", "val_return_again", "return_")),
    ):
        table = project.run(*command)
        assert all(name in table for name in names), table
        assert max(map(len, table.splitlines())) <= 100, table
    for name in ("latents", "latents_again"):
        with h5py.File(project.root / "data" / f"{name}.h5") as latents:
            assert latents["mean"].shape[1] == 8
    project.run("git", "restore", "params.yaml", "dvc.lock", "metrics")
    project.run("dvc", "checkout")


def test_another_controller_reruns_only_what_depends_on_it(project: Project) -> None:
    output = project.run("dvc", "exp", "run", "-S", "controller.inputs=[z]")
    assert stages_run(output) == ["check_params", *STAGES[STAGES.index("evolve") :]]
    project.run("git", "restore", "params.yaml", "dvc.lock", "metrics")
    project.run("dvc", "checkout")
    output = project.run("dvc", "exp", "run", "-S", "+controller_again.latent=sample")
    assert stages_run(output) == ["check_params", "evolve_again", "evaluate"]
    project.run("git", "restore", "params.yaml", "dvc.lock", "metrics")
    project.run("dvc", "checkout")
    project.run("dvc", "status", "-q")


def test_experiments_of_a_parallel_queue_share_the_stages_they_have_in_common(
    project: Project, tmp_path: Path
) -> None:
    clone = project.copy(tmp_path)
    overrides = ("-S", "vae.beta=0.9", "-S", "controller.sigma=0.08,0.12")
    output = clone.run("dvc", "exp", "run", "--queue", *overrides, "evolve")
    names = re.findall("Queued experiment '(.*)'", output)
    with (tmp_path / "workers").open("w") as said:  # a pipe would stay open as long as they run
        start = ("dvc", "queue", "start", "-j", "2")
        subprocess.run(start, cwd=clone.root, env=clone.environment, stdout=said, check=True)
    results, deadline = "", time.monotonic() + 900
    while not all(name in results for name in names) and "celery/failed" not in results:
        assert time.monotonic() < deadline, (tmp_path / "workers").read_text()
        time.sleep(0.5)
        results = clone.run("git", "for-each-ref", "refs/exps")
    logs = [clone.run("dvc", "queue", "logs", name) for name in names]
    assert "celery/failed" not in results, logs
    assert len(names) == 2
    assert any("train_vae: waiting for another run of it with the same " in log for log in logs)


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_yaml_lists_the_code_that_a_stage_imports(stage: str) -> None:
    declared = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"][stage]
    code = {path for path in declared["deps"] if path.startswith(("stages/", "worldmodels/"))}
    assert code == code_of(ROOT / script_of(declared["cmd"]), ROOT)


def test_stages_import_no_stage() -> None:
    for script in (ROOT / "stages").glob("[!_]*.py"):
        used = modules_used(script, ROOT)
        imported = {path for path in used if path.startswith("stages/")}
        assert imported == {"stages/__init__.py", f"stages/{script.name}"}
