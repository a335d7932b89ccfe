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
from project import FIRST, ROOT, SECOND, STAGES, Project, digests, stages_run
from ruamel.yaml import YAML
from stage_modules import CODE, bodies, code_of, modules_used, script_of

from worldmodels.data.episodes import read_episodes
from worldmodels.models.controller import LinearController


def test_every_stage_leaves_its_outputs(project: Project) -> None:
    assert project.metrics("first/sample")["episodes"] == 6
    assert project.metrics("driving")["episodes"] == 3
    driving = list(read_episodes(project.root / "data" / "driving"))
    assert [episode.track_seed for episode in driving] == [5000000, 5000001, 5000002]
    frames = sum(len(episode.frames) for episode in driving)
    assert project.metrics("driving")["frames"] == frames == 120
    assert project.metrics("driving")["on_road_share"] == 1.0
    assert project.metrics("first/encode")["frames"] == project.metrics("first/sample")["frames"]
    for name in ("first/vae", "vision", "first/memory", "first/controller", "evaluation"):
        assert project.metrics(name)
    assert set(project.metrics("disturbed_details")) == {"none", "bars"}  # as the preset says
    for name in (
        *("first/vae_reconstructions", "second/vae_reconstructions", "vision_map", "drive"),
        *("evaluation_returns", "evaluation_lines"),
    ):
        assert cv2.imread(str(project.root / "metrics" / f"{name}.png")) is not None
    film = cv2.VideoCapture(str(project.root / "data" / "drive.mp4"))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == 100
    with h5py.File(project.root / FIRST.latents) as latents:
        assert latents["mean"].shape == (project.metrics("first/sample")["frames"], 32)
    rows = (project.root / "metrics" / "episodes.csv").read_text().splitlines()
    assert rows[0] == "episode,seed,return,steps,tiles,end"
    assert len(rows) == 1 + project.metrics("evaluation_details")["episodes"]


def test_the_second_round_leaves_its_outputs_beside_the_first_s(project: Project) -> None:
    driven = list(read_episodes(project.root / SECOND.episodes))
    assert [episode.track_seed for episode in driven] == [6000000, 6000001, 6000002, 6000003]
    frames = project.metrics("second/sample")["frames"]
    assert frames == sum(len(episode.frames) for episode in driven)
    assert project.metrics("second/sample")["episodes"] == 4
    for folder, earlier in zip(SECOND.all_episodes[:-1], FIRST.all_episodes, strict=True):
        assert digests(project.root / folder) == digests(project.root / earlier)
    frames += project.metrics("first/sample")["frames"]
    assert project.metrics("second/encode")["frames"] == frames
    with h5py.File(project.root / SECOND.latents) as latents:
        assert latents["mean"].shape == (frames, 32)
    # Of the ten episodes the sixth is held out: one that was explored.
    for when in ("before", "after"):
        assert list(project.metrics("second/vae_held_out")["held_out_mse"][when]) == ["first"]
    assert project.metrics("second/memory")["val_nll_second"]
    assert project.metrics("second/evolution")["generations"] == 2
    for told in (
        project.metrics("second/transfer")["held_out_r2"],
        project.metrics("second/evolution")["starts_validation_return_mean"],
    ):
        assert set(told) == {"as_it_was", "transferred"}
    for name, columns in (
        ("vae_curve", "epoch,loss,"),
        ("memory_curve", "epoch,loss,nll,progress,end,later,val_loss,"),
        ("evolution_curve", "generation,frames,return_mean,"),
        ("validations", "generation,frames,validation_return,"),
    ):
        assert (project.root / SECOND.metrics / f"{name}.csv").read_text().startswith(columns)
    for round_, has_pool in ((FIRST, False), (SECOND, True)):
        curve = project.root / round_.metrics / "evolution_curve.csv"
        assert ("pool_return" in curve.read_text().splitlines()[0].split(",")) == has_pool
        for name in ("controller.h5", "initial_controller.h5"):
            controller = LinearController.load(project.root / round_.models / name)
            assert controller.inputs == ("z", "h")
    first, second = (digests(project.root / round_.models) for round_ in (FIRST, SECOND))
    assert all(second[name] != first[name] for name in first)


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


