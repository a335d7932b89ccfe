"""The rollout engine: outcomes that do not depend on workers, their company or their deaths.

`ToyEnv` and `ToyPolicy` write into frames and actions who they are and when, so that a row out of
place shows. The real agent drives in the tests at the end.

`WorkerPool._handles` are the workers, which tests kill and count.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from worldmodels.car_racing.gym_batch import GymBatch
from worldmodels.car_racing.task import CarRacingTask
from worldmodels.core.errors import WorldModelsError
from worldmodels.rollouts import worker_pool as rollout
from worldmodels.rollouts.episode import Episode, Outcome, RolloutError, noise_seed
from worldmodels.rollouts.episode_batch import EpisodeBatch
from worldmodels.rollouts.local_engine import LocalEngine, worker_count
from worldmodels.rollouts.worker_pool import MAX_DEATHS

IMAGE_SHAPE = (32, 40)
BATCH = 3

# Track seeds by what happens on them; all others are uneventful.
OFF_FIELD, LAP, LAP_OFF_FIELD, SLOW, NO_TILES = 1, 2, 3, 4, 5
DIES_ONCE, DIES_ALWAYS, HANGS_ONCE, RAISES, RAISES_CLEARLY = 10, 11, 12, 13, 14
ENDS_AT = 7  # the step that ends the first three
TILES_UNTIL = 5  # steps; on SLOW none follows
FATAL_STEP = 3


class ToyEnv:
    """Shows its seed, the step and the last steering; rewards a step by its action."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        circle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        self.track = [(a, a, 30 * np.cos(a), 30 * np.sin(a)) for a in circle]
        self.tile_visited_count = 0

    def reset(
        self, *, seed: int, options: dict[str, str] | None
    ) -> tuple[NDArray[np.uint8], dict[str, object]]:
        assert options in (None, {"start_tile": "random"})
        self._seed, self._step, self._steering = seed, 0, 0.0
        self._offset = 100 if options else 0
        self.tile_visited_count = 2  # as in gym, where the car stands on some
        hull = SimpleNamespace(
            position=(30.0, 0.0), linearVelocity=(0.0, 0.0), angle=0.0, angularVelocity=0.0
        )
        wheel = SimpleNamespace(joint=SimpleNamespace(angle=0.0))
        self.car = SimpleNamespace(hull=hull, wheels=[wheel])
        return self._frame(), {}

    def step(
        self, action: NDArray[np.float64]
    ) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, object]]:
        assert action.dtype == np.float64  # gym's SWIG layer takes no other
        if self._step == FATAL_STEP:
            self._meet_fate()
        self._step += 1
        self._steering = float(action[0])
        self.car.hull.linearVelocity = (float(self._step), 0.0)
        if self._seed not in (SLOW, NO_TILES) or (self._seed == SLOW and self._step <= TILES_UNTIL):
            self.tile_visited_count += 1
        ended = self._step == ENDS_AT
        terminated = ended and self._seed in (OFF_FIELD, LAP_OFF_FIELD)
        truncated = ended and self._seed in (LAP, LAP_OFF_FIELD)
        return self._frame(), reward_of(action), terminated, truncated, {}

    def _frame(self) -> NDArray[np.uint8]:
        colour = self._seed % 256, self._offset + self._step, round(100 * self._steering) + 100
        return np.full((96, 96, 3), colour, np.uint8)

    def _meet_fate(self) -> None:
        if self._seed in (DIES_ONCE, DIES_ALWAYS, HANGS_ONCE):
            mark = self._folder / f"{self._seed}"
            again = mark.exists()
            with mark.open("a") as file:
                file.write("x")
            if again and self._seed != DIES_ALWAYS:
                return
            if self._seed == HANGS_ONCE:
                signal.pause()
            os.kill(os.getpid(), signal.SIGKILL)
        if self._seed == RAISES:
            raise ValueError("the car has no wheels")
        if self._seed == RAISES_CLEARLY:
            raise WorldModelsError("models/vae.h5: no such file; `dvc repro` makes it")


