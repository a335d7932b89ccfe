"""Numbers are taken up to their bounds and no further; too much together is refused."""

from __future__ import annotations

import math
from typing import Any, get_type_hints

import pytest
from params_files import KEYS, Groups, changed

from worldmodels.core.params import ParameterError, group_of
from worldmodels.pipeline.all_params import SIZES, AllParams, all_of


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {("env", "image_shape"): [96, 96], ("vae", "batch_size"): 1821},
            r"vae.batch_size: expected at most 16777216 pixels a batch, got 16782336 from "
            r"vae.batch_size 1821, env.image_shape \[96, 96\]",
        ),
        (
            {("env", "image_shape"): [96, 96], ("encoding", "batch_size"): 1821},
            "encoding.batch_size: expected at most 16777216 pixels a batch, got",
        ),
        (
            {("vae", "batch_size"): 201},
            r"vae.batch_size: expected at most 200 frames a batch, as many as there are to train "
            r"on, got 201 from vae.batch_size 201, sampling.episodes 6, sampling.steps 40",
        ),
        (
            {
                ("memory", "hidden_units"): 4096,
                ("memory", "mixtures"): 100,
                ("vae", "latent_dim"): 64,
            },
            "memory.hidden_units: expected at most 134217728 weights of M, got 146849792 from",
        ),
        (
            {("memory", "batch_size"): 4096, ("memory", "sequence_length"): 1000},
            "memory.batch_size: expected at most 134217728 numbers a batch, got 2031616000 from "
            "memory.batch_size 4096, memory.sequence_length 1000, memory.hidden_units 16",
        ),
        (
            {
                ("memory", "sequence_length"): 1,
                ("sampling", "episodes"): 100_000,
                ("sampling", "steps"): 1000,
            },
            "memory.sequence_length: expected at most 16777216 training windows, got 100000000",
        ),
        (
            {("memory", "hidden_units"): 4096},
            r"controller.inputs: expected at most 8000 numbers of C, got 12387 from "
            r"controller.inputs \['z', 'h'\], memory.hidden_units 4096, vae.latent_dim 32",
        ),
        (
            {("memory", "hidden_units"): 2048, ("controller", "population"): 4096},
            "controller.population: expected at most 16777216 numbers in all, 6243 each, got",
        ),
        (
            {("memory", "hidden_units"): 2048, ("controller", "generations"): 50_000},
            "controller.generations: expected at most 134217728 numbers in all, 6243 each, got",
        ),
        (
            {("controller", "population"): 4096, ("controller", "episodes"): 257},
            "controller.episodes: expected at most 1048576 episodes a generation, got 1052672",
        ),
        (
            {("controller", "population"): 4096, ("controller", "finalist_episodes"): 511},
            "controller.episodes: expected at most 1048576 episodes a generation, got 1050624 from "
            "episodes 1, population 4096, finalist_episodes 511, scouting 1",
        ),
        (
            {
                ("controller", "latent"): "sample",
                ("vae", "latent_dim"): 1024,
                ("evaluation", "batch_size"): 256,
                ("evaluation", "steps"): 1000,
            },
            "evaluation.batch_size: expected at most 67108864 numbers of noise, got 262144000",
        ),
        (
            {("evaluation", "first_seed"): 2**31 - 1},
            "evaluation.first_seed: expected 0 to 2147483646, so that 2 seeds stay below",
        ),
        (
            {("driving", "first_seed"): 4_000_001},
            "evaluation.first_seed: expected tracks that nothing else uses, got seeds "
            "4000000-4000001, which overlap seeds 4000001-4000003 of driving.first_seed",
        ),
        (
            {("controller", "generations"): 100_000, ("controller", "episodes"): 100},
            "controller.first_seed: expected tracks that nothing else uses, got seeds "
            "2000000-11999999, which overlap seeds 3000000-3000001 of "
            "controller.validation_first_seed",
        ),
        (
            {("controller", "generations"): 100_000, ("controller", "finalist_episodes"): 99},
            "controller.first_seed: expected tracks that nothing else uses, got seeds "
            "2000000-11999999, which overlap seeds 3000000-3000001 of "
            "controller.validation_first_seed",
        ),
        (
            {("env", "image_shape"): [96, 96], ("vae_again", "batch_size"): 1821},
            "vae_again.batch_size: expected at most 16777216 pixels a batch, got",
        ),
        (
            {("vae_again", "batch_size"): 201},
            "vae_again.batch_size: expected at most 200 frames a batch",
        ),
        (
            {("memory_again", "batch_size"): 4096, ("memory_again", "sequence_length"): 1000},
            "memory_again.batch_size: expected at most 134217728 numbers a batch, got 2031616000 "
            "from memory_again.batch_size 4096, memory_again.sequence_length 1000, memory.hidden_",
        ),
        (
            {
                ("memory_again", "sequence_length"): 1,
                ("agent_sampling", "episodes"): 100_000,
                ("agent_sampling", "steps"): 1000,
            },
            "memory_again.sequence_length: expected at most 16777216 training windows, got "
            "100000240 from memory_again.sequence_length 1, sampling.episodes 6, "
            "agent_sampling.episodes 100000, sampling.steps 40, agent_sampling.steps 1000",
        ),
        (
            {("memory", "hidden_units"): 2048, ("controller_again", "population"): 4096},
            "controller_again.population: expected at most 16777216 numbers in all, 6243 each",
        ),
        (
            {("memory", "hidden_units"): 2048, ("controller_again", "generations"): 50_000},
            "controller_again.generations: expected at most 134217728 numbers in all, 6243 each",
        ),
        (
            {
                ("controller_again", "latent"): "sample",
                ("vae", "latent_dim"): 1024,
                ("controller_again", "batch_size"): 256,
                ("controller_again", "steps"): 1000,
            },
            "controller_again.batch_size: expected at most 67108864 numbers of noise, got",
        ),
        (  # what is evaluated is the second round's
            {
                ("controller_again", "latent"): "sample",
                ("vae", "latent_dim"): 1024,
                ("evaluation", "batch_size"): 256,
                ("evaluation", "steps"): 1000,
            },
            "evaluation.batch_size: expected at most 67108864 numbers of noise, got 262144000",
        ),
        (
            {("agent_sampling", "first_seed"): 4_000_001},
            "evaluation.first_seed: expected tracks that nothing else uses, got seeds "
            "4000000-4000001, which overlap seeds 4000001-4000004 of agent_sampling.first_seed",
        ),
        (
            {("controller_again", "first_seed"): 2_000_001},
            "controller.first_seed: expected tracks that nothing else uses, got seeds "
            "2000000-2000001, which overlap seeds 2000001-2000004 of controller_again.first_seed",
        ),
        (
            {("controller_again", "validation_first_seed"): 4_000_000},
            "controller_again.validation_first_seed: expected tracks that nothing else uses, got "
            "seeds 4000000-4000001, which overlap seeds 4000000-4000001 of evaluation.first_seed",
        ),
        (
            {("controller_again", "sigma"): 0.2},
            "controller_again.max_sigma: expected sigma, 0.2, to 1000, got 0.15",
        ),
    ],
)
def test_values_too_much_together_are_refused(
    tiny_groups: Groups, changes: dict[tuple[str, str], Any], message: str
) -> None:
    with pytest.raises(ParameterError, match=f"^{message}"):
        all_of(changed(tiny_groups, changes))


