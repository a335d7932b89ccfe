"""Plays episodes: what an engine promises, and the one place where it is chosen.

Everything that drives (sampling, evolution, evaluation) is handed an engine and knows no more of it
than `Engine.play`. Read `Engine`, then `make_engine`, `local_engine` and `ray_engine`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from worldmodels.car_racing.task import Task
from worldmodels.rollouts.episode import Episode, Outcome
from worldmodels.rollouts.local_engine import LocalEngine
from worldmodels.rollouts.policies import Policy


class Engine(Protocol):
    """Plays many episodes at once; a context manager that ends what it started."""

    def play(
        self, episodes: Sequence[Episode], candidates: NDArray[np.float64] | None = None
    ) -> Iterator[Outcome]:
        """Play all episodes; yield their outcomes in the order of `episodes`.

        Args:
            episodes: to play.
            candidates: for the policy, (candidates, parameters); `Episode.candidate` numbers them.

        Raises:
            RolloutError: an episode could not be played.
        """

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def make_engine(
    task: Task,
    make_policy: Callable[[int], Policy],
    *,
    image_shape: tuple[int, int],
    batch_size: int,
) -> Engine:
    """The engine that this process plays episodes with: a cluster's where RAY_ADDRESS names one.

    Args:
        task: what is played.
        make_policy: makes a policy of so many slots, where the episodes are played: picklable.
        image_shape: height and width of the frames that policies see.
        batch_size: environments that are stepped at once by one worker.

    Raises:
        RolloutError: there is no such cluster, or none of its nodes can play.
    """
    if os.environ.get("RAY_ADDRESS"):
        from worldmodels.rollouts.ray_engine import RayEngine

        return RayEngine(task, make_policy, image_shape=image_shape, batch_size=batch_size)
    task.prepare(image_shape)
    return LocalEngine(task, make_policy, image_shape=image_shape, batch_size=batch_size)
