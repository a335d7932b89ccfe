"""Draw moments of a round's episodes, for dreams to begin at."""

from __future__ import annotations

import sys
from functools import partial

from worldmodels.core.params import BaseParams, load_group
from worldmodels.core.progress import announce
from worldmodels.dream.dream_params import DreamParams
from worldmodels.dream.starts import dream_starts
from worldmodels.models.determinism import (
    ComputeParams,
    hide_gpu,
    make_deterministic,
    use_threads,
)
from worldmodels.models.memory import MDNRNN
from worldmodels.pipeline.rounds import Round, chosen_round
from worldmodels.pipeline.stage_run import run_stage


def main(round_: Round) -> None:
    base = load_group("base", BaseParams)
    params = load_group("dream", DreamParams, round_name=round_.name)
    hide_gpu()
    use_threads(load_group("compute", ComputeParams).threads)
    make_deterministic(base.seed)
    memory = MDNRNN.load(f"{round_.models}/memory.h5")
    announce(round_.stage("draw_starts"), f"{params.moments} moments for dreams to begin at")
    starts = dream_starts(
        memory,
        round_.latents,
        moments=params.moments,
        warm_up=params.warm_up,
        failures=params.failures,
        seed=base.seed,
    )
    starts.save(round_.dream_starts, memory)


if __name__ == "__main__":
    chosen = chosen_round(sys.argv[1:])
    run_stage(chosen.stage("draw_starts"), partial(main, chosen))
