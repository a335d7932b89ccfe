"""A machine of a cluster, as the driver sees it: its worker processes, behind a few methods.

`ray_engine` makes an actor of a `Node` on each machine, from the code that is installed there. The
process that it lives in computes nothing: what plays is the workers of `worker_pool`, started with
the settings of local ones. Nothing here knows of Ray. Read `description`, then `Node.exchange`.
"""

from __future__ import annotations

import functools
import hashlib
import multiprocessing
import os
import pickle
import sys
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import mkstemp

import numpy as np
from numpy.typing import NDArray

import worldmodels
from worldmodels.car_racing.task import Task
from worldmodels.core.environment import Environment, environment
from worldmodels.core.inherited import RECORDED, use_own_settings
from worldmodels.rollouts.episode import Episode, Outcome
from worldmodels.rollouts.policies import Policy
from worldmodels.rollouts.worker_pool import WorkerPool

# What the driver's own workers would inherit, beside what `use_own_settings` fixes.
PASSED_ON = (*RECORDED, "PYTHONHASHSEED", "SDL_VIDEODRIVER")


def description() -> Environment:
    """What decides the bits that are computed here: the environment, and the code by its digest."""
    return {**environment(), "code": code_digest(Path(worldmodels.__file__).parent)}


@functools.cache
def code_digest(package: Path) -> str:
    """Sixteen digits that stand for all code of a package, and for the tables beside it."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        if path.suffix in (".py", ".npz"):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(package).as_posix()} {len(content)}\n".encode())
            digest.update(content)
    return digest.hexdigest()[:16]


class Node:
    """The workers of one machine; before `start` it only says what it is.

    Args:
        settings: the driver's values of `PASSED_ON`.
    """

    def __init__(self, settings: Mapping[str, str]) -> None:
        for name in PASSED_ON:
            os.environ.pop(name, None)
        use_own_settings()
        os.environ.update(settings)
        # Each worker would else begin by running the script that this process runs, which is Ray's.
        vars(sys.modules["__main__"]).pop("__file__", None)
        self._filmed: dict[int, str] = {}  # where to, by job

    def description(self) -> Environment:
        """As the function `description`, of this machine."""
        return description()

    def start(
        self,
        task: Task,
        make_policy: Callable[[int], Policy],
        *,
        image_shape: tuple[int, int],
        batch_size: int,
        workers: int,
    ) -> None:
        """Compile what is played, in a process with the settings of workers, and start them.

        Args:
            task: what is played.
            make_policy: makes a policy of so many slots, in the workers.
            image_shape: height and width of the frames that policies see.
            batch_size: environments that a worker steps in lock step.
            workers: processes.
        """
        context = multiprocessing.get_context("spawn")
        compiling = context.Process(target=task.prepare, args=(image_shape,))
        compiling.start()
        compiling.join()
        self._pool = WorkerPool(
            task,
            make_policy,
            image_shape=image_shape,
            batch_size=batch_size,
            workers=workers,
            pack=packed,
        )

    def begin(self, candidates: NDArray[np.float64] | None) -> None:
        """As `WorkerPool.begin`."""
        self._pool.begin(candidates)
        self._filmed.clear()

    def exchange(
        self, episodes: list[tuple[int, Episode]], *, timeout: float
    ) -> list[tuple[int, bytes, bytes | None]]:
        """Take episodes to play; give what has ended, waiting so many seconds for the first.

        Returns:
            job, packed outcome and film of each.

        Raises:
            RolloutError: as `WorkerPool.outcomes`.
        """
        for job, episode in episodes:
            if episode.film:
                handle, self._filmed[job] = mkstemp(prefix="worldmodels-", suffix=".mp4")
                os.close(handle)
                episode = replace(episode, film=self._filmed[job])
            self._pool.add(job, episode)
        return [
            (job, outcome, self._film(job)) for job, outcome in self._pool.outcomes(timeout=timeout)
        ]

    def _film(self, job: int) -> bytes | None:
        if job not in self._filmed:
            return None
        film = Path(self._filmed.pop(job))
        content = film.read_bytes()
        film.unlink()
        return content


def packed(outcome: Outcome) -> bytes:
    """An outcome with its recording, a tenth of its size: for the network."""
    return zlib.compress(pickle.dumps(outcome, protocol=pickle.HIGHEST_PROTOCOL), 1)


def unpacked(content: bytes) -> Outcome:
    """What `packed` made bytes of."""
    outcome: Outcome = pickle.loads(zlib.decompress(content))
    return outcome


class PickledPolicy:
    """Makes policies of what was pickled once: no process on the way to the workers reads it.

    Args:
        make_policy: makes a policy of so many slots.
    """

    def __init__(self, make_policy: Callable[[int], Policy]) -> None:
        self._pickled = pickle.dumps(make_policy)

    def __call__(self, batch_size: int) -> Policy:
        policy: Policy = pickle.loads(self._pickled)(batch_size)
        return policy
