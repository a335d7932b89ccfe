"""The loader of params.yaml: what a person may write for each type, and what the refusals say."""

from __future__ import annotations

import os
import pickle
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pytest

from worldmodels.core.errors import WorldModelsError
from worldmodels.core.params import (
    HOW_TO_TAKE_BACK,
    BaseParams,
    ParameterError,
    check_disjoint,
    flatten,
    load_group,
    read_params,
    require,
    require_only_groups,
    require_seeds,
    require_together,
)


@dataclass(frozen=True)
class VisionParams:
    """One field of every type that parameters have."""

    latent_dim: int
    learning_rate: float
    shuffle: bool
    device: str
    frame_size: tuple[int, int]
    inputs: tuple[str, ...]
    widths: tuple[int, ...]
    loss: Literal["sum", "mean"]
    clip: float | None

    def __post_init__(self) -> None:
        latent_dim_fits = 1 <= self.latent_dim <= 1024
        require("latent_dim", self.latent_dim, latent_dim_fits, "a whole number from 1 to 1024")


GROUP = {
    "latent_dim": "32",
    "learning_rate": "1e-4",
    "shuffle": "true",
    "device": "cpu",
    "frame_size": "[60, 80]",
    "inputs": "[z]",
    "widths": "[]",
    "loss": "sum",
    "clip": "null",
}
PARAMS = VisionParams(
    latent_dim=32,
    learning_rate=1e-4,
    shuffle=True,
    device="cpu",
    frame_size=(60, 80),
    inputs=("z",),
    widths=(),
    loss="sum",
    clip=None,
)


def write_group(path: Path, **changes: str | None) -> Path:
    """Write params.yaml with the group `vae`: GROUP with `changes`, without those that are None."""
    lines = [f"  {key}: {text}" for key, text in (GROUP | changes).items() if text is not None]
    params_path = path / "params.yaml"
    params_path.write_text("\n".join(["vae:", *lines, ""]))
    return params_path


def refusal(path: Path, **changes: str | None) -> str:
    with pytest.raises(ParameterError) as caught:
        load_group("vae", VisionParams, write_group(path, **changes))
    return str(caught.value)


def test_a_group_becomes_its_dataclass(tmp_path: Path) -> None:
    assert load_group("vae", VisionParams, write_group(tmp_path)) == PARAMS


