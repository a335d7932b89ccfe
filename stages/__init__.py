"""The stages of dvc.yaml, one file each; run one with `python -m stages.<name>`."""

import os
import sys
from importlib.util import find_spec

if missing := [name for name in ("numpy", "gym", "h5py", "keras") if find_spec(name) is None]:
    sys.exit(
        f"{sys.orig_argv[-1]}: expected a Python with the packages of requirements.lock, got "
        f"{sys.executable} without {missing[0]}; `.venv/bin/dvc repro` runs stages by its own"
    )

# No result may depend on how many cores there are: set before NumPy loads its BLAS.
os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})

from worldmodels.interruption import stop_on_interrupt

if sys.argv[0] == "-m":  # Python is about to run a stage; imports take seconds, and can be stopped
    stop_on_interrupt()
