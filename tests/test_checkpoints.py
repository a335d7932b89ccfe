"""A checkpoint is found by the run that it belongs to, and by no other; it goes when dvc.lock has
that run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from project import ROOT

from worldmodels.core.checkpoint import SECONDS_BETWEEN, Checkpoint
from worldmodels.core.errors import WorldModelsError
from worldmodels.pipeline import checkpoints
from worldmodels.pipeline.checkpoints import KEPT, stage_checkpoint

DVC = Path(sys.executable).parent / "dvc"
DVC_YAML = """\
stages:
  work:
    cmd: mkdir -p dir && echo 1 > out.txt && echo 2 > dir/b && mkdir -p dir/a && echo 3 > dir/a/c
    deps: [code.py, input]
    params: [group, other.key]
    outs: [out.txt, dir]
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one stage, `work`, which is the working folder."""
    root = tmp_path / "project"
    (root / "input").mkdir(parents=True)
    monkeypatch.chdir(root)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    subprocess.run(["git", "init", "-q"], check=True)
    Path(".dvc").mkdir()
    Path("dvc.yaml").write_text(DVC_YAML)
    Path("params.yaml").write_text("group: {a: 1.5}\nother: {key: null, unused: 1}\n")
    Path("code.py").write_text("code")
    Path("input/one.h5").write_text("data")
    Path("out.txt").write_text("1\n")
    Path("dir/a").mkdir(parents=True)
    Path("dir/b").write_text("2\n")
    Path("dir/a/c").write_text("3\n")
    return root


def run_to_the_end() -> Path:
    """The folder of a run that saved something and wrote its outputs."""
    with stage_checkpoint("work") as checkpoint:
        (checkpoint.folder / "state").write_text("some")
    return checkpoint.folder


def interrupted() -> Path:
    """The folder of a run that saved something and was interrupted."""
    with suppress(KeyboardInterrupt), stage_checkpoint("work") as checkpoint:
        (checkpoint.folder / "state").write_text("some")
        raise KeyboardInterrupt
    return checkpoint.folder


def test_the_next_run_finds_what_an_interrupted_one_saved(project: Path) -> None:
    folder = interrupted()
    assert folder.relative_to("scratch/work")
    with stage_checkpoint("work") as checkpoint:
        assert checkpoint.folder == folder
        assert (folder / "state").read_text() == "some"


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("code.py", "code", "code # "),
        ("input/one.h5", "data", "date"),
        ("params.yaml", "1.5", "1.6"),
        ("params.yaml", "null", "1"),
        ("dvc.yaml", "echo 1", "echo 4"),
    ],
)
def test_a_run_of_anything_else_does_not(project: Path, path: str, old: str, new: str) -> None:
    folder = interrupted()
    Path(path).write_text(Path(path).read_text().replace(old, new))
    assert interrupted() != folder


def test_nor_does_a_run_with_another_input_file(project: Path) -> None:
    folder = interrupted()
    Path("input/two.h5").write_text("data")
    assert interrupted() != folder


def test_nor_one_in_another_environment(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = interrupted()
    monkeypatch.setattr(checkpoints, "environment", lambda: {"packages": {"numpy": "99"}})
    assert interrupted() != folder


def test_what_the_stage_does_not_read_changes_nothing(project: Path) -> None:
    folder = interrupted()
    Path("params.yaml").write_text("# a remark\ngroup: {a: 1.5}\nother: {key: null, unused: 2}\n")
    assert interrupted() == folder


def test_a_temporary_copy_finds_it_by_dvc_root(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = interrupted()
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", str(project), str(copy)], check=True)
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_ROOT", str(project))
    assert interrupted() == project / folder


def test_it_stays_until_dvc_lock_has_the_run(project: Path) -> None:
    """As DVC itself writes it, folder hashes included."""
    folder = run_to_the_end()
    with stage_checkpoint("work") as checkpoint:  # the kill came before DVC's own writing
        assert (checkpoint.folder / "state").exists()
    subprocess.run([DVC, "repro", "-q"], check=True)
    with stage_checkpoint("work") as checkpoint:
        assert checkpoint.folder == folder
        assert list(folder.iterdir()) == []


def test_a_lock_of_another_run_does_not_remove_it(project: Path) -> None:
    subprocess.run([DVC, "repro", "-q"], check=True)
    Path("code.py").write_text("other code, same outputs")
    run_to_the_end()
    with stage_checkpoint("work") as checkpoint:
        assert (checkpoint.folder / "state").exists()


def test_an_unfinished_one_stays_whatever_dvc_lock_has(project: Path) -> None:
    """It belongs to a forced run, or one on a machine that computes otherwise."""
    subprocess.run([DVC, "repro", "-q"], check=True)
    interrupted()
    with stage_checkpoint("work") as checkpoint:
        assert (checkpoint.folder / "state").exists()


RUN = """\
import sys
from worldmodels.pipeline.checkpoints import stage_checkpoint
with stage_checkpoint("work") as checkpoint:
    saved = checkpoint.folder / "state"
    print("found", saved.read_text() if saved.exists() else "nothing", flush=True)
    saved.write_text("some")
    sys.stdin.read()