@dataclass(frozen=True)
class ToyTask(CarRacingTask):
    """CarRacing's task, with toy environments."""

    folder: str = ""

    def prepare(self, image_shape: tuple[int, int]) -> None:
        pass

    def make_batch(self, count: int, image_shape: tuple[int, int]) -> GymBatch:
        return GymBatch(lambda: ToyEnv(self.folder), count, image_shape)


def reward_of(action: NDArray[np.float64]) -> float:
    steering, gas, brake = (float(part) for part in action)
    return steering + 10 * gas - brake


class ToyPolicy:
    """Steers by what it sees; its gas is its candidate, its brake noise of the episode's seed."""

    def __init__(self, batch_size: int) -> None:
        self._candidates = np.zeros((1, 1))
        self._gas = np.zeros(batch_size)
        self._noise = [np.random.default_rng(0)] * batch_size

    def set_candidates(self, candidates: NDArray[np.float64] | None) -> None:
        self._candidates = np.zeros((1, 1)) if candidates is None else candidates

    def begin(self, slot: int, episode: Episode) -> None:
        self._gas[slot] = self._candidates[episode.candidate, 0]
        self._noise[slot] = np.random.default_rng(episode.noise_seed)

    def act(
        self, frames: NDArray[np.uint8], slots: Sequence[int] | None = None
    ) -> NDArray[np.float32]:
        slots = range(len(self._gas)) if slots is None else slots
        steering = frames[:, 0, 0, 1] / 250
        brake = [self._noise[slot].random() for slot in slots]
        return np.stack([steering, self._gas[list(slots)], brake], axis=1).astype(np.float32)


def play_alone(episode: Episode, candidates: NDArray[np.float64], folder: str) -> Outcome:
    """The same episode by the plainest loop there is: no workers, no company."""
    env, policy = ToyEnv(folder), ToyPolicy(1)
    policy.set_candidates(candidates)
    policy.begin(0, episode)
    frame, _ = env.reset(
        seed=episode.track_seed, options={"start_tile": "random"} if episode.random_start else None
    )
    total, since_tile, tiles = 0.0, 0, env.tile_visited_count
    for step in range(1, episode.steps + 1):
        action = policy.act(frame[None])[0]
        frame, reward, terminated, truncated, _ = env.step(action.astype(np.float64))
        total += reward
        since_tile = 0 if env.tile_visited_count > tiles else since_tile + 1
        tiles = env.tile_visited_count
        if terminated:
            return Outcome(episode, total, step, tiles, "off_field")
        if truncated:
            return Outcome(episode, total, step, tiles, "lap")
        if step < episode.steps and since_tile == episode.patience:
            total -= 0.1 * (episode.steps - step)
            return Outcome(episode, total, step, tiles, "patience")
    return Outcome(episode, total, episode.steps, tiles, "time_limit")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("fates"))


@pytest.fixture(scope="module")
def engine(folder: str) -> Iterator[LocalEngine]:
    """Two workers of three toy environments each."""
    with toy_engine(folder, workers=2) as engine:
        yield engine


def toy_engine(folder: str, *, workers: int) -> LocalEngine:
    return LocalEngine(
        ToyTask(folder=folder),
        ToyPolicy,
        image_shape=IMAGE_SHAPE,
        batch_size=BATCH,
        workers=workers,
    )


CANDIDATES = np.array([[0.125], [0.5]])


def episodes_of_mixed_lengths(count: int) -> list[Episode]:
    return [
        Episode(
            track_seed=100 + index,
            noise_seed=index,
            candidate=index % 2,
            steps=1 + 7 * index % 23,
            random_start=index % 3 == 0,
        )
        for index in range(count)
    ]


def test_outcomes_come_in_order_and_are_those_of_the_plain_loop(
    engine: LocalEngine, folder: str
) -> None:
    episodes = episodes_of_mixed_lengths(40)
    outcomes = list(engine.play(episodes, CANDIDATES))
    assert outcomes == [play_alone(episode, CANDIDATES, folder) for episode in episodes]


