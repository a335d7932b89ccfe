"""What runs in a worker process: one policy and a batch of environments, stepped in lock step.

Whoever the other end of the pipe belongs to, this is what plays. Read `Worker.run`.
"""

from __future__ import annotations

import signal
import time
import traceback
from bisect import insort
from collections import deque
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Generic, TypeVar

import cv2

from worldmodels.car_racing.task import Task
from worldmodels.core.errors import WorldModelsError
from worldmodels.rollouts.episode import Episode, Outcome
from worldmodels.rollouts.episode_batch import EpisodeBatch
from worldmodels.rollouts.policies import Policy

SIGN_OF_LIFE_EVERY = 5.0  # seconds

Sent = TypeVar("Sent")


class Worker(Generic[Sent]):
    """One policy, a batch of environments, and a pipe to the pool.

    Args:
        pipe: gets episodes and candidates, brings outcomes back.
        task: what is played.
        make_policy: makes a policy of so many slots.
        image_shape: height and width of the frames.
        batch_size: environments, the policy's batch shape.
        pack: makes of an outcome what is sent.
    """

    def __init__(
        self,
        pipe: Connection,
        task: Task,
        make_policy: Callable[[int], Policy],
        *,
        image_shape: tuple[int, int],
        batch_size: int,
        pack: Callable[[Outcome], Sent],
    ) -> None:
        self._pipe = pipe
        self._pack = pack
        self._policy = make_policy(batch_size)
        self._batch = EpisodeBatch(task, slots=batch_size, image_shape=image_shape)
        self._free = list(range(batch_size))  # slots, in order
        self._jobs: dict[int, int] = {}  # what runs, by its slot
        self._queue: deque[tuple[int, Episode]] = deque()

    def run(self) -> None:
        """Play whatever the pool sends, until it hangs up."""
        told = time.monotonic()
        while True:
            self._receive(wait_for_work=not self._jobs)
            self._fill()
            running = sorted(self._jobs)
            actions = self._policy.act(self._batch.frames(running), running)
            outcomes = self._batch.step(running, actions)
            for slot, outcome in zip(running, outcomes, strict=True):
                if outcome is not None:
                    self._pipe.send(("outcome", self._jobs.pop(slot), self._pack(outcome)))
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


def run_worker(
    pipe: Connection,
    task: Task,
    make_policy: Callable[[int], Policy],
    image_shape: tuple[int, int],
    batch_size: int,
    pack: Callable[[Outcome], object],
) -> None:
    """The main function of a worker process; see `Worker`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the engine's to handle
    cv2.setNumThreads(1)  # a worker has one core; OpenCV's other thread would only spin
    try:
        Worker(
            pipe, task, make_policy, image_shape=image_shape, batch_size=batch_size, pack=pack
        ).run()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # The pool has gone; nobody is left to tell.
    except WorldModelsError as error:
        pipe.send(("error", str(error)))
    except Exception:
        pipe.send(("error", traceback.format_exc()))
