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
        ("+vae.latnet_dim=3", "unknown key, did you mean vae.latent_dim?"),
        ("+vae.latentdim=8", "unknown key, did you mean vae.latent_dim?"),
        ("+latent_dim=8", "expected a group of keys, got 8 (int), did you mean vae.latent_dim?"),
        ("+vae.hidden_units=8", "unknown key, did you mean memory.hidden_units?"),
        (
            "controller.latent=sampel",
            "expected one of 'sample', 'mean', got 'sampel' (str), did you mean sample?",
        ),
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
    with pytest.raises(
        ParameterError, match=r"^vae_again.beat: unknown key, did you mean vae_again.beta"
    ):
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