def test_row_t_is_the_frame_seen_the_action_chosen_on_it_and_the_reward_that_followed(
    engine: LocalEngine,
) -> None:
    episodes = [
        Episode(track_seed=200 + index, noise_seed=index, candidate=1, steps=steps, record=True)
        for index, steps in enumerate((1, 30, 12, 20, 9, 15, 30))
    ]
    for episode, outcome in zip(episodes, engine.play(episodes, CANDIDATES), strict=True):
        recording = outcome.recorded
        steps = np.arange(episode.steps)
        assert recording.frames.shape == (episode.steps, *IMAGE_SHAPE, 3)
        assert recording.frames.dtype == np.uint8
        assert (recording.frames == recording.frames[:, :1, :1]).all()
        seed, shown, last_steering = recording.frames[:, 0, 0].T.astype(int)
        steering, gas, brake = recording.actions.T
        assert (seed == episode.track_seed).all()
        assert shown.tolist() == steps.tolist()  # frame t is what t steps led to
        assert steering == pytest.approx(shown / 250)  # action t was chosen on seeing frame t
        assert last_steering[1:].tolist() == np.rint(100 * steering[:-1] + 100).tolist()
        assert (gas == 0.5).all()
        drawn = np.random.default_rng(episode.noise_seed).random(episode.steps)
        assert brake == pytest.approx(drawn)
        assert recording.rewards == pytest.approx(steering + 10 * gas - brake)  # reward t follows
        assert recording.privileged[:, 0].tolist() == steps.tolist()  # measured at frame t
        assert recording.rewards.sum() == pytest.approx(outcome.episode_return, rel=1e-5)


def test_recorded_episodes_go_through_files_row_by_row(engine: LocalEngine, tmp_path: Path) -> None:
    from worldmodels.car_racing.telemetry import COLUMNS
    from worldmodels.data.episodes import EpisodeWriter, read_episodes

    episodes = [
        Episode(track_seed=210 + index, noise_seed=index, steps=steps, record=True)
        for index, steps in enumerate((5, 1, 9))
    ]
    with EpisodeWriter(
        tmp_path,
        environment="toy",
        policy="toy",
        seed=0,
        image_shape=IMAGE_SHAPE,
        privileged_columns=COLUMNS,
    ) as writer:
        for outcome in engine.play(episodes):
            writer.write(outcome.recorded)
    for episode, stored in zip(episodes, read_episodes(tmp_path), strict=True):
        assert stored.track_seed == episode.track_seed
        assert stored.frames[:, 0, 0, 1].tolist() == list(range(episode.steps))
        assert stored.actions[:, 0] == pytest.approx(np.arange(episode.steps) / 250)
        assert stored.rewards == pytest.approx(
            stored.actions[:, 0] + 10 * stored.actions[:, 1] - stored.actions[:, 2]
        )


def test_an_episode_that_is_not_recorded_brings_no_frames_back(engine: LocalEngine) -> None:
    (outcome,) = engine.play([Episode(track_seed=100, steps=2)])
    assert outcome.recording is None
    with pytest.raises(RolloutError, match=r"expected record=True, got no recording"):
        _ = outcome.recorded


@pytest.mark.parametrize(
    ("track_seed", "reason"), [(OFF_FIELD, "off_field"), (LAP, "lap"), (LAP_OFF_FIELD, "off_field")]
)
def test_the_environment_s_end_is_reported_by_its_flag(
    engine: LocalEngine, track_seed: int, reason: str
) -> None:
    for steps in (ENDS_AT, 20):  # the environment's word counts in the last step too
        (outcome,) = engine.play([Episode(track_seed=track_seed, steps=steps, patience=ENDS_AT)])
        assert (outcome.reason, outcome.steps) == (reason, ENDS_AT)


def test_patience_is_counted_from_the_last_new_tile_and_charges_the_frames_left(
    engine: LocalEngine, folder: str
) -> None:
    episode = Episode(track_seed=SLOW, steps=50, patience=8, record=True)
    (outcome,) = engine.play([episode])
    assert (outcome.reason, outcome.steps) == ("patience", TILES_UNTIL + 8)
    assert outcome.tiles == 2 + TILES_UNTIL
    driven = float(outcome.recorded.rewards.sum())
    assert outcome.episode_return == pytest.approx(driven - 0.1 * (50 - TILES_UNTIL - 8))


