"""What, besides code, parameters and inputs, decides the bits of a result: processor, packages,
settings.

The same environment gives the same bits; another may round in another way. Read `environment`.
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

from worldmodels.core.inherited import RECORDED

# Those that compute; the others only move results about.
PACKAGES = (
    *("box2d-py", "cma", "gym", "h5py", "imageio-ffmpeg", "keras", "ml-dtypes", "numpy"),
    *("matplotlib", "opencv-python-headless", "pillow", "pygame", "scikit-learn", "scipy"),
    *("numba", "openvino", "tensorflow"),
)
# Of the features that /proc/cpuinfo lists, those by which libraries choose their kernels.
INSTRUCTION_SETS = ("amx", "avx", "bmi", "f16c", "fma", "sse", "ssse")

Environment = dict[str, object]


@functools.cache
def environment() -> Environment:
    """Processor, packages and settings of this process, as JSON holds them.

    How many cores there are is not in it: no result depends on that.
    """
    settings = {name: os.environ[name] for name in RECORDED if name in os.environ}
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "libc": " ".join(platform.libc_ver()),
        "processor": _processor(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "settings": settings,
    }


def has_bfloat16() -> bool:
    """Does this processor multiply in it, and is nothing set that limits what it does?"""
    sets = _processor().get("instruction_sets", [])
    limited = "ONEDNN_MAX_CPU_ISA" in os.environ
    return not limited and any(name in sets for name in ("avx512_bf16", "amx_bf16"))


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"  # of OpenVINO, which some machines have no wheel of


def _processor() -> dict[str, Any]:
    """Vendor and instruction sets, where /proc/cpuinfo tells them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return {}
    fields = {key.strip(): value.strip() for key, _, value in (x.partition(":") for x in lines)}
    features = fields.get("flags", fields.get("Features", "")).split()
    return {
        "vendor": fields.get("vendor_id", ""),
        "instruction_sets": sorted(name for name in features if name.startswith(INSTRUCTION_SETS)),
    }