def test_dvc_yaml_is_short_and_stays_as_it_is_when_dvc_writes_it(project: Project) -> None:
    assert len((ROOT / "dvc.yaml").read_text().splitlines()) <= 450
    project.run("dvc", "freeze", "sample_driving")
    project.run("dvc", "unfreeze", "sample_driving")
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
    for stage in bodies(declared).values():
        for entry in stage.get("plots", []):
            ((path, options),) = entry.items()
            curves += [(path, options["y"])] if "y" in options else []
            assert path.endswith((".png", ".json")) or "y" in options, path
    charts = YAML(typ="safe").load((project.root / "metrics" / "dvc.yaml").read_text())["plots"]
    for entry in charts:
        ((_, options),) = entry.items()
        for path, columns in options["y"].items():
            curves += [(path, one) for one in ([columns] if isinstance(columns, str) else columns)]
    for things in (pictures, titles, curves):
        assert things
        assert len(things) == len(set(things))
    assert "C, mean vector on the validation tracks, all rounds" in titles


def test_metrics_are_few_and_each_has_a_name_of_its_own(project: Project) -> None:
    """So `dvc exp show` puts no path before a name."""
    shown = json.loads(project.run("dvc", "metrics", "show", "--json"))[""]["data"]
    names = [name for file in shown.values() for name in file["data"]]
    assert 10 <= len(names) == len(set(names)) <= 20
    assert all(len(name) <= 17 for name in names)


def test_parameters_are_checked_before_every_other_stage(project: Project) -> None:
    arrows: dict[str, list[str]] = {}
    nodes: dict[str, str] = {}
    for line in project.run("dvc", "dag", "--mermaid").splitlines():
        if node := re.fullmatch(r'\s*(\w+)\["([\w@]+)"\]', line):
            nodes[node[1]] = node[2]
        elif arrow := re.fullmatch(r"\s*(\w+)-->(\w+)", line):
            arrows.setdefault(nodes[arrow[1]], []).append(nodes[arrow[2]])
    after, waiting = set(), arrows["check_params"]
    while waiting:
        after.add(stage := waiting.pop())
        waiting += [later for later in arrows.get(stage, []) if later not in after]
    assert {"check_params", *after} == set(STAGES)


def test_a_refused_value_costs_nothing(project: Project) -> None:
    kept = ("data/episodes", "models", "metrics")
    before = {folder: digests(project.root / folder) for folder in kept}
    for stand_in in [path for path in before["models"] if path.startswith("none/")]:
        del before["models"][stand_in]
    del before["data/episodes"]["none"]
    output = project.run("dvc", "exp", "run", "-S", "vae.latent_dim=many", fails=True)
    assert "vae.latent_dim: expected a valid integer, got 'many'" in output
    assert "git restore params.yaml" in output
    assert stages_run(output) == ["check_params"]
    for command in (
        ("repro", "evaluate"),
        ("repro", "--keep-going"),
        ("repro", "--pull", "--allow-missing"),
        ("exp", "run", "--temp", "inspect_vision"),
    ):
        assert stages_run(project.run("dvc", *command, fails=True)) == ["check_params"], command
    assert {folder: digests(project.root / folder) for folder in kept} == before
    project.run("git", "restore", "params.yaml")
    project.run("dvc", "repro", "check_params")
    project.run("dvc", "status", "-q")
    overlap = "evaluation.first_seed=1000005"
    output = project.run("dvc", "exp", "run", "-S", overlap, fails=True)
    assert "evaluation.first_seed: expected tracks that nothing else uses" in output
    assert "1000005-1000006, which overlap seeds 1000000-1000005 of rounds.first.samp" in output
    project.run("git", "restore", "params.yaml", "dvc.lock", "metrics")
    project.run("dvc", "checkout")