def test_tiles_under_the_car_at_the_start_are_not_new(engine: LocalEngine) -> None:
    (outcome,) = engine.play([Episode(track_seed=NO_TILES, steps=50, patience=8)])
    assert (outcome.reason, outcome.steps, outcome.tiles) == ("patience", 8, 2)


def test_without_patience_or_with_just_enough_of_it_the_time_limit_ends(
    engine: LocalEngine,
) -> None:
    for patience in (None, 50, 45):
        (outcome,) = engine.play([Episode(track_seed=SLOW, steps=50, patience=patience)])
        assert (outcome.reason, outcome.steps) == ("time_limit", 50)
        assert outcome.episode_return == pytest.approx(
            play_alone(outcome.episode, np.zeros((1, 1)), "").episode_return
        )


def test_a_second_play_has_its_own_candidates(engine: LocalEngine) -> None:
    episode = Episode(track_seed=100, steps=5, candidate=1)
    returns = [
        next(iter(engine.play([episode], scale * CANDIDATES))).episode_return for scale in (1, 2)
    ]
    assert returns[1] - returns[0] == pytest.approx(5 * 10 * 0.5, rel=1e-5)


def test_nothing_to_play_is_no_outcome(engine: LocalEngine) -> None:
    assert list(engine.play([])) == []


def test_a_killed_worker_changes_no_outcome(engine: LocalEngine, folder: str) -> None:
    episodes = episodes_of_mixed_lengths(14)
    episodes[2] = Episode(track_seed=DIES_ONCE, steps=20, candidate=1, noise_seed=3)
    outcomes = list(engine.play(episodes, CANDIDATES))
    assert (Path(folder) / str(DIES_ONCE)).read_text() == "xx"  # it was killed, and played again
    assert outcomes == [play_alone(episode, CANDIDATES, folder) for episode in episodes]


def test_a_worker_killed_between_two_plays_is_replaced(engine: LocalEngine, folder: str) -> None:
    victim = engine._pool._handles[0].process
    os.kill(victim.pid or 0, signal.SIGKILL)
    victim.join()
    episodes = episodes_of_mixed_lengths(8)
    outcomes = list(engine.play(episodes, CANDIDATES))
    assert outcomes == [play_alone(episode, CANDIDATES, folder) for episode in episodes]


