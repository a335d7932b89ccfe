"""The agent from Python is the one that was scored: to the last digit, in any process.

`Agent._process` is the process that tests kill or look for.
"""

from __future__ import annotations

import copy
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from project import ROOT
from ruamel.yaml import YAML

from worldmodels.core.environment import environment
from worldmodels.core.errors import WorldModelsError
from worldmodels.models.agent_process import Agent
from worldmodels.models.controller import LinearController
from worldmodels.models.memory import MDNRNN
from worldmodels.models.vae import VAE

# README's loop, as a script without a guard. What it prints of a track: all that is to be equal.
DRIVE = """
import hashlib, sys
folder, before, *drives = sys.argv[1:]
exec(before)
from worldmodels import Agent
import gym

agent = Agent.load(folder)
env = gym.make("CarRacing-v2", disable_env_checker=True)
for drive in drives:
    track, steps = map(int, drive.split(":"))
    frame, _ = env.reset(seed=track)
    agent.reset(batch_size=1)
    done, total, driven, actions = False, 0.0, 0, hashlib.sha256()
    while not done and driven < steps:
        action = agent.act(frame)
        frame, reward, terminated, truncated, _ = env.step(action.astype("float64"))
        done, total, driven = terminated or truncated, total + reward, driven + 1
        actions.update(action.tobytes())
        if driven == 100:
            print(track, actions.hexdigest())
    print(track, f"{total:.6g}", driven)  # as metrics are rounded
"""
# The same by what a rollout worker drives with.
PIPELINE = """
import worldmodels, worldmodels.models.agent_policy, worldmodels.car_racing.frames
from worldmodels.models.controller import LinearController
from worldmodels.rollouts.episode import Episode

class Agent:
    @classmethod
    def load(cls, folder):
        agent, agent.c = cls(), LinearController.load(folder + "/controller.h5")
        c = agent.c
        make = worldmodels.models.agent_policy.policy_maker
        agent.policy = make(folder, inputs=c.inputs, latent=c.latent)(4)
        return agent

    def reset(self, batch_size):
        self.policy.set_candidates(self.c.weights.reshape(1, -1).astype("float64"))
        self.policy.begin(0, Episode(track_seed=0))

    def act(self, frame):
        seen = worldmodels.car_racing.frames.preprocess(frame, (60, 80))
        return self.policy.act(seen[None], [0])[0]

worldmodels.Agent = Agent
"""
THREADS = "import tensorflow as tf; tf.config.threading.set_intra_op_parallelism_threads({})"
USE = "; print(float(tf.linalg.matmul(tf.ones((64, 64)), tf.ones((64, 64)))[0, 0]))"
TRACKS = (4000000, 4000001)


@pytest.fixture(scope="module")
def commit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone: dvc.lock and metrics of this tree may be those of a run that is not in trained/."""
    folder = tmp_path_factory.mktemp("commit")
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
    return folder


@pytest.fixture(scope="module")
def recorded(commit: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models of the recorded run, as `make models` brings them."""
    folder = tmp_path_factory.mktemp("recorded")
    stages = YAML(typ="safe").load((commit / "dvc.lock").read_text())["stages"]
    digests = {out["path"]: out["md5"] for stage in stages.values() for out in stage["outs"]}
    for name in ("vae.h5", "memory.h5", "controller.h5"):
        digest = digests[f"models/second/{name}"]
        shutil.copy(commit / "trained" / "files" / "md5" / digest[:2] / digest[2:], folder / name)
    return folder


