"""Film what M dreams: beside reality, on the same actions, and with C at the wheel."""

from __future__ import annotations

from worldmodels.core.params import BaseParams, load_group, read_params
from worldmodels.core.progress import announce
from worldmodels.data.episodes import EpisodeData, EpisodeFiles, read_episodes, split_episodes
from worldmodels.data.latents import LatentSequences
from worldmodels.dream.starts import z_bounds
from worldmodels.inspection.dream_film import film_dreams
from worldmodels.models.controller import LinearController
from worldmodels.models.determinism import (
    ComputeParams,
    hide_gpu,
    make_deterministic,
    use_threads,
)
from worldmodels.models.memory import MDNRNN
from worldmodels.models.vae import VAE
from worldmodels.pipeline.rounds import rounds_of
from worldmodels.pipeline.stage_run import run_stage
from worldmodels.training.evaluation import EvaluationParams

FILM, PICTURE = "data/dream.mp4", "metrics/dream.png"


def main() -> None:
    base = load_group("base", BaseParams)
    hide_gpu()
    use_threads(load_group("compute", ComputeParams).threads)
    make_deterministic(base.seed)
    round_ = rounds_of(read_params())[load_group("evaluation", EvaluationParams).round]
    memory = MDNRNN.load(f"{round_.models}/memory.h5")
    episode = _longest_held_out(EpisodeFiles(*round_.all_episodes), base.validation_share)
    announce(
        "film_dream", f"{len(episode.frames)} steps of the drive on track {episode.track_seed}"
    )
    film_dreams(
        VAE.load(f"{round_.models}/vae.h5"),
        memory,
        LinearController.load(f"{round_.models}/controller.h5"),
        episode,
        z_bounds(LatentSequences(round_.latents, length=1)),
        seed=base.seed,
        film=FILM,
        picture=PICTURE,
    )


def _longest_held_out(files: EpisodeFiles, validation_share: float) -> EpisodeData:
    """The longest of the episodes that M was not fitted to, of equals the last."""
    _, validation = split_episodes(len(files.episodes), validation_share)
    places = [files.episodes[index] for index in reversed(validation)]
    place = max(places, key=lambda one: one.length)
    in_shard = [one.start for one in files.episodes if one.shard == place.shard]
    return list(read_episodes(place.shard))[in_shard.index(place.start)]


if __name__ == "__main__":
    run_stage("film_dream", main)
