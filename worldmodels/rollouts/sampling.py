"""Which episodes are driven to be stored, and what they amount to."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from worldmodels.car_racing.task import MAX_STEPS
from worldmodels.car_racing.telemetry import COLUMNS, ROAD_HALF_WIDTH
from worldmodels.core.params import Params
from worldmodels.data.episodes import EpisodeData
from worldmodels.rollouts.episode import Episode, noise_seed
from worldmodels.rollouts.policies import PolicyName

Spread = Annotated[float, Field(ge=0, le=10)]


class SamplingParams(Params):
    """The `sampling` group of params.yaml: which episodes of a round are driven, and by whom.

    policy: who drives: a name of `policies.POLICIES`, or `agent`, that of the round before.
    episodes: how many. steps: each at most.
    patience: steps without a new tile after which an episode ends; null for never.
    random_start: start on a random tile of the track, as the paper's sampler does.
    noise: standard deviations of what is added to steering, gas and brake in the second half of the
        episodes; zeros for none.
    weight_noise: standard deviation of what is added to each of C's weights, in every other episode
        of the first half, so that M sees drives of other controllers; 0 for none.
    first_seed: the first track; the others follow.
    """

    policy: PolicyName | Literal["agent"]
    episodes: int = Field(ge=2, le=100_000)  # ten times the paper's
    steps: int = Field(ge=2, le=MAX_STEPS)
    patience: int | None = Field(ge=2, le=MAX_STEPS)
    random_start: bool
    noise: tuple[Spread, Spread, Spread]
    weight_noise: Spread
    first_seed: int = Field(ge=0)

    @property
    def seeds(self) -> range:
        """Track seeds that are driven."""
        return range(self.first_seed, self.first_seed + self.episodes)

    @property
    def noisy_seeds(self) -> range:
        """Track seeds that are driven with noise: the second half."""
        return self.seeds[self.episodes // 2 :]

    @property
    def perturbed_seeds(self) -> range:
        """Track seeds that a controller with other weights drives."""
        return self.seeds[1 : self.episodes // 2 : 2] if self.weight_noise else self.seeds[:0]

    def candidates(self, parameters: NDArray[np.float64], *, seed: int) -> NDArray[np.float64]:
        """A controller, and what is made of it for each of `perturbed_seeds`, (candidates,
        parameters)."""
        rng = np.random.default_rng([seed, self.first_seed])
        noise = rng.standard_normal((len(self.perturbed_seeds), len(parameters)))
        return np.concatenate([parameters[None], parameters + self.weight_noise * noise])


def sampling_episodes(params: SamplingParams, *, seed: int) -> list[Episode]:
    """The episodes to record, of a run with this `base.seed`."""
    perturbed = params.perturbed_seeds
    return [
        Episode(
            track_seed=track,
            noise_seed=noise_seed(seed, track),
            candidate=1 + perturbed.index(track) if track in perturbed else 0,
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