@pytest.mark.parametrize(
    ("key", "text", "meant"),
    [
        ("latent_dim", "'32'", 32),
        ("latent_dim", "1e3", 1000),
        ("latent_dim", "'1e3'", 1000),
        ("latent_dim", "8.0", 8),
        ("latent_dim", "1_000", 1000),
        ("latent_dim", "'1_000'", 1000),
        ("latent_dim", "0x20", 32),
        ("latent_dim", "'0x20'", 32),
        ("latent_dim", "0o40", 32),
        ("latent_dim", "'0o40'", 32),
        ("latent_dim", "032", 32),
        ("latent_dim", "'032'", 32),
        ("latent_dim", "' 32 '", 32),
        ("latent_dim", "+32", 32),
        ("learning_rate", "1", 1.0),
        ("learning_rate", "'1e-4'", 1e-4),
        ("learning_rate", "'1e-05'", 1e-5),
        ("learning_rate", "1e-05", 1e-5),
        ("shuffle", "false", False),
        ("shuffle", "'false'", False),
        ("shuffle", "'true'", True),
        ("device", "'null'", "null"),
        ("device", "'32'", "32"),
        ("frame_size", "'[60, 80]'", (60, 80)),
        ("frame_size", "['60', 8e1]", (60, 80)),
        ("inputs", "'[z]'", ("z",)),
        ("inputs", "[z, h]", ("z", "h")),
        ("widths", "[1, 2, 3]", (1, 2, 3)),
        ("loss", "'mean'", "mean"),
        ("clip", "'null'", None),
        ("clip", "", None),
        ("clip", "~", None),
        ("clip", "Null", None),
        ("clip", "'0.5'", 0.5),
        ("clip", "2", 2.0),
    ],
)
def test_values_are_read_as_a_person_means_them(
    tmp_path: Path, key: str, text: str, meant: object
) -> None:
    got = getattr(load_group("vae", VisionParams, write_group(tmp_path, **{key: text})), key)
    assert (got, type(got)) == (meant, type(meant))


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("latent_dim", "many", "expected a whole number, got 'many' (str)"),
        ("latent_dim", "1.5", "expected a whole number, got 1.5 (float)"),
        ("latent_dim", "true", "expected a whole number, got True (bool)"),
        ("latent_dim", "", "expected a whole number, got null"),
        ("latent_dim", ".inf", "expected a whole number, got inf (float)"),
        (
            "latent_dim",
            "2026-01-02",
            "expected a whole number, got datetime.date(2026, 1, 2) (date)",
        ),
        ("latent_dim", "1:30", "expected a whole number, got '1:30' (str)"),
        ("latent_dim", "[32]", "expected a whole number, got [32] (list)"),
        ("latent_dim", "0", "expected a whole number from 1 to 1024, got 0 (int)"),
        ("latent_dim", "'2e3'", "expected a whole number from 1 to 1024, got 2000 (int)"),
        ("learning_rate", "true", "expected a finite number, got True (bool)"),
        ("learning_rate", ".nan", "expected a finite number, got nan (float)"),
        ("learning_rate", "'inf'", "expected a finite number, got 'inf' (str)"),
        ("learning_rate", "{a: 1}", "expected a finite number, got {'a': 1} (dict)"),
        ("shuffle", "1", "expected true or false, got 1 (int)"),
        ("shuffle", "'yes'", "expected true or false, got 'yes' (str)"),
        ("device", "0", "expected a text, got 0 (int)"),
        ("frame_size", "[60]", "expected a list [a whole number, a whole number], got [60] (list)"),
        ("frame_size", "60", "expected a list [a whole number, a whole number], got 60 (int)"),
        ("frame_size", "'[60'", "expected a list [a whole number, a whole number], got '[60' (str"),
        ("inputs", "z", "expected a list [a text, ...], got 'z' (str)"),
        ("inputs", "[z, 1]", "expected a list [a text, ...], got ['z', 1] (list)"),
        ("loss", "max", "expected one of 'sum', 'mean', got 'max' (str)"),
        ("clip", "none", "expected a finite number or null, got 'none' (str)"),
        ("clip", "9" * 400, "expected a finite number or null, got 999"),
    ],
)
def test_a_refusal_names_the_key_and_what_came(
    tmp_path: Path, key: str, text: str, message: str
) -> None:
    assert refusal(tmp_path, **{key: text}).startswith(f"vae.{key}: {message}")


def test_a_refusal_says_once_how_to_take_the_value_back(tmp_path: Path) -> None:
    for text in ("many", "0"):  # of the wrong type, out of range
        message = refusal(tmp_path, latent_dim=text)
        assert message.endswith(f"; {HOW_TO_TAKE_BACK}")
        assert message.count("git restore") == 1
        assert "\n" not in message


def test_a_refusal_survives_a_worker_process(tmp_path: Path) -> None:
    with pytest.raises(ParameterError) as caught:
        load_group("vae", VisionParams, write_group(tmp_path, latent_dim="0"))
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.key) == (str(caught.value), "vae.latent_dim")


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    message = refusal(tmp_path, latent_dim=None)
    assert message.startswith("vae.latent_dim: expected a whole number, got nothing")


def test_an_unknown_key_gets_the_nearest_name(tmp_path: Path) -> None:
    message = refusal(tmp_path, latnet_dim="3")
    assert message.startswith("vae.latnet_dim: unknown key, did you mean vae.latent_dim?")
    assert "did you mean vae.latent_dim?" in refusal(tmp_path, LatentDim="3")
    message = refusal(tmp_path, qqq="3")
    assert message.startswith("vae.qqq: unknown key, expected latent_dim, learning_rate")


