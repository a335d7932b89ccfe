"""What machine this is."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path

FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
PACKAGES = ("gym", "numpy", "opencv-python-headless", "pygame", "tensorflow")


def machine() -> str:
    """Processor, cores and the versions that speed depends on, in a line."""
    facts = dict(
        line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line
    )
    stripped = {name.strip(): value.strip() for name, value in facts.items()}
    flags = [flag for flag in FLAGS if flag in stripped.get("flags", "").split()]
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    cores = len(os.sched_getaffinity(0))
    return f"{stripped.get('model name', 'unknown')}, {cores} cores, {' '.join(flags)}; {packages}"
