"""Transfer the first round's controller to the V and M of the second.

How well that went is measured on drives that are held out from this fit; V and M may know them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sklearn.metrics import r2_score

from worldmodels.car_racing.task import ACTION_NAMES
from worldmodels.core.metrics import write_metrics
from worldmodels.core.params import BaseParams, load_group
from worldmodels.core.progress import Progress, announce
from worldmodels.data.episodes import EpisodeData, EpisodeFiles, read_episodes, split_episodes
from worldmodels.models.controller import LinearController
from worldmodels.models.determinism import (
    ComputeParams,
    hide_gpu,
    make_deterministic,
    use_threads,
)
from worldmodels.models.encoding import EncodingParams
from worldmodels.models.memory import MDNRNN
from worldmodels.models.vae import VAE
from worldmodels.pipeline.rounds import AGAIN, DRIVEN, FIRST, TRANSFERRED, Round
from worldmodels.pipeline.stage_run import run_stage
from worldmodels.training.transfer import FeatureExtractor, outputs, transfer


def main() -> None:
    base = load_group("base", BaseParams)
    encoding = load_group("encoding", EncodingParams)
    hide_gpu()
    use_threads(load_group("compute", ComputeParams).threads)
    make_deterministic(seed=0)
    files = EpisodeFiles(DRIVEN)
    controller = LinearController.load(f"{FIRST.models}/controller.h5")

    def extractor(round_: Round) -> FeatureExtractor:
        vae = VAE.load(f"{round_.models}/vae.h5")
        files.require_image_shape(vae.image_shape)
        memory = MDNRNN.load(f"{round_.models}/memory.h5")
        return FeatureExtractor(
            vae, memory, inputs=controller.inputs, batch_size=encoding.batch_size
        )

    before, after = extractor(FIRST), extractor(AGAIN)
    fitted, held_out = split_episodes(len(files.episodes), base.validation_share)
    announce("transfer", f"{files.rows} frames")
    with Progress("transfer", len(fitted), "episodes") as progress:

        def counted(drives: Iterator[EpisodeData]) -> Iterator[EpisodeData]:
            for drive in drives:
                yield drive
                progress.advance(1)

        transferred = transfer(controller, before, after, counted(_drives(fitted)))
    transferred.save(TRANSFERRED)
    wanted = outputs(controller, before, _drives(held_out))
    agreement = {
        name: r2_score(
            wanted, outputs(one, after, _drives(held_out)), multioutput="raw_values"
        ).tolist()
        for name, one in (("as_it_was", controller), ("transferred", transferred))
    }
    write_metrics(
        "metrics/transfer.json",
        {
            "held_out_r2": {
                name: dict(zip(ACTION_NAMES, shares, strict=True))
                for name, shares in agreement.items()
            },
        },
    )


def _drives(numbers: Sequence[int]) -> Iterator[EpisodeData]:
    """The agent's episodes of these numbers."""
    chosen = set(numbers)
    return (drive for number, drive in enumerate(read_episodes(DRIVEN)) if number in chosen)


if __name__ == "__main__":
    run_stage("transfer", main)