def test_a_choice_gets_the_nearest_one(tmp_path: Path) -> None:
    message = refusal(tmp_path, loss="men")
    assert message.startswith(
        "vae.loss: expected one of 'sum', 'mean', got 'men' (str), did you mean"
    )
    assert "did you mean mean?;" in message
    assert "did you mean" not in refusal(tmp_path, loss="42")


def test_a_key_at_another_group_s_place_gets_its_own(tmp_path: Path) -> None:
    path = write_group(tmp_path, hidden_units="3")
    path.write_text(path.read_text() + "memory: {hidden_units: 256}\n")
    with pytest.raises(ParameterError, match=r"unknown key, did you mean memory.hidden_units\?"):
        load_group("vae", VisionParams, path)
    path = write_group(tmp_path)
    path.write_text(path.read_text() + "latent_dim: 8\n")
    with pytest.raises(
        ParameterError, match=r"^latent_dim: expected a group .* mean vae.latent_dim"
    ):
        read_params(path)


def again(path: Path, text: str, **changes: str | None) -> VisionParams:
    """The group `vae_again`, of this text, beside `vae`: GROUP with `changes`."""
    params_path = write_group(path, **changes)
    params_path.write_text(params_path.read_text() + f"vae_again: {text}\n")
    return load_group("vae_again", VisionParams, params_path)


def test_what_the_second_round_s_group_lacks_is_the_first_s(tmp_path: Path) -> None:
    assert again(tmp_path, "{}") == PARAMS
    expected = replace(PARAMS, learning_rate=1e-5, clip=0.5)
    assert again(tmp_path, "{learning_rate: 1e-5, clip: 0.5}") == expected
    assert again(tmp_path, "{clip: null}", clip="0.5") == PARAMS  # null is a value, too
    assert again(tmp_path, "{latent_dim: 8}", latent_dim="0") == replace(PARAMS, latent_dim=8)
    assert again(tmp_path, "{latent_dim: 8}", latent_dim=None) == replace(PARAMS, latent_dim=8)


def test_a_refusal_names_the_round_s_key_that_the_value_stands_at(tmp_path: Path) -> None:
    for value, expected in (("many", "a whole number"), ("0", "a whole number from 1 to 1024")):
        for text, first, key in (
            (f"{{latent_dim: {value}}}", "32", "vae_again.latent_dim"),
            ("{clip: 1}", value, "vae.latent_dim"),
        ):
            with pytest.raises(ParameterError, match=f"^{key}: expected {expected}, got") as caught:
                again(tmp_path, text, latent_dim=first)
            assert caught.value.key == key
    with pytest.raises(ParameterError, match=r"^vae.latent_dim: expected .* got nothing"):
        again(tmp_path, "{clip: 1}", latent_dim=None)
    with pytest.raises(
        ParameterError, match=r"^vae_again.latnet_dim: .*did you mean vae_again.latent_dim"
    ):
        again(tmp_path, "{latnet_dim: 3}")
    with pytest.raises(ParameterError, match=r"^vae_again: expected this group .* got only vae;"):
        load_group("vae_again", VisionParams, write_group(tmp_path))


def test_a_missing_group_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"^controller: expected this group .* got only vae"):
        load_group("controller", VisionParams, write_group(tmp_path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("vae: {a: 1\nb: 2\n", "expected YAML, got .* on line 2"),
        ("vae: {a: 1, a: 2}", "expected YAML, got found duplicate key"),
        ("a: 1\n---\nb: 2\n", "expected YAML"),
        ("- vae\n", r"expected a mapping of keys, got \['vae'\] \(list\)"),
        ("", "expected a mapping of keys, got null"),
        ("vae: 3", r"vae: expected a group of keys, got 3 \(int\)"),
        ("vae:\n", "vae: expected a group of keys, got null"),
    ],
)
def test_a_broken_file_gets_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(WorldModelsError, match=message) as caught:
        read_params(path)
    assert "\n" not in str(caught.value)
    assert "git restore" in str(caught.value)


