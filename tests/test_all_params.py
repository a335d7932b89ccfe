"""All of params.yaml at once: what no group can see alone, and that nonsense never gets through."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from params_files import KEYS, QUICK, Groups, changed, preset_groups
from project import ROOT

from worldmodels.core.params import ParameterError
from worldmodels.pipeline.all_params import SIZES, all_of, require_disjoint
from worldmodels.pipeline.presets import preset_names

SECOND = "rounds.second."


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"env.image_shape": [96, 96], "vae.batch_size": 1821},
            "vae.batch_size: expected at most 16777216 pixels a batch, got 16782336 from "
            "vae.batch_size 1821, env.image_shape [96, 96]",
        ),
        (
            {"vae.batch_size": 201},
            "vae.batch_size: expected at most 200 frames a batch, as many as there are to train "
            "on, got 201 from vae.batch_size 201, sampling.episodes [6], sampling.steps [40]",
        ),
        (
            {"memory.hidden_units": 4096, "memory.mixtures": 100, "vae.latent_dim": 64},
            "memory.hidden_units: expected at most 134217728 weights of M, got 146849792 from",
        ),
        (
            {"memory.batch_size": 4096, "memory.sequence_length": 1000},
            "memory.batch_size: expected at most 134217728 numbers a batch, got 2031616000 from",
        ),
        (
            {"memory.sequence_length": 1, "sampling.episodes": 100_000, "sampling.steps": 1000},
            "memory.sequence_length: expected at most 16777216 training windows, got 100000000",
        ),
        (
            {"memory.hidden_units": 4096},
            "controller.inputs: expected at most 8000 parameters of C, got 12387 from",
        ),
        (
            {"memory.hidden_units": 2048, "controller.population": 4096},
            "controller.population: expected at most 16777216 parameters in all, 6243 each, got",
        ),
        (
            {"memory.hidden_units": 2048, "controller.generations": 50_000},
            "controller.generations: expected at most 134217728 parameters in all, 6243 each, got",
        ),
        (
            {"controller.population": 4096, "controller.episodes": 257},
            "controller.episodes: expected at most 1048576 episodes a generation, got 1052672",
        ),
        (
            {"controller.latent": "sample", "vae.latent_dim": 1024, "evaluation.batch_size": 256}
            | {"evaluation.steps": 1000},
            "evaluation.batch_size: expected at most 67108864 numbers of noise, got 262144000",
        ),
        (
            {"evaluation.first_seed": 2**31 - 1},
            "evaluation.first_seed: expected at most 2147483646, so that 2 seeds fit",
        ),
        (
            {"driving.first_seed": 4_000_001},
            "driving.first_seed: expected tracks that nothing else uses, got seeds "
            "4000001-4000003, which overlap seeds 4000000-4000001 of evaluation.first_seed",
        ),
        (
            {SECOND + "sampling.first_seed": 1_000_005},
            "rounds.first.sampling.first_seed: expected tracks that nothing else uses, got seeds "
            "1000000-1000005, which overlap seeds 1000005-1000008 of rounds.second.sampling.first",
        ),
        (
            {"controller.generations": 100_000, "controller.episodes": 100},
            "driving.first_seed: expected tracks that nothing else uses, got seeds "
            "5000000-5000002, which overlap seeds 2000000-11999999 of rounds.first.controller",
        ),
        (
            {"controller.validation_first_seed": 1_000_001},
            "rounds.first.controller.validation_first_seed: expected tracks that nothing else "
            "uses, got seeds 1000001-1000002, which overlap seeds 1000000-1000005 of "
            "rounds.first.sampling.first_seed",
        ),
        (
            {SECOND + "controller.max_sigma": 0.07},
            "rounds.second.controller.max_sigma: expected at least sigma, 0.08, got 0.07",
        ),
    ],
)
def test_values_that_do_not_go_together_are_named(
    tiny_groups: Groups, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParameterError) as caught:
        all_of(changed(tiny_groups, changes))
    assert str(caught.value).startswith(message)


def test_neighbouring_and_empty_ranges_of_seeds_are_disjoint() -> None:
    require_disjoint({"a": range(10), "b": range(10, 20), "c": range(5, 5), "d": range(20, 21)})
    with pytest.raises(ParameterError, match=r"a: .* got seeds 0-99, which overlap seeds 50 of b:"):
        require_disjoint({"a": range(100), "b": range(50, 51)})


def test_rounds_may_validate_on_the_same_tracks(tiny_groups: Groups) -> None:
    changes = {SECOND + "controller.validation_episodes": 9}
    rounds = all_of(changed(tiny_groups, changes)).rounds
    assert rounds["first"].controller.validation_seeds == range(3_000_000, 3_000_002)
    assert rounds["second"].controller.validation_seeds == range(3_000_000, 3_000_009)


@pytest.mark.parametrize(("group", "key"), [(g, key) for g, keys in SIZES.items() for key in keys])
def test_a_round_does_not_change_the_models_sizes(
    tiny_groups: Groups, group: str, key: str
) -> None:
    place = f"{SECOND}{group}.{key}"
    with pytest.raises(ParameterError, match=f"^{place}: expected only in {group}, since"):
        all_of(changed(tiny_groups, {place: tiny_groups[group][key]}))


@pytest.mark.parametrize("name", preset_names(ROOT))
def test_presets_make_sense(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    all_of(preset_groups(name, tmp_path_factory.mktemp("preset")))


@pytest.mark.parametrize("key", KEYS)
def test_every_number_has_bounds(tiny_groups: Groups, key: str) -> None:
    value: Any = tiny_groups
    for name in key.split("."):
        value = value[name]
    if isinstance(value, int | float) and not isinstance(value, bool):
        for beyond in (-(10**30), 10**30):
            with pytest.raises(ParameterError, match=f"{key.rpartition('.')[2]}: expected"):
                all_of(changed(tiny_groups, {key: beyond}))


odd = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text("[]{},:&*!|>'\"%@#- \n0z", max_size=20)
    | st.sampled_from(["1e-4", "1_000", "0x20", "[z]", "[60, 80]", "mean", "9" * 2000, "&a [*a]"])
)
values = st.recursive(
    odd,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=6,
)


def test_a_strange_value_is_accepted_or_refused_in_one_line(tiny_groups: Groups) -> None:
    refusals: list[ParameterError | None] = []

    @QUICK
    @given(st.sampled_from(KEYS), values)
    def hold(key: str, value: object) -> None:
        refused = None
        try:
            all_of(changed(tiny_groups, {key: value}))
        except ParameterError as error:
            refused = error
        refusals.append(refused)
        assert refused is None or (refused.key and str(refused).isprintable())
        assert len(str(refused)) < 1200

    hold()
    assert None in refusals
    assert any(refusals)
