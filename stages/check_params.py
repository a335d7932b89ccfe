"""Read all of params.yaml before any stage runs, so that a refused value costs no output."""

from __future__ import annotations

from pathlib import Path

from worldmodels.determinism import ComputeParams
from worldmodels.encoding import EncodingParams
from worldmodels.evaluation import EvaluationParams
from worldmodels.evolution import ControllerParams
from worldmodels.files import written_whole
from worldmodels.frames import EnvParams
from worldmodels.memory import MemoryParams
from worldmodels.params import (
    BaseParams,
    check_disjoint,
    load_group,
    read_params,
    require_only_groups,
)
from worldmodels.sampling import SamplingParams
from worldmodels.stage_run import run_stage
from worldmodels.vae import VAEParams

CHECKED = Path("data/params_checked")


def main() -> None:
    require_only_groups(
        read_params(),
        [
            "base",
            "env",
            "sampling",
            "compute",
            "vae",
            "encoding",
            "memory",
            "controller",
            "evaluation",
        ],
    )
    load_group("base", BaseParams)
    load_group("env", EnvParams)
    load_group("compute", ComputeParams)
    load_group("vae", VAEParams)
    load_group("encoding", EncodingParams)
    load_group("memory", MemoryParams)
    sampling = load_group("sampling", SamplingParams)
    controller = load_group("controller", ControllerParams)
    evaluation = load_group("evaluation", EvaluationParams)
    check_disjoint(
        {
            "sampling": sampling.seeds,
            "controller training": controller.training_seeds,
            "controller validation": controller.validation_seeds,
            "evaluation": evaluation.seeds,
        }
    )
    with written_whole(CHECKED) as temporary:
        temporary.write_text("params.yaml was read and every value makes sense\n")


if __name__ == "__main__":
    run_stage("check_params", main)
