"""Batch shapes: few, in fours, and enough."""

from __future__ import annotations

import pytest

from worldmodels.models.row_product import batch_shapes


@pytest.mark.parametrize(
    ("largest", "shapes"),
    [(1, [4]), (4, [4]), (5, [4, 8]), (12, [4, 8, 12]), (16, [4, 8, 16]), (33, [4, 8, 16, 32, 36])],
)
def test_batch_shapes_double_up_to_the_largest(largest: int, shapes: list[int]) -> None:
    assert batch_shapes(largest) == shapes
