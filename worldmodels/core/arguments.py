"""Command line arguments that are checked while they are read, for argparse's `type`."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def number(lowest: float, highest: float) -> Callable[[str], float]:
    """Reads a number within these bounds."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = lowest - 1
        if not lowest <= value <= highest:
            raise argparse.ArgumentTypeError(
                f"expected a number from {lowest:g} to {highest:g}, got {text!r}"
            )
        return value

    return read


def integer(lowest: int, highest: int) -> Callable[[str], int]:
    """Reads an integer within these bounds."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = lowest - 1
        if not lowest <= value <= highest:
            raise argparse.ArgumentTypeError(
                f"expected an integer from {lowest} to {highest}, got {text!r}"
            )
        return value

    return read
