"""Thousands of parameter files: each is accepted and works, or is refused with one clear line.

Drawn by hypothesis, the same ones in every run. Read `refused_or_works` first.
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias, get_type_hints

import numpy as np
import pytest
from dvc.utils.hydra import apply_overrides
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from ruamel.yaml import YAML

from worldmodels.agent import AgentPolicy
from worldmodels.all_params import SIZES, AllParams, all_of, load_all
from worldmodels.controller import controller_shape
from worldmodels.driver import driving_episodes
from worldmodels.episode_play import Episode, Outcome, noise_seed
from worldmodels.errors import WorldModelsError
from worldmodels.evaluation import evaluation_episodes
from worldmodels.evolution import evolve
from worldmodels.memory import MDNRNN
from worldmodels.params import AGAIN_SUFFIX, ParameterError, group_of, read_params
from worldmodels.presets import apply_preset, preset_names
from worldmodels.sampling import sampling_episodes
from worldmodels.vae import VAE

ROOT = Path(__file__).parent.parent

Groups: TypeAlias = dict[str, dict[str, Any]]


def preset_groups(name: str, folder: Path) -> Groups:
    """params.yaml with a preset applied."""
    shutil.copy(ROOT / "params.yaml", folder)
    shutil.copytree(ROOT / "presets", folder / "presets")
    apply_preset(name, folder)
    return read_params(folder / "params.yaml")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Groups:
    return preset_groups("tiny", tmp_path_factory.mktemp("tiny"))


KEYS = [
    (group, key) for group, values in read_params(ROOT / "params.yaml").items() for key in values
]
INHERITED = [  # what a group of the second round may say, too
    (group + AGAIN_SUFFIX, key)
    for group, key in KEYS
    if group + AGAIN_SUFFIX in dict(KEYS) and (group + AGAIN_SUFFIX, key) not in KEYS
]
QUICK = settings(
    max_examples=1300,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

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
def mutations(draw: st.DrawFn, tiny: Groups) -> tuple[Groups, set[str]]:
    """Some groups with a few changes, and the names of the groups that were changed."""
    groups = {group: dict(keys) for group, keys in tiny.items()}
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
            in_effect = {**tiny[group.removesuffix(AGAIN_SUFFIX)], **tiny[group]}
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
    rows, columns = controller_shape(
        params.controller.inputs,
        latent_dim=params.vae.latent_dim,
        hidden_units=params.memory.hidden_units,
    )
    start = np.zeros(rows * columns)
    for controller in controllers:
        driven = controller.episodes_a_generation + controller.validation_episodes
        if rows * columns < 300 and driven < 300:
            hill: Any = Hill()
            two = dataclasses.replace(controller, generations=min(controller.generations, 2))
            generations = list(evolve(two, hill, start=start, seed=params.base.seed))
            assert generations[-1].validation is not None
            for generation in generations:
                assert np.isfinite(generation.mean_vector).all()
                assert 0 < generation.sigma <= controller.max_sigma * 1.001
            start = generations[-1].mean_vector


def count_accepted(tiny: Groups, limits: settings) -> float:
    """Hold the promise for many files; the share that was accepted."""
    accepted = []

    @limits
    @given(mutations(tiny))
    def hold(drawn: tuple[Groups, set[str]]) -> None:
        accepted.append(refused_or_works(*drawn))

    hold()
    return sum(accepted) / len(accepted)


def test_every_file_is_refused_or_works(tiny: Groups) -> None:
    assert 0.05 < count_accepted(tiny, QUICK) < 0.9  # neither half of the promise goes untested


@pytest.mark.slow
def test_every_one_of_many_files_is_refused_or_works(tiny: Groups) -> None:
    assert 0.05 < count_accepted(tiny, settings(QUICK, max_examples=20_000)) < 0.9


@pytest.mark.parametrize("name", preset_names(ROOT))
def test_presets_work(tmp_path: Path, name: str) -> None:
    assert refused_or_works(preset_groups(name, tmp_path), set())


def test_a_file_is_read_as_its_values(tiny: Groups, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"

    @settings(QUICK, max_examples=150)
    @given(mutations(tiny))
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


def test_a_damaged_file_is_read_or_refused(tiny: Groups, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    whole = json.dumps(tiny, indent=1)

    @settings(QUICK, max_examples=150)
    @given(st.integers(0, len(whole)), st.integers(0, 30), texts)
    def hold(start: int, length: int, instead: str) -> None:
        path.write_text(whole[:start] + instead + whole[start + length :])
        require_read_or_refused(path)

    hold()


def require_models_act(params: AllParams) -> None:
    """Build V, M and a controller of these sizes; let them see, predict and act once."""
    vae, memory, controller = params.vae, params.memory, params.controller
    rng = np.random.default_rng(params.base.seed)
    vision = VAE(params.env.image_shape, vae.latent_dim, precision=vae.precision, rng=rng)
    frames = rng.integers(0, 256, (2, *params.env.image_shape, 3), dtype=np.uint8)
    mean, _ = vision.encode(frames)
    assert mean.shape == (2, vae.latent_dim)
    assert vision.decode(mean).shape == frames.shape
    rnn = MDNRNN(vae.latent_dim, memory.hidden_units, memory.mixtures, rng=rng)
    _, predicted, _ = rnn.predict(mean[None], np.zeros((1, 2, 3), np.float32))
    assert predicted.shape == (1, 2, vae.latent_dim, memory.mixtures)
    policy = AgentPolicy(
        vision, rnn, inputs=controller.inputs, latent=controller.latent, batch_size=2
    )
    shape = controller_shape(
        controller.inputs, latent_dim=vae.latent_dim, hidden_units=memory.hidden_units
    )
    policy.set_candidates(rng.standard_normal((1, shape[0] * shape[1])))
    for slot in range(2):
        policy.begin(slot, Episode(track_seed=0, steps=controller.steps))
    actions = policy.act(frames)
    assert actions.shape == (2, 3)
    assert np.isfinite(actions).all()


@pytest.mark.usefixtures("eager")
def test_models_of_drawn_sizes_act(tiny: Groups) -> None:
    changes = {
        ("base", "seed"): st.integers(0, 2**31 - 1),
        ("env", "image_shape"): st.lists(st.integers(32, 96), min_size=2, max_size=2),
        ("vae", "latent_dim"): st.integers(1, 64),
        ("vae", "precision"): st.sampled_from(["float32", "bfloat16"]),
        ("memory", "hidden_units"): st.integers(1, 64),
        ("memory", "mixtures"): st.integers(1, 8),
        ("controller", "inputs"): st.sampled_from([["z"], ["z", "h"]]),
        ("controller", "latent"): st.sampled_from(["mean", "sample"]),
    }

    @settings(QUICK, max_examples=10)
    @given(st.fixed_dictionaries(changes))
    def hold(drawn: dict[tuple[str, str], Any]) -> None:
        require_models_act(all_of(changed(tiny, drawn)))

    hold()


def changed(tiny: Groups, changes: dict[tuple[str, str], Any]) -> Groups:
    groups = {group: dict(keys) for group, keys in tiny.items()}
    for (group, key), value in changes.items():
        groups[group][key] = value
    return groups


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    "changes",
    [
        {("vae", "latent_dim"): 1024, ("memory", "mixtures"): 20},
        {("vae", "latent_dim"): 1, ("memory", "hidden_units"): 1, ("memory", "mixtures"): 100},
        {("env", "image_shape"): [32, 96], ("vae", "precision"): "bfloat16"},
        {("env", "image_shape"): [96, 32], ("memory", "hidden_units"): 1024},
        pytest.param(
            {("memory", "hidden_units"): 4096, ("controller", "inputs"): ["z"]},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_models_at_the_bounds_act(tiny: Groups, changes: dict[tuple[str, str], Any]) -> None:
    require_models_act(all_of(changed(tiny, changes)))


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
    tiny: Groups, changes: dict[tuple[str, str], Any], message: str
) -> None:
    with pytest.raises(ParameterError, match=f"^{message}"):
        all_of(changed(tiny, changes))


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
    tiny: Groups, group: str, key: str, value: object, shown: str
) -> None:
    assert key in SIZES[group]
    all_of(changed(tiny, {(f"{group}_again", key): tiny[group][key]}))  # saying it again is fine
    with pytest.raises(ParameterError) as caught:
        all_of(changed(tiny, {(f"{group}_again", key): value}))
    message = str(caught.value)
    assert message.startswith(
        f"{group}_again.{key}: expected {shown}, as in {group}.{key}, since the second round goes "
        f"on with the first's models, got {value!r}"
    )
    assert f": remove it, and change {group}.{key}; " in message


def test_both_rounds_may_validate_on_the_same_tracks(tiny: Groups) -> None:
    params = all_of(changed(tiny, {("controller_again", "validation_episodes"): 9}))
    assert params.controller.validation_seeds == range(3_000_000, 3_000_002)
    assert params.controller_again.validation_seeds == range(3_000_000, 3_000_009)


def test_a_value_that_no_longer_fits_in_the_second_round_is_named_by_who_says_it(
    tiny: Groups,
) -> None:
    groups = changed(tiny, {("controller_again", "sigma"): 0.2})
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
    "controller_again.max_sigma": (0.06, 1000.0),  # from sigma on
    "controller_again.scouting": (1, 1000),
    "controller_again.first_seed": (0, ENDLESS - 3),  # of two generations that scout two
    "evaluation.episodes": (1, 100_000),
    "evaluation.steps": (1, 1000),
    "evaluation.first_seed": (0, ENDLESS - 1),
    "evaluation.batch_size": (1, 256),
}


def test_every_number_has_bounds(tiny: Groups) -> None:
    others = {"base.validation_share", "env.image_shape"}  # tested beside their dataclasses
    whole = {f"{group}.{key}" for group, key in KEYS if is_number(tiny[group][key])}
    nulls = {"sampling.patience", "agent_sampling.patience", "controller.restart_every"}
    assert whole - others == set(BOUNDS) - nulls


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@pytest.mark.parametrize("key", BOUNDS)
def test_a_number_is_taken_up_to_its_bounds_and_no_further(tiny: Groups, key: str) -> None:
    group, name = key.split(".")
    cls = get_type_hints(AllParams)[group]
    least, most = BOUNDS[key]

    def load(value: float) -> None:
        sigmas = {(group, "max_sigma"): 1000.0} if name == "sigma" else {}
        changes = {**sigmas, (group, name): value}
        group_of(changed(tiny, changes), group, cls)

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


@pytest.mark.parametrize(
    ("key", "spelling", "meant"),
    [
        *(
            ("vae.learning_rate", spelling, 1e-4)
            for spelling in (
                "1e-4",
                "1E-4",
                "1e-04",
                ".0001",
                "0.0001",
                "'0.0001'",
                '"1e-4"',
                " 1e-4 ",
            )
        ),
        ("vae.learning_rate", "1e-05", 1e-5),
        ("vae.learning_rate", "'1e-05'", 1e-5),
        ("vae.learning_rate", "1", 1.0),
        *(
            ("vae.latent_dim", spelling, 32)
            for spelling in ("32", "'32'", '"32"', "32.0", " 32 ", "+32", "3.2e1", "0x20", "032")
        ),
        ("memory.hidden_units", "1_000", 1000),
        ("memory.hidden_units", "1e3", 1000),
        *(("sampling.patience", spelling, None) for spelling in ("null", "Null", "NULL", "'null'")),
        ("sampling.patience", "80", 80),
        ("sampling.random_start", "false", False),
        ("sampling.random_start", "False", False),
        ("sampling.random_start", "'false'", False),
        *(
            ("controller.inputs", spelling, ("z",))
            for spelling in ("[z]", "'[z]'", "['z']", "[ z ]")
        ),
        *(
            ("controller.inputs", spelling, ("z", "h"))
            for spelling in ("[z,h]", "[z, h]", "'[z,h]'")
        ),
        ("env.image_shape", "[64,64]", (64, 64)),
        ("env.image_shape", "'[64, 64]'", (64, 64)),
        ("env.image_shape", "['64', 6.4e1]", (64, 64)),
        ("driving.speeds", "[20]", (20.0,)),
        ("driving.speeds", "'[20, 3.5e1]'", (20.0, 35.0)),
        *(("controller.restart_every", spelling, None) for spelling in ("null", "'null'")),
        ("controller.restart_every", "6", 6),
        ("controller.covariance", "diagonal", "diagonal"),
        ("controller.latent", "sample", "sample"),
        ("controller.latent", "'sample'", "sample"),
    ],
)
def test_an_override_gives_what_a_person_means(
    tmp_path: Path, key: str, spelling: str, meant: object
) -> None:
    params = override(tmp_path, f"{key}={spelling}")
    group, name = key.split(".")
    got = getattr(getattr(params, group), name)
    assert (got, type(got)) == (meant, type(meant))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("vae.latent_dim=many", "expected a whole number, got 'many' (str)"),
        ("vae.latent_dim=1.5", "expected a whole number, got 1.5 (float)"),
        ("vae.latent_dim=true", "expected a whole number, got True (bool)"),
        ("vae.latent_dim=null", "expected a whole number, got null"),
        ("vae.latent_dim=", "expected a whole number, got '' (str)"),
        ("vae.latent_dim=[32]", "expected a whole number, got [32] (list)"),
        ("vae.latent_dim={a: 1}", "expected a whole number, got {'a': 1} (dict)"),
        ("vae.latent_dim=inf", "expected a whole number, got inf (float)"),
        ("vae.latent_dim=2026-01-02", "expected a whole number, got '2026-01-02' (str)"),
        ("vae.learning_rate=nan", "expected a finite number, got nan (float)"),
        ("vae.learning_rate=1e400", "expected a finite number, got inf (float)"),
        ("sampling.random_start=off", "expected true or false, got 'off' (str)"),
        ("controller.inputs=z", "expected a list [a text, ...], got 'z' (str)"),
        ("driving.speeds=20", "expected a list [a finite number, ...], got 20 (int)"),
        ("driving.speeds=[fast]", "expected a list [a finite number, ...], got ['fast'] (list)"),
        ("driving.speeds=[]", "expected 1 to 100 numbers, each from 1 to 100, got [] (list)"),
        ("controller.inputs=[]", "expected [z] or [z, h], got [] (list)"),
        ("+vae.latnet_dim=3", "unknown key, did you mean latent_dim?"),
    ],
)
def test_an_override_that_means_nothing_is_refused(tmp_path: Path, text: str, message: str) -> None:
    key = text.removeprefix("+").split("=")[0]
    with pytest.raises(ParameterError, match=re.escape(f"{key}: {message}")):
        override(tmp_path, text)


def test_the_second_round_follows_the_first_but_for_what_is_put_in_with_a_plus(
    tmp_path: Path,
) -> None:
    params = override(tmp_path, "vae.beta=0.5")
    assert (params.vae.beta, params.vae_again.beta) == (0.5, 0.5)
    params = override(tmp_path, "+vae_again.beta=0.5")
    assert (params.vae.beta, params.vae_again.beta) == (1.0, 0.5)
    with pytest.raises(ParameterError, match=r"^vae.beta: expected .*, got -1.0"):
        override(tmp_path, "vae.beta=-1")
    with pytest.raises(ParameterError, match=r"^vae_again.beta: expected .*, got -1.0"):
        override(tmp_path, "+vae_again.beta=-1")
    with pytest.raises(ParameterError, match=r"^vae_again.beat: unknown key, did you mean beta"):
        override(tmp_path, "+vae_again.beat=1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[0.3, 0.2, -0.1]", "expected three numbers from 0 to 10, got [0.3, 0.2, -0.1] (list)"),
        ("[0.3, 0.2, 10.1]", "expected three numbers from 0 to 10, got [0.3, 0.2, 10.1] (list)"),
        ("[0.3, 0.2]", "expected a list [a finite number, a finite number, a finite number], got"),
    ],
)
def test_noise_that_means_nothing_is_refused(tmp_path: Path, text: str, message: str) -> None:
    assert override(tmp_path, "agent_sampling.noise=[0, 1, 10]").agent_sampling.noise == (0, 1, 10)
    with pytest.raises(ParameterError, match=re.escape(f"agent_sampling.noise: {message}")):
        override(tmp_path, f"agent_sampling.noise={text}")


def override(folder: Path, text: str) -> AllParams:
    """What `dvc exp run -S text` makes of the repository's params.yaml, by DVC's own function."""
    path = folder / "params.yaml"
    shutil.copy(ROOT / "params.yaml", path)
    apply_overrides(path, [text])
    return load_all(path)
