"""Fit the MDN-RNN to a round's sequences of latents and actions."""

from __future__ import annotations

import sys
from functools import partial

import numpy as np

from worldmodels.core.checkpoint import Checkpoint
from worldmodels.core.metrics import write_curve, write_metrics
from worldmodels.core.params import BaseParams, load_group
from worldmodels.core.progress import announce
from worldmodels.data.episodes import split_episodes
from worldmodels.data.latents import LatentSequences
from worldmodels.models.determinism import ComputeParams, make_deterministic, use_threads
from worldmodels.models.memory import MDNRNN, MemoryParams
from worldmodels.pipeline.rounds import Round, chosen_round
from worldmodels.pipeline.stage_run import run_resumable_stage
from worldmodels.training.memory_training import fit_memory, measure_feature_mean


def main(round_: Round, checkpoint: Checkpoint) -> None:
    base = load_group("base", BaseParams)
    params = load_group("memory", MemoryParams, round_name=round_.name)
    use_threads(load_group("compute", ComputeParams).threads)
    make_deterministic(base.seed)
    sequences = LatentSequences(round_.latents, length=params.sequence_length)
    training, validation = split_episodes(sequences.episodes, base.validation_share)
    windows = len(sequences.windows(training, rng=None))
    announce(
        checkpoint.stage,
        f"{windows} windows of {params.sequence_length} steps, epochs: {params.epochs}",
    )
    if round_.previous:
        memory = MDNRNN.load(f"{round_.previous.models}/memory.h5")
        memory.vae_digest = sequences.vae_digest
    else:
        memory = MDNRNN(
            sequences.latent_dim,
            params.hidden_units,
            params.mixtures,
            rng=np.random.default_rng(base.seed),
            vae_digest=sequences.vae_digest,
        )
    rows = fit_memory(
        memory,
        params,
        sequences,
        training=training,
        validation=validation,
        seed=base.seed,
        checkpoint=checkpoint,
    )
    curve = list(rows)
    memory.feature_mean = measure_feature_mean(memory, params, sequences, training)
    memory.save(f"{round_.models}/memory.h5")
    write_curve(f"{round_.metrics}/memory_curve.csv", curve)
    val_nll = curve[-1]["val_nll"]
    write_metrics(f"{round_.metrics}/memory.json", {round_.metric("val_nll"): val_nll})


if __name__ == "__main__":
    chosen = chosen_round(sys.argv[1:])
    run_resumable_stage(chosen.stage("train_memory"), partial(main, chosen))
