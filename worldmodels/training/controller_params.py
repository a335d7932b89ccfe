"""The knobs of the controller and of its evolution: the group `controller` of params.yaml.

Apart from the evolution itself, so that who checks parameters imports no CMA-ES. Read
`ControllerParams`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator
from pydantic_core.core_schema import ValidationInfo

from worldmodels.car_racing.task import MAX_STEPS
from worldmodels.core.params import Params
from worldmodels.models.controller import INPUTS, Latent


class ControllerParams(Params):
    """The `controller` group of params.yaml; its comments there say more.

    environment: where candidates drive: the real one, M's dream, or first the dream.
    inputs: what C reads: [z] or [z, h].
    latent: "sample" or "mean".
    population: candidates a generation.
    episodes: tracks that each candidate of a generation drives.
    generations: how many, those of a dream not counted.
    steps: of an episode at most, training and validation alike.
    sigma: standard deviation of the search at the start. max_sigma: the most it may grow to.
    covariance: "full", or "diagonal" for one that stays so.
    restart_every: generations after which covariance and evolution paths are forgotten, and mean
        and step size kept; null for never.
    weight_decay: points of return that a candidate loses for each unit of its numbers' mean square
        when it is ranked (weight_decay of the paper's es.py).
    finalist_episodes: further tracks that the better half of a generation's candidates drives.
    track_pool: hard-track selection: new tracks for each that is driven. The mean vector drives
        them all first, the candidates those where it did worst; 1 for new tracks as they come.
    patience: steps without a new tile after which a training episode is given up; null for never.
    batch_size: environments a worker steps at once; the graph's batch shape.
    first_seed: the first training track; population plays no part, so there are generations *
        (episodes + finalist_episodes) * track_pool of them.
    validation_every: generations between validations of the mean vector.
    validation_episodes: tracks it is validated on. validation_first_seed: the first of them.
    """

    environment: Literal["car_racing", "dream", "dream_then_car_racing"]
    inputs: tuple[str, ...]
    latent: Latent
    population: int = Field(ge=2, le=4096)
    episodes: int = Field(ge=1, le=10_000)
    generations: int = Field(ge=1, le=100_000)
    steps: int = Field(ge=1, le=MAX_STEPS)
    # tanh is flat long before weights of 1000; what moves them by less than 1e-6 is a mistake.
    sigma: float = Field(ge=1e-6, le=1000)
    max_sigma: float = Field(le=1000)
    covariance: Literal["full", "diagonal"]
    restart_every: int | None = Field(ge=1, le=100_000)
    # Returns are hundreds and weights ones: a decay of millions leaves nothing of the returns.
    weight_decay: float = Field(ge=0, le=1e6)
    finalist_episodes: int = Field(ge=0, le=10_000)
    track_pool: int = Field(ge=1, le=1000)
    patience: int | None = Field(ge=1, le=MAX_STEPS)
    batch_size: int = Field(ge=1, le=256)  # environments of 6 MB each
    first_seed: int = Field(ge=0)
    validation_every: int = Field(ge=1, le=100_000)
    validation_episodes: int = Field(ge=1, le=100_000)
    validation_first_seed: int = Field(ge=0)

    @field_validator("inputs")
    @classmethod
    def _known_inputs(cls, inputs: tuple[str, ...]) -> tuple[str, ...]:
        if inputs not in INPUTS:
            raise ValueError("expected [z] or [z, h]")
        return inputs

    @field_validator("max_sigma")
    @classmethod
    def _not_below_sigma(cls, max_sigma: float, info: ValidationInfo) -> float:
        sigma = info.data.get("sigma", 0)
        if max_sigma < sigma:
            raise ValueError(f"expected at least sigma, {sigma}")
        return max_sigma

    @property
    def finalists(self) -> int:
        """Candidates that drive `finalist_episodes` more: CMA-ES's parents, those that it moves the
        mean towards."""
        return self.population // 2

    @property
    def tracks_per_generation(self) -> int:
        """New tracks that a generation takes."""
        return (self.episodes + self.finalist_episodes) * self.track_pool

    @property
    def episodes_per_generation(self) -> int:
        """Episodes that a generation's candidates drive, and its mean vector in the pool."""
        pool = self.tracks_per_generation if self.track_pool > 1 else 0
        return self.population * self.episodes + self.finalists * self.finalist_episodes + pool

    @property
    def training_seeds(self) -> range:
        """Track seeds that candidates are ranked on, and those of the pool that were too easy; none
        in a dream."""
        generations = 0 if self.environment == "dream" else self.generations
        tracks = generations * self.tracks_per_generation
        return range(self.first_seed, self.first_seed + tracks)

    def generation_seeds(self, generation: int) -> range:
        """Those of `training_seeds` that a generation, from 1 on, has to itself; a dream, which
        has no tracks, draws its luck from them, and from those behind. In this order, or
        from the hardest on where they are a pool, all its candidates drive the first `episodes`
        of them, and finalists the `finalist_episodes` that follow."""
        tracks = self.tracks_per_generation
        first = self.first_seed + (generation - 1) * tracks
        return range(first, first + tracks)

    @property
    def validation_seeds(self) -> range:
        """Track seeds that the mean vector is chosen on."""
        first = self.validation_first_seed
        return range(first, first + self.validation_episodes)
