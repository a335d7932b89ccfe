"""docs/models.md says what dvc.lock and metrics/ record, and no other run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from project import ROOT, Project, md5, preset_here

from worldmodels.core.errors import WorldModelsError
from worldmodels.model_cards import main, model_cards

WRITE = "run `python -m worldmodels.model_cards` and commit docs/models.md"


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A copy of what the cards are made of."""
    shutil.copytree(ROOT / "metrics", tmp_path / "metrics")
    shutil.copy(ROOT / "dvc.lock", tmp_path)
    return tmp_path


def change(root: Path, name: str, **values: float) -> None:
    """Change metrics/<name>, and the lock with it, as another run would."""
    path = root / "metrics" / name
    before = md5(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    lock = root / "dvc.lock"
    lock.write_text(lock.read_text().replace(before, md5(path)))


def test_the_committed_cards_are_what_the_command_writes() -> None:
    if preset_here():
        pytest.skip(f"params.yaml has preset {preset_here()} here, for a run")
    assert (ROOT / "docs" / "models.md").read_text() == model_cards(ROOT), WRITE


def test_scores_follow_the_metrics(recorded: Path) -> None:
    change(recorded, "evaluation.json", return_mean=876.54, return_std=12.3)
    change(recorded, "second/encode.json", frames=98765)
    text = model_cards(recorded)
    assert "scored 877 ± 12.\n" in text
    assert "\n| 876.5 | 12.3 | " in text
    assert "98,765 frames" in text


def test_metrics_of_another_run_are_refused(
    recorded: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    score = recorded / "metrics" / "evaluation.json"
    before = md5(score)
    score.write_text('{"return_mean": 950.0, "return_std": 1.0}\n')
    with pytest.raises(
        WorldModelsError, match=f"that dvc.lock records, {before}, got {md5(score)}"
    ):
        model_cards(recorded)
    score.unlink()
    monkeypatch.chdir(recorded)
    assert main([]) == 1
    assert "metrics/evaluation.json: expected the one that dvc.lock" in capsys.readouterr().err
    assert not (recorded / "docs").exists()


def test_a_run_that_has_not_ended_has_no_cards(tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text("stages: {}\n")
    with pytest.raises(WorldModelsError, match=r"dvc\.lock: expected a whole run, got one of 0"):
        model_cards(tmp_path)


def test_a_very_small_run_has_cards_too(project: Project) -> None:
    text = model_cards(project.root)
    assert "Scored on stock gym CarRacing-v2, 2 tracks (4000000 to 4000001)" in text
    assert "| `second` | the agent of `first`, half of it with noise | 4 | " in text
