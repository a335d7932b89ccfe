"""How stages are started: by the Python of the `dvc` that was called, whatever else is around."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from project import BIN, ROOT, Project, stages_run


@pytest.fixture
def started(tmp_path: Path) -> Project:
    """A project that never ran, in which no Python of the tests is on the PATH."""
    fresh = Project(tmp_path)
    fakes = tmp_path / "bin"
    fakes.mkdir()
    for name in ("python", "python3", "python3.11"):
        (fakes / name).write_text(f"#!/bin/sh\necho {name} of the PATH was called >&2\nexit 9\n")
        (fakes / name).chmod(0o755)
    path = [part for part in os.environ["PATH"].split(os.pathsep) if Path(part) != BIN]
    fresh.environment = {**fresh.environment, "PATH": os.pathsep.join([str(fakes), *path])}
    return fresh


@pytest.mark.parametrize(
    "command",
    [(str(BIN / "dvc"),), (str(BIN / "python"), "-m", "dvc")],
    ids=["dvc", "python -m dvc"],
)
def test_stages_run_by_the_python_of_dvc_whatever_the_path_has(
    started: Project, command: tuple[str, ...]
) -> None:
    output = started.run(*command, "repro", "check_params")
    assert stages_run(output) == ["check_params"]
    assert "check_params: done" in output


def test_a_shell_that_stays_between_dvc_and_the_stage_changes_nothing(
    started: Project, tmp_path: Path
) -> None:
    """As dash does; bash makes way for the last command."""
    shell = tmp_path / "staying_shell"
    shell.write_text('#!/bin/sh\n/bin/sh "$@"\nexit $?\n')
    shell.chmod(0o755)
    started.environment["SHELL"] = str(shell)
    assert "check_params: done" in started.run(str(BIN / "dvc"), "repro", "check_params")


def test_python_s_own_variables_and_other_packages_on_its_path_play_no_part(
    started: Project, tmp_path: Path
) -> None:
    for package in ("worldmodels", "ruamel", "numpy"):
        (tmp_path / "elsewhere" / package).mkdir(parents=True)
        (tmp_path / "elsewhere" / package / "__init__.py").write_text("raise SystemExit('shadow')")
    launcher = ("sh", "stages/run", "check_params")
    hostile = {
        "PYTHONPATH": str(tmp_path / "elsewhere"),
        "PYTHONSAFEPATH": "1",
        "PYTHONOPTIMIZE": "2",
        "PYTHONWARNINGS": "error",
        "PYTHONHASHSEED": "7",
    }
    started.environment |= hostile
    # DVC itself would fall over some of these: its place is taken by a Python that starts the same.
    call = f"import os, subprocess, sys; sys.exit(subprocess.call({launcher}, env=os.environ))"
    output = started.run(sys.executable, "-I", "-c", call)
    assert "check_params: done" in output


def test_a_python_without_the_packages_is_refused_in_one_line(tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    done = subprocess.run(
        [bare / "bin" / "python", "-m", "stages.sample"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    (line,) = done.stderr.splitlines()
    assert "expected a Python with the packages of requirements.lock" in line
    assert f"got {bare}/bin/python without numpy" in line
    assert done.returncode == 1


def test_without_git_set_up_says_so_and_the_pipeline_runs(tmp_path: Path) -> None:
    """As in a folder made of a ZIP file."""
    project = Project(tmp_path)
    shutil.rmtree(project.root / ".git")
    (project.root / ".venv").symlink_to(BIN.parent)
    set_up = ("make", "-o", ".venv/ready", "setup")
    said = project.run(*set_up)
    assert "no git repository here: `dvc repro` works" in said
    assert "git init && git add -A && git commit" in said
    assert stages_run(project.run("dvc", "repro", "check_params")) == ["check_params"]
    assert "no git repository" not in project.run(*set_up)
    project.run("git", "init", "-q")
    project.run(*set_up)
    project.commit()
    assert stages_run(project.run("dvc", "exp", "run", "check_params")) == []


def test_the_launcher_is_plain_sh() -> None:
    dash = shutil.which("dash") or "sh"
    subprocess.run([dash, "-n", ROOT / "stages" / "run"], check=True)