def drive(folder: Path, before: str, *drives: str) -> list[str]:
    ran = subprocess.run(
        [sys.executable, "-c", DRIVE, str(folder), before, *drives],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    return [line for line in ran.stdout.splitlines() if line.startswith("4")]


def test_recorded_tracks_are_driven_to_the_last_digit_with_any_number_of_threads(
    commit: Path, recorded: Path
) -> None:
    first, second = TRACKS
    begun = [f"{first}:100", f"{second}:100"]
    pipeline = drive(recorded, PIPELINE, *begun)
    assert len(pipeline) == 4
    assert drive(recorded, THREADS.format(4), *begun) == pipeline
    without = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"
    whole = [
        *drive(recorded, f"{without}; {THREADS.format(1)}{USE}", f"{first}:1000"),
        *drive(recorded, THREADS.format(2) + USE, f"{second}:1000"),
    ]
    assert whole[::2] == pipeline[::2]  # the actions of the first 100 steps
    episodes = pd.read_csv(commit / "metrics" / "episodes.csv").set_index("seed")
    expected = [
        f"{track} {episodes['return'][track]:.6g} {episodes['steps'][track]}" for track in TRACKS
    ]
    records = json.loads((commit / "metrics" / "environment.json").read_text())
    (there,) = (x["environment"] for x in records if "evaluate" in x["stages"])
    if whole[1::2] != expected and there["processor"] != environment()["processor"]:
        pytest.skip("another processor than the recorded one: the same bits are not promised")
    assert whole[1::2] == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores cannot be taken away here")
def test_a_film_is_the_same_on_one_core_and_on_all(recorded: Path, tmp_path: Path) -> None:
    arguments = ["--film", "a.mp4", "--steps", "30", "--models", str(recorded)]
    watch = f"from worldmodels.watch import main; main({arguments})"
    films = []
    for name, cores in (("one", {min(os.sched_getaffinity(0))}), ("all", os.sched_getaffinity(0))):
        (tmp_path / name).mkdir()
        subprocess.run(
            [sys.executable, "-c", f"import os; os.sched_setaffinity(0, {cores}); {watch}"],
            cwd=tmp_path / name,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=True,
        )
        films.append((tmp_path / name / "a.mp4").read_bytes())
    assert films[0] == films[1]


@pytest.fixture(scope="module")
def agent() -> Agent:
    """A small one that draws noise."""
    vae = VAE((32, 32), 4, rng=np.random.default_rng(1))
    memory = MDNRNN(4, 8, 2, rng=np.random.default_rng(2))
    weights = np.random.default_rng(3).normal(size=(13, 3)).astype(np.float32)
    return Agent(vae, memory, LinearController(weights, ("z", "h"), "sample"))


@pytest.fixture
def frames() -> NDArray[np.uint8]:
    """(steps, 2, 96, 96, 3)."""
    return np.random.default_rng(8).integers(0, 256, (6, 2, 96, 96, 3), dtype=np.uint8)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda agent: pickle.loads(pickle.dumps(agent))])
def test_a_copy_goes_on_in_the_midst_of_an_episode(
    copied: Callable[[Agent], Agent], agent: Agent, frames: NDArray[np.uint8]
) -> None:
    agent.reset(batch_size=2, seed=5)
    for seen in frames[:3]:
        agent.act(seen)
    before = set(children())
    other = copied(agent)
    actions = [agent.act(seen).tobytes() for seen in frames[3:]]
    assert len(set(actions)) == 3
    assert [other.act(seen).tobytes() for seen in frames[3:]] == actions
    assert np.array_equal(other.controller.weights, agent.controller.weights)
    assert set(children()) > before
    del other
    assert set(children()) == before  # its process ended with it


def test_an_agent_that_was_interrupted_can_begin_anew(
    agent: Agent, frames: NDArray[np.uint8]
) -> None:
    """As a notebook's button does it, in the midst of an answer."""

    def drive() -> list[bytes]:
        agent.reset(batch_size=2, seed=5)
        return [agent.act(seen).tobytes() for seen in frames]

    def forever() -> None:
        while True:
            drive()

    expected = drive()
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for attempt in range(60):
            signal.setitimer(signal.ITIMER_REAL, 0.01 + 0.0001 * attempt)
            with pytest.raises(KeyboardInterrupt):
                forever()
            assert drive() == expected
    finally:
        signal.signal(signal.SIGALRM, before)


def test_its_process_s_end_is_one_line(frames: NDArray[np.uint8], agent: Agent) -> None:
    other = copy.deepcopy(agent)
    (child,) = set(children()) - {agent._process.pid}
    os.kill(child, signal.SIGKILL)
    for _ in range(2):
        with pytest.raises(WorldModelsError, match=r"^agent: expected an answer.* code -9: load"):
            other.act(frames[0])


def test_a_fork_is_told_what_to_do(agent: Agent) -> None:
    agent.reset()
    readable, writable = os.pipe()
    if os.fork() == 0:
        try:
            agent.reset()
        except WorldModelsError as error:
            os.write(writable, str(error).encode())
        os._exit(0)
    os.wait()
    said = os.read(readable, 500).decode()
    assert re.match(r"agent: expected .* a fork of it: load it there", said)
    agent.reset()


KILLED = """
import os, sys, time
from worldmodels import Agent
agent = Agent.load(sys.argv[1])
if os.fork():
    print(agent._process.pid, {"tensorflow", "keras"} & set(sys.modules), flush=True)
time.sleep(60)  # two processes now hold the agent's pipe
"""


def test_its_process_leaves_the_caller_s_alone_and_ends_when_that_is_killed(recorded: Path) -> None:
    caller = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(recorded)],
        cwd=recorded,
        env={**os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": "jax"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert caller.stdout is not None
    child, imported = caller.stdout.readline().split(maxsplit=1)
    assert imported == "set()\n"
    caller.kill()
    caller.wait()
    until = time.monotonic() + 20
    while runs(int(child)):
        assert time.monotonic() < until
        time.sleep(0.1)
    os.killpg(caller.pid, signal.SIGKILL)  # the fork


def children() -> list[int]:
    """Processes of this one that run."""
    tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return [int(pid) for task in tasks for pid in task.read_text().split()]


def runs(pid: int) -> bool:
    """Is there such a process, not ended?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
