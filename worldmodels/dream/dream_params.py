"""The group `dream` of params.yaml. Read `DreamParams`."""

from __future__ import annotations

from pydantic import Field

from worldmodels.core.params import Params


class DreamParams(Params):
    """The `dream` group of params.yaml.

    generations: that are evolved in it, where `controller.environment` has it.
    temperature: of M's predictions, see `imagination.imagine`; 0 is their mean.
    steps: of a dream, at most. later_weight: of what M expects to be paid after them.
    moments: that dreams begin at. warm_up: real steps that M reads before.
    failures: share of the moments that lie shortly before an episode went wrong.
    """

    generations: int = Field(ge=1, le=100_000)
    temperature: float = Field(ge=0, le=10)
    steps: int = Field(ge=1, le=1000)
    later_weight: float = Field(ge=0, le=10)
    moments: int = Field(ge=1, le=100_000)
    warm_up: int = Field(ge=1, le=1000)
    failures: float = Field(ge=0, le=1)
