"""Plays many episodes at once: a pool of worker processes, each stepping its environments in lock
step.

The engine knows nothing of models. It is given a task, something that makes a batched policy, and a
list of episodes to play; what comes back is in the list's order and does not depend on how many
workers there were, which of them played what, or in whose company. Read `LocalEngine.play` first,
then `_Worker.run`, which is what happens inside a process.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
import traceback
from bisect import insort
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

import cv2
import numpy as np
from numpy.typing import NDArray

from worldmodels.car_racing.task import Task
from worldmodels.core.errors import WorldModelsError
from worldmodels.rollouts.cores import core_count
from worldmodels.rollouts.episode import Episode, Outcome, RolloutError
from worldmodels.rollouts.episode_batch import EpisodeBatch
from worldmodels.rollouts.policies import Policy

MAX_DEATHS = 3  # of workers on the same episode, before the episode itself is suspected
MAX_SILENCE = 120.0  # seconds without a sign of life before a worker counts as hung
SIGN_OF_LIFE_EVERY = 5.0  # seconds


def worker_count() -> int:
    """WORLDMODELS_WORKERS, or the number of cores that this process may use.

    Raises:
        RolloutError: WORLDMODELS_WORKERS is not a whole number above 0.
    """
    text = os.environ.get("WORLDMODELS_WORKERS")
    if text is None:
        return core_count()
    if not text.isdigit() or int(text) < 1:
        raise RolloutError(
            f"WORLDMODELS_WORKERS: expected a whole number above 0, got {text!r}; "
            "unset it to use all cores"
        )
    return int(text)


class _Worker:
    """What runs in a process: one policy, a batch of environments, and a pipe to the engine."""

    def __init__(
        self,
        pipe: Connection,
        task: Task,
        make_policy: Callable[[int], Policy],
        *,
        image_shape: tuple[int, int],
        batch_size: int,
    ) -> None:
        self._pipe = pipe
        self._policy = make_policy(batch_size)
        self._batch = EpisodeBatch(task, slots=batch_size, image_shape=image_shape)
        self._free = list(range(batch_size))  # slots, in order
        self._jobs: dict[int, int] = {}  # what runs, by its slot
        self._queue: deque[tuple[int, Episode]] = deque()

    def run(self) -> None:
        """Play whatever the engine sends, until it hangs up."""
        told = time.monotonic()
        while True:
            self._receive(wait_for_work=not self._jobs)
            self._fill()
            running = sorted(self._jobs)
            actions = self._policy.act(self._batch.frames(running), running)
            outcomes = self._batch.step(running, actions)
            for slot, outcome in zip(running, outcomes, strict=True):
                if outcome is not None:
                    self._pipe.send(("outcome", self._jobs.pop(slot), outcome))
                    insort(self._free, slot)
            if time.monotonic() - told > SIGN_OF_LIFE_EVERY:
                told = time.monotonic()
                self._pipe.send(("alive",))

    def _receive(self, *, wait_for_work: bool) -> None:
        while self._pipe.poll(None if wait_for_work and not self._queue else 0):
            kind, payload = self._pipe.recv()
            if kind == "candidates":
                self._policy.set_candidates(payload)
            else:
                self._queue.append(payload)

    def _fill(self) -> None:
        while self._free and self._queue:
            slot = self._free.pop(0)
            self._jobs[slot], episode = self._queue.popleft()
            self._batch.begin(slot, episode)
            self._policy.begin(slot, episode)


def _run_worker(
    pipe: Connection,
    task: Task,
    make_policy: Callable[[int], Policy],
    image_shape: tuple[int, int],
    batch_size: int,
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the engine's to handle
    cv2.setNumThreads(1)  # a worker has one core; OpenCV's other thread would only spin
    try:
        _Worker(pipe, task, make_policy, image_shape=image_shape, batch_size=batch_size).run()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # The engine has gone; nobody is left to tell.
    except WorldModelsError as error:
        pipe.send(("error", str(error)))
    except Exception:
        pipe.send(("error", traceback.format_exc()))


class _Handle:
    """The engine's side of one worker."""

    def __init__(self, process: BaseProcess, pipe: Connection) -> None:
        self.process = process
        self.pipe = pipe
        self.jobs: set[int] = set()
        self.heard = time.monotonic()


