"""The stages of dvc.yaml, one file each; run one with `python -m stages.<name>`."""

import runpy
import sys
from importlib.util import find_spec
from pathlib import Path

if missing := [name for name in ("numpy", "gym", "h5py", "keras") if find_spec(name) is None]:
    sys.exit(
        f"{sys.orig_argv[-1]}: expected a Python with the packages of requirements.lock, got "
        f"{sys.executable} without {missing[0]}; `.venv/bin/dvc repro` runs stages by its own"
    )

# By its path: to import the package is to import gym and so NumPy, which reads some of them.
INHERITED = Path(__file__).parent.parent / "worldmodels" / "core" / "inherited.py"
runpy.run_path(str(INHERITED))["use_own_settings"]()

from worldmodels.pipeline.interruption import stop_on_interrupt

if sys.argv[0] == "-m":  # Python is about to run a stage; imports take seconds, and can be stopped
    stop_on_interrupt()
