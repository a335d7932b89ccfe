"""What `test_params_*.py` share: a preset's groups, with changes, and how hypothesis draws."""

from __future__ import annotations

import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from hypothesis import HealthCheck, settings
from project import ROOT

from worldmodels.core.params import Params, flatten, read_params
from worldmodels.pipeline.presets import apply_preset

T = TypeVar("T", bound=Params)
Groups: TypeAlias = dict[str, dict[str, Any]]


def preset_groups(name: str, folder: Path) -> Groups:
    """params.yaml with a preset applied."""
    shutil.copy(ROOT / "params.yaml", folder)
    shutil.copytree(ROOT / "presets", folder / "presets")
    apply_preset(name, folder)
    return read_params(folder / "params.yaml")


KEYS = [key for key in flatten(read_params(ROOT / "params.yaml")) if not key.endswith(".after")]

QUICK = settings(
    max_examples=1300,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def changed(groups: Groups, changes: dict[str, Any]) -> Groups:
    """A copy of the groups with other values, by dotted keys."""
    copy = deepcopy(groups)
    for key, value in changes.items():
        *path, name = key.split(".")
        place: dict[str, Any] = copy
        for step in path:
            place = place[step]
        place[name] = value
    return copy


def replaced(params: T, **changes: Any) -> T:
    """The same parameters with other values."""
    return type(params)(**{**params.model_dump(), **changes})
