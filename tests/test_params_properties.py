"""Thousands of parameter files: each is accepted and works, or is refused with one clear line.

Drawn by hypothesis, the same ones in every run. Read `refused_or_works` first.
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from params_files import KEYS, QUICK, Groups, preset_groups
from project import ROOT
from ruamel.yaml import YAML

from worldmodels.core.errors import WorldModelsError
from worldmodels.core.params import AGAIN_SUFFIX, ParameterError
from worldmodels.models.controller import linear_layer
from worldmodels.pipeline.all_params import AllParams, all_of, load_all
from worldmodels.pipeline.presets import preset_names
from worldmodels.rollouts.driver import driving_episodes
from worldmodels.rollouts.episode import Episode, Outcome, noise_seed
from worldmodels.rollouts.sampling import sampling_episodes
from worldmodels.training.evaluation import evaluation_episodes
from worldmodels.training.evolution import evolve
from worldmodels.training.evolution_log import EvolutionLog

INHERITED = [  # what a group of the second round may say, too
    (group + AGAIN_SUFFIX, key)
    for group, key in KEYS
    if group + AGAIN_SUFFIX in dict(KEYS) and (group + AGAIN_SUFFIX, key) not in KEYS
]


# What YAML may hold, and what people write instead of a number.
whole_numbers = (
    st.integers(-3, 300)
    | st.integers()
    | st.builds(lambda power, more: 2**power + more, st.integers(0, 70), st.integers(-1, 1))
    | st.builds(lambda power: 10**power, st.integers(0, 400))
)


numbers = whole_numbers | st.floats(0, 2) | st.floats()


SPELLINGS = [
    *(
        "null",
        "Null",
        "~",
        "",
        "true",
        "no",
        "z",
        "[z]",
        "[z, h]",
        "[[z]]",
        "[z",
        "{a: 1}",
        "&a [*a]",
    ),
    *("mean", "sample", "brownian", "uniform", "bfloat16", "[60, 80]", "!!python/name:os.system"),
    *("1e-4", "1e-05", "1E3", "1_000", " 32 ", "0x20", "032", "inf", ".nan", "1e400", "9" * 2000),
]


texts = (
    st.sampled_from(SPELLINGS)
    | numbers.map(str)
    | st.text(max_size=20)
    | st.text("[]{},:&*!|>'\"%@#- \n0z", max_size=30)
)


moments = st.datetimes().map(lambda moment: moment.replace(fold=0))


scalars = st.none() | st.booleans() | numbers | texts | st.dates() | moments


extremes = st.sampled_from(
    [0, -1, 1, 0.0, -0.0, 2**31, 2**63, 10**400, -(10**400), 5e-324, 1e308, math.inf, math.nan]
)


values = extremes | st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def near(value: Any) -> st.SearchStrategy[Any]:
    """Values like this one, so that many files are accepted, and in spellings of their own."""
    if isinstance(value, list):
        return st.lists(st.sampled_from(value) | st.integers(20, 110), min_size=1, max_size=2)
    if isinstance(value, bool | str) or value is None:
        return st.sampled_from([value, str(value), "mean", "sample", "uniform", True, None, 50])
    alike = st.builds(lambda factor: type(value)(value * factor), st.floats(0, 20))
    if isinstance(value, int):
        alike = alike | st.integers(0, 64) | st.builds(lambda power: 2**power, st.integers(0, 31))
    return alike | alike.map(str) | alike.map(float) | alike.map(lambda number: f" {number} ")


@st.composite
def mutations(draw: st.DrawFn, tiny_groups: Groups) -> tuple[Groups, set[str]]:
    """Some groups with a few changes, and the names of the groups that were changed."""
    groups = {group: dict(keys) for group, keys in tiny_groups.items()}
    touched = set()
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 4]))):
        group, key = draw(st.sampled_from(KEYS + INHERITED))
        touched.add(group)
        what = draw(st.integers(0, 30))
        if what == 0:
            groups.get(group, {}).pop(key, None)
        elif what == 1:
            groups.setdefault(group, {})[draw(texts)] = draw(values)
        elif what == 2:
            groups.pop(group, None)
        elif what == 3:
            name = draw(texts)
            touched.add(name)
            groups[name] = {key: draw(values)}
        elif what < 15:
            groups.setdefault(group, {})[key] = draw(values)
        else:
            in_effect = {**tiny_groups[group.removesuffix(AGAIN_SUFFIX)], **tiny_groups[group]}
            groups.setdefault(group, {})[key] = draw(near(in_effect[key]))
    return groups, touched


def refused_or_works(groups: Groups, touched: set[str]) -> bool:
    """Hold the promise for one file; True if it was accepted."""
    try:
        params = all_of(groups)
    except ParameterError as error:
        require_clear(error, touched)
        return False
    works(params)
    written: Groups = dataclasses.asdict(params)
    for keys in written.values():
        keys.update({key: list(value) for key, value in keys.items() if isinstance(value, tuple)})
    assert all_of(written) == params
    return True


def require_clear(error: ParameterError, touched: set[str]) -> None:
    """A refusal names its key, says what was expected and what came, and is about what changed."""
    message = str(error)
    assert error.key
    assert message.startswith(f"{error.key}: ")
    if error.problem.startswith("unknown"):  # the key is what came
        assert "expected" in error.problem or "did you mean" in error.problem
    else:
        assert "expected" in error.problem
        assert "got" in error.problem
        assert any(group in message for group in touched)
    assert message.isprintable()
    assert len(message) < 1200


class Hill:
    """A rollout engine for `evolve` without an environment: small numbers drive best."""

    def play(
        self, episodes: Sequence[Episode], candidates: NDArray[np.float64]
    ) -> Iterator[Outcome]:
        for episode in episodes:
            height = -float(np.square(candidates[episode.candidate]).sum())
            yield Outcome(episode, height, episode.steps, 1, "time_limit")


def works(params: AllParams) -> None:
    """Build from accepted parameters all that is quick to build."""
    evaluation = params.evaluation
    controllers = params.controller, params.controller_again
    for group in get_type_hints(AllParams):
        values_of = getattr(params, group)
        for key, kind in get_type_hints(type(values_of)).items():
            value = getattr(values_of, key)
            if kind in (bool, int, float):
                assert type(value) is kind
            if isinstance(value, int | float):
                assert math.isfinite(value)
                assert value < 2**31
    assert 32 <= min(params.env.image_shape) <= max(params.env.image_shape) <= 96
    for seeds in (
        params.sampling.seeds,
        params.agent_sampling.seeds,
        *(controller.training_seeds for controller in controllers),
        *(controller.validation_seeds for controller in controllers),
        evaluation.seeds,
        params.driving.seeds,
    ):
        assert 0 <= seeds[0] <= seeds[-1] < 2**31
        assert 0 <= noise_seed(params.base.seed, seeds[-1]) < 2**32
        np.array([seeds[0], seeds[-1]], np.int32)
    for drives in (params.sampling, params.agent_sampling):
        few = dataclasses.replace(drives, episodes=min(drives.episodes, 5))
        for episode in sampling_episodes(few, seed=params.base.seed):
            assert episode.steps * np.prod(params.env.image_shape) * 3 < 2**25  # of a recording
    noisy = params.agent_sampling.noisy_seeds
    assert 1 <= len(noisy) < params.agent_sampling.episodes
    assert noisy[-1] == params.agent_sampling.seeds[-1]
    for _, speed in driving_episodes(params.driving, seed=params.base.seed):
        assert type(speed) is float
        assert 1 <= speed <= 100
    few_evaluated = dataclasses.replace(evaluation, episodes=min(evaluation.episodes, 5))
    assert evaluation_episodes(few_evaluated, film="drive.mp4")[0].track_seed == evaluation.seeds[0]
    size = linear_layer(
        params.controller.inputs,
        latent_dim=params.vae.latent_dim,
        hidden_units=params.memory.hidden_units,
    ).parameters
    start = np.zeros(size)
    for controller in controllers:
        driven = controller.episodes_per_generation + controller.validation_episodes
        if size < 300 and driven < 300:
            hill: Any = Hill()
            two = dataclasses.replace(controller, generations=min(controller.generations, 2))
            log = EvolutionLog(None)
            generations = list(evolve(two, hill, starts=[start], seed=params.base.seed, log=log))
            assert generations[-1].validation is not None
            for generation in generations:
                assert np.isfinite(generation.mean_vector).all()
                assert 0 < generation.sigma <= controller.max_sigma * 1.001
            start = generations[-1].mean_vector


def count_accepted(tiny_groups: Groups, limits: settings) -> float:
    """Hold the promise for many files; the share that was accepted."""
    accepted = []

    @limits
    @given(mutations(tiny_groups))
    def hold(drawn: tuple[Groups, set[str]]) -> None:
        accepted.append(refused_or_works(*drawn))

    hold()
    return sum(accepted) / len(accepted)


def test_every_file_is_refused_or_works(tiny_groups: Groups) -> None:
    # Neither half of the promise goes untested.
    assert 0.05 < count_accepted(tiny_groups, QUICK) < 0.9


@pytest.mark.slow
def test_every_one_of_many_files_is_refused_or_works(tiny_groups: Groups) -> None:
    assert 0.05 < count_accepted(tiny_groups, settings(QUICK, max_examples=20_000)) < 0.9


@pytest.mark.parametrize("name", preset_names(ROOT))
def test_presets_work(tmp_path: Path, name: str) -> None:
    assert refused_or_works(preset_groups(name, tmp_path), set())


def test_a_file_is_read_as_its_values(tiny_groups: Groups, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"

    @settings(QUICK, max_examples=150)
    @given(mutations(tiny_groups))
    def hold(drawn: tuple[Groups, set[str]]) -> None:
        groups, _ = drawn
        text = io.StringIO()
        yaml = YAML(typ="safe", pure=True)
        yaml.sort_base_mapping_type_on_output = False
        yaml.representer.ignore_aliases = lambda _: True
        yaml.dump(groups, text)
        path.write_text(text.getvalue())
        expected = outcome(lambda: all_of(groups, path))
        got = outcome(lambda: load_all(path))
        if "expected YAML, got" not in str(got):  # too much, or letters that YAML has no place for
            assert got == expected

    hold()


def outcome(load: Callable[[], AllParams]) -> AllParams | str:
    """What came of it: the parameters, or what the refusal says."""
    try:
        return load()
    except WorldModelsError as error:
        return str(error)


def require_read_or_refused(path: Path) -> None:
    got = outcome(lambda: load_all(path))
    if isinstance(got, str):
        assert got.isprintable()
        assert len(got) < 1200


FRAGMENTS = [
    *(
        "vae:",
        "\n",
        "\n  ",
        "- ",
        "? ",
        ": ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "&a ",
        "*a",
        "<<: ",
        "!!",
        "a",
    ),
    *(
        "!!python/object:os.system ",
        "!!set ",
        "!!binary ",
        "!!timestamp ",
        "%YAML 1.1\n---\n",
        "\t",
    ),
    *(
        "'",
        '"',
        "|\n",
        ">-\n",
        "# ",
        "1",
        "0x",
        "2026-13-01",
        ".inf",
        "\0",
        "\ufeff",
        "\x85",
        "\\x",
    ),
    "9" * 5000,
    *("...", "---\n", "=", "~"),
]


def test_any_bytes_are_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    fragments = st.sampled_from(FRAGMENTS)

    @settings(QUICK, max_examples=400)
    @given(st.binary(max_size=200) | st.lists(fragments, max_size=30).map(_encoded))
    def hold(content: bytes) -> None:
        path.write_bytes(content)
        require_read_or_refused(path)

    hold()


def _encoded(fragments: list[str]) -> bytes:
    return "".join(fragments).encode()


def test_a_damaged_file_is_read_or_refused(tiny_groups: Groups, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    whole = json.dumps(tiny_groups, indent=1)

    @settings(QUICK, max_examples=150)
    @given(st.integers(0, len(whole)), st.integers(0, 30), texts)
    def hold(start: int, length: int, instead: str) -> None:
        path.write_text(whole[:start] + instead + whole[start + length :])
        require_read_or_refused(path)

    hold()
