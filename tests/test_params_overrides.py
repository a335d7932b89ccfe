"""`dvc exp run -S`: an override gives what a person means, or is refused."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides
from project import ROOT

from worldmodels.core.params import ParameterError
from worldmodels.pipeline.all_params import AllParams, load_all


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
    got = getattr(getattr(params.rounds["first"], group, None) or getattr(params, group), name)
    assert (got, type(got)) == (meant, type(meant))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("vae.latent_dim=many", "expected a valid integer, got 'many' (str)"),
        ("vae.latent_dim=", "expected a valid integer, got '' (str)"),
        ("vae.latent_dim=2026-01-02", "expected a valid integer, got '2026-01-02' (str)"),
        ("vae.learning_rate=1e400", "expected a finite number, got inf (float)"),
        ("sampling.random_start=off", "expected true or false, got 'off' (str)"),
        ("controller.inputs=z", "expected a valid list, got 'z' (str)"),
        ("controller.inputs=[]", "expected [z] or [z, h], got [] (list)"),
        ("robustness.disturbances=[bars,fog]", "expected some of colours, colours3,"),
        ("robustness.disturbances=[bars,bars]", "expected some of colours, colours3,"),
        ("robustness.disturbances=[]", "list should have at least 1 item after validation"),
        ("driving.speeds=[fast]", "expected a valid number, got ['fast'] (list)"),
        ("driving.speeds=[]", "list should have at least 1 item after validation, not 0, got []"),
        ("sampling.noise=[0.3, 0.2, -0.1]", "expected at least 0.0, got [0.3, 0.2, -0.1] (list)"),
        ("controller.max_sigma=0.05", "expected at least sigma, 0.1, got 0.05 (float)"),
        ("rounds.second.controller.max_sigma=0.05", "expected at least sigma, 0.08, got 0.05"),
        ("rounds.second.vae.epochs=-1", "expected at least 0, got -1 (int)"),
        ("vae.epochs=0", "expected 1 or more in the first round, got 0: there is no V before it"),
        (
            "controller.environment=dreams",
            "expected 'car_racing', 'dream' or 'dream_then_car_racin",
        ),
        ("dream.temperature=-1", "expected at least 0.0, got -1 (int)"),
        ("+rounds.second.vae.beat=1", "unknown key, did you mean rounds.second.vae.beta?"),
        ("+rounds.second.vea={}", "unknown group, did you mean rounds.second.vae?"),
        ("+vae.latentdim=8", "unknown key, did you mean vae.latent_dim?"),
        ("+latent_dim=8", "expected a group of keys, got 8 (int), did you mean vae.latent_dim?"),
        ("+vae.hidden_units=8", "unknown key, did you mean memory.hidden_units?"),
        ("controller.latent=sampel", "expected 'sample' or 'mean', got 'sampel' (str), did you"),
        ("evaluation.round=secnd", "expected one of first, second, got 'secnd' (str)"),
        ("rounds.second.after=third", "expected the name of a round above (none, first), got"),
        ("sampling.policy=agent", "expected a policy that explores, got 'agent'"),
    ],
)
def test_an_override_that_means_nothing_is_refused(tmp_path: Path, text: str, message: str) -> None:
    key = text.removeprefix("+").split("=")[0]
    with pytest.raises(ParameterError, match=re.escape(f"{key}: {message}")):
        override(tmp_path, text)


def test_a_common_value_holds_in_all_rounds_but_where_one_says_otherwise(tmp_path: Path) -> None:
    def beta_and_generations(text: str) -> list[tuple[float, int]]:
        rounds = override(tmp_path, text).rounds.values()
        return [(one.vae.beta, one.controller.generations) for one in rounds]

    first, second = (
        one.controller.generations for one in load_all(ROOT / "params.yaml").rounds.values()
    )
    assert beta_and_generations("vae.beta=0.5") == [(0.5, first), (0.5, second)]
    assert beta_and_generations("+rounds.second.vae.beta=0.5") == [(1.0, first), (0.5, second)]
    assert beta_and_generations("rounds.second.controller.generations=40")[1] == (1.0, 40)
    assert beta_and_generations("controller.generations=40") == [(1.0, 40), (1.0, second)]


def override(folder: Path, text: str) -> AllParams:
    """What `dvc exp run -S text` makes of the repository's params.yaml, by DVC's own function."""
    path = folder / "params.yaml"
    shutil.copy(ROOT / "params.yaml", path)
    apply_overrides(path, [text])
    return load_all(path)
