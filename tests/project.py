"""A copy of this project to run `dvc` in, as its users do: fresh git repository, tiny preset."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from worldmodels.core.params import flatten, read_params
from worldmodels.pipeline.presets import preset_names
from worldmodels.pipeline.rounds import Round

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
FIRST = Round("first", ())
SECOND = Round("second", ("first",))
STAGES = [  # in the order in which DVC runs them
    "check_params",
    "sample@first",
    "train_vae@first",
    "encode@first",
    "train_memory@first",
    "draw_starts@first",
    "transfer@first",
    "evolve@first",
    "sample@second",
    "train_vae@second",
    "encode@second",
    "train_memory@second",
    "draw_starts@second",
    "transfer@second",
    "evolve@second",
    "sample_driving",
    "inspect_vision",
    "inspect_memory",
    "film_dream",
    "evaluate",
    "evaluate_disturbed",
]


def preset_here() -> str | None:
    """The preset that params.yaml of this tree has, for a run; None for the default."""
    values = flatten(read_params(ROOT / "params.yaml"))
    for name in preset_names(ROOT):
        preset = flatten(read_params(ROOT / "presets" / f"{name}.yaml"))
        if name != "default" and preset.items() <= values.items():
            return name
    return None


class Project:
    """A fresh git repository made from the working tree, with its own DVC state."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.root = folder / "project"
        self.environment = {
            **os.environ,
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "DVC_GLOBAL_CONFIG_DIR": str(folder / "dvc-config"),
            "DVC_SITE_CACHE_DIR": str(folder / "dvc-site"),
            "WORLDMODELS_WORKERS": "1",  # each imports TensorFlow; test_rollout has more of them
            "GIT_AUTHOR_NAME": "test",
            "GIT_AUTHOR_EMAIL": "test@example.com",
            "GIT_COMMITTER_NAME": "test",
            "GIT_COMMITTER_EMAIL": "test@example.com",
            **environment,
        }
        self.environment.pop("DVC_ROOT", None)
        for name in tracked_files():
            of_another_run = name == "dvc.lock" or name.startswith("trained/")
            if (ROOT / name).is_file() and not of_another_run:
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.root / name)
        self.lock = ""
        self.run("git", "init", "-q")
        self.run("python", "-m", "worldmodels.pipeline.presets", "tiny")
        self.commit()

    def copy(self, folder: Path) -> Project:
        """Another one in the same state, in `folder`."""
        other = self._elsewhere(folder)
        shutil.copytree(self.root, other.root)
        return other

    def clone(self, folder: Path) -> Project:
        """A fresh clone of what it committed, in `folder`: an empty cache, no outputs."""
        other = self._elsewhere(folder)
        self.run("git", "clone", "-q", str(self.root), str(other.root))
        return other

    def _elsewhere(self, folder: Path) -> Project:
        other = copy.copy(self)
        other.root = folder / "project"
        other.environment = {**self.environment, "DVC_SITE_CACHE_DIR": str(folder / "dvc-site")}
        return other

    def run(self, *command: str, fails: bool = False) -> str:
        """Output of a command, both streams, which must succeed (or fail)."""
        done = subprocess.run(
            command,
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stdout
        return done.stdout

    def read_lock(self) -> str:
        """The text of dvc.lock."""
        return (self.root / "dvc.lock").read_text()

    def commit(self) -> None:
        """Commit everything."""
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "-m", "a state")

    def metrics(self, name: str) -> dict[str, Any]:
        """What metrics/<name>.json says."""
        found: dict[str, Any] = json.loads((self.root / "metrics" / f"{name}.json").read_text())
        return found


def tracked_files() -> list[str]:
    """What git has of this project, or would have of it, in a folder that is no repository."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    with tempfile.TemporaryDirectory() as empty:
        environment = dict(os.environ)
        if not (ROOT / ".git").exists():
            subprocess.run(["git", "init", "-q", "--bare", empty], check=True)
            environment |= {"GIT_DIR": empty, "GIT_WORK_TREE": str(ROOT)}
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, check=True, text=True
        )
    return list(filter(None, done.stdout.split("\0")))


def stages_run(output: str) -> list[str]:
    """The stages that DVC says it ran, in its order."""
    lines = [line for line in output.splitlines() if line.startswith("Running stage '")]
    return [line.split("'")[1] for line in lines]


def processes_in(folder: Path) -> list[str]:
    """Command lines of processes that work in this folder; they may take a second to end."""
    for _ in range(50):
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if os.path.samefile(process / "cwd", folder):
                    found.append((process / "cmdline").read_text())
            except OSError:
                pass  # ended, or another user's
        if not found:
            return []
        time.sleep(0.2)
    return found


def digests(folder: Path) -> dict[str, str]:
    """The MD5 of every file in a folder, by its path."""
    return {
        str(path.relative_to(folder)): md5(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def md5(path: Path) -> str:
    """The MD5 of a file."""
    return hashlib.md5(path.read_bytes()).hexdigest()