"""


class Run:
    """A run of `work` in a process of its own, which stays in it until `end`."""

    def __init__(self, project: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", RUN],
            cwd=project,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def says(self) -> str:
        """Its next line."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip()

    def end(self, *, killed: bool = False) -> None:
        """Let it end, or die, and let go of it."""
        if killed:
            self._process.kill()
        self._process.communicate()
        assert (self._process.returncode == 0) != killed


@pytest.mark.parametrize("killed", [False, True], ids=["ended", "killed"])
def test_a_second_run_of_the_same_waits_and_goes_on_from_what_the_first_did(
    killed: bool, project: Path
) -> None:
    first = Run(project)
    assert first.says() == "found nothing"
    second = Run(project)
    waiting = "work: waiting for another run of it with the same code, inputs and parameters, "
    assert second.says().startswith(waiting + "which holds scratch/work/")
    first.end(killed=killed)
    assert second.says() == "found some"
    second.end()


def test_a_second_run_starts_anew_where_the_first_s_checkpoint_was_removed(project: Path) -> None:
    first = Run(project)
    assert first.says() == "found nothing"
    second = Run(project)
    assert second.says().startswith("work: waiting")
    (folder,) = Path("scratch/work").iterdir()
    shutil.rmtree(folder)
    folder.mkdir()  # by a third run, say
    first.end(killed=True)
    assert second.says() == "found nothing"
    second.end()
    assert (folder / "state").read_text() == "some"


def test_a_process_that_a_run_leaves_behind_does_not_hold_its_checkpoint(project: Path) -> None:
    with stage_checkpoint("work"):
        left = subprocess.Popen(["sleep", "60"])
    try:
        run = Run(project)
        assert run.says() == "found nothing"
        run.end()
    finally:
        left.kill()
        left.wait()


def test_interrupted_runs_of_other_inputs_do_not_pile_up(project: Path) -> None:
    folders = []
    for number in range(KEPT + 3):
        Path("code.py").write_text(f"code {number}")
        folders.append(interrupted())
        os.utime(folders[-1], (number, number))
    assert [folder for folder in folders if folder.exists()] == folders[-KEPT - 1 :]


def test_one_that_a_run_holds_is_not_removed(project: Path) -> None:
    with stage_checkpoint("work") as held:
        os.utime(held.folder, (0, 0))
        for number in range(KEPT + 3):
            Path("code.py").write_text(f"code {number}")
            interrupted()
        assert held.folder.exists()
        Path("code.py").write_text("code")


@pytest.mark.parametrize("text", ["soon", "-1", "inf", "nan", ""])
def test_seconds_between_saves_must_make_sense(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLDMODELS_CHECKPOINT_SECONDS", text)
    with pytest.raises(WorldModelsError, match=re.escape(f"0 or more, got {text!r}")):
        Checkpoint("work", tmp_path)


def test_saving_is_due_when_the_last_was_long_ago_by_a_clock_that_never_jumps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 0.0)  # the wall clock plays no part
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    checkpoint = Checkpoint("work", tmp_path)
    assert not checkpoint.due
    now[0] += SECONDS_BETWEEN
    assert checkpoint.due
    checkpoint.saved()
    assert not checkpoint.due