def test_a_worker_that_hangs_is_replaced(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock jumps from look to look while the worker hangs; nobody waits."""
    mark = Path(folder) / str(HANGS_ONCE)
    episodes = episodes_of_mixed_lengths(3)
    episodes[1] = Episode(track_seed=HANGS_ONCE, steps=20)
    looks = itertools.count(1)
    with toy_engine(folder, workers=1) as engine:
        (first,) = engine._pool._handles

        def now() -> float:
            hangs = mark.exists() and engine._pool._handles == [first]
            return time.monotonic() + (2 * rollout.MAX_SILENCE * next(looks) if hangs else 0)

        monkeypatch.setattr(rollout, "time", SimpleNamespace(monotonic=now))
        outcomes = list(engine.play(episodes, CANDIDATES))
    assert mark.read_text() == "xx"
    assert outcomes == [play_alone(episode, CANDIDATES, folder) for episode in episodes]


def test_an_episode_that_kills_every_worker_ends_after_three(folder: str) -> None:
    with toy_engine(folder, workers=1) as engine:
        play = engine.play([Episode(track_seed=DIES_ALWAYS, steps=20)])
        with pytest.raises(RolloutError, match=rf"^3 workers died.*track_seed={DIES_ALWAYS}.*-9"):
            list(play)
    assert MAX_DEATHS == 3
    assert (Path(folder) / str(DIES_ALWAYS)).read_text() == "xxx"


def test_the_episode_that_kills_every_worker_is_the_one_that_is_named(tmp_path: Path) -> None:
    episodes = [
        Episode(track_seed=DIES_ALWAYS, steps=20),
        *(Episode(track_seed=300 + index, steps=200) for index in range(2)),
    ]
    with toy_engine(str(tmp_path), workers=1) as engine:
        play = engine.play(episodes)
        with pytest.raises(RolloutError, match=rf"workers died.*track_seed={DIES_ALWAYS}"):
            list(play)


@pytest.mark.parametrize(
    ("track_seed", "said", "not_said"),
    [
        (RAISES, "ValueError: the car has no wheels", "nothing"),
        (RAISES_CLEARLY, "models/vae.h5: no such file; `dvc repro` makes it", "Traceback"),
    ],
)
def test_a_python_error_in_a_worker_is_passed_on(
    folder: str, track_seed: int, said: str, not_said: str
) -> None:
    with toy_engine(folder, workers=1) as engine:
        play = engine.play([Episode(track_seed=100, steps=5), Episode(track_seed=track_seed)])
        with pytest.raises(RolloutError, match=r"^a rollout worker failed: ") as caught:
            list(play)
    assert said in str(caught.value)
    assert not_said not in str(caught.value)


def test_an_action_that_is_no_number_names_the_episode(folder: str) -> None:
    with toy_engine(folder, workers=1) as engine:
        play = engine.play([Episode(track_seed=100, steps=5)], np.array([[np.nan]]))
        with pytest.raises(RolloutError, match=r"track_seed=100.* expected a finite action in "):
            list(play)


def test_workers_end_with_the_engine(folder: str) -> None:
    with toy_engine(folder, workers=1) as engine:
        list(engine.play([Episode(track_seed=100, steps=5)]))
        process = engine._pool._handles[0].process
        assert process.is_alive()
    assert not process.is_alive()


ENDLESS = """
from test_rollout import CANDIDATES, Episode, toy_engine

with toy_engine("nowhere", workers=2) as engine:
    episodes = [Episode(track_seed=100, steps=1000)] * 10_000
    for _ in engine.play(episodes, CANDIDATES):
        print(*(handle.process.pid for handle in engine._pool._handles), flush=True)
"""


def test_workers_end_when_their_parent_is_killed() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", ENDLESS],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert parent.stdout is not None
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(workers) == 2
    assert all(_runs(pid) for pid in workers)
    parent.kill()
    parent.wait()
    until = time.monotonic() + 20
    while any(_runs(pid) for pid in workers):
        assert time.monotonic() < until, f"{workers}: still there"
        time.sleep(0.1)


def _runs(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return stat.read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


@pytest.mark.slow
def test_memory_stays_flat_over_10000_episodes() -> None:
    from worldmodels.rollouts.policies import UniformPolicy

    peaks: list[float] = []  # MiB, of the larger worker, over each 1000 episodes
    episodes = [Episode(track_seed=track % 40, steps=2) for track in range(10_000)]
    with LocalEngine(
        CarRacingTask(), UniformPolicy, image_shape=IMAGE_SHAPE, batch_size=8, workers=2
    ) as engine:
        for count, _ in enumerate(engine.play(episodes)):
            if count % 1000 == 0:
                peaks.append(0.0)
            if count % 50 == 0:
                resident = max(_resident(handle.process.pid) for handle in engine._pool._handles)
                peaks[-1] = max(peaks[-1], resident)
    print("MiB in each 1000 episodes:", [round(peak) for peak in peaks])
    assert max(peaks[5:]) < max(peaks[:5]) + 2


def _resident(pid: int | None) -> float:
    """Resident memory of a process, MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_a_play_that_is_given_up_leaves_nothing_to_the_next(folder: str) -> None:
    with toy_engine(folder, workers=1) as engine:
        first = engine.play([Episode(track_seed=100 + index, steps=100) for index in range(8)])
        next(first)
        first.close()  # type: ignore[attr-defined]
        episodes = episodes_of_mixed_lengths(8)
        outcomes = [outcome.episode for outcome in engine.play(episodes, CANDIDATES)]
    assert outcomes == episodes


def test_the_number_of_workers_is_the_variable_s_or_all_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("WORLDMODELS_WORKERS", raising=False)
    if hasattr(os, "sched_getaffinity"):
        assert 1 <= worker_count() <= len(os.sched_getaffinity(0))
        monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS
    assert 1 <= worker_count() <= os.cpu_count()
    monkeypatch.setenv("WORLDMODELS_WORKERS", "7")
    assert worker_count() == 7
    for text in ("0", "-1", "two", "1.5", ""):
        monkeypatch.setenv("WORLDMODELS_WORKERS", text)
        with pytest.raises(RolloutError, match=r"WORLDMODELS_WORKERS: expected.*above 0, got"):
            worker_count()


@pytest.mark.skipif(
    subprocess.run(["unshare", "-Urm", "true"], capture_output=True).returncode != 0
    or not Path("/sys/fs/cgroup").is_dir(),
    reason="a container of our own cannot be made here",
)
def test_a_container_s_quota_counts() -> None:
    mount = 'mount -t tmpfs none /sys/fs/cgroup && echo "100000 100000" >/sys/fs/cgroup/cpu.max'
    code = "from worldmodels.rollouts.local_engine import worker_count; print(worker_count())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("WORLDMODELS_WORKERS", None)
    ran = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", f'{mount} && exec "$0" -c "$1"', sys.executable, code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == "1\n"


def test_noise_seeds_differ_by_run_and_track_and_0_is_a_seed() -> None:
    seeds = [noise_seed(run, track) for run in range(3) for track in range(3)]
    assert len(set(seeds)) == 9
    assert seeds[0] == noise_seed(0, 0)


# From here on the real simulator, and the real agent in it.


def ends_at_once(envs: Any, reason: str) -> int:
    """Bring about what ends the episode that has begun in a batch's one environment, by the next
    step; how many tiles its road has.

    Args:
        envs: its private environments or records are set, as a drive would take minutes to do it.
    """
    if isinstance(envs, GymBatch):
        (env,) = envs._envs
        if reason == "lap":
            env.tile_visited_count = len(env.track)  # every tile was visited
        if reason == "off_field":
            env.car.hull.position = (400.0, 0.0)  # the field ends at 333
        return len(env.track)
    races = envs._races
    if reason == "lap":
        races.races["visited_count"] = races.tracks["tiles"]
    if reason == "off_field":
        for name in ("position", "centre"):
            races.cars[name][0, 0] = (400.0, 0.0)
    return int(races.tracks["tiles"][0])


@dataclass(frozen=True)
class GivenBatch(CarRacingTask):
    """CarRacing's task, in a batch that the test keeps."""

    envs: Any = None

    def make_batch(self, count: int, image_shape: tuple[int, int]) -> Any:
        return self.envs


@pytest.mark.parametrize("stock", [True, False])
@pytest.mark.parametrize("reason", ["lap", "off_field", "time_limit", "patience"])
def test_gym_s_ends_have_their_reasons(reason: str, stock: bool) -> None:
    envs = CarRacingTask(stock=stock).make_batch(1, IMAGE_SHAPE)
    batch = EpisodeBatch(GivenBatch(envs=envs), slots=1, image_shape=IMAGE_SHAPE)
    patience = 4 if reason == "patience" else None
    batch.begin(0, Episode(track_seed=0, steps=20, patience=patience))
    tiles = envs.progress(0)
    road = ends_at_once(envs, reason)
    outcome = None
    while outcome is None:
        batch.frames([0])
        (outcome,) = batch.step([0], np.array([[0.0, 0.0, 1.0]], np.float32))  # stand still
    steps = {"lap": 1, "off_field": 1, "time_limit": 20, "patience": 4}[reason]
    assert (outcome.reason, outcome.steps) == (reason, steps)
    # gym pays for the tiles under the car in the first step; the frames' price is 0.1 each.
    first_tiles = 1000 / road * tiles
    whole_episode = first_tiles - 0.1 * 20  # driven or charged
    expected = {"lap": first_tiles - 0.1, "off_field": -100.0}.get(reason, whole_episode)
    assert outcome.episode_return == pytest.approx(expected)


AGENT_CANDIDATES = np.random.default_rng(3).normal(size=(3, 39))
AGENT_EPISODES = [
    Episode(
        track_seed=index % 3,
        noise_seed=index // 2,
        candidate=index % 3,
        steps=6 + 5 * index % 17,
        random_start=index % 2 == 1,
        record=True,
    )
    for index in range(16)
]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with vae.h5, memory.h5 and controller.h5 of a small agent."""
    from worldmodels.models.controller import LinearController
    from worldmodels.models.memory import MDNRNN
    from worldmodels.models.vae import VAE

    folder = tmp_path_factory.mktemp("models")
    vae = VAE((32, 32), 4, rng=np.random.default_rng(0))
    kernel, bias = vae.encoder.weights[-2:]
    kernel.assign(10 * kernel)
    bias.assign([0.0] * 4 + [-1.0] * 4)
    vae.save(folder / "vae.h5")
    MDNRNN(4, 8, 2, rng=np.random.default_rng(1)).save(folder / "memory.h5")
    weights = AGENT_CANDIDATES[0].reshape(13, 3).astype(np.float32)
    LinearController(weights, ("z", "h"), "sample").save(folder / "controller.h5")
    return folder


@pytest.fixture(scope="module")
def drives(models: Path) -> dict[str, list[Outcome]]:
    """`AGENT_EPISODES` by one to three workers, and backwards with strangers in between."""
    from worldmodels.models.agent_policy import policy_maker

    found: dict[str, list[Outcome]] = {}
    with LocalEngine(
        CarRacingTask(),
        policy_maker(models, inputs=("z", "h"), latent="sample"),
        image_shape=(32, 32),
        batch_size=8,
        workers=3,
    ) as engine:
        handles = engine._pool._handles
        for workers in (1, 2, 3):  # of one engine, as each takes seconds to start
            engine._pool._handles = handles[:workers]
            found[f"{workers} workers"] = list(engine.play(AGENT_EPISODES, AGENT_CANDIDATES))
        strangers = [Episode(track_seed=50 + index, steps=4 + index) for index in range(16)]
        mixed = [
            each for pair in zip(strangers, AGENT_EPISODES[::-1], strict=True) for each in pair
        ]
        found["strangers"] = list(engine.play(mixed, AGENT_CANDIDATES))[::-2]
    return found


@pytest.mark.parametrize("company", ["2 workers", "3 workers", "strangers"])
def test_an_agent_s_drive_is_the_same_to_the_bit_whoever_drives_beside_it(
    drives: dict[str, list[Outcome]], company: str
) -> None:
    for one, other in zip(drives["1 workers"], drives[company], strict=True):
        assert one.episode == other.episode
        assert (one.episode_return, one.steps, one.tiles, one.reason) == (
            other.episode_return,
            other.steps,
            other.tiles,
            other.reason,
        )
        for name in ("frames", "actions", "rewards", "privileged"):
            values, others = getattr(one.recorded, name), getattr(other.recorded, name)
            assert values.tobytes() == others.tobytes()


def test_the_episodes_compared_are_not_all_alike(drives: dict[str, list[Outcome]]) -> None:
    assert len({outcome.episode_return for outcome in drives["1 workers"]}) >= 8
    assert len({outcome.steps for outcome in drives["1 workers"]}) >= 8


def test_the_agent_for_people_does_what_the_engine_s_does(
    drives: dict[str, list[Outcome]], models: Path
) -> None:
    """From gym's frame on: the same crop, the same noise, the same memory, the same action."""
    from worldmodels.car_racing.environment import FastCarRacing
    from worldmodels.car_racing.frames import preprocess
    from worldmodels.models.agent_process import Agent

    agent, env = Agent.load(models), FastCarRacing()
    for outcome in drives["1 workers"]:
        episode, recording = outcome.episode, outcome.recorded
        if episode.candidate != 0:
            continue
        options = {"start_tile": "random"} if episode.random_start else None
        frame, _ = env.reset(seed=episode.track_seed, options=options)
        agent.reset(seed=episode.noise_seed)
        for step in range(outcome.steps):
            assert np.array_equal(preprocess(frame, (32, 32)), recording.frames[step])
            assert agent.act(frame) == pytest.approx(recording.actions[step], abs=1e-4)
            frame, reward, *_ = env.step(recording.actions[step].astype(np.float64))
            assert reward == pytest.approx(recording.rewards[step])
