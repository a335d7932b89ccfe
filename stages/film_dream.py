"""Film what M dreams: beside reality, on the same actions, and with C at the wheel."""

from __future__ import annotations

from worldmodels.core.params import BaseParams, load_group, read_params
from worldmodels.core.progress import announce
from worldmodels.dream.starts import DreamStarts
from worldmodels.inspection.dream_film import film_dreams
from worldmodels.models.agent_process import Agent
from worldmodels.models.determinism import (
    ComputeParams,
    hide_gpu,
    make_deterministic,
    use_threads,
)
from worldmodels.pipeline.rounds import rounds_of
from worldmodels.pipeline.stage_run import run_stage
from worldmodels.training.evaluation import EvaluationParams

FILM, PICTURE = "data/dream.mp4", "metrics/dream.png"


def main() -> None:
    base = load_group("base", BaseParams)
    evaluation = load_group("evaluation", EvaluationParams)
    hide_gpu()
    use_threads(load_group("compute", ComputeParams).threads)
    make_deterministic(base.seed)
    round_ = rounds_of(read_params())[evaluation.round]
    agent = Agent.load(round_.models)
    announce("film_dream", f"the agent drives track {evaluation.first_seed}, and dreams of it")
    film_dreams(
        agent,
        DreamStarts.load(round_.dream_starts, agent.memory).bounds,
        track_seed=evaluation.first_seed,
        seed=base.seed,
        film=FILM,
        picture=PICTURE,
    )


if __name__ == "__main__":
    run_stage("film_dream", main)
