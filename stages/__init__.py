"""The stages of dvc.yaml, one file each; run one with `python -m stages.<name>`."""

import os
import sys

# No result may depend on how many cores there are: set before NumPy loads its BLAS.
os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})

from worldmodels.interruption import stop_on_interrupt

if sys.argv[0] == "-m":  # Python is about to run a stage; imports take seconds, and can be stopped
    stop_on_interrupt()