@pytest.mark.parametrize(
    ("group", "key", "value", "shown"),
    [
        ("vae", "latent_dim", 16, "32 (int)"),
        ("vae", "precision", "bfloat16", "'float32' (str)"),
        ("memory", "hidden_units", 8, "16 (int)"),
        ("memory", "mixtures", 3, "5 (int)"),
        ("controller", "inputs", ["z"], "['z', 'h'] (list)"),
    ],
)
def test_the_second_round_cannot_change_a_size(
    tiny_groups: Groups, group: str, key: str, value: object, shown: str
) -> None:
    assert key in SIZES[group]
    said_again = {(f"{group}_again", key): tiny_groups[group][key]}
    all_of(changed(tiny_groups, said_again))  # is fine
    with pytest.raises(ParameterError) as caught:
        all_of(changed(tiny_groups, {(f"{group}_again", key): value}))
    message = str(caught.value)
    assert message.startswith(
        f"{group}_again.{key}: expected {shown}, as in {group}.{key}, since the second round goes "
        f"on with the first's models, got {value!r}"
    )
    assert f": remove it, and change {group}.{key}; " in message


def test_both_rounds_may_validate_on_the_same_tracks(tiny_groups: Groups) -> None:
    params = all_of(changed(tiny_groups, {("controller_again", "validation_episodes"): 9}))
    assert params.controller.validation_seeds == range(3_000_000, 3_000_002)
    assert params.controller_again.validation_seeds == range(3_000_000, 3_000_009)


def test_a_value_that_no_longer_fits_in_the_second_round_is_named_by_who_says_it(
    tiny_groups: Groups,
) -> None:
    groups = changed(tiny_groups, {("controller_again", "sigma"): 0.2})
    del groups["controller_again"]["max_sigma"]
    expected = (
        r"controller.max_sigma: expected sigma, 0.2, to 1000, got 0.15 \(float\); "
        "controller_again takes it over; "
    )
    with pytest.raises(ParameterError, match=f"^{expected}"):
        all_of(groups)


