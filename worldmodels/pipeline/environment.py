"""What, besides code, parameters and inputs, decides the bits of a result: processor, packages,
settings.

The same environment gives the same bits; another may round in another way. Read `environment`.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import platform
from pathlib import Path

from worldmodels.core.files import atomic_write
from worldmodels.core.inherited import RECORDED

RECORD = Path("metrics/environment.json")
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


def record_environment(stage: str, path: Path = RECORD) -> None:
    """Note in `path` that `stage` ran in this environment.

    The file lists environments, each with the stages that last ran in it, so that results made on
    two machines show as such.
    """
    stages_of = _read(path)
    for stages in stages_of.values():
        stages.discard(stage)
    stages_of.setdefault(_as_text(environment()), set()).add(stage)
    records = [
        {"stages": sorted(stages), "environment": json.loads(text)}
        for text, stages in sorted(stages_of.items())
        if stages
    ]
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(records, indent=2, sort_keys=True) + "\n")


def _read(path: Path) -> dict[str, set[str]]:
    """Stages by the text of their environment; nothing, if the file is none of ours."""
    try:
        records = json.loads(path.read_text())
        return {_as_text(record["environment"]): set(record["stages"]) for record in records}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"  # of OpenVINO, which some machines have no wheel of


def _as_text(environment: Environment) -> str:
    return json.dumps(environment, sort_keys=True)


def _processor() -> dict[str, object]:
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