class LocalEngine:
    """A pool of workers; use it as a context manager, so that they end with it.

    Args:
        task: what is played; the workers make the environments.
        make_policy: makes a policy of so many slots; called in the workers, so it must be
            picklable.
        image_shape: height and width that frames are resized to before anybody sees them.
        batch_size: environments a worker steps in lock step, the policy's batch shape.
        workers: processes; `worker_count()` if None.
    """

    def __init__(
        self,
        task: Task,
        make_policy: Callable[[int], Policy],
        *,
        image_shape: tuple[int, int],
        batch_size: int,
        workers: int | None = None,
    ) -> None:
        self._worker_args = (task, make_policy, image_shape, batch_size)
        self._batch_size = batch_size
        self._context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
        self._handles = [self._start() for _ in range(workers or worker_count())]

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all workers."""
        for handle in self._handles:
            self._end(handle)
        self._handles = []

    def play(
        self, episodes: Sequence[Episode], candidates: NDArray[np.float64] | None = None
    ) -> Iterator[Outcome]:
        """Play all episodes; yield their outcomes in the order of `episodes`, each as soon as it
        and all before it have ended. A worker that dies or hangs is replaced and its episodes are
        played again.

        Raises:
            RolloutError: a worker reported an error, or an episode killed three workers.
        """
        waiting = deque(enumerate(episodes))
        deaths = [0] * len(episodes)
        outcomes: dict[int, Outcome] = {}
        following = 0
        for handle in list(self._handles):
            if handle.jobs:  # of a play that was given up
                self._end(handle)
                self._start_instead(handle, candidates)
            else:
                self._send(handle, ("candidates", candidates))
        while following < len(episodes):
            self._hand_out(waiting, deaths)
            for handle in self._ready():
                try:
                    kind, *payload = handle.pipe.recv()
                except (EOFError, ConnectionResetError):
                    self._replace(handle, episodes, waiting, deaths, candidates)
                    continue
                handle.heard = time.monotonic()
                if kind == "error":
                    raise RolloutError(f"a rollout worker failed: {payload[0]}")
                if kind == "outcome":
                    job, outcome = payload
                    handle.jobs.discard(job)
                    outcomes[job] = outcome
            for handle in list(self._handles):
                if handle.jobs and time.monotonic() - handle.heard > MAX_SILENCE:
                    self._replace(handle, episodes, waiting, deaths, candidates)
            while following in outcomes:
                yield outcomes.pop(following)
                following += 1

    def _start(self) -> _Handle:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_run_worker, args=(theirs, *self._worker_args), daemon=True
        )
        process.start()
        theirs.close()
        return _Handle(process, ours)

    @staticmethod
    def _send(handle: _Handle, message: tuple[str, object]) -> None:
        # A dead worker's pipe is broken; it also reads as ended, and `play` replaces the worker.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            handle.pipe.send(message)

    def _hand_out(self, waiting: deque[tuple[int, Episode]], deaths: list[int]) -> None:
        """Give every free slot an episode, the workers in turn so that each gets its share.

        An episode during which a worker died is played alone, so that the next death has one cause.
        """
        free = True
        while waiting and free:
            free = False
            for handle in self._handles:
                if not waiting:
                    break
                alone = deaths[waiting[0][0]] > 0 or any(deaths[job] for job in handle.jobs)
                if len(handle.jobs) < (1 if alone else self._batch_size):
                    job, episode = waiting.popleft()
                    if not handle.jobs:
                        handle.heard = time.monotonic()  # It had no reason to speak while idle.
                    self._send(handle, ("episode", (job, episode)))
                    handle.jobs.add(job)
                    free = True

    def _ready(self) -> list[_Handle]:
        by_pipe = {handle.pipe: handle for handle in self._handles}
        return [by_pipe[pipe] for pipe in wait(list(by_pipe), timeout=1.0)]  # type: ignore[index]

    @staticmethod
    def _end(handle: _Handle) -> None:
        handle.process.kill()
        handle.process.join()
        handle.pipe.close()

    def _replace(
        self,
        handle: _Handle,
        episodes: Sequence[Episode],
        waiting: deque[tuple[int, Episode]],
        deaths: list[int],
        candidates: NDArray[np.float64] | None,
    ) -> None:
        self._end(handle)
        for job in sorted(handle.jobs, reverse=True):
            deaths[job] += 1
            if deaths[job] >= MAX_DEATHS:
                raise RolloutError(
                    f"{deaths[job]} workers died while they played {episodes[job]}: "
                    f"the last with exit code {handle.process.exitcode}; "
                    "-9 is a kill, usually for want of memory"
                )
            waiting.appendleft((job, episodes[job]))
        self._start_instead(handle, candidates)

    def _start_instead(self, handle: _Handle, candidates: NDArray[np.float64] | None) -> None:
        fresh = self._start()
        self._handles[self._handles.index(handle)] = fresh
        self._send(fresh, ("candidates", candidates))
