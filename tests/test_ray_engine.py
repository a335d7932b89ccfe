"""Ray as an engine: on a cluster of three nodes of this machine, the outcomes of the local engine
to the bit.

`RayEngine._remotes` are the nodes that play, by their ids.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray
from test_rollout import (
    AGENT_CANDIDATES,
    AGENT_EPISODES,
    BATCH,
    CANDIDATES,
    DIES_ALWAYS,
    DIES_ONCE,
    IMAGE_SHAPE,
    ToyEnv,
    ToyPolicy,
    ToyTask,
    episodes_of_mixed_lengths,
    models,
    play_alone,
)

import worldmodels
from worldmodels.car_racing.gym_batch import GymBatch
from worldmodels.car_racing.task import CarRacingTask
from worldmodels.rollouts import ray_cluster, ray_engine
from worldmodels.rollouts.engine import Engine, make_engine
from worldmodels.rollouts.episode import Episode, Outcome, RolloutError
from worldmodels.rollouts.local_engine import LocalEngine
from worldmodels.rollouts.node import Node, code_digest, packed
from worldmodels.rollouts.ray_cluster import connect
from worldmodels.rollouts.ray_engine import RayEngine, _Play

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

__all__ = ["models"]  # a fixture

needs_ray = pytest.mark.skipif(
    find_spec("ray") is None, reason="Ray is not installed; `make cluster` does"
)
SLOW_STEP = 0.004  # seconds


@pytest.fixture(scope="module", autouse=True)
def settings() -> Iterator[pytest.MonkeyPatch]:
    """Of Ray: the loopback alone, no messages home, and patience on a busy machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        patch.setenv("RAY_agent_register_timeout_ms", "120000")
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))  # toys are unpickled on the nodes
        yield patch


def small() -> dict[str, Any]:
    """What a node is started with. Ports are given: for others Ray waits 15 seconds, no more."""
    ports: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        for name in (
            "metrics_agent",
            "metrics_export",
            "dashboard_agent_listen",
            "runtime_env_agent",
        ):
            taken = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            ports[f"{name}_port"] = taken.getsockname()[1]
    return {
        **ports,
        "num_cpus": 1,
        "object_store_memory": 80 << 20,
        "memory": 2 << 30,
        "include_dashboard": False,
    }


Made = TypeVar("Made")


def started(make: Callable[[], Made]) -> Made:
    """A node of a cluster, in three tries: Ray gives up after 30 seconds, few on a busy machine."""
    for _ in range(2):
        with contextlib.suppress(Exception):  # it raises no other
            return make()
    return make()


