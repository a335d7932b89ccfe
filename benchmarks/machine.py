"""What machine this is."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

from worldmodels.rollouts.cores import core_count

FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
PACKAGES = ("gym", "numpy", "opencv-python-headless", "pygame", "tensorflow")


def machine() -> str:
    """Processor, cores and the versions that speed depends on, in a line."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # there is none on macOS
        lines = []
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    stripped = {name.strip(): value.strip() for name, value in facts.items()}
    name = stripped.get("model name", platform.processor() or "unknown")
    flags = [flag for flag in FLAGS if flag in stripped.get("flags", "").split()]
    packages = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    return f"{name}, {core_count()} cores, {' '.join(flags)}; {packages}"
