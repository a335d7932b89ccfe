"""What `test_params_*.py` share: a preset's groups, with changes, and how hypothesis draws."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, TypeAlias

from hypothesis import HealthCheck, settings
from project import ROOT

from worldmodels.core.params import read_params
from worldmodels.pipeline.presets import apply_preset

Groups: TypeAlias = dict[str, dict[str, Any]]


def preset_groups(name: str, folder: Path) -> Groups:
    """params.yaml with a preset applied."""
    shutil.copy(ROOT / "params.yaml", folder)
    shutil.copytree(ROOT / "presets", folder / "presets")
    apply_preset(name, folder)
    return read_params(folder / "params.yaml")


KEYS = [
    (group, key) for group, values in read_params(ROOT / "params.yaml").items() for key in values
]

QUICK = settings(
    max_examples=1300,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def changed(groups: Groups, changes: dict[tuple[str, str], Any]) -> Groups:
    """A copy of the groups with other values, by group and key."""
    copy = {group: dict(keys) for group, keys in groups.items()}
    for (group, key), value in changes.items():
        copy[group][key] = value
    return copy
