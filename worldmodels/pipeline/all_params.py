"""All groups of params.yaml at once, and what no group can see alone.

Values that are fine one by one may be too much together: the limits here keep what the stages hold
at a time within a machine of 16 GB, and leave room above the paper's sizes. Read `load_all` first.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import get_type_hints

from worldmodels.car_racing.frames import EnvParams
from worldmodels.car_racing.task import ACTIONS
from worldmodels.core.params import (
    AGAIN_SUFFIX,
    BaseParams,
    check_disjoint,
    group_of,
    read_params,
    require_as_in,
    require_only_groups,
    require_together,
)
from worldmodels.core.plain_yaml import Value
from worldmodels.data.episodes import split_episodes
from worldmodels.inspection.vision_frames import InspectionParams
from worldmodels.models.controller import linear_layer
from worldmodels.models.determinism import ComputeParams
from worldmodels.models.encoding import EncodingParams
from worldmodels.models.memory import MemoryParams
from worldmodels.models.vae import VAEParams
from worldmodels.rollouts.agent_sampling import AgentSamplingParams
from worldmodels.rollouts.driver import DrivingParams
from worldmodels.rollouts.sampling import SamplingParams
from worldmodels.training.controller_params import ControllerParams
from worldmodels.training.evaluation import EvaluationParams

# Measured: a training step of V takes 430 bytes a pixel, 7 GB at this limit.
PIXELS_PER_BATCH = 2**24  # 4,096 frames of 64 x 64; the paper's 100 have 409,600
# A training step of M takes up to 41 bytes for each number that it predicts or remembers: 5.5 GB.
NUMBERS_PER_BATCH = 2**27  # the paper's sizes have 73 million
# Adam keeps three numbers for each weight, a rollout worker two: 0.5 GB a worker while it loads.
MEMORY_WEIGHTS = 2**27  # the paper's have 418,000
# Python tuples of windows: 2 GB.
WINDOWS = 2**24  # the paper's sizes make 10,000
# CMA-ES holds three to six float64 matrices of this squared, 0.5 GB each, and decomposes them.
CONTROLLER_NUMBERS = 8_000  # the paper's have 867; 2,048 hidden units and 32 latents, 6,243
CANDIDATE_NUMBERS = 2**24  # of a generation, float64, a copy in every worker: 134 MB
MEAN_NUMBERS = 2**27  # the mean of every generation is kept, float64: 1 GB
# A worker draws the noise of an episode when it begins, float32: 268 MB.
NOISE_NUMBERS = 2**26  # the paper's sizes draw a million

# What the second round cannot change, since it goes on with the models of the first.
SIZES = {
    "vae": ("latent_dim", "precision"),
    "memory": ("hidden_units", "mixtures"),
    "controller": ("inputs",),
}


@dataclass(frozen=True)
class AllParams:
    """What params.yaml says: one field for each of its groups.

    Raises:
        ParameterError: values that do not go together.
    """

    base: BaseParams
    env: EnvParams
    sampling: SamplingParams
    driving: DrivingParams
    compute: ComputeParams
    vae: VAEParams
    encoding: EncodingParams
    inspection: InspectionParams
    memory: MemoryParams
    controller: ControllerParams
    agent_sampling: AgentSamplingParams
    vae_again: VAEParams
    memory_again: MemoryParams
    controller_again: ControllerParams
    evaluation: EvaluationParams

    def __post_init__(self) -> None:
        for group, controller in (  # both rounds may validate on the same tracks
            ("controller", self.controller),
            ("controller_again", self.controller_again),
        ):
            check_disjoint(
                {
                    "sampling.first_seed": self.sampling.seeds,
                    "controller.first_seed": self.controller.training_seeds,
                    f"{group}.validation_first_seed": controller.validation_seeds,
                    "evaluation.first_seed": self.evaluation.seeds,
                    "driving.first_seed": self.driving.seeds,
                    "agent_sampling.first_seed": self.agent_sampling.seeds,
                    "controller_again.first_seed": self.controller_again.training_seeds,
                }
            )
        for group, keys in SIZES.items():
            for key in keys:
                require_as_in(group, getattr(self, group), getattr(self, group + AGAIN_SUFFIX), key)
        self._check_frames()
        self._check_memory()
        self._check_controller()

    def _check_frames(self) -> None:
        height, width = self.env.image_shape
        shape = {"env.image_shape": [height, width]}
        for key, batch_size in (
            ("vae.batch_size", self.vae.batch_size),
            ("vae_again.batch_size", self.vae_again.batch_size),
            ("encoding.batch_size", self.encoding.batch_size),
        ):
            pixels = batch_size * height * width
            require_together("pixels a batch", pixels, PIXELS_PER_BATCH, {key: batch_size, **shape})
        training, _ = split_episodes(self.sampling.episodes, self.base.validation_share)
        for key, batch_size in (
            ("vae.batch_size", self.vae.batch_size),
            ("vae_again.batch_size", self.vae_again.batch_size),
        ):
            require_together(
                "frames a batch, as many as there are to train on",
                batch_size,
                len(training) * self.sampling.steps,
                {
                    key: batch_size,
                    "sampling.episodes": self.sampling.episodes,
                    "sampling.steps": self.sampling.steps,
                    "base.validation_share": self.base.validation_share,
                },
            )

    def _check_memory(self) -> None:
        memory, latent_dim = self.memory, self.vae.latent_dim
        predicted = 3 * memory.mixtures * latent_dim  # weights, means, deviations
        sizes = {
            "memory.hidden_units": memory.hidden_units,
            "memory.mixtures": memory.mixtures,
            "vae.latent_dim": latent_dim,
        }
        inputs = latent_dim + ACTIONS + memory.hidden_units
        weights = memory.hidden_units * (4 * inputs + predicted)  # an LSTM has four gates
        require_together("weights of M", weights, MEMORY_WEIGHTS, sizes)
        driven = {"sampling": self.sampling, "agent_sampling": self.agent_sampling}
        for group, params, folders in (
            ("memory", memory, ["sampling"]),
            ("memory_again", self.memory_again, list(driven)),
        ):
            length = {f"{group}.sequence_length": params.sequence_length}
            steps = params.batch_size * params.sequence_length
            require_together(
                "numbers a batch",
                steps * (memory.hidden_units + predicted),
                NUMBERS_PER_BATCH,
                {f"{group}.batch_size": params.batch_size, **length, **sizes},
            )
            episodes = {f"{name}.episodes": driven[name].episodes for name in folders}
            most = {f"{name}.steps": driven[name].steps for name in folders}
            require_together(
                "training windows",
                sum(
                    driven[name].episodes * -(-driven[name].steps // params.sequence_length)
                    for name in folders
                ),
                WINDOWS,
                {**length, **episodes, **most},
            )

    def _check_controller(self) -> None:
        latent_dim, hidden_units = self.vae.latent_dim, self.memory.hidden_units
        numbers = linear_layer(
            self.controller.inputs, latent_dim=latent_dim, hidden_units=hidden_units
        ).parameters
        sizes = {
            "controller.inputs": list(self.controller.inputs),
            "memory.hidden_units": hidden_units,
            "vae.latent_dim": latent_dim,
        }
        require_together("numbers of C", numbers, CONTROLLER_NUMBERS, sizes)
        for group, params in (
            ("controller", self.controller),
            ("controller_again", self.controller_again),
        ):
            for key, count, maximum in (
                (f"{group}.population", params.population, CANDIDATE_NUMBERS),
                (f"{group}.generations", params.generations, MEAN_NUMBERS),
            ):
                what = f"numbers in all, {numbers} each"
                require_together(what, count * numbers, maximum, {key: count, **sizes})
        for group, driving, latent in (
            ("controller", self.controller, self.controller.latent),
            ("controller_again", self.controller_again, self.controller_again.latent),
            ("evaluation", self.evaluation, self.controller_again.latent),
        ):
            if latent == "sample":
                made_of = {
                    f"{group}.batch_size": driving.batch_size,
                    f"{group}.steps": driving.steps,
                    "vae.latent_dim": latent_dim,
                }
                noise = driving.batch_size * driving.steps * latent_dim
                require_together("numbers of noise", noise, NOISE_NUMBERS, made_of)


def load_all(path: str | Path = "params.yaml") -> AllParams:
    """Read and check all of params.yaml.

    Raises:
        WorldModelsError: the file is missing or is not plain YAML.
        ParameterError: one of its values, or some of them together, make no sense.
    """
    return all_of(read_params(path), path)


def all_of(groups: dict[str, dict[str, Value]], path: str | Path = "params.yaml") -> AllParams:
    """`load_all`, from what `read_params` read at `path`.

    Raises:
        ParameterError: one of the values, or some of them together, make no sense.
    """
    kinds = get_type_hints(AllParams)
    names = [field.name for field in dataclasses.fields(AllParams)]
    require_only_groups(groups, names)
    return AllParams(**{name: group_of(groups, name, kinds[name], path) for name in names})
