"""The knobs of the controller and of its evolution: the group `controller` of params.yaml.

Apart from the evolution itself, so that who checks parameters imports no CMA-ES. Read
`ControllerParams`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from worldmodels.car_racing.task import MAX_STEPS
from worldmodels.core.params import require, require_seeds, require_together
from worldmodels.models.controller import Latent, require_inputs

AT_MOST = {  # the paper: 16 episodes, 1,800 generations
    "episodes": 10_000,
    "generations": 100_000,
    "scouting": 1000,
    "validation_every": 100_000,
    "validation_episodes": 100_000,
}
EPISODES_PER_GENERATION = 2**20  # their list and what came of them take half a gigabyte
ENVIRONMENTS_PER_WORKER = 256  # of 6 MB each


@dataclass(frozen=True)
class ControllerParams:
    """The `controller` group of params.yaml; its comments there say more.

    inputs: what C reads: [z] or [z, h].
    latent: "sample" or "mean".
    population: candidates a generation.
    episodes: tracks that each candidate of a generation drives.
    generations: how many.
    steps: of an episode at most, training and validation alike.
    sigma: standard deviation of the search at the start. max_sigma: the most it may grow to.
    covariance: "full", or "diagonal" for one that stays so.
    restart_every: generations after which covariance and evolution paths are forgotten, and mean
        and step size kept; null for never.
    weight_decay: points of return that a candidate loses for each unit of its numbers' mean square
        when it is ranked (weight_decay of the paper's es.py).
    finalist_episodes: further tracks that the better half of a generation's candidates drives.
    scouting: new tracks for each that is driven: the mean vector drives them all first, and the
        candidates drive those where it did worst; 1 for the new tracks as they come.
    patience: steps without a new tile after which a training episode is given up; null for never.
    batch_size: environments a worker steps at once; the graph's batch shape.
    first_seed: the first training track; population plays no part, so there are generations *
        (episodes + finalist_episodes) * scouting of them.
    validation_every: generations between validations of the mean vector.
    validation_episodes: tracks it is validated on. validation_first_seed: the first of them.
    """

    inputs: tuple[str, ...]
    latent: Latent
    population: int
    episodes: int
    generations: int
    steps: int
    sigma: float
    max_sigma: float
    covariance: Literal["full", "diagonal"]
    restart_every: int | None
    weight_decay: float
    finalist_episodes: int
    scouting: int
    patience: int | None
    batch_size: int
    first_seed: int
    validation_every: int
    validation_episodes: int
    validation_first_seed: int

    def __post_init__(self) -> None:
        require_inputs(self.inputs)
        require("population", self.population, 2 <= self.population <= 4096, "2 to 4096")
        for name, maximum in AT_MOST.items():
            fits = 1 <= getattr(self, name) <= maximum
            require(name, getattr(self, name), fits, f"1 to {maximum}")
        further = self.finalist_episodes
        require("finalist_episodes", further, 0 <= further <= 10_000, "0 to 10000")
        require_together(
            "episodes a generation",
            self.episodes_per_generation,
            EPISODES_PER_GENERATION,
            {
                "episodes": self.episodes,
                "population": self.population,
                "finalist_episodes": self.finalist_episodes,
                "scouting": self.scouting,
            },
        )
        require("steps", self.steps, 1 <= self.steps <= MAX_STEPS, f"1 to {MAX_STEPS}")
        # tanh is flat long before weights of 1000; what moves them by less than 1e-6 is a mistake.
        require("sigma", self.sigma, 1e-6 <= self.sigma <= 1000, "1e-06 to 1000")
        max_sigma_fits = self.sigma <= self.max_sigma <= 1000
        require("max_sigma", self.max_sigma, max_sigma_fits, f"sigma, {self.sigma}, to 1000")
        require(
            "restart_every",
            self.restart_every,
            self.restart_every is None or 1 <= self.restart_every <= 100_000,
            "1 to 100000, or null",
        )
        # Returns are hundreds and weights ones: a decay of millions leaves nothing of the returns.
        require("weight_decay", self.weight_decay, 0 <= self.weight_decay <= 1e6, "0 to 1e+06")
        require(
            "patience",
            self.patience,
            self.patience is None or 1 <= self.patience <= MAX_STEPS,
            f"1 to {MAX_STEPS}, or null",
        )
        batch_size_fits = 1 <= self.batch_size <= ENVIRONMENTS_PER_WORKER
        require("batch_size", self.batch_size, batch_size_fits, f"1 to {ENVIRONMENTS_PER_WORKER}")
        require_seeds("first_seed", self.first_seed, self.generations * self.tracks_per_generation)
        validations = self.validation_episodes
        require_seeds("validation_first_seed", self.validation_first_seed, validations)

    @property
    def finalists(self) -> int:
        """Candidates that drive `finalist_episodes` more: CMA-ES's parents, those that it moves the
        mean towards."""
        return self.population // 2

    @property
    def tracks_per_generation(self) -> int:
        """New tracks that a generation takes."""
        return (self.episodes + self.finalist_episodes) * self.scouting

    @property
    def episodes_per_generation(self) -> int:
        """Episodes that a generation's candidates, and its mean vector scouting, drive."""
        scouted = self.tracks_per_generation if self.scouting > 1 else 0
        return self.population * self.episodes + self.finalists * self.finalist_episodes + scouted

    @property
    def training_seeds(self) -> range:
        """Track seeds that candidates are ranked on, those included that scouting passed over."""
        tracks = self.generations * self.tracks_per_generation
        return range(self.first_seed, self.first_seed + tracks)

    def generation_seeds(self, generation: int) -> range:
        """Those of `training_seeds` that a generation, from 1 on, has to itself. In this order, or
        from the hardest on where they were scouted, all its candidates drive the first `episodes`
        of them, and finalists the `finalist_episodes` that follow."""
        tracks = self.tracks_per_generation
        return self.training_seeds[(generation - 1) * tracks : generation * tracks]

    @property
    def validation_seeds(self) -> range:
        """Track seeds that the mean vector is chosen on."""
        first = self.validation_first_seed
        return range(first, first + self.validation_episodes)
