"""No file crashes, hangs or fills the process that reads it; see fuzz_files.py for the cases."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SEED = 20
MIB = 1024


def fuzz(first: int, count: int) -> dict[str, int]:
    """How many cases ended how; fails on any end that is not a good one."""
    program = Path(__file__).with_name("fuzz_files.py")
    numbers = [str(number) for number in (SEED, first, count)]
    ran = subprocess.run([sys.executable, program, *numbers], capture_output=True, text=True)
    assert ran.returncode == 0, f"{ran.returncode}: {ran.stderr[-3000:]}"
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found["mib_more"] < MIB
    assert found["mib_of_a_checker"] < MIB + 100
    assert sum(found["ends"].values()) == count
    print(found)
    ends: dict[str, int] = found["ends"]
    return ends


def test_three_hundred_mutated_files_are_read_or_refused() -> None:
    ends = fuzz(0, 300)
    # Every line of defence has had work, so the mutations do reach libhdf5 and what comes after.
    for end in ("read", "damaged", "something else", "not safe to open", "expected"):
        assert ends[end] > 0


@pytest.mark.slow
@pytest.mark.parametrize("first", range(300, 10_300, 1000))
def test_ten_thousand_mutated_files_are_read_or_refused(first: int) -> None:
    fuzz(first, 1000)
