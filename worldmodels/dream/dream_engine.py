"""Plays episodes in a dream: an `engine.Engine` in which CMA-ES evolves C as it does in reality.

All candidates dream from the same moments, and are dealt the same luck. Read `DreamEngine.play`.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from worldmodels.core.errors import WorldModelsError
from worldmodels.dream.dream_params import DreamParams
from worldmodels.dream.imagination import agent_dream_graph
from worldmodels.dream.starts import DreamStarts
from worldmodels.models.inference import Graph
from worldmodels.models.memory import MDNRNN
from worldmodels.rollouts.episode import Episode, Outcome

ROWS = 256  # episodes that a thread dreams at once


class DreamEngine:
    """Plays episodes in M's dream.

    Args:
        memory: what dreams. starts: where dreams begin; an episode's track seed chooses one.
        params: the `dream` group.
        inputs: what the controllers read, ("z",) or ("z", "h").
        threads: among which to share the work; they change no result.

    Raises:
        WorldModelsError: the memory's outcome head was not trained.
    """

    def __init__(
        self,
        memory: MDNRNN,
        starts: DreamStarts,
        params: DreamParams,
        *,
        inputs: tuple[str, ...],
        threads: int,
    ) -> None:
        graph, self._controller = agent_dream_graph(
            memory, temperature=params.temperature, bounds=starts.bounds, inputs=inputs
        )
        self._graphs = [pickle.loads(pickle.dumps(graph)) for _ in range(threads)]
        self._starts, self._params = starts, params
        self._pool = ThreadPoolExecutor(threads)

    def __enter__(self) -> DreamEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def play(
        self, episodes: Sequence[Episode], candidates: NDArray[np.float64] | None = None
    ) -> Iterator[Outcome]:
        """As `Engine.play` says. A return is the sum of what M expects the steps to pay, and, with
        `later_weight`, the `LATER` steps after the last, each as likely as it is that the episode
        has come so far. Without what comes later, leaving the road at the end would cost nothing.
        """
        if candidates is None:
            raise WorldModelsError("a dream: expected candidates to drive, got none")
        weights = self._controller.stacked(candidates)
        parts = [episodes[start : start + ROWS] for start in range(0, len(episodes), ROWS)]
        threads = len(self._graphs)

        def dream_share(thread: int) -> list[list[Outcome]]:
            graph = self._graphs[thread]
            return [self._dream(part, weights, graph) for part in parts[thread::threads]]

        shares = list(self._pool.map(dream_share, range(threads)))
        for number in range(len(parts)):
            yield from shares[number % threads][number // threads]

    def _dream(
        self, episodes: Sequence[Episode], weights: NDArray[np.float32], graph: Graph
    ) -> list[Outcome]:
        steps = np.array([min(one.steps, self._params.steps) for one in episodes])
        seeds, of_episode = np.unique([one.track_seed for one in episodes], return_inverse=True)
        shape = (self._params.steps, self._starts.z.shape[1])
        moments, uniforms, normals = [], [], []
        for seed in seeds:
            rng = np.random.default_rng(seed)
            moments.append(rng.integers(len(self._starts.z)))
            uniforms.append(rng.random(shape, dtype=np.float32))
            normals.append(rng.standard_normal(shape, dtype=np.float32))
        uniform, normal = np.stack(uniforms, axis=1), np.stack(normals, axis=1)  # by step
        chosen = np.array(moments)[of_episode]
        z, hidden, cell = (
            each[chosen] for each in (self._starts.z, self._starts.hidden, self._starts.cell)
        )
        own = weights[[one.candidate for one in episodes]]
        returns, progress, alive = np.zeros(len(steps)), np.zeros(len(steps)), np.ones(len(steps))
        for step in range(steps.max()):
            luck = uniform[step, of_episode], normal[step, of_episode]
            z, hidden, cell, *outcome = graph(z, own, hidden, cell, *luck)
            reward, end, made, value = (each[:, 0] for each in outcome)
            counts = alive * (step < steps)
            returns += counts * reward
            progress += counts * made
            alive *= 1.0 - end
            returns += self._params.later_weight * alive * (step == steps - 1) * value
        return [
            Outcome(one, float(total), int(length), round(float(tiles)), "time_limit")
            for one, total, length, tiles in zip(episodes, returns, steps, progress, strict=True)
        ]
