"""The rounds: what each learns from and writes, and how a stage is told which one it runs."""

from __future__ import annotations

import re

import pytest
from project import ROOT
from ruamel.yaml import YAML

from worldmodels.core.errors import WorldModelsError
from worldmodels.pipeline.rounds import AGAIN, DRIVEN, FIRST, TRANSFERRED, Round, chosen_round


def test_nothing_chooses_the_first_round_and_again_the_second() -> None:
    assert chosen_round([]) is FIRST
    assert chosen_round(["again"]) is AGAIN


@pytest.mark.parametrize("arguments", [["Again"], ["again", "again"], ["_again"], [""]])
def test_anything_else_is_refused(arguments: list[str]) -> None:
    message = f"expected no arguments, or `again`, got {' '.join(arguments)!r}"
    with pytest.raises(WorldModelsError, match=re.escape(message)):
        chosen_round(arguments)


def test_the_second_round_goes_on_from_the_first_on_more_episodes() -> None:
    assert FIRST.previous is None
    assert AGAIN.previous == FIRST.models != AGAIN.models
    assert AGAIN.episodes[: len(FIRST.episodes)] == FIRST.episodes  # a split leaves theirs alone
    assert len(AGAIN.episodes) > len(FIRST.episodes)
    assert (FIRST.latents, AGAIN.latents) == ("data/latents.h5", "data/latents_again.h5")


def listed(stage: dict[str, list[object]], key: str) -> set[str]:
    """Paths under `deps`, `outs`, `metrics` or `plots`."""
    paths = (next(iter(one)) if isinstance(one, dict) else str(one) for one in stage.get(key, []))
    return {path for path in paths if not path.startswith(("stages/", "worldmodels/"))}


@pytest.mark.parametrize("round_", [FIRST, AGAIN])
def test_dvc_yaml_says_of_each_stage_what_its_round_reads_and_writes(round_: Round) -> None:
    stages = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
    models = round_.models

    def before(model: str) -> set[str]:
        return {f"{round_.previous}/{model}.h5"} if round_.previous else set()

    expected = {
        "train_vae": ({*round_.episodes, *before("vae")}, f"{models}/vae.h5"),
        "encode": ({*round_.episodes, f"{models}/vae.h5"}, round_.latents),
        "train_memory": ({round_.latents, *before("memory")}, f"{models}/memory.h5"),
        "evolve": (
            {
                f"{models}/vae.h5",
                f"{models}/memory.h5",
                *before("controller"),
                *([TRANSFERRED] if round_.previous else []),
            },
            f"{models}/controller.h5",
        ),
    }
    for name, (reads, writes) in expected.items():
        stage = stages[round_.named(name)]
        assert stage["cmd"].split()[2:] == [
            name,
            *(["again"] if round_ is AGAIN else []),
        ]
        assert listed(stage, "deps") == reads
        assert listed(stage, "outs") == {writes}
        for group in ("vae", "memory", "controller"):
            assert (round_.named(group) in stage["params"]) == (group in stage["params"])
        for path in listed(stage, "metrics") | listed(stage, "plots"):
            assert path.rsplit(".", 1)[0].endswith(AGAIN.suffix) == (round_ is AGAIN)


def test_dvc_yaml_says_from_which_models_to_which_the_controller_is_carried() -> None:
    stage = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]["transfer"]
    assert stage["params"] == ["base", "compute", "encoding"]
    assert listed(stage, "deps") == {
        DRIVEN,
        *(f"{FIRST.models}/{model}.h5" for model in ("vae", "memory", "controller")),
        *(f"{AGAIN.models}/{model}.h5" for model in ("vae", "memory")),
    }
    assert listed(stage, "outs") == {TRANSFERRED}
