"""Plays episodes on the machines of a Ray cluster, with the outcomes of `LocalEngine` to the bit.

On each node an actor holds a `Node`: worker processes, as many as Ray has cores there, that run the
code of the node's own clone. The driver asks a node what it is, uses it where it computes the same
bits, gives it as many episodes as it has slots, asks it for what has ended, and yields outcomes in
the list's order. What a node had when it died is played elsewhere; a node that joins is used. Read
`RayEngine.play` first, then `ray_cluster.connect` for what is asked of a cluster.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from worldmodels.car_racing.task import Task
from worldmodels.core.environment import Environment
from worldmodels.core.errors import WorldModelsError
from worldmodels.core.files import atomic_write
from worldmodels.core.wording import cut, listed, one_line
from worldmodels.rollouts.episode import Episode, Outcome, RolloutError
from worldmodels.rollouts.node import PASSED_ON, Node, PickledPolicy, description, unpacked
from worldmodels.rollouts.policies import Policy
from worldmodels.rollouts.ray_cluster import ADDRESS, connect
from worldmodels.rollouts.worker_pool import MAX_DEATHS, MAX_SILENCE

ANY_PROCESSOR = "WORLDMODELS_ANY_PROCESSOR"
STARTS_WITHIN = 60.0  # seconds: an actor on a busy node, or one that waits for its cores
SECONDS_BETWEEN_LOOKS = 1.0  # for nodes that join
SECONDS_OF_REST = 20.0  # of a node that was lost: whether it is dead Ray knows after 15
MAX_LOSSES = 3  # of a node that has played nothing between them, before it is not tried again
# Seconds without an answer before a node is lost, by its state. One that is examined waits for its
# cores and has no episodes; one that is starting may have to compile the simulator.
PATIENCE = {"examined": math.inf, "starting": 600.0, "playing": MAX_SILENCE}
SECONDS_OF_EXCHANGE = 0.5  # that a node waits for something to end
SAME_CODE = "bring its clone to the commit that is here: `git pull` and `make cluster` there"
RECORDED_IN_FLIGHT = 512  # recorded episodes that are played or wait to be written
MEMORY_OF_WORKER = 512 << 20  # bytes, for a batch of 32 environments and models of the default size


@dataclass
class _Remote:
    """The driver's side of a node."""

    name: str
    workers: int
    actor: Any
    reply: Any  # what it was asked for last, None where it is not asked anything
    state: Literal["examined", "starting", "playing"] = "examined"
    jobs: set[int] = field(default_factory=set)
    asked: float = field(default_factory=time.monotonic)


class _Play:
    """Which episodes wait, and which have ended."""

    def __init__(self, episodes: Sequence[Episode], candidates: Any) -> None:
        self.episodes = episodes
        self.candidates = candidates
        self._waiting = deque(range(len(episodes)))
        self._deaths = [0] * len(episodes)
        self._ended: dict[int, tuple[bytes, bytes | None]] = {}
        self.following = 0

    def next_job(self) -> int | None:
        """The next episode to be played, None where there is none for now."""
        if not self._waiting:
            return None
        job = self._waiting[0]
        started = len(self.episodes) - len(self._waiting) - self.following
        full = self.episodes[job].record and started >= RECORDED_IN_FLIGHT
        return None if full and job != self.following else self._waiting.popleft()

    def end(self, job: int, outcome: bytes, film: bytes | None) -> None:
        """An episode was played."""
        self._ended[job] = outcome, film

    def play_again(self, jobs: set[int], node: str) -> None:
        """A node died while it had these."""
        for job in sorted(jobs, reverse=True):
            self._deaths[job] += 1
            if self._deaths[job] >= MAX_DEATHS:
                raise RolloutError(
                    f"{self._deaths[job]} nodes died while they played {self.episodes[job]}: the "
                    f"last was {node}"
                )
            self._waiting.appendleft(job)

    def in_order(self) -> Iterator[Outcome]:
        """What follows what was yielded before; films are written on the way."""
        while self.following in self._ended:
            content, film = self._ended.pop(self.following)
            outcome = unpacked(content)
            outcome.episode = self.episodes[self.following]  # on the node the film was elsewhere
            if film is not None and outcome.episode.film:
                Path(outcome.episode.film).parent.mkdir(parents=True, exist_ok=True)
                with atomic_write(outcome.episode.film) as temporary:
                    temporary.write_bytes(film)
            self.following += 1
            yield outcome


