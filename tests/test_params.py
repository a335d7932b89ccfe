"""A group of params.yaml: read as a person means it, or refused with one clear line."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from worldmodels.core.params import (
    HOW_TO_TAKE_BACK,
    BaseParams,
    ParameterError,
    Params,
    flatten,
    load_group,
    read_params,
    require_known,
)


class VisionParams(Params):
    latent_dim: int = Field(ge=1, le=1024)
    learning_rate: float
    shuffle: bool
    device: str
    frame_size: tuple[int, int]
    inputs: tuple[str, ...]
    loss: Literal["sum", "mean"]
    clip: float | None


GROUP = {
    "latent_dim": "32",
    "learning_rate": "1e-4",
    "shuffle": "true",
    "device": "cpu",
    "frame_size": "[60, 80]",
    "inputs": "[z, h]",
    "loss": "sum",
    "clip": "null",
}


def read(
    folder: Path, *, override: str = "", more: str = "", **changes: str | None
) -> VisionParams:
    """The group `vae`, GROUP with changes (None: without the key), as a round overrides it."""
    values = {key: text for key, text in {**GROUP, **changes}.items() if text is not None}
    lines = "".join(f"  {key}: {text}\n" for key, text in values.items())
    rounds = f"rounds: {{second: {{after: none, vae: {override}}}}}\n" if override else ""
    path = folder / "params.yaml"
    path.write_text(f"vae:\n{lines}{rounds}{more}")
    return load_group("vae", VisionParams, round_name="second" if override else "", path=path)


def refusal(folder: Path, *, override: str = "", more: str = "", **changes: str | None) -> str:
    with pytest.raises(ParameterError) as caught:
        read(folder, override=override, more=more, **changes)
    return str(caught.value)


@pytest.mark.parametrize(
    ("key", "text", "meant"),
    [
        *(("latent_dim", text, 32) for text in ("'32'", "32.0", "0x20", "'0x20'", "' 32 '", "032")),
        *(("latent_dim", text, 1000) for text in ("1e3", "'1e3'", "1_000", "'1_000'")),
        *(("learning_rate", text, 1e-5) for text in ("1e-05", "'1e-05'", "'1e-5'", "0.00001")),
        ("learning_rate", "1", 1.0),
        *(("shuffle", text, False) for text in ("false", "'false'", "False")),
        ("device", "'null'", "null"),
        ("device", "'32'", "32"),
        ("frame_size", "'[60, 80]'", (60, 80)),
        ("inputs", "'[z]'", ("z",)),
        ("loss", "'mean'", "mean"),
        *(("clip", text, None) for text in ("'null'", "", "~", "Null")),
        *(("clip", text, 0.5) for text in ("0.5", "'0.5'")),
        ("clip", "2", 2.0),
    ],
)
def test_values_are_read_as_a_person_means_them(
    tmp_path: Path, key: str, text: str, meant: object
) -> None:
    got = getattr(read(tmp_path, **{key: text}), key)
    assert (got, type(got)) == (meant, type(meant))


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("latent_dim", "many", "expected a valid integer, got 'many' (str)"),
        ("latent_dim", "1.5", "expected a valid integer, got a number with a fractional part, got"),
        ("latent_dim", "true", "expected a number, not true or false, got True (bool)"),
        ("latent_dim", "", "expected a valid integer, got null"),
        ("latent_dim", ".inf", "expected a finite number, got inf (float)"),
        ("latent_dim", "2026-01-02", "expected a valid integer, got datetime.date(2026, 1, 2)"),
        ("latent_dim", "[32]", "expected a valid integer, got [32] (list)"),
        ("latent_dim", "0", "expected at least 1, got 0 (int)"),
        ("latent_dim", "'2e3'", "expected at most 1024, got '2e3' (str)"),
        ("learning_rate", "true", "expected a number, not true or false, got True (bool)"),
        ("learning_rate", ".nan", "expected a finite number, got nan (float)"),
        ("learning_rate", "'inf'", "expected a finite number, got 'inf' (str)"),
        ("learning_rate", "{a: 1}", "expected a valid number, got {'a': 1} (dict)"),
        ("shuffle", "1", "expected true or false, got 1 (int)"),
        ("shuffle", "'yes'", "expected true or false, got 'yes' (str)"),
        ("device", "0", "expected a valid string, got 0 (int)"),
        ("frame_size", "[60, true]", "expected a number, not true or false, got [60, True] (list)"),
        ("frame_size", "60", "expected a valid list, got 60 (int)"),
        ("frame_size", "'[60'", "expected a value in YAML, got '[60' (str)"),
        ("frame_size", "'!!python/name:os.system'", "expected a value in YAML, got '!!python"),
        ("frame_size", "'[&a [z], *a]'", "expected a value in YAML, got"),
        ("inputs", "[z, 1]", "expected a valid string, got ['z', 1] (list)"),
        ("loss", "max", "expected 'sum' or 'mean', got 'max' (str)"),
        ("loss", "men", "expected 'sum' or 'mean', got 'men' (str), did you mean mean?"),
        ("clip", "none", "expected a valid number, got 'none' (str)"),
        ("clip", "9" * 400, "expected a valid number, got 999"),
    ],
)
def test_a_refusal_names_the_key_and_what_came(
    tmp_path: Path, key: str, text: str, message: str
) -> None:
    got = refusal(tmp_path, **{key: text})
    assert got.startswith(f"vae.{key}: {message}")
    assert got.endswith(f"; {HOW_TO_TAKE_BACK}")
    assert got.count("git restore") == 1
    assert got.isprintable()


def test_a_refusal_survives_a_worker_process(tmp_path: Path) -> None:
    with pytest.raises(ParameterError) as caught:
        read(tmp_path, latent_dim="0")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.key) == (str(caught.value), "vae.latent_dim")


def test_missing_and_unknown_keys_are_named_with_what_was_meant(tmp_path: Path) -> None:
    memory = "memory: {hidden_units: 256}\n"
    for changes, message in (
        ({"latent_dim": None}, "vae.latent_dim: expected a value, got nothing"),
        ({"latnet_dim": "3"}, "vae.latnet_dim: unknown key, did you mean vae.latent_dim?"),
        ({"LatentDim": "3"}, "vae.LatentDim: unknown key, did you mean vae.latent_dim?"),
        ({"hidden_units": "3"}, "vae.hidden_units: unknown key, did you mean memory.hidden_units?"),
        ({"qqq": "3"}, "vae.qqq: unknown key, expected latent_dim, learning_rate"),
        ({'"a\\nb"': "1"}, r"vae.'a\nb': unknown key"),
        ({"x" * 100: "1"}, f"vae.{'x' * 80}...: unknown key"),
    ):
        assert refusal(tmp_path, more=memory, **changes).startswith(message)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match=r"^latent_dim: expected a group .* vae.latent_dim"):
        read(tmp_path, more="latent_dim: 8\n")
    read(tmp_path)
    with pytest.raises(ParameterError, match=r"^memory: expected this group, got only vae;"):
        load_group("memory", VisionParams, path=tmp_path / "params.yaml")
    with pytest.raises(ParameterError, match=r"^vea: unknown group, did you mean vae\?"):
        require_known(["vae", "vea"], ["base", "vae"])


def test_a_round_overrides_what_it_says_and_no_more(tmp_path: Path) -> None:
    assert read(tmp_path, override="{}") == read(tmp_path)
    got = read(tmp_path, override="{latent_dim: 8, clip: null}", clip="0.5", latent_dim="0")
    assert got == read(tmp_path, latent_dim="8")


def test_a_refusal_names_the_place_where_the_value_stands(tmp_path: Path) -> None:
    for override, common, place in (
        ("{latent_dim: 0}", "32", "rounds.second.vae.latent_dim: expected at least 1, got 0"),
        ("{clip: 1}", "0", "vae.latent_dim: expected at least 1, got 0"),
        (
            "{latnet_dim: 3}",
            "32",
            "rounds.second.vae.latnet_dim: unknown key, did you mean rounds.second.vae.latent_dim?",
        ),
        ("null", "32", "rounds.second.vae: expected this group, got nothing: write {}"),
        ("3", "32", "rounds.second.vae: expected a group of keys, got 3 (int)"),
    ):
        assert refusal(tmp_path, override=override, latent_dim=common).startswith(place)


def test_long_values_are_cut_in_messages(tmp_path: Path) -> None:
    for text in ("x" * 2000, "9" * 2000, f"[{'1, ' * 5000}]", "0x" + "f" * 2900):
        message = refusal(tmp_path, latent_dim=text)
        assert "..." in message
        assert len(message) < 450


@pytest.mark.parametrize("seed", [0, 2**31 - 1])
def test_a_seed_is_a_seed(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"base: {{seed: {seed}, validation_share: 0.1}}\n")
    assert load_group("base", BaseParams, path=path).seed == seed
    for refused in ("seed: -1, validation_share: 0.1", "seed: 0, validation_share: 1.0"):
        path.write_text(f"base: {{{refused}}}\n")
        with pytest.raises(ParameterError, match=r"^base\.\w+: expected (at least 0|less than 1)"):
            load_group("base", BaseParams, path=path)


def test_flatten_keeps_lists_and_joins_names(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("vae: {size: [1, 2], deep: {x: null}}\n")
    assert flatten(read_params(tmp_path / "params.yaml")) == {
        "vae.size": [1, 2],
        "vae.deep.x": None,
    }