def scores_that_differ(project: Project) -> list[str]:
    """Of the scores, those that are not what they were."""
    differing = json.loads(project.run("dvc", "metrics", "diff", "--json"))
    names = {name for file in differing.values() for name in file}
    scores = sorted(names & {"val_return_second", "return_mean"})
    assert "return_mean" in scores
    return scores


def test_another_latent_dim_reruns_what_depends_on_it(project: Project) -> None:
    # Shorter drives, too: agents of the tiny preset may score the same, which DVC would not show.
    changes = ("vae.latent_dim=8", "evaluation.steps=60")
    output = project.run("dvc", "exp", "run", *(f"-S{change}" for change in changes))
    assert stages_run(output) == [
        name for name in STAGES if name not in ("sample@first", "sample_driving")
    ]
    for command, names in (
        (
            ("dvc", "metrics", "diff"),
            ("val_elbo_second", "r2_distance", "val_nll_second", "return_mean"),
        ),
        (("dvc", "params", "diff"), ("vae.latent_dim",)),
        (("make", "-o", "setup", "experiments"), ("vae.latent_dim", *scores_that_differ(project))),
    ):
        table = project.run(*command)
        assert all(name in table for name in names), table
        assert max(map(len, table.splitlines())) <= 100, table
    for round_ in (FIRST, SECOND):
        with h5py.File(project.root / round_.latents) as latents:
            assert latents["mean"].shape[1] == 8
    project.run("git", "restore", "params.yaml", "dvc.lock", "metrics")
    project.run("dvc", "checkout")


@pytest.mark.slow
def test_a_controller_without_memory_reruns_what_depends_on_it(project: Project) -> None:
    output = project.run("dvc", "exp", "run", "-S", "controller.inputs=[z]")
    expected = [name for name in STAGES[STAGES.index("transfer@first") :] if "driving" not in name]
    assert stages_run(output) == ["check_params", *expected]
    project.run("git", "restore", "params.yaml", "dvc.lock", "metrics")
    project.run("dvc", "checkout")


def test_more_generations_of_a_round_rerun_only_what_depends_on_them(project: Project) -> None:
    output = project.run("dvc", "exp", "run", "-S", "rounds.second.controller.generations=3")
    assert stages_run(output)[:2] == ["check_params", "evolve@second"]
    further = set(stages_run(output)[2:])
    of_its_agent = {"film_dream", "evaluate", "evaluate_disturbed"}
    assert further <= of_its_agent  # where another generation is better
    project.run("git", "restore", "params.yaml", "dvc.lock", "metrics")
    project.run("dvc", "checkout")
    project.run("dvc", "status", "-q")


def test_experiments_of_a_parallel_queue_share_the_stages_they_have_in_common(
    project: Project, tmp_path: Path
) -> None:
    clone = project.copy(tmp_path)
    overrides = ("-S", "vae.beta=0.9", "-S", "controller.sigma=0.08,0.12")
    output = clone.run("dvc", "exp", "run", "--queue", *overrides, "evolve@first")
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
    assert any(
        "train_vae@first: waiting for another run of it with the same " in log for log in logs
    )


def test_dvc_yaml_lists_the_code_that_a_stage_imports() -> None:
    for name, stage in bodies(YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())).items():
        code = {path for path in stage["deps"] if re.match(CODE, path)}
        assert code == code_of(ROOT / script_of(stage["cmd"]), ROOT), name


def test_stages_import_no_stage() -> None:
    for script in (ROOT / "stages").glob("[!_]*.py"):
        used = modules_used(script, ROOT)
        imported = {path for path in used if path.startswith("stages/")}
        assert imported == {"stages/__init__.py", f"stages/{script.name}"}