class RayEngine:
    """The nodes of the cluster at RAY_ADDRESS; use it as a context manager.

    Args:
        task: what is played; the workers make the environments.
        make_policy: makes a policy of so many slots; called in the workers, so it must be
            picklable.
        image_shape: height and width that frames are resized to before anybody sees them.
        batch_size: environments a worker steps in lock step, the policy's batch shape.

    Raises:
        RolloutError: there is no such cluster, or none of its nodes can play.
    """

    def __init__(
        self,
        task: Task,
        make_policy: Callable[[int], Policy],
        *,
        image_shape: tuple[int, int],
        batch_size: int,
    ) -> None:
        if "ray" not in sys.modules or not sys.modules["ray"].is_initialized():
            connect(os.environ[ADDRESS])
        import ray

        self._ray = ray
        self._batch_size = batch_size
        self._image_shape = image_shape
        self._task, self._policy = ray.put(task), ray.put(PickledPolicy(make_policy))
        self._settings = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        self._remotes: dict[str, _Remote] = {}  # by the node's id, as what follows
        self._refused: set[str] = set()
        self._losses: Counter[str] = Counter()  # since the node last played
        self._rests_until: dict[str, float] = {}
        self._looked = -SECONDS_BETWEEN_LOOKS
        self._had_nodes = time.monotonic()
        self._look_for_nodes(joining=False)
        self._wait_for_nodes()

    def __enter__(self) -> RayEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all workers; the connection to the cluster stays until this process ends."""
        for remote in self._remotes.values():
            self._ray.kill(remote.actor)
        self._remotes = {}

    def play(
        self, episodes: Sequence[Episode], candidates: NDArray[np.float64] | None = None
    ) -> Iterator[Outcome]:
        """As `Engine.play` says. What a node had when it died is played elsewhere.

        Raises:
            RolloutError: a worker reported an error, an episode killed three workers, three nodes
                died with it, or no node has been left for two minutes.
        """
        play = _Play(episodes, self._ray.put(candidates))
        self._had_nodes = time.monotonic()
        for remote in self._remotes.values():
            if remote.state == "playing":
                self._begin(remote, play)
        while play.following < len(episodes):
            self._look_for_nodes(joining=True)
            self._hand_out(play)
            self._take(play)
            yield from play.in_order()

    def _look_for_nodes(self, *, joining: bool) -> None:
        """Make an actor on each node that has none."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        now = time.monotonic()
        if now - self._looked < SECONDS_BETWEEN_LOOKS:
            return
        self._looked = now
        self._rests_until = {one: until for one, until in self._rests_until.items() if until > now}
        left_alone = self._remotes.keys() | self._refused | self._rests_until.keys()
        for node in self._ray.nodes():
            node_id, workers = node["NodeID"], int(node["Resources"].get("CPU", 0))
            if node_id in left_alone or not node["Alive"] or workers == 0:
                continue
            name = f"{node['NodeManagerAddress']} ({node_id[:6]})"
            memory = node["Resources"].get("memory", 0)
            if memory < workers * MEMORY_OF_WORKER:
                self._refused.add(node_id)
                line = (
                    f"node {name}: expected {workers * MEMORY_OF_WORKER >> 20} MiB of memory for "
                    f"{workers} workers, got {int(memory) >> 20}; start Ray there with a smaller "
                    "--num-cpus"
                )
                if not joining:
                    raise RolloutError(line)
                _say(f"{line}; it is not used")
                continue
            there = NodeAffinitySchedulingStrategy(node_id, soft=False)
            actor = (
                self._ray.remote(Node)
                .options(num_cpus=workers, scheduling_strategy=there)
                .remote(self._settings)
            )
            self._remotes[node_id] = _Remote(name, workers, actor, actor.description.remote())

    def _wait_for_nodes(self) -> None:
        """Until each has said what it is, or for a minute."""
        until = time.monotonic() + STARTS_WITHIN
        while time.monotonic() < until and (
            any(remote.state == "examined" for remote in self._remotes.values())
            or (self._rests_until and not self._remotes)
        ):
            self._look_for_nodes(joining=True)
            self._take(None)
        silent = [one.name for one in self._remotes.values() if one.state == "examined"]
        if silent:  # they may still answer, and are used then
            _say(f"no answer yet, or no free cores: node {listed(silent)}")
        if len(silent) == len(self._remotes):
            self.close()
            raise RolloutError(
                f"{ADDRESS}={os.environ.get(ADDRESS)}: expected a node with free cores that can "
                "play, got none"
            )

    def _begin(self, remote: _Remote, play: _Play) -> None:
        remote.actor.begin.remote(play.candidates)
        remote.state, remote.jobs, remote.reply = "playing", set(), None

    def _hand_out(self, play: _Play) -> None:
        """Give the nodes that listen episodes, the one with the fewest for its workers first."""
        free = [
            one for one in self._remotes.values() if one.state == "playing" and one.reply is None
        ]
        given: list[list[tuple[int, Episode]]] = [[] for _ in free]
        while free:
            least = min(range(len(free)), key=lambda at: len(free[at].jobs) / free[at].workers)
            room = len(free[least].jobs) < free[least].workers * self._batch_size
            job = play.next_job() if room else None
            if job is None:
                break
            free[least].jobs.add(job)
            given[least].append((job, play.episodes[job]))
        for remote, episodes in zip(free, given, strict=True):
            if remote.jobs:
                remote.reply = remote.actor.exchange.remote(episodes, timeout=SECONDS_OF_EXCHANGE)
                remote.asked = time.monotonic()

    def _take(self, play: _Play | None) -> None:
        """Wait for a node's answer, and do what follows from it; give up nodes that are silent."""
        asked = {one.reply: node_id for node_id, one in self._remotes.items() if one.reply}
        if not asked:
            time.sleep(SECONDS_OF_EXCHANGE)
        ready, _ = self._ray.wait(list(asked), timeout=SECONDS_OF_EXCHANGE) if asked else ([], [])
        for reply in ready:
            self._answered(asked[reply], reply, play)
        for node_id, remote in list(self._remotes.items()):
            if remote.reply and time.monotonic() - remote.asked > PATIENCE[remote.state]:
                self._lose(node_id, play, why="is silent")
        if any(remote.state != "examined" for remote in self._remotes.values()):
            self._had_nodes = time.monotonic()
        elif time.monotonic() - self._had_nodes > MAX_SILENCE:
            raise RolloutError(
                f"{ADDRESS}={os.environ.get(ADDRESS)}: expected a node that can play, got none for "
                f"{MAX_SILENCE:.0f} seconds"
            )

    def _answered(self, node_id: str, reply: Any, play: _Play | None) -> None:
        from ray.exceptions import RayError, RayTaskError

        remote = self._remotes[node_id]
        try:
            answer = self._ray.get(reply)
        except RayTaskError as error:
            if isinstance(error.cause, WorldModelsError):
                raise RolloutError(f"node {remote.name}: {error.cause}") from None
            raise
        except RayError as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            if "creation task" in str(error):  # Ray's words where `Node` cannot be made
                self._refuse(
                    node_id, f"it cannot run this code: {one_line(lines[-1])}; {SAME_CODE}"
                )
            else:
                self._lose(node_id, play, why=one_line(lines[-1]))
            return
        remote.reply, remote.asked = None, time.monotonic()
        if remote.state == "examined":
            self._examine(node_id, answer)
        elif remote.state == "starting":
            if play:
                self._begin(remote, play)
            else:
                remote.state = "playing"
        elif play:
            if answer:
                del self._losses[node_id]
            for job, outcome, film in answer:
                remote.jobs.discard(job)
                play.end(job, outcome, film)

    def _examine(self, node_id: str, there: Environment) -> None:
        """Start the workers of a node; leave it alone where it computes other bits."""
        remote = self._remotes[node_id]
        differences = _differences(description(), there)
        if os.environ.get(ANY_PROCESSOR) == "1" and "processor" in differences:
            _say(f"node {remote.name} computes other bits: {differences.pop('processor')}")
        if differences:
            remedy = f"; {SAME_CODE}" if "code" in differences else ""
            if differences.keys() == {"processor"}:
                remedy = f"; {ANY_PROCESSOR}=1 uses it"
            said = "; ".join(differences.values())
            self._refuse(node_id, f"it computes other bits: {said}{remedy}")
        else:
            remote.state = "starting"
            remote.reply = remote.actor.start.remote(
                self._task,
                self._policy,
                image_shape=self._image_shape,
                batch_size=self._batch_size,
                workers=remote.workers,
            )

    def _refuse(self, node_id: str, why: str) -> None:
        """Leave a node alone, and say so."""
        remote = self._remotes.pop(node_id)
        self._ray.kill(remote.actor)
        self._refused.add(node_id)
        _say(f"node {remote.name} is not used, {why}")

    def _lose(self, node_id: str, play: _Play | None, *, why: str) -> None:
        """Do without a node for a while; what it had is played elsewhere."""
        remote = self._remotes.pop(node_id)
        self._ray.kill(remote.actor)
        self._losses[node_id] += 1
        self._rests_until[node_id] = time.monotonic() + SECONDS_OF_REST
        if self._losses[node_id] == MAX_LOSSES:
            self._refused.add(node_id)
            why += f"; it was lost {MAX_LOSSES} times and is not tried again"
        _say(f"node {remote.name} is lost, with {len(remote.jobs)} episodes: {why}")
        if play:
            play.play_again(remote.jobs, remote.name)


def _differences(here: Environment, there: Environment) -> dict[str, str]:
    """What decides the bits and is not the same here and there, said in words; settings are."""
    found = {}
    for name in here.keys() - {"settings"}:
        ours, theirs = here[name], there[name]
        if ours != theirs:
            if isinstance(ours, dict) and isinstance(theirs, dict):
                keys = [key for key in ours if ours[key] != theirs.get(key)]
                ours = {key: ours[key] for key in keys}
                theirs = {key: theirs.get(key) for key in keys}
            found[name] = f"{name}: {cut(str(theirs))} there, {cut(str(ours))} here"
    return found


def _say(line: str) -> None:
    print(f"worldmodels: {line}", file=sys.stderr, flush=True)
