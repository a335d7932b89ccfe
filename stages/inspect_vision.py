"""Judge the V that drives by held-out frames: reconstruction, generation, latent space, use for
control."""

from __future__ import annotations

import numpy as np

from worldmodels.core.params import BaseParams, load_group, read_params
from worldmodels.core.progress import announce
from worldmodels.data.episodes import EpisodeFiles
from worldmodels.inspection.vision_frames import InspectionParams
from worldmodels.inspection.vision_report import inspect_vision
from worldmodels.models.determinism import (
    ComputeParams,
    hide_gpu,
    make_deterministic,
    use_threads,
)
from worldmodels.models.vae import VAE
from worldmodels.pipeline.rounds import rounds_of
from worldmodels.pipeline.stage_run import run_stage
from worldmodels.training.evaluation import EvaluationParams


def main() -> None:
    base = load_group("base", BaseParams)
    params = load_group("inspection", InspectionParams)
    hide_gpu()
    use_threads(load_group("compute", ComputeParams).threads)
    make_deterministic(base.seed)
    round_ = rounds_of(read_params())[load_group("evaluation", EvaluationParams).round]
    vae = VAE.load(f"{round_.models}/vae.h5")
    first, *later = round_.all_episodes
    fitted = {"explored": EpisodeFiles(first)}
    if later:
        fitted["agent"] = EpisodeFiles(*later)
    driving = EpisodeFiles("data/driving")
    for files in (*fitted.values(), driving):
        files.require_image_shape(vae.image_shape)
    announce(
        "inspect_vision",
        f"{params.frames} frames of each set at most",
    )
    inspect_vision(
        vae,
        fitted,
        driving,
        params,
        validation_share=base.validation_share,
        rng=np.random.default_rng(base.seed),
    )


if __name__ == "__main__":
    run_stage("inspect_vision", main)