def test_a_missing_file_gets_one_line(tmp_path: Path) -> None:
    with pytest.raises(WorldModelsError, match=r"expected a YAML file, got none .* root"):
        read_params(tmp_path / "params.yaml")
    with pytest.raises(WorldModelsError, match="expected a readable text file"):
        read_params(tmp_path)  # a folder


def test_a_binary_file_gets_one_line(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(WorldModelsError, match="expected a readable text file"):
        read_params(tmp_path / "params.yaml")


DOUBLED = "".join(f"  - &a{n + 1} [*a{n}, *a{n}]\n" for n in range(40))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("vae: !!python/object/apply:os.system ['touch ran']\n", "the tag .*os.system"),
        ("vae: !!python/name:os.system\n", "the tag"),
        ("vae: !!bool perhaps\n", "the tag"),
        ("vae: ! 5\n", "the tag"),
        (f"vae:\n  - &a0 [lol]\n{DOUBLED}", r"the alias \*a0"),
        ("vae: &a [*a]\n", r"the alias \*a"),
        ("vae: &a {<<: *a}\n", r"the alias \*a"),
        ("vae: *nowhere\n", r"the alias \*nowhere"),
        ("[" * 1_000_000, "nested more than 20 deep on line 1"),
        ("{a: " * 200_000, "nested more than 20 deep"),
        ("? " * 500_000, "nested more than 20 deep"),
        ("- " * 500_000, "nested more than 20 deep"),
        (f"vae: [{'1,' * 500_000}]", "more than 20000 values"),
        (f"vae: {'x' * 4000}", "a text of more than 3000 characters"),
        (f"vae: {'9' * 4000}", "a text of more than 3000 characters"),
        (f"{'x' * 4000}: 3", "expected YAML"),
        (f"# {'x' * 2_000_000}", "expected at most 1048576 bytes, got more"),
        ("vae: {a: 2026-13-45}", "a value that cannot be read"),
        ("vae: {a: \0}", "expected YAML, got .*special characters"),
        ("vae: {a: \x07}", "expected YAML, got .*special characters"),
        ("%YAML 3.0\n---\nvae: {a: 1}", "expected YAML, got .*version"),
        ("vae: {[a, b]: 1, {c: 2}: 3}", "expected YAML"),
        (f"vae: {{a: 1, a: '{'x' * 2000}'}}", "duplicate key"),
    ],
)
def test_a_strangers_file_neither_runs_nor_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "params.yaml"
    path.write_text(text)
    started = time.monotonic()
    with pytest.raises(WorldModelsError, match=message) as caught:
        read_params(path)
    assert time.monotonic() - started < 10  # on a busy machine; without limits it takes hours
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500
    assert [file.name for file in tmp_path.iterdir()] == ["params.yaml"]


def test_a_file_without_an_end_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "zeros.yaml").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.yaml")
    for name in ("zeros.yaml", "pipe.yaml"):
        with pytest.raises(WorldModelsError, match="expected a readable text file, got something"):
            read_params(tmp_path / name)


@pytest.mark.parametrize(
    "text",
    ["[" * 3000, "!!python/name:os.system", "[&a [z], *a]", "2026-13-45", "[" + "9" * 2900 + "]"],
)
def test_a_list_in_quotes_is_as_safe_as_the_file(tmp_path: Path, text: str) -> None:
    message = refusal(tmp_path, frame_size=f"'{text}'")
    assert message.startswith("vae.frame_size: expected a list [a whole number, a whole number]")


