"""Judge the evaluated agent's M by held-out episodes: its predictions, and its dreams."""

from __future__ import annotations

from worldmodels.core.params import BaseParams, load_group, read_params
from worldmodels.core.progress import announce
from worldmodels.data.episodes import split_episodes
from worldmodels.data.latents import LatentSequences
from worldmodels.inspection.memory_report import inspect_memory
from worldmodels.models.determinism import (
    ComputeParams,
    hide_gpu,
    make_deterministic,
    use_threads,
)
from worldmodels.models.memory import MDNRNN, MemoryParams
from worldmodels.models.vae import VAE
from worldmodels.pipeline.rounds import rounds_of
from worldmodels.pipeline.stage_run import run_stage
from worldmodels.training.evaluation import EvaluationParams


def main() -> None:
    base = load_group("base", BaseParams)
    hide_gpu()
    use_threads(load_group("compute", ComputeParams).threads)
    make_deterministic(base.seed)
    round_ = rounds_of(read_params())[load_group("evaluation", EvaluationParams).round]
    memory = MDNRNN.load(f"{round_.models}/memory.h5")
    episodes = LatentSequences(round_.latents, length=1).episodes
    training, validation = split_episodes(episodes, base.validation_share)
    announce("inspect_memory", f"{len(validation)} held-out episodes of {episodes}")
    vae = VAE.load(f"{round_.models}/vae.h5")
    inspect_memory(
        memory,
        vae,
        round_.latents,
        training=training,
        validation=validation,
        latent=load_group("memory", MemoryParams, round_name=round_.name).latent,
    )


if __name__ == "__main__":
    run_stage("inspect_memory", main)
