"""All groups of params.yaml at once, and what no group can see alone.

Values that are fine one by one may be too much together: the limits here keep what the stages hold
at a time within a machine of 16 GB, and leave room above the paper's sizes. Read `load_all` first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from worldmodels.car_racing.env_params import EnvParams
from worldmodels.car_racing.task import ACTIONS
from worldmodels.core.params import (
    MAX_SEED,
    ROUNDS,
    BaseParams,
    Group,
    ParameterError,
    Params,
    group_of,
    read_params,
    require_known,
)
from worldmodels.core.wording import cut, shown
from worldmodels.data.episodes import split_episodes
from worldmodels.dream.dream_params import DreamParams
from worldmodels.inspection.vision_frames import InspectionParams
from worldmodels.models.controller import linear_layer
from worldmodels.models.determinism import ComputeParams
from worldmodels.models.memory import MemoryParams
from worldmodels.models.vae import VAEParams
from worldmodels.pipeline.rounds import Round, rounds_of
from worldmodels.rollouts.driver import DrivingParams
from worldmodels.rollouts.sampling import SamplingParams
from worldmodels.training.controller_params import ControllerParams
from worldmodels.training.disturbed_evaluation import RobustnessParams
from worldmodels.training.evaluation import EvaluationParams

# Measured: a training step of V takes 430 bytes a pixel, 7 GB at this limit.
MAX_BATCH_PIXELS = 2**24  # 4,096 frames of 64 x 64; the paper's 100 have 409,600
# A training step of M takes up to 41 bytes for each number that it predicts or remembers: 5.5 GB.
MAX_BATCH_NUMBERS = 2**27  # the paper's sizes have 73 million
# Adam keeps three numbers for each weight, a rollout worker two: 0.5 GB a worker while it loads.
MAX_MEMORY_WEIGHTS = 2**27  # the paper's have 418,000
# Python tuples of windows: 2 GB.
MAX_WINDOWS = 2**24  # the paper's sizes make 10,000
# CMA-ES holds three to six float64 matrices of this squared, 0.5 GB each, and decomposes them.
MAX_CONTROLLER_PARAMETERS = 8_000  # the paper's have 867; 2,048 hidden units and 32 latents, 6,243
MAX_GENERATION_PARAMETERS = 2**24  # of a generation, float64, a copy in every worker: 134 MB
MAX_MEAN_PARAMETERS = 2**27  # the mean of every generation is kept, float64: 1 GB
# A worker draws the noise of an episode when it begins, float32: 268 MB.
MAX_NOISE_NUMBERS = 2**26  # the paper's sizes draw a million
# Their list and what came of them take half a gigabyte.
MAX_GENERATION_EPISODES = 2**20

COMMON: dict[str, type[Params]] = {  # groups of all rounds
    "base": BaseParams,
    "env": EnvParams,
    "driving": DrivingParams,
    "compute": ComputeParams,
    "inspection": InspectionParams,
    "evaluation": EvaluationParams,
    "robustness": RobustnessParams,
}
OF_A_ROUND: dict[str, type[Params]] = {  # groups that a round may override
    "sampling": SamplingParams,
    "vae": VAEParams,
    "memory": MemoryParams,
    "controller": ControllerParams,
    "dream": DreamParams,
}
# What no round overrides, since the models of one are the beginning of the next.
SIZES = {
    "vae": ("latent_dim", "precision"),
    "memory": ("hidden_units", "mixtures"),
    "controller": ("inputs",),
}


@dataclass(frozen=True)
class RoundParams:
    """What params.yaml says of a round: the common groups with its overrides.

    Raises:
        ParameterError: values that do not go together.
    """

    round: Round
    sampling: SamplingParams
    vae: VAEParams
    memory: MemoryParams
    controller: ControllerParams
    dream: DreamParams


@dataclass(frozen=True)
class AllParams:
    """What params.yaml says: the groups of all rounds, and each round's by its name.

    Raises:
        ParameterError: values that do not go together.
    """

    base: BaseParams
    env: EnvParams
    driving: DrivingParams
    compute: ComputeParams
    inspection: InspectionParams
    evaluation: EvaluationParams
    robustness: RobustnessParams
    rounds: Mapping[str, RoundParams]

    def __post_init__(self) -> None:
        if self.evaluation.round not in self.rounds:
            expected = ", ".join(self.rounds)
            got = shown(self.evaluation.round)
            raise ParameterError(f"expected one of {expected}, got {got}", key="evaluation.round")
        self._check_seeds()
        for one in self.rounds.values():
            if one.sampling.policy == "agent" and not one.round.before:
                raise ParameterError(
                    "expected a policy that explores, got 'agent': no agent is there before the "
                    "first round",
                    key="sampling.policy",
                )
            if one.vae.epochs == 0 and not one.round.before:
                raise ParameterError(
                    "expected 1 or more in the first round, got 0: there is no V before it to keep",
                    key="vae.epochs",
                )
            self._check_frames(one)
            self._check_memory(one)
            self._check_controller(one)
            if one.controller.environment != "car_racing" and not one.memory.outcome_weight:
                raise ParameterError(
                    f"expected more than 0, since controller.environment of round "
                    f"{one.round.name} is {one.controller.environment}, got 0: M has to learn what "
                    "a dream pays",
                    key="memory.outcome_weight",
                )
        self._check_noise(
            "evaluation", self.evaluation, self.rounds[self.evaluation.round].controller.latent
        )

    def _check_seeds(self) -> None:
        """No track serves two purposes; but rounds may validate on the same."""
        purposes = {
            "driving.first_seed": self.driving.seeds,
            "evaluation.first_seed": self.evaluation.seeds,
        }
        for name, one in self.rounds.items():
            purposes[f"{ROUNDS}.{name}.sampling.first_seed"] = one.sampling.seeds
            purposes[f"{ROUNDS}.{name}.controller.first_seed"] = one.controller.training_seeds
        require_disjoint(purposes)
        for name, one in self.rounds.items():
            key = f"{ROUNDS}.{name}.controller.validation_first_seed"
            for other, seeds in purposes.items():
                require_disjoint({key: one.controller.validation_seeds, other: seeds})

    def _check_frames(self, one: RoundParams) -> None:
        height, width = self.env.image_shape
        shape = {"env.image_shape": [height, width]}
        pixels = one.vae.batch_size * height * width
        together = {"vae.batch_size": one.vae.batch_size, **shape}
        require_together("pixels a batch", pixels, MAX_BATCH_PIXELS, together)
        driven = list(self._driven(one))
        training, _ = split_episodes(
            sum(sampling.episodes for sampling in driven), self.base.validation_share
        )
        require_together(
            "frames a batch, as many as there are to train on",
            one.vae.batch_size,
            len(training) * max(sampling.steps for sampling in driven),
            {
                "vae.batch_size": one.vae.batch_size,
                "sampling.episodes": [sampling.episodes for sampling in driven],
                "sampling.steps": [sampling.steps for sampling in driven],
                "base.validation_share": self.base.validation_share,
            },
        )

    def _driven(self, one: RoundParams) -> Iterator[SamplingParams]:
        """What was sampled for a round, before it and in it."""
        for name in (*one.round.before, one.round.name):
            yield self.rounds[name].sampling

    def _check_memory(self, one: RoundParams) -> None:
        memory, latent_dim = one.memory, one.vae.latent_dim
        predicted = 3 * memory.mixtures * latent_dim  # weights, means, deviations
        sizes = {
            "memory.hidden_units": memory.hidden_units,
            "memory.mixtures": memory.mixtures,
            "vae.latent_dim": latent_dim,
        }
        inputs = latent_dim + ACTIONS + memory.hidden_units
        weights = memory.hidden_units * (4 * inputs + predicted)  # an LSTM has four gates
        require_together("weights of M", weights, MAX_MEMORY_WEIGHTS, sizes)
        length = {"memory.sequence_length": memory.sequence_length}
        steps = memory.batch_size * memory.sequence_length
        require_together(
            "numbers a batch",
            steps * (memory.hidden_units + predicted),
            MAX_BATCH_NUMBERS,
            {"memory.batch_size": memory.batch_size, **length, **sizes},
        )
        driven = list(self._driven(one))
        windows = sum(
            sampling.episodes * -(-sampling.steps // memory.sequence_length) for sampling in driven
        )
        made_of = {
            "sampling.episodes": [sampling.episodes for sampling in driven],
            "sampling.steps": [sampling.steps for sampling in driven],
        }
        require_together("training windows", windows, MAX_WINDOWS, {**length, **made_of})

    def _check_controller(self, one: RoundParams) -> None:
        params = one.controller
        latent_dim, hidden_units = one.vae.latent_dim, one.memory.hidden_units
        size = linear_layer(
            params.inputs, latent_dim=latent_dim, hidden_units=hidden_units
        ).parameters
        sizes = {
            "controller.inputs": list(params.inputs),
            "memory.hidden_units": hidden_units,
            "vae.latent_dim": latent_dim,
        }
        require_together("parameters of C", size, MAX_CONTROLLER_PARAMETERS, sizes)
        for key, count, maximum in (
            ("controller.population", params.population, MAX_GENERATION_PARAMETERS),
            ("controller.generations", params.generations, MAX_MEAN_PARAMETERS),
        ):
            what = f"parameters in all, {size} each"
            require_together(what, count * size, maximum, {key: count, **sizes})
        require_together(
            "episodes a generation",
            params.episodes_per_generation,
            MAX_GENERATION_EPISODES,
            {
                f"controller.{key}": getattr(params, key)
                for key in ("episodes", "population", "finalist_episodes", "track_pool")
            },
        )
        self._check_noise("controller", params, params.latent)

    def _check_noise(
        self, group: str, driving: ControllerParams | EvaluationParams, latent: str
    ) -> None:
        latent_dim = next(iter(self.rounds.values())).vae.latent_dim
        if latent == "sample":
            made_of = {
                f"{group}.batch_size": driving.batch_size,
                f"{group}.steps": driving.steps,
                "vae.latent_dim": latent_dim,
            }
            noise = driving.batch_size * driving.steps * latent_dim
            require_together("numbers of noise", noise, MAX_NOISE_NUMBERS, made_of)


def load_all(path: str | Path = "params.yaml") -> AllParams:
    """Read and check all of params.yaml.

    Raises:
        WorldModelsError: the file is missing or is not plain YAML.
        ParameterError: one of its values, or some of them together, make no sense.
    """
    return all_of(read_params(path))


def all_of(groups: Mapping[str, Group]) -> AllParams:
    """`load_all`, from what `read_params` read.

    Raises:
        ParameterError: one of the values, or some of them together, make no sense.
    """
    require_known(groups, [*COMMON, *OF_A_ROUND, ROUNDS])
    rounds = rounds_of(groups)
    common = {name: group_of(groups, name, cls) for name, cls in COMMON.items()}
    of_rounds = {}
    for name, round_ in rounds.items():
        own = groups[ROUNDS][name]
        assert isinstance(own, dict)  # rounds_of has seen to it
        require_known(own, ["after", *OF_A_ROUND], place=f"{ROUNDS}.{name}.")
        merged = {
            group: group_of(groups, group, cls, round_name=name)
            for group, cls in OF_A_ROUND.items()
        }
        for group, keys in SIZES.items():
            said = own[group]
            for key in keys:
                if isinstance(said, dict) and key in said:
                    raise ParameterError(
                        f"expected only in {group}, since every round goes on with the models of "
                        f"the one before: remove it, and change {group}.{key}",
                        key=f"{ROUNDS}.{name}.{group}.{key}",
                    )
        of_rounds[name] = RoundParams(round_, **merged)  # type: ignore[arg-type]
    return AllParams(**common, rounds=of_rounds)  # type: ignore[arg-type]


def require_disjoint(ranges: Mapping[str, range]) -> None:
    """Refuse track seeds that serve two purposes, or are too large; `ranges` maps dotted keys to
    seeds (step 1).

    Raises:
        ParameterError: names the range, or the first two that share a seed.
    """
    for key, seeds in ranges.items():
        if seeds.stop - 1 > MAX_SEED:
            expected = f"at most {MAX_SEED - len(seeds) + 1}, so that {len(seeds)} seeds fit"
            raise ParameterError(f"expected {expected}, got {cut(str(seeds.start))}", key=key)
    for (key, seeds), (other_key, other_seeds) in combinations(ranges.items(), 2):
        if max(seeds.start, other_seeds.start) < min(seeds.stop, other_seeds.stop):
            raise ParameterError(
                f"expected tracks that nothing else uses, got seeds {_span(seeds)}, which overlap "
                f"seeds {_span(other_seeds)} of {other_key}: move one of the two",
                key=key,
            )


def require_together(what: str, numbers: int, maximum: int, made_of: Mapping[str, object]) -> None:
    """Refuse values that are fine alone and too much together.

    Args:
        what: they amount to. numbers: how many. maximum: how many there may be.
        made_of: the values, by their dotted keys.

    Raises:
        ParameterError: names the first key, and what the others are.
    """
    if numbers > maximum:
        values = ", ".join(f"{key} {cut(repr(value))}" for key, value in made_of.items())
        problem = f"expected at most {maximum} {what}, got {numbers} from {values}: change one"
        raise ParameterError(problem, key=next(iter(made_of)))


def _span(seeds: range) -> str:
    return f"{seeds.start}-{seeds.stop - 1}" if len(seeds) > 1 else f"{seeds.start}"