def test_long_values_are_cut_in_messages(tmp_path: Path) -> None:
    for text in ("x" * 2000, "9" * 2000, f"[{'1, ' * 5000}]", "0x" + "f" * 2900):
        message = refusal(tmp_path, latent_dim=text)
        assert "..." in message
        assert len(message) < 400
    message = refusal(tmp_path, **{"x" * 100: "1"})
    assert message.startswith(f"vae.{'x' * 80}...: unknown key, expected latent_dim")
    message = refusal(tmp_path, **{'"a\\nb"': "1"})
    assert message.startswith(r"vae.'a\nb': unknown key")


def test_many_groups_are_not_all_listed(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("\n".join(f"group{number}: {{}}" for number in range(1000)))
    with pytest.raises(ParameterError, match=r"got only group0, group1, .*\.\.\.;") as caught:
        load_group("vae", VisionParams, path)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(("first", "count"), [(0, 1), (2**31 - 1, 1), (2**31 - 100, 100)])
def test_seeds_below_the_end_are_taken(first: int, count: int) -> None:
    require_seeds("first_seed", first, count)


@pytest.mark.parametrize(("first", "count"), [(-1, 1), (2**31, 1), (2**31 - 99, 100)])
def test_seeds_beyond_the_end_are_refused(first: int, count: int) -> None:
    with pytest.raises(ParameterError, match=f"first_seed: expected 0 to .*, got {first}"):
        require_seeds("first_seed", first, count)


def test_values_too_much_together_are_named() -> None:
    require_together("pixels", 100, 100, {"vae.batch_size": 10, "env.size": 10})
    with pytest.raises(ParameterError) as caught:
        require_together("pixels", 110, 100, {"vae.batch_size": 11, "env.size": 10})
    assert str(caught.value).startswith(
        "vae.batch_size: expected at most 100 pixels, got 110 from vae.batch_size 11, env.size 10: "
        "change one; "
    )


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1])
def test_a_seed_is_a_seed(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"base: {{seed: {seed}, validation_share: 0.1}}\n")
    assert load_group("base", BaseParams, path) == BaseParams(seed=seed, validation_share=0.1)


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(ParameterError, match=f"seed: expected .* to 2147483647, got {seed}"):
        BaseParams(seed=seed, validation_share=0.1)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_validation_share_of_none_or_all_is_refused(share: float) -> None:
    with pytest.raises(ParameterError, match=f"validation_share: expected .*, got {share}"):
        BaseParams(seed=0, validation_share=share)


def test_a_group_that_no_stage_reads_is_refused() -> None:
    require_only_groups(["vae"], known=["base", "vae"])
    with pytest.raises(ParameterError, match=r"^vea: unknown group, did you mean vae?"):
        require_only_groups(["vae", "vea"], known=["base", "vae"])


def test_overlapping_track_seeds_are_refused() -> None:
    with pytest.raises(ParameterError) as caught:
        check_disjoint(
            {
                "training": range(16),
                "sampling": range(1000, 1200),
                "evaluation": range(1199, 1299),
            }
        )
    assert str(caught.value).startswith(
        "sampling: expected tracks that nothing else uses, got seeds 1000-1199, which overlap "
        "seeds 1199-1298 of evaluation: move one of the two; "
    )
    assert str(caught.value).count(HOW_TO_TAKE_BACK) == 1


def test_a_range_inside_another_overlaps() -> None:
    with pytest.raises(ParameterError, match=r"a: .* got seeds 0-99, which overlap seeds 50 of b:"):
        check_disjoint({"a": range(100), "b": range(50, 51)})


def test_neighbouring_and_empty_ranges_are_disjoint() -> None:
    check_disjoint({"a": range(10), "b": range(10, 20), "c": range(5, 5), "d": range(20, 21)})


def test_flatten_keeps_lists_and_joins_names() -> None:
    assert flatten({"vae": {"size": [1, 2], "deep": {"x": None}}, "seed": 1}) == {
        "vae.size": [1, 2],
        "vae.deep.x": None,
        "seed": 1,
    }
