"""The command `worldmodels`, and what an installation without the pipeline says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import worldmodels
from worldmodels.__main__ import COMMANDS, main


def run(*arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "worldmodels", *arguments],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_without_a_command_it_lists_them() -> None:
    assert all(f"\n  {name}" in run() for name in COMMANDS)
    assert run() == run("--help")


def test_it_knows_its_version() -> None:
    assert run("--version") == f"worldmodels {worldmodels.__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([name, "--help"])
    assert capsys.readouterr().out.startswith("usage: ")


def test_a_mistyped_command_is_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wach"]) == 2
    assert capsys.readouterr().err == ("worldmodels: unknown command 'wach', did you mean watch?\n")
    assert main(["42"]) == 2
    assert "expected watch, page, presets, check-lock" in capsys.readouterr().err


def test_the_simulator_alone_names_the_extra_that_is_missing(tmp_path: Path) -> None:
    """As in an environment without TensorFlow, Keras and Pillow."""
    for package in ("keras", "tensorflow", "PIL"):
        (tmp_path / f"{package}.py").write_text(f"raise ModuleNotFoundError(name={package!r})\n")
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from worldmodels.__main__ import main
print(main(["watch"]))
try:
    from worldmodels import VAE
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    status, *refusal = done.stdout.splitlines()
    assert status == "1"
    assert "watch needs" in done.stderr
    assert "`uv pip install '.[pipeline]'` brings all" in done.stderr
    assert refusal == [
        "worldmodels.VAE needs tensorflow, which the simulator alone does not bring; "
        "`uv pip install '.[pipeline]'` does"
    ]
