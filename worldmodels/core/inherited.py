"""What a process that computes for the pipeline inherits: no setting that changes a result.

Stages, their workers and an agent's own process run with the settings below, whatever the user's
environment and configuration files say. What is left and may change bits is in `RECORDED`, and
with it in metrics/environment.json and in the key of every checkpoint. Libraries read these
variables when they are first imported, so this module imports none, and `stages` runs it before
everything else. docs/reliability.md has a table of it. Read `own_settings`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

FIXED = {
    "OMP_NUM_THREADS": "1",  # no result may depend on how many cores there are
    "OPENBLAS_NUM_THREADS": "1",
    "TF_ENABLE_ONEDNN_OPTS": "1",  # off by default on processors without AVX512
    "KERAS_BACKEND": "tensorflow",
    "KERAS_HOME": os.devnull,  # no folder, so that no keras.json is read there, or written
    "MPLBACKEND": "Agg",  # a notebook's own is not installed here, and matplotlib refuses it
}

# Limits to what a processor can do, and other programs, that somebody may need.
NEEDED = ("OPENBLAS_CORETYPE", "ONEDNN_MAX_CPU_ISA", "GLIBC_TUNABLES", "IMAGEIO_FFMPEG_EXE")
RECORDED = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_ENABLE_ONEDNN_OPTS", *NEEDED)

# All other variables of the libraries that compute, known or not: instruction sets, precision,
# compilation, threads, kernels.
TAKEN_AWAY = (
    *("DNNL_", "ONEDNN_", "TF_", "XLA_", "KERAS_", "NVIDIA_TF32_", "CUBLAS_", "CUDNN_"),
    *("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "GOTO_", "NPY_", "SCIPY_", "SKLEARN_"),
    *("OPENCV_", "MATPLOTLIBRC", "NUMBA_", "OV_", "OPENVINO_"),
)
# Of these, what is for logs and a GPU's memory, and changes no result.
LEFT = ("TF_CPP_", "NUMBA_NUM_THREADS", "TF_FORCE_GPU_ALLOW_GROWTH", "TF_GPU_ALLOCATOR")


def own_settings(inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment for a process that computes, made of the one that it would inherit."""
    found = dict(inherited)
    if "DNNL_MAX_CPU_ISA" in found:  # oneDNN's older spelling, which counts where the new is not
        found.setdefault("ONEDNN_MAX_CPU_ISA", found["DNNL_MAX_CPU_ISA"])
    kept = {
        name: value
        for name, value in found.items()
        if not name.startswith(TAKEN_AWAY) or name in NEEDED or name.startswith(LEFT)
    }
    return {**kept, **FIXED}


def use_own_settings() -> None:
    """Change this process's environment to `own_settings`."""
    settings = own_settings(os.environ)
    for name in set(os.environ) - set(settings):
        del os.environ[name]
    os.environ.update(settings)
