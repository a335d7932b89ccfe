"""Give a round the controller that its evolution starts from: that of the round before, transferred
to the V and M of this one; in the first round, zeros.

How well that went is measured on drives that are held out from this fit; V and M may know them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from sklearn.metrics import r2_score

from worldmodels.car_racing.task import ACTION_NAMES
from worldmodels.core.metrics import write_metrics
from worldmodels.core.params import BaseParams, load_group
from worldmodels.core.progress import Progress, announce
from worldmodels.data.episodes import EpisodeData, EpisodeFiles, read_episodes, split_episodes
from worldmodels.models.controller import LinearController, linear_layer
from worldmodels.models.determinism import (
    ComputeParams,
    hide_gpu,
    make_deterministic,
    use_threads,
)
from worldmodels.models.memory import MDNRNN
from worldmodels.models.vae import VAE
from worldmodels.pipeline.rounds import Round, chosen_round
from worldmodels.pipeline.stage_run import run_stage
from worldmodels.training.controller_params import ControllerParams
from worldmodels.training.transfer import FeatureExtractor, outputs, transfer


def main(round_: Round) -> None:
    hide_gpu()
    agreement: dict[str, dict[str, float]] = {}
    if round_.previous is None:
        initial = _zeros(round_)
    else:
        initial, agreement = _transferred(round_, round_.previous)
    initial.save(round_.initial_controller)
    write_metrics(f"{round_.metrics}/transfer.json", {"held_out_r2": agreement})


def _zeros(round_: Round) -> LinearController:
    """What the first round begins with."""
    inputs = load_group("controller", ControllerParams).inputs
    memory = MDNRNN.load(f"{round_.models}/memory.h5")
    layer = linear_layer(inputs, latent_dim=memory.latent_dim, hidden_units=memory.hidden_units)
    announce(round_.stage("transfer"), "no round before this one, so C begins with zeros")
    return LinearController(np.zeros(layer.shape, np.float32), inputs, "mean")


def _transferred(
    round_: Round, previous: Round
) -> tuple[LinearController, dict[str, dict[str, float]]]:
    """C of the round before for this one's V and M; and how much of what C did on drives that were
    held out from the fit it explains, as R² of each action, transferred and as it was."""
    base = load_group("base", BaseParams)
    use_threads(load_group("compute", ComputeParams).threads)
    make_deterministic(seed=0)
    files = EpisodeFiles(round_.episodes)
    controller = LinearController.load(f"{previous.models}/controller.h5")

    def extractor(one: Round) -> FeatureExtractor:
        vae = VAE.load(f"{one.models}/vae.h5")
        files.require_image_shape(vae.image_shape)
        memory = MDNRNN.load(f"{one.models}/memory.h5")
        return FeatureExtractor(vae, memory, inputs=controller.inputs)

    before, after = extractor(previous), extractor(round_)
    fitted, held_out = split_episodes(len(files.episodes), base.validation_share)
    stage = round_.stage("transfer")
    announce(stage, f"{files.rows} frames")
    with Progress(stage, len(fitted), "episodes") as progress:

        def counted(drives: Iterator[EpisodeData]) -> Iterator[EpisodeData]:
            for drive in drives:
                yield drive
                progress.advance(1)

        transferred = transfer(controller, before, after, counted(_drives(round_, fitted)))
    wanted = outputs(controller, before, _drives(round_, held_out))
    agreement = {
        name: r2_score(
            wanted, outputs(one, after, _drives(round_, held_out)), multioutput="raw_values"
        ).tolist()
        for name, one in (("as_it_was", controller), ("transferred", transferred))
    }
    return transferred, {
        name: dict(zip(ACTION_NAMES, shares, strict=True)) for name, shares in agreement.items()
    }


def _drives(round_: Round, numbers: Sequence[int]) -> Iterator[EpisodeData]:
    """The agent's episodes of these numbers."""
    chosen = set(numbers)
    return (
        drive for number, drive in enumerate(read_episodes(round_.episodes)) if number in chosen
    )


if __name__ == "__main__":
    chosen = chosen_round(sys.argv[1:])
    run_stage(chosen.stage("transfer"), partial(main, chosen))
