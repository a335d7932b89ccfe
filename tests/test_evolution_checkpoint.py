"""Evolution stopped at any point goes on to the same search, and drives nothing twice."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evolution_course import PARAMS, START, Course, run, run_from, vectors
from numpy.typing import NDArray
from params_files import replaced

from worldmodels.core.checkpoint import Checkpoint
from worldmodels.core.errors import WorldModelsError
from worldmodels.rollouts.episode import Episode, Outcome

LEVERS: dict[str, dict[str, Any]] = {
    "none": {},
    "diagonal": {"covariance": "diagonal"},
    "restarts": {"restart_every": 2},
    "decay": {"weight_decay": 5000.0},
    "finalists": {"finalist_episodes": 3},
    "track pool": {"track_pool": 4},
    "all": {
        "covariance": "diagonal",
        "restart_every": 2,
        "weight_decay": 5000.0,
        "finalist_episodes": 3,
        "track_pool": 4,
    },
}


class Short(Course):
    """Interrupted after so many plays."""

    def __init__(self, plays: int) -> None:
        super().__init__()
        self.interrupted_after = plays

    def play(
        self, episodes: Sequence[Episode], candidates: NDArray[np.float64]
    ) -> Iterator[Outcome]:
        if len(self.plays) == self.interrupted_after:
            raise KeyboardInterrupt
        return super().play(episodes, candidates)


@pytest.mark.parametrize("plays", [1, 2, 4, 6, 7, 9])  # validations first, after 4 and 6
@pytest.mark.parametrize("levers", ["none", "diagonal", "restarts", "decay"])
def test_going_on_gives_the_same_search_and_drives_nothing_twice(
    levers: str, plays: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = replaced(PARAMS, **LEVERS[levers])
    whole, before, after = Course(), Short(plays), Course()
    expected = run_from(START, course=whole, params=params)
    checkpoint = Checkpoint("evolve", tmp_path)
    if plays < len(whole.plays):
        with pytest.raises(KeyboardInterrupt):
            run(course=before, params=params, checkpoint=checkpoint)
    else:
        run(course=before, params=params, checkpoint=checkpoint)
    got = run_from(START, course=after, params=params, checkpoint=checkpoint)
    assert "evolve: going on after generation" in capsys.readouterr().out
    assert vectors(got) == vectors(expected)
    assert [one.row() for one in got] == [one.row() for one in expected]
    assert [one.validation for one in got] == [one.validation for one in expected]
    for (_, candidates), (_, same) in zip(before.plays + after.plays, whole.plays, strict=True):
        assert candidates.tobytes() == same.tobytes()


@pytest.mark.parametrize("plays", [1, 2, 3, 8])  # each start is one, the first validation the 7th
def test_going_on_tries_no_start_twice(plays: int, tmp_path: Path) -> None:
    starts = START, START + 0.5, START - 0.5
    whole, before, after = Course(), Short(plays), Course()
    expected = run_from(*starts, course=whole)
    checkpoint = Checkpoint("evolve", tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run_from(*starts, course=before, checkpoint=checkpoint)
    got = run_from(*starts, course=after, checkpoint=checkpoint)
    assert vectors(got) == vectors(expected)
    assert [one.validation for one in got] == [one.validation for one in expected]
    for (_, candidates), (_, same) in zip(before.plays + after.plays, whole.plays, strict=True):
        assert candidates.tobytes() == same.tobytes()


HEATS = {"finalists": 2, "track pool": 2, "all": 3}  # plays of a generation


@pytest.mark.parametrize(
    ("levers", "plays"),
    [(levers, plays) for levers, heats in HEATS.items() for plays in range(1, 3 + 6 * heats)],
)
def test_going_on_drives_nothing_twice_but_the_heats_of_an_unfinished_generation(
    levers: str, plays: int, tmp_path: Path
) -> None:
    params = replaced(PARAMS, **LEVERS[levers])
    whole, before, after = Course(), Short(plays), Course()
    expected = run(course=whole, params=params)
    checkpoint = Checkpoint("evolve", tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(course=before, params=params, checkpoint=checkpoint)
    got = run(course=after, params=params, checkpoint=checkpoint)
    assert vectors(got) == vectors(expected)
    assert [one.row() for one in got] == [one.row() for one in expected]
    assert [one.validation for one in got] == [one.validation for one in expected]
    heats = [*range(1, HEATS[levers]), 0]  # driven again if that one was the last
    again = [0, *4 * heats, 0, *2 * heats, 0]  # validations are none, and saved at once
    assert len(whole.plays) == len(again)
    assert len(before.plays) + len(after.plays) == len(again) + again[plays - 1]


def test_scores_that_lead_elsewhere_than_they_did_are_an_error(tmp_path: Path) -> None:
    checkpoint = Checkpoint("evolve", tmp_path)
    run(checkpoint=checkpoint)
    path = tmp_path / "evolution.json"
    log = json.loads(path.read_text())
    log["results"][2]["scores"].reverse()
    path.write_text(json.dumps(log))
    with pytest.raises(WorldModelsError, match=r"generation 6: expected the same mean vector"):
        run(checkpoint=checkpoint)


@pytest.mark.parametrize("content", ["", "{}", '{"results": 3}', '{"results": [{"x": 1}]}', "[1]"])
def test_a_damaged_log_is_said_to_be_and_left(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "evolution.json").write_text(content)
    got = run(checkpoint=Checkpoint("evolve", tmp_path))
    assert "evolve: starting anew, its checkpoint is damaged" in capsys.readouterr().out
    assert vectors(got) == vectors(run())
