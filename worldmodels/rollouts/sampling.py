"""Which episodes are driven to be stored, and what they amount to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldmodels.car_racing.task import MAX_STEPS
from worldmodels.car_racing.telemetry import COLUMNS, ROAD_HALF_WIDTH
from worldmodels.core.params import require, require_seeds
from worldmodels.data.episodes import EpisodeData
from worldmodels.rollouts.episode import Episode, noise_seed
from worldmodels.rollouts.policies import PolicyName

MAX_EPISODES = 100_000  # ten times the paper's


@dataclass(frozen=True)
class DrivesParams:
    """Which episodes are driven.

    episodes: how many. steps: each at most.
    patience: steps without a new tile after which an episode ends; null for never.
    random_start: start on a random tile of the track, as the paper's sampler does.
    first_seed: the first track; the others follow.
    """

    episodes: int
    steps: int
    patience: int | None
    random_start: bool
    first_seed: int

    def __post_init__(self) -> None:
        episodes_fit = 2 <= self.episodes <= MAX_EPISODES
        require("episodes", self.episodes, episodes_fit, f"2 to {MAX_EPISODES}")
        require("steps", self.steps, 2 <= self.steps <= MAX_STEPS, f"2 to {MAX_STEPS}")
        require(
            "patience",
            self.patience,
            self.patience is None or 2 <= self.patience <= MAX_STEPS,
            f"2 to {MAX_STEPS}, or null",
        )
        require_seeds("first_seed", self.first_seed, self.episodes)

    @property
    def seeds(self) -> range:
        """Track seeds that are driven."""
        return range(self.first_seed, self.first_seed + self.episodes)


@dataclass(frozen=True)
class SamplingParams(DrivesParams):
    """The `sampling` group of params.yaml.

    policy: who drives, a name of `policies.POLICIES`.
    """

    policy: PolicyName


def sampling_episodes(params: DrivesParams, *, seed: int) -> list[Episode]:
    """The episodes to record, of a run with this `base.seed`."""
    return [
        Episode(
            track_seed=track,
            noise_seed=noise_seed(seed, track),
            steps=params.steps,
            patience=params.patience,
            random_start=params.random_start,
            record=True,
        )
        for track in params.seeds
    ]


class SamplingSummary:
    """What the recorded episodes amount to, gathered one by one."""

    def __init__(self) -> None:
        self._returns: list[float] = []
        self._frames = self._on_road = 0

    def add(self, episode: EpisodeData) -> None:
        """Count an episode."""
        self._returns.append(float(episode.rewards.sum()))
        self._frames += len(episode.privileged)
        distance = np.abs(episode.privileged[:, COLUMNS.index("road_distance")])
        self._on_road += int((distance < ROAD_HALF_WIDTH).sum())

    def metrics(self) -> dict[str, int | float]:
        """Episodes, frames, mean return (rewards as they came), share of frames on the road."""
        return {
            "episodes": len(self._returns),
            "frames": self._frames,
            "return_mean": float(np.mean(self._returns)),
            "on_road_share": self._on_road / self._frames,
        }
