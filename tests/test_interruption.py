"""The plug is pulled, and the pipeline goes on to the same bits as if it never had been."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from project import STAGES, Project, processes_in, stages_run

# Moments to kill at: what a stage says then, and for how many seconds after that, at most, it runs.
MOMENTS = [
    (r"Running stage '([\w@]+)':", 8.0),  # anywhere in it, imports included
    (r"([\w@]+): (?!done)", 4.0),  # at work
    (r"([\w@]+): done in", 0.0),  # between the stage's end and DVC's own writing
]


CHECKPOINT = "evolve@first", "evolution.json"  # a stage, and a file of its first checkpoint


@dataclass(frozen=True)
class Kill:
    """Kill the pipeline so many seconds after a stage, this one or one behind it, said this."""

    stage: str
    said: str
    after: float

    def is_at(self, line: str) -> bool:
        """Is it time to count the seconds?"""
        match = re.match(self.said, line)
        if match is None or match[1] not in STAGES:
            return False
        return STAGES.index(match[1]) >= STAGES.index(self.stage)


class Run:
    """`dvc repro` in a session of its own, so that all its processes can be killed at once."""

    def __init__(self, project: Project, *command: str) -> None:
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            command or ("dvc", "repro"),
            cwd=project.root,
            env=project.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def read(self, on_line: Callable[[str], None]) -> int:
        """Read all output, telling of each line; the exit code."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip())
            on_line(self.lines[-1])
        return self._process.wait()

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send all its processes a signal, if any are left."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


def kills_in_order(count: int, rng: np.random.Generator) -> list[Kill]:
    """Kills spread over the stages, in the pipeline's order, all kinds of moments in turn."""
    stages = [STAGES[index] for index in sorted(rng.integers(len(STAGES), size=count))]
    moments = MOMENTS * count
    return [
        Kill(stage, said, float(rng.uniform(0, longest)))
        for stage, (said, longest) in zip(stages, moments, strict=False)
    ]


def run_killed(project: Project, kill: Kill) -> list[str] | None:
    """Run the pipeline until it is killed; what it said, or None if it came to its end."""
    run = Run(project)
    timers: list[threading.Timer] = []

    def on_line(line: str) -> None:
        if not timers and kill.is_at(line):
            timers.append(threading.Timer(kill.after, run.kill))
            timers[0].start()

    return run.lines if run.read(on_line) == -signal.SIGKILL else None


def run_killed_at_a_checkpoint(project: Project, stage: str, file: str) -> None:
    """Run the pipeline, and kill it when a stage has written this to its checkpoint."""
    run = Run(project)

    def kill_then() -> None:
        while not list((project.root / "scratch" / stage).glob(f"*/{file}")):
            time.sleep(0.05)
        run.kill()

    threading.Thread(target=kill_then, daemon=True).start()
    assert run.read(lambda _: None) == -signal.SIGKILL


@pytest.mark.parametrize(
    "count", [pytest.param(3), pytest.param(50, marks=pytest.mark.slow)], ids=str
)
def test_killed_at_random_moments_it_ends_with_the_same_bits(
    count: int, project: Project, tmp_path: Path
) -> None:
    """With two workers, where the run that was not killed had one; and without a home and a
    display."""
    interrupted = Project(
        tmp_path,
        WORLDMODELS_CHECKPOINT_SECONDS="0",
        WORLDMODELS_WORKERS="2",
        HOME="/nonexistent",
    )
    interrupted.environment.pop("DISPLAY", None)
    run_killed_at_a_checkpoint(interrupted, *CHECKPOINT)
    said: list[str] = []
    killed = 0
    for kill in kills_in_order(count, np.random.default_rng(count)):
        lines = run_killed(interrupted, kill)
        if lines is not None:
            killed += 1
            said += lines
    said += interrupted.run("dvc", "repro").splitlines()
    assert interrupted.read_lock() == project.lock
    went_on = sum(": going on after" in line for line in said)
    print(f"killed {killed} times, went on from a checkpoint {went_on} times")
    assert killed >= 0.8 * count  # the last may come when all is done
    assert went_on >= max(1, count / 8)
    assert any(line.startswith(f"{CHECKPOINT[0]}: going on after") for line in said)
    assert processes_in(interrupted.root) == []
    assert list(interrupted.root.rglob(".*.partial")) == []
    left = [path for path in (interrupted.root / "scratch").glob("*/*") if path.is_dir()]
    assert [path.parent.name for path in left] == ["evaluate_disturbed"]  # until another stage runs


@pytest.mark.slow
def test_an_experiment_in_a_temporary_copy_goes_on_too(project: Project, tmp_path: Path) -> None:
    clone = project.copy(tmp_path)
    command = ["dvc", "exp", "run", "--temp", "-S", "controller.generations=30"]
    run = Run(clone, *command)
    checkpoints = clone.root / "scratch" / "evolve@first"

    def kill_after_a_generation() -> None:
        while not list(checkpoints.glob("*/evolution.json")):
            time.sleep(0.1)
        run.kill()

    threading.Thread(target=kill_after_a_generation).start()
    assert run.read(lambda _: None) != 0
    output = clone.run(*command)
    assert "evolve@first: going on after generation" in output
    assert "evolve@first" in stages_run(output)


def test_ctrl_c_stops_within_two_seconds_and_says_how_to_go_on(
    project: Project, tmp_path: Path
) -> None:
    copy = project.copy(tmp_path)
    params = copy.root / "params.yaml"
    params.write_text(params.read_text().replace("sigma: 0.1 ", "sigma: 0.11 "))
    seconds, said, code = interrupt(copy, "evolve@first: ")
    assert seconds < 2
    assert code != 0
    assert said == ["evolve@first: interrupted; `dvc repro` goes on from what was done"]
    assert processes_in(copy.root) == []


def interrupt(project: Project, start: str) -> tuple[float, list[str], int]:
    """Ctrl-C once a line starts so; how long it took then, the stage's words, the exit code."""
    run = Run(project)
    pressed: list[float] = []
    said: list[str] = []

    def on_line(line: str) -> None:
        if pressed and line.startswith("evolve@first: "):
            said.append(line)
        if not pressed and line.startswith(start):
            pressed.append(time.monotonic())
            run.kill(signal.SIGINT)

    code = run.read(on_line)
    return time.monotonic() - pressed[0], said, code
