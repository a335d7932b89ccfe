"""metrics/environment.json says in which environments the last results were made. Read
`record_environment`."""

from __future__ import annotations

import json
from pathlib import Path

from worldmodels.core.environment import Environment, environment
from worldmodels.core.files import atomic_write

RECORD = Path("metrics/environment.json")


def record_environment(stage: str, path: Path = RECORD) -> None:
    """Note in `path` that `stage` ran in this environment.

    The file lists environments, each with the stages that last ran in it, so that results made on
    two machines show as such.
    """
    stages_of = _read(path)
    for stages in stages_of.values():
        stages.discard(stage)
    stages_of.setdefault(_as_text(environment()), set()).add(stage)
    records = [
        {"stages": sorted(stages), "environment": json.loads(text)}
        for text, stages in sorted(stages_of.items())
        if stages
    ]
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(records, indent=2, sort_keys=True) + "\n")


def _read(path: Path) -> dict[str, set[str]]:
    """Stages by the text of their environment; nothing, if the file is none of ours."""
    try:
        records = json.loads(path.read_text())
        return {_as_text(record["environment"]): set(record["stages"]) for record in records}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _as_text(environment: Environment) -> str:
    return json.dumps(environment, sort_keys=True)