@pytest.fixture(scope="module")
def cluster(settings: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Three nodes of one core each, the head among them; RAY_ADDRESS names it."""
    with pytest.MonkeyPatch.context() as patch:
        import ray
        from ray.cluster_utils import Cluster

        made = started(lambda: Cluster(initialize_head=True, head_node_args=small()))
        for _ in range(2):
            started(lambda: made.add_node(**small()))
        patch.setenv("RAY_ADDRESS", made.address)
        yield made
        ray.shutdown()
        made.shutdown()


@dataclass(frozen=True)
class SlowTask(ToyTask):
    """Toy environments in which a step takes its time."""

    def make_batch(self, count: int, image_shape: tuple[int, int]) -> GymBatch:
        return GymBatch(lambda: SlowEnv(self.folder), count, image_shape)


class SlowEnv(ToyEnv):
    def step(
        self, action: NDArray[np.float64]
    ) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, object]]:
        time.sleep(SLOW_STEP)
        return super().step(action)


def toys(task: ToyTask) -> RayEngine:
    return RayEngine(task, ToyPolicy, image_shape=IMAGE_SHAPE, batch_size=BATCH)


def same_bits(one: Outcome, other: Outcome) -> bool:
    """Are two outcomes the same, with all that was recorded?"""
    assert packed(one) == packed(other)
    return True


@needs_ray
def test_outcomes_come_in_order_and_are_those_of_the_plain_loop(
    cluster: Cluster, tmp_path: Path
) -> None:
    episodes = episodes_of_mixed_lengths(40)
    with toys(ToyTask(folder=str(tmp_path))) as engine:
        assert list(engine.play([], CANDIDATES)) == []
        first = engine.play(episodes, CANDIDATES)
        next(first)
        first.close()  # type: ignore[attr-defined]
        outcomes = list(engine.play(episodes, 2 * CANDIDATES))
    assert outcomes == [play_alone(one, 2 * CANDIDATES, str(tmp_path)) for one in episodes]


@needs_ray
def test_a_node_killed_in_mid_generation_and_one_that_joins_change_no_outcome(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    episodes = [
        Episode(track_seed=100 + index % 100, noise_seed=index, candidate=index % 2, steps=30)
        for index in range(300)
    ]
    outcomes, joined, has_played = [], None, False
    with toys(SlowTask(folder=str(tmp_path))) as engine:
        for outcome in engine.play(episodes, CANDIDATES):
            outcomes.append(outcome)
            if len(outcomes) == 20:
                victim = next(iter(cluster.worker_nodes))
                assert engine._remotes[victim.node_id].jobs
                cluster.remove_node(victim, allow_graceful=False)
                joined = started(lambda: cluster.add_node(**small()))
            if joined and joined.node_id in engine._remotes:
                has_played |= bool(engine._remotes[joined.node_id].jobs)
            if joined and not has_played:
                time.sleep(0.2)  # so that the others have not played all before it is ready
    assert has_played
    said = capsys.readouterr().err
    assert f"({victim.node_id[:6]}) is lost, with 3 episodes" in said
    assert outcomes == [play_alone(one, CANDIDATES, str(tmp_path)) for one in episodes]


class DyingNode(Node):
    """Dies when it is started, as often as the file says that is named as the node's id."""

    def start(self, task: ToyTask, *arguments: Any, **named: Any) -> None:  # type: ignore[override]
        import ray

        deaths = Path(task.folder, ray.get_runtime_context().get_node_id())
        left = int(deaths.read_text())
        if left:
            deaths.write_text(str(left - 1))
            os._exit(1)
        super().start(task, *arguments, **named)


@needs_ray
def test_a_node_that_fails_before_it_plays_is_tried_three_times(
    cluster: Cluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(ray_engine, "Node", DyingNode)
    monkeypatch.setattr(ray_engine, "SECONDS_OF_REST", 0.1)
    at_third, never, at_once = (node.node_id for node in cluster.list_all_nodes())
    for node_id, deaths in ((at_third, 2), (never, 1000), (at_once, 0)):
        (tmp_path / node_id).write_text(str(deaths))
    episodes = episodes_of_mixed_lengths(9)
    alone = [play_alone(one, CANDIDATES, str(tmp_path)) for one in episodes]
    until = time.monotonic() + 120
    said = ""
    with toys(ToyTask(folder=str(tmp_path))) as engine:
        for losses in (5, 6):
            while said.count("is lost, with") < losses or at_third not in engine._remotes:
                assert time.monotonic() < until, said
                assert list(engine.play(episodes, CANDIDATES)) == alone
                said += capsys.readouterr().err
            assert engine._remotes.keys() == {at_third, at_once}
            while engine._remotes[at_third].state != "playing":
                assert list(engine.play(episodes, CANDIDATES)) == alone
            assert list(engine.play(episodes, CANDIDATES)) == alone  # with its outcomes
            # A third loss of this one, but it has played before: it is tried again.
            engine._ray.kill(engine._remotes[at_third].actor)
    refused = [line for line in said.splitlines() if "lost 3 times and is not tried again" in line]
    assert len(refused) == 1
    assert f"({never[:6]})" in refused[0]


PLAYS = """
from test_ray_engine import CANDIDATES, ToyTask, episodes_of_mixed_lengths, toys

with toys(ToyTask()) as engine:
    print(len(list(engine.play(episodes_of_mixed_lengths(9), CANDIDATES))))
"""


@needs_ray
def test_a_node_with_other_code_is_refused_in_one_line_that_says_what_to_do(
    cluster: Cluster, tmp_path: Path
) -> None:
    here = Path(worldmodels.__file__).parent
    for name, change in (("edited", "\n# an edit\n"), ("old", "\ndel Node.description\n")):
        there = tmp_path / name / "worldmodels"
        shutil.copytree(here, there, ignore=shutil.ignore_patterns("__pycache__"))
        with (there / "rollouts" / "node.py").open("a") as file:
            file.write(change)
    nodes = [
        started(lambda path=path: cluster.add_node(**small(), env_vars={"PYTHONPATH": path}))
        for path in (
            os.pathsep.join((str(tmp_path / name), os.environ["PYTHONPATH"]))
            for name in ("edited", "old")
        )
    ]
    driver = subprocess.run(
        [sys.executable, "-c", PLAYS],
        cwd=tmp_path,  # from where Ray's workers would import first
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    for node in nodes:
        cluster.remove_node(node, allow_graceful=False)
    assert driver.stdout == "9\n"
    said = driver.stderr.splitlines()
    remedy = "bring its clone to the commit that is here: `git pull` and `make cluster` there"
    lines = [one for node in nodes for one in said if f"({node.node_id[:6]}) is not used" in one]
    ours = code_digest(here)
    theirs = code_digest(tmp_path / "edited" / "worldmodels")
    assert lines[0].endswith(f": code: {theirs} there, {ours} here; {remedy}")
    assert ") is not used, it cannot run this code: AttributeError: " in lines[1]
    assert lines[1].endswith(remedy)
    assert len(lines) == len(said) == 2


def test_the_code_of_a_package_is_known_by_its_names_and_bytes(tmp_path: Path) -> None:
    digests = set()
    packages = (("a.py", "x = 1"), ("a.py", "x = 2"), ("b.py", "x = 1"))
    for number, (name, content) in enumerate(packages):
        package = tmp_path / f"package{number}"
        (package / "sub").mkdir(parents=True)
        (package / "sub" / name).write_text(content)
        digests.add(code_digest(package))
        copy = shutil.copytree(package, tmp_path / f"copy{number}")
        (copy / "sub" / "a.cpython-313.pyc").write_bytes(b"compiled")
        assert code_digest(copy) == code_digest(package)
    assert len(digests) == 3


def played(engine: Engine, folder: Path) -> list[Outcome]:
    """The small agent's episodes, one of them filmed to `folder`."""
    filmed = replace(AGENT_EPISODES[0], film=str(folder / "films" / "film.mp4"))
    with engine:
        return list(engine.play([filmed, *AGENT_EPISODES[1:]], AGENT_CANDIDATES))


@needs_ray
def test_the_agent_s_drives_recordings_and_films_are_the_local_engine_s_to_the_bit(
    cluster: Cluster, models: Path, tmp_path: Path
) -> None:
    from worldmodels.models.agent_policy import policy_maker

    policy = policy_maker(models, inputs=("z", "h"), latent="sample")
    arguments: dict[str, Any] = {"image_shape": (32, 32), "batch_size": 8}
    remote = make_engine(CarRacingTask(), policy, **arguments)
    assert isinstance(remote, RayEngine)
    there = played(remote, tmp_path)
    film = tmp_path / "films" / "film.mp4"
    film_from_there = film.read_bytes()
    film.unlink()
    here = played(LocalEngine(CarRacingTask(), policy, workers=1, **arguments), tmp_path)
    assert film.read_bytes() == film_from_there
    assert all(same_bits(*pair) for pair in zip(here, there, strict=True))
    assert len({outcome.episode_return for outcome in here}) >= 8


@needs_ray
def test_a_killed_worker_changes_no_outcome_and_an_episode_that_kills_three_is_named(
    cluster: Cluster, tmp_path: Path
) -> None:
    episodes = episodes_of_mixed_lengths(8)
    episodes[2] = Episode(track_seed=DIES_ONCE, steps=20, candidate=1, noise_seed=3)
    with toys(ToyTask(folder=str(tmp_path))) as engine:
        outcomes = list(engine.play(episodes, CANDIDATES))
        assert (tmp_path / str(DIES_ONCE)).read_text() == "xx"
        with pytest.raises(RolloutError, match=rf"^node .*3 workers died.*seed={DIES_ALWAYS}.*-9"):
            list(engine.play([Episode(track_seed=DIES_ALWAYS, steps=20)], CANDIDATES))
    assert outcomes == [play_alone(one, CANDIDATES, str(tmp_path)) for one in episodes]


@needs_ray
def test_nodes_of_another_processor_are_said_and_used_only_where_that_is_allowed(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = {**ray_engine.description(), "processor": {"vendor": "Another"}}
    monkeypatch.setattr(ray_engine, "description", lambda: here)
    with pytest.raises(RolloutError, match="expected a node with free cores that can play"):
        toys(ToyTask())
    said = capsys.readouterr().err
    assert said.count("is not used, it computes other bits: processor: ") == 3
    assert "WORLDMODELS_ANY_PROCESSOR=1 uses it" in said
    monkeypatch.setenv("WORLDMODELS_ANY_PROCESSOR", "1")
    with toys(ToyTask()) as engine:
        assert len(list(engine.play(episodes_of_mixed_lengths(3), CANDIDATES))) == 3
    assert "computes other bits: processor: " in capsys.readouterr().err
    here["packages"] = {"numpy": "0.1"}
    with pytest.raises(RolloutError):
        toys(ToyTask())


@needs_ray
def test_too_little_memory_is_one_line(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_engine, "MEMORY_OF_WORKER", 3 << 30)
    started = time.monotonic()
    with pytest.raises(RolloutError, match=r"^node .*expected 3072 MiB of memory .*, got"):
        toys(ToyTask())
    assert time.monotonic() - started < 10


@needs_ray
def test_another_version_of_ray_there_is_one_line(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    there = ray.__version__
    monkeypatch.setattr(ray, "__version__", "1.0")
    with pytest.raises(RolloutError, match=rf"expected Ray 1.0 and Python .* got Ray {there} and"):
        connect(cluster.address)


@needs_ray
@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "ray://127.0.0.1:1", "listener"])
def test_an_address_where_no_ray_answers_is_one_line_within_ten_seconds(address: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        if address == "listener":
            address = f"127.0.0.1:{listener.getsockname()[1]}"
        started = time.monotonic()
        expected = (
            rf"^RAY_ADDRESS={address}: expected a Ray cluster, as host:port, auto or local, got"
        )
        with pytest.raises(RolloutError, match=expected) as caught:
            connect(address)
    assert time.monotonic() - started < 10
    assert "\n" not in str(caught.value)


def test_without_ray_an_address_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "find_spec", lambda _: None)
    with pytest.raises(RolloutError, match=r"^RAY_ADDRESS=auto: expected Ray .* `make cluster`"):
        connect("auto")


def test_an_episode_with_which_three_nodes_died_is_named() -> None:
    play = _Play([Episode(track_seed=7)], None)
    for node in ("a", "b"):
        assert play.next_job() == 0
        play.play_again({0}, node)
    with pytest.raises(RolloutError, match=r"^3 nodes died while they played .*seed=7.*was c"):
        play.play_again({0}, "c")


def test_recorded_episodes_in_flight_are_bounded_until_they_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray_engine, "RECORDED_IN_FLIGHT", 3)
    episodes = [Episode(track_seed=index, record=True) for index in range(6)]
    play = _Play(episodes, None)
    assert [play.next_job() for _ in range(4)] == [0, 1, 2, None]
    for job in (1, 2):
        play.end(job, packed(Outcome(episodes[job], 1.0, 1, 1, "lap")), None)
    assert play.next_job() is None
    assert list(play.in_order()) == []
    play.play_again({0}, "a node")  # what all others wait for is played whatever is in flight
    assert [play.next_job() for _ in range(2)] == [0, None]
    play.end(0, packed(Outcome(episodes[0], 1.0, 1, 1, "lap")), None)
    assert [outcome.episode for outcome in play.in_order()] == episodes[:3]
    assert [play.next_job() for _ in range(4)] == [3, 4, 5, None]


ENDLESS = """
from test_ray_engine import CANDIDATES, Episode, SlowTask, toys

with toys(SlowTask()) as engine:
    for _ in engine.play([Episode(track_seed=100, steps=20)] * 10_000, CANDIDATES):
        print("plays", flush=True)
"""


def descendants(pid: int) -> set[int]:
    """Processes that it started, and they."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found, more = set(), {pid}
    while more:
        found |= more
        more = {child for child, parent in parents.items() if parent in more} - found
    return found - {pid}


def runs(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def addresses(pids: set[int]) -> set[str]:
    """Where these processes listen, as /proc/net/tcp and tcp6 write addresses."""
    inodes = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for link in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    inodes.add(os.readlink(link).removeprefix("socket:[").removesuffix("]"))
    rows = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    return {row[1].rpartition(":")[0] for row in rows if row[3] == "0A" and row[9] in inodes}


def wait_for_the_end(pids: set[int]) -> None:
    until = time.monotonic() + 30
    while left := [pid for pid in pids if runs(pid)]:
        assert time.monotonic() < until, f"{left}: still there"
        time.sleep(0.1)


def endless_driver(**environment: str) -> subprocess.Popen[str]:
    """A driver that plays, and has had its first outcome."""
    driver = subprocess.Popen(
        [sys.executable, "-c", ENDLESS],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
    )
    assert driver.stdout is not None
    assert driver.stdout.readline() == "plays\n"
    return driver


@needs_ray
def test_a_driver_that_is_killed_leaves_no_actor_behind(cluster: Cluster) -> None:
    before = descendants(os.getpid())
    driver = endless_driver()
    actors = descendants(os.getpid()) - descendants(driver.pid) - before - {driver.pid}
    nodes = {pid for pid in actors if b"Node" in Path(f"/proc/{pid}/cmdline").read_bytes()}
    assert len(nodes) == 3
    with_workers = nodes.union(*map(descendants, nodes))
    assert len(with_workers) >= 6
    driver.kill()
    driver.wait()
    wait_for_the_end(with_workers)


@needs_ray
def test_local_listens_on_the_loopback_alone_and_ends_with_its_driver() -> None:
    driver = endless_driver(RAY_ADDRESS="local", WORLDMODELS_WORKERS="1")
    started = descendants(driver.pid)
    listening = addresses(started | {driver.pid})
    driver.kill()
    driver.wait()
    wait_for_the_end(started)
    loopback = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
    assert listening
    assert listening <= loopback


@needs_ray
@pytest.mark.slow
def test_a_generation_of_the_default_preset_is_the_local_engine_s(
    cluster: Cluster, tmp_path: Path
) -> None:
    from worldmodels.models.agent_policy import policy_maker
    from worldmodels.models.memory import MDNRNN
    from worldmodels.models.vae import VAE

    rng = np.random.default_rng(0)
    VAE((60, 80), 32, rng=rng).save(tmp_path / "vae.h5")
    MDNRNN(32, 256, 5, rng=rng).save(tmp_path / "memory.h5")
    candidates = 0.1 * rng.standard_normal((64, 867))
    episodes = [
        Episode(track_seed=2_000_000 + track, candidate=candidate, patience=100)
        for candidate in range(64)
        for track in range(2)
    ]
    policy = policy_maker(tmp_path, inputs=("z", "h"), latent="mean")
    arguments: dict[str, Any] = {"image_shape": (60, 80), "batch_size": 32}
    with LocalEngine(CarRacingTask(), policy, workers=2, **arguments) as local:
        here = list(local.play(episodes, candidates))
    with make_engine(CarRacingTask(), policy, **arguments) as remote:
        there = list(remote.play(episodes, candidates))
    assert here == there
    assert len({outcome.episode_return for outcome in here}) > 32
