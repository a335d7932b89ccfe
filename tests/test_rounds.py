"""The rounds: what each learns from and writes, and how a stage is told which one it runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from project import ROOT

from worldmodels.core.errors import WorldModelsError
from worldmodels.core.params import ParameterError, read_params
from worldmodels.pipeline.check_lock import stale_stages
from worldmodels.pipeline.dvc_stages import files, open_stages
from worldmodels.pipeline.rounds import Round, chosen_round, rounds_of

THREE: dict[str, Any] = {
    "rounds": {"first": {"after": "none"}, "more": {"after": "first"}, "last": {"after": "more"}}
}


def test_a_round_learns_from_all_episodes_before_it_in_their_order() -> None:
    first, more, last = rounds_of(THREE).values()
    assert (first.previous, more.previous, last.previous) == (None, first, more)
    assert last.all_episodes == tuple(f"data/episodes/last/{one}" for one in THREE["rounds"])
    assert last.episodes == "data/episodes/last/last"
    assert first.all_episodes == (first.episodes,)
    assert last.stage("evolve") == "evolve@last"
    assert last.metric("val_nll") == "val_nll_last"


@pytest.mark.parametrize(
    ("rounds", "message"),
    [
        ({}, "rounds: expected at least one round, got none"),
        ({"first": {"after": "second"}}, "rounds.first.after: expected .* above .none., got 'sec"),
        ({"first": {"after": "first"}}, "rounds.first.after: expected .* above .none., got 'first"),
        ({"first": {}}, "rounds.first.after: expected .*, got null"),
        ({"first": 3}, "rounds.first.after: expected .*, got null"),
        ({"none": {"after": "none"}}, "rounds.none: expected a name of"),
        ({"../x": {"after": "none"}}, r"rounds.../x: expected a name of"),
        ({"a" * 17: {"after": "none"}}, "rounds.a+: expected a name of up to 16"),
    ],
)
def test_rounds_that_make_no_sense_are_refused(rounds: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=f"^{message}"):
        rounds_of({"rounds": rounds})


def test_a_stage_s_command_line_names_its_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert chosen_round(["second"]) == Round("second", ("first",))
    for arguments, got in (([], "nothing"), (["again"], "again"), (["first", "x"], "first x")):
        message = f"expected the name of a round (first, second), got {got}"
        with pytest.raises(WorldModelsError, match=re.escape(message)):
            chosen_round(arguments)


def test_dvc_yaml_says_of_each_stage_what_its_round_reads_and_writes() -> None:
    with open_stages(ROOT) as stages:
        for round_ in rounds_of(read_params(ROOT / "params.yaml")).values():
            models = round_.models
            before = round_.previous.models if round_.previous else "models/none"
            episodes = str(Path(round_.episodes).parent)
            vae, memory, controller = (
                f"{models}/{one}.h5" for one in ("vae", "memory", "controller")
            )
            old_vae, old_memory, old_controller = (
                f"{before}/{one}.h5" for one in ("vae", "memory", "controller")
            )
            old_episodes = f"data/episodes/{Path(before).name}"
            expected = {
                "sample": ({old_episodes, old_vae, old_memory, old_controller}, episodes),
                "train_vae": ({episodes, old_vae}, vae),
                "encode": ({episodes, vae}, round_.latents),
                "train_memory": ({round_.latents, old_memory}, memory),
                "draw_starts": ({round_.latents, memory}, round_.dream_starts),
                "transfer": (
                    {episodes, old_vae, old_memory, old_controller, vae, memory},
                    round_.initial_controller,
                ),
                "evolve": (
                    {
                        *(vae, memory, old_controller),
                        *(round_.initial_controller, round_.dream_starts),
                    },
                    controller,
                ),
            }
            for name, (reads, writes) in expected.items():
                stage = stages[round_.stage(name)]
                assert stage.cmd == f"sh stages/run {name} {round_.name}"
                deps = {dep.def_path for dep in files(stage)}
                code = {path for path in deps if path.startswith(("stages/", "worldmodels/"))}
                assert deps - code == reads
                assert [out.def_path for out in stage.outs if out.use_cache] == [writes]
                for out in stage.outs:
                    assert out.use_cache or out.def_path.startswith(round_.metrics)


def test_a_third_round_is_one_more_entry_in_params_yaml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("dvc.yaml", "params.yaml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n    no_scm = True\n")
    monkeypatch.chdir(tmp_path)
    params = Path("params.yaml").read_text()
    third = "  third:\n    after: second\n    sampling: {policy: agent, first_seed: 8000000}\n"
    third += "    vae: {}\n    memory: {}\n    controller: {first_seed: 9000000}\n"
    Path("params.yaml").write_text(params.replace("\n# What is measured", f"{third}\n# What is"))
    stages = stale_stages(tmp_path)
    assert {name.partition("@")[0] for name in stages if name.endswith("@third")} == {
        *("sample", "train_vae", "encode", "train_memory", "draw_starts", "transfer", "evolve")
    }
