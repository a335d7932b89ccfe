"""The worker processes of one machine: what is given to them is played, and who dies is replaced.

An engine says what is to be played and in which order outcomes are wanted; this hands it out. Read
`WorkerPool.outcomes`.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from collections import deque
from collections.abc import Callable
from multiprocessing.connection import wait
from typing import Generic

import numpy as np
from numpy.typing import NDArray

from worldmodels.car_racing.task import Task
from worldmodels.rollouts.episode import Episode, Outcome, RolloutError
from worldmodels.rollouts.policies import Policy
from worldmodels.rollouts.worker import Sent, run_worker

MAX_DEATHS = 3  # of workers on the same episode, before the episode itself is suspected
MAX_SILENCE = 120.0  # seconds without a sign of life before a worker counts as hung


class _Handle:
    """The pool's side of one worker."""

    def __init__(self, *worker_args: object) -> None:
        context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=run_worker, args=(theirs, *worker_args), daemon=True)
        self.process.start()
        theirs.close()
        self.jobs: set[int] = set()
        self.heard = time.monotonic()

    def send(self, kind: str, payload: object) -> None:
        # A dead worker's pipe is broken; it also reads as ended, and the pool replaces the worker.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.pipe.send((kind, payload))

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


class WorkerPool(Generic[Sent]):
    """So many workers, each with a batch of environments.

    Args:
        task: what is played; the workers make the environments.
        make_policy: makes a policy of so many slots; called in the workers, so it must be
            picklable.
        image_shape: height and width of the frames that policies see.
        batch_size: environments that a worker steps in lock step.
        workers: processes.
        pack: makes of an outcome, in the worker, what comes back; picklable.
    """

    def __init__(
        self,
        task: Task,
        make_policy: Callable[[int], Policy],
        *,
        image_shape: tuple[int, int],
        batch_size: int,
        workers: int,
        pack: Callable[[Outcome], Sent],
    ) -> None:
        self._worker_args = (task, make_policy, image_shape, batch_size, pack)
        self._batch_size = batch_size
        self._handles = [_Handle(*self._worker_args) for _ in range(workers)]
        self._candidates: NDArray[np.float64] | None = None
        self._waiting: deque[int] = deque()
        self._episodes: dict[int, Episode] = {}  # that wait or are played, by their job
        self._deaths: dict[int, int] = {}

    def close(self) -> None:
        """End all workers."""
        for handle in self._handles:
            handle.end()
        self._handles = []

    def begin(self, candidates: NDArray[np.float64] | None) -> None:
        """Forget all episodes that were added; these candidates drive those that will be."""
        self._candidates = candidates
        self._waiting.clear()
        self._episodes.clear()
        self._deaths.clear()
        for handle in list(self._handles):
            if handle.jobs:  # of a play that was given up
                self._replace(handle)
            else:
                handle.send("candidates", candidates)

    def add(self, job: int, episode: Episode) -> None:
        """Have an episode played; `outcomes` calls it by its job."""
        self._waiting.append(job)
        self._episodes[job] = episode

    def outcomes(self, *, timeout: float) -> list[tuple[int, Sent]]:
        """What has ended, each job with its outcome; waits so many seconds for one.

        A worker that dies or hangs is replaced and its episodes are played again.

        Raises:
            RolloutError: a worker reported an error, or an episode killed three workers.
        """
        ended = []
        self._hand_out()
        by_pipe = {handle.pipe: handle for handle in self._handles}
        for pipe in wait(list(by_pipe), timeout):
            handle = by_pipe[pipe]  # type: ignore[index]
            try:
                kind, *payload = handle.pipe.recv()
            except (EOFError, ConnectionResetError):
                self._play_again(handle)
                continue
            handle.heard = time.monotonic()
            if kind == "error":
                raise RolloutError(f"a rollout worker failed: {payload[0]}")
            if kind == "outcome":
                job, outcome = payload
                handle.jobs.discard(job)
                del self._episodes[job]
                ended.append((job, outcome))
        for handle in list(self._handles):
            if handle.jobs and time.monotonic() - handle.heard > MAX_SILENCE:
                self._play_again(handle)
        return ended

    def _hand_out(self) -> None:
        """Give every free slot an episode, the workers in turn so that each gets its share.

        An episode during which a worker died is played alone, so that the next death has one cause.
        """
        free = True
        while self._waiting and free:
            free = False
            for handle in self._handles:
                if not self._waiting:
                    break
                suspects = self._deaths.keys()
                alone = self._waiting[0] in suspects or not suspects.isdisjoint(handle.jobs)
                if len(handle.jobs) < (1 if alone else self._batch_size):
                    job = self._waiting.popleft()
                    if not handle.jobs:
                        handle.heard = time.monotonic()  # It had no reason to speak while idle.
                    handle.send("episode", (job, self._episodes[job]))
                    handle.jobs.add(job)
                    free = True

    def _play_again(self, handle: _Handle) -> None:
        """Replace a worker, and have its episodes played by others."""
        self._replace(handle)
        for job in sorted(handle.jobs, reverse=True):
            self._deaths[job] = self._deaths.get(job, 0) + 1
            if self._deaths[job] >= MAX_DEATHS:
                raise RolloutError(
                    f"{self._deaths[job]} workers died while they played {self._episodes[job]}: "
                    f"the last with exit code {handle.process.exitcode}; "
                    "-9 is a kill, usually for want of memory"
                )
            self._waiting.appendleft(job)

    def _replace(self, handle: _Handle) -> None:
        handle.end()
        fresh = _Handle(*self._worker_args)
        self._handles[self._handles.index(handle)] = fresh
        fresh.send("candidates", self._candidates)
