"""stable-baselines3's check says of the simulator what it says of gymnasium's CarRacing."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

gymnasium = pytest.importorskip("gymnasium")
env_checker = pytest.importorskip(
    "stable_baselines3.common.env_checker",
    reason="`make test-full` has it",
)

ARGUMENTS: list[dict[str, Any]] = [
    {},
    {"continuous": False},
    {"domain_randomize": True},
    {"render_mode": "rgb_array"},
]


def said_of(name: str, arguments: dict[str, Any]) -> list[str]:
    """The warnings of `check_env`."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        env_checker.check_env(gymnasium.make(name, **arguments).unwrapped)
    return [str(each.message) for each in said if each.category is UserWarning]


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
def test_check_env_says_what_it_says_of_gymnasium_s(arguments: dict[str, Any]) -> None:
    ours = said_of("worldmodels:FastCarRacing-v3", arguments)
    assert ours == said_of("CarRacing-v3", arguments)
