"""Stages give the bits that they promise, whatever they inherit; what is left is recorded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from project import ROOT, Project

from worldmodels.car_racing.compiled import cache_folder
from worldmodels.core.inherited import own_settings

CONFIGURED = {"floatx": "float16", "image_data_format": "channels_first", "epsilon": 0.5}
HOSTILE = {
    "KERAS_BACKEND": "jax",
    "DNNL_DEFAULT_FPMATH_MODE": "BF16",
    "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_XLA_FLAGS": "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit",
    "XLA_FLAGS": "--no_such_flag",
    "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3",
    "OPENBLAS_NUM_THREADS": "2",
    "OMP_NUM_THREADS": "2",
    "OPENCV_CPU_DISABLE": "AVX2",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # Jupyter's
    # Text files are ASCII, and a decimal point a comma.
    "LC_ALL": "C",
    "LC_NUMERIC": "de_DE.UTF-8",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
}
# What each of these stages writes; together they import all that computes.
OUTPUTS = {
    "inspect_vision": [
        "metrics/vision.json",
        "metrics/vision_dimensions.png",
        "metrics/vision_reconstructions.png",
    ],
    "inspect_memory": ["metrics/dreams.json", "metrics/dreams.png"],
    "film_dream": ["data/dream.mp4", "metrics/dream.png"],
    "encode first": ["data/latents/first.h5", "metrics/first/encode.json"],
    "train_memory first": ["models/first/memory.h5"],
    "evolve first": ["models/first/controller.h5"],
}


@pytest.fixture
def hostile(project: Project, tmp_path: Path) -> Project:
    """A finished project of a user whose settings are against it."""
    copied = project.copy(tmp_path)
    home = tmp_path / "home"
    (home / ".keras").mkdir(parents=True)
    (home / ".keras" / "keras.json").write_text(json.dumps(CONFIGURED))
    (home / ".config" / "matplotlib").mkdir(parents=True)
    (home / ".config" / "matplotlib" / "matplotlibrc").write_text("font.size: 20\n")
    (copied.root / "matplotlibrc").write_text("axes.facecolor: black\n")
    copied.environment |= {**HOSTILE, "HOME": str(home)}
    copied.environment["XDG_CACHE_HOME"] = str(cache_folder().parents[1])  # is compiled there
    copied.environment.pop("XDG_CONFIG_HOME", None)
    return copied


def test_stages_give_the_same_bytes_whatever_they_inherit(hostile: Project) -> None:
    record = hostile.root / "metrics" / "environment.json"
    recorded = record.read_bytes()
    for stage, outputs in OUTPUTS.items():
        paths = [hostile.root / output for output in outputs]
        expected = [path.read_bytes() for path in paths]
        for path in paths:
            path.unlink()
        hostile.run("python", "-m", *f"stages.{stage}".split())
        assert [path.read_bytes() for path in paths] == expected, stage
    assert record.read_bytes() == recorded


def test_a_limit_to_the_instruction_sets_is_recorded_in_either_spelling(
    project: Project, tmp_path: Path
) -> None:
    limited = project.copy(tmp_path)
    limited.environment |= {"DNNL_MAX_CPU_ISA": "AVX2", "OPENBLAS_CORETYPE": "Haswell"}
    limited.run("python", "-m", "stages.check_params")
    records = json.loads((limited.root / "metrics" / "environment.json").read_text())
    (settings,) = (
        record["environment"]["settings"]
        for record in records
        if "check_params" in record["stages"]
    )
    assert settings["ONEDNN_MAX_CPU_ISA"] == "AVX2"
    assert settings["OPENBLAS_CORETYPE"] == "Haswell"


def test_settings_for_logs_and_a_gpu_s_memory_are_the_user_s() -> None:
    left = {"TF_CPP_MIN_LOG_LEVEL": "0", "TF_FORCE_GPU_ALLOW_GROWTH": "true", "HOME": "/home/me"}
    assert own_settings(left).items() > left.items()
    assert own_settings(own_settings(HOSTILE)) == own_settings(HOSTILE)


MODELS = """
import sys
import numpy as np
from worldmodels import MDNRNN, VAE
from worldmodels.models.vision import calibrate
for precision in ("float32", "bfloat16", "int8"):
    vae = VAE((32, 32), 4, precision=precision, rng=np.random.default_rng(1))
    frames = np.random.default_rng(2).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    calibrate(vae, frames)
    mean, log_var = vae.encode(frames)
    print(mean.tobytes().hex(), log_var.tobytes().hex(), vae.decode(mean).tobytes().hex())
memory = MDNRNN(4, 8, 2, rng=np.random.default_rng(2))
for part in memory.predict(mean[None], np.ones((1, 4, 3), np.float32)):
    print(part.numpy().tobytes().hex())
"""


def run_models(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", MODELS],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
    )


def test_keras_own_configuration_changes_no_model_in_a_user_s_process(tmp_path: Path) -> None:
    (tmp_path / "keras.json").write_text(json.dumps(CONFIGURED))
    usual, configured = run_models(), run_models(KERAS_HOME=str(tmp_path))
    assert configured.returncode == 0, configured.stderr
    assert configured.stdout == usual.stdout


def test_another_backend_of_keras_is_refused_in_one_line() -> None:
    refused = run_models(KERAS_BACKEND="jax")
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].startswith(
        "worldmodels.core.errors.WorldModelsError: Keras: expected its TensorFlow backend, got "
    )
