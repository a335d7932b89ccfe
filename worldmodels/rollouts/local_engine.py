"""Plays many episodes at once: a pool of worker processes, each stepping its environments in lock
step.

The engine knows nothing of models. It is given a task, something that makes a batched policy, and a
list of episodes to play; what comes back is in the list's order and does not depend on how many
workers there were, which of them played what, or in whose company. Read `LocalEngine.play` first,
then `worker_pool`, and `worker` for what happens inside a process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from worldmodels.car_racing.task import Task
from worldmodels.rollouts.cores import core_count
from worldmodels.rollouts.episode import Episode, Outcome, RolloutError
from worldmodels.rollouts.policies import Policy
from worldmodels.rollouts.worker_pool import WorkerPool


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
        self._pool = WorkerPool(
            task,
            make_policy,
            image_shape=image_shape,
            batch_size=batch_size,
            workers=workers or worker_count(),
            pack=_as_it_is,
        )

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all workers."""
        self._pool.close()

    def play(
        self, episodes: Sequence[Episode], candidates: NDArray[np.float64] | None = None
    ) -> Iterator[Outcome]:
        """Play all episodes; yield their outcomes in the order of `episodes`, each as soon as it
        and all before it have ended. A worker that dies or hangs is replaced and its episodes are
        played again.

        Raises:
            RolloutError: a worker reported an error, or an episode killed three workers.
        """
        self._pool.begin(candidates)
        for job, episode in enumerate(episodes):
            self._pool.add(job, episode)
        outcomes: dict[int, Outcome] = {}
        following = 0
        while following < len(episodes):
            outcomes.update(self._pool.outcomes(timeout=1.0))
            while following in outcomes:
                yield outcomes.pop(following)
                following += 1


def _as_it_is(outcome: Outcome) -> Outcome:
    return outcome