ENDLESS = 2**31 - 1


BOUNDS: dict[str, tuple[float, float]] = {
    "base.seed": (0, ENDLESS),
    "sampling.episodes": (2, 100_000),
    "sampling.steps": (2, 1000),
    "sampling.patience": (2, 1000),
    "sampling.first_seed": (0, ENDLESS - 5),  # of six episodes
    "driving.episodes": (1, 200),
    "driving.steps": (2, 1000),
    "driving.first_seed": (0, ENDLESS - 2),  # of three episodes
    "compute.threads": (1, 1024),
    "vae.latent_dim": (1, 1024),
    "vae.kl_tolerance": (0.0, 1000.0),
    "vae.beta": (0.0, 1000.0),
    "vae.learning_rate": (1e-9, 1.0),
    "vae.batch_size": (1, 4096),
    "vae.epochs": (1, 100_000),
    "vae.patience": (1, 100_000),
    "encoding.batch_size": (1, 4096),
    "inspection.frames": (8, 20_000),
    "inspection.map_frames": (16, 20_000),
    "memory.hidden_units": (1, 4096),
    "memory.mixtures": (1, 100),
    "memory.sequence_length": (1, 1000),
    "memory.batch_size": (1, 4096),
    "memory.epochs": (1, 100_000),
    "memory.learning_rate": (1e-9, 1.0),
    "memory.gradient_clip": (1e-9, 1e9),
    "controller.population": (2, 4096),
    "controller.episodes": (1, 10_000),
    "controller.generations": (1, 100_000),
    "controller.steps": (1, 1000),
    "controller.sigma": (1e-6, 1000.0),
    "controller.max_sigma": (0.1, 1000.0),  # from sigma on
    "controller.restart_every": (1, 100_000),
    "controller.weight_decay": (0.0, 1e6),
    "controller.finalist_episodes": (0, 10_000),
    "controller.scouting": (1, 1000),
    "controller.patience": (1, 1000),
    "controller.batch_size": (1, 256),
    "controller.first_seed": (0, ENDLESS - 1),  # of two generations of one episode
    "controller.validation_every": (1, 100_000),
    "controller.validation_episodes": (1, 100_000),
    "controller.validation_first_seed": (0, ENDLESS - 1),
    "agent_sampling.episodes": (2, 100_000),
    "agent_sampling.steps": (2, 1000),
    "agent_sampling.patience": (2, 1000),
    "agent_sampling.first_seed": (0, ENDLESS - 3),  # of four episodes
    "vae_again.learning_rate": (1e-9, 1.0),
    "vae_again.epochs": (1, 100_000),
    "memory_again.learning_rate": (1e-9, 1.0),
    "memory_again.epochs": (1, 100_000),
    "controller_again.episodes": (1, 10_000),
    "controller_again.generations": (1, 100_000),
    "controller_again.sigma": (1e-6, 1000.0),
    "controller_again.max_sigma": (0.08, 1000.0),  # from sigma on
    "controller_again.validation_episodes": (1, 100_000),
    "controller_again.scouting": (1, 1000),
    "controller_again.first_seed": (0, ENDLESS - 3),  # of two generations that scout two
    "evaluation.episodes": (1, 100_000),
    "evaluation.steps": (1, 1000),
    "evaluation.first_seed": (0, ENDLESS - 1),
    "evaluation.batch_size": (1, 256),
}


def test_every_number_has_bounds(tiny_groups: Groups) -> None:
    others = {"base.validation_share", "env.image_shape"}  # tested beside their dataclasses
    whole = {f"{group}.{key}" for group, key in KEYS if is_number(tiny_groups[group][key])}
    nulls = {"sampling.patience", "agent_sampling.patience", "controller.restart_every"}
    assert whole - others == set(BOUNDS) - nulls


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@pytest.mark.parametrize("key", BOUNDS)
def test_a_number_is_taken_up_to_its_bounds_and_no_further(tiny_groups: Groups, key: str) -> None:
    group, name = key.split(".")
    cls = get_type_hints(AllParams)[group]
    least, most = BOUNDS[key]

    def load(value: float) -> None:
        sigmas = {(group, "max_sigma"): 1000.0} if name == "sigma" else {}
        changes = {**sigmas, (group, name): value}
        group_of(changed(tiny_groups, changes), group, cls)

    for value in (least, most):
        load(value)
    beyond = (
        (least - 1, most + 1)
        if isinstance(least, int)
        else (least - 1e-12, math.nextafter(most, math.inf))
    )
    for value in (*beyond, -(10**30), 10**30):
        with pytest.raises(ParameterError, match=f"^{key}: expected .*, got"):
            load(value)
