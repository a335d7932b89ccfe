"""Read all of params.yaml before any stage runs, so that a refused value costs no output.

It also writes what the first round finds in the place of a round before: nothing, in so many words.
"""

from __future__ import annotations

from worldmodels.core.files import atomic_write
from worldmodels.pipeline.all_params import load_all
from worldmodels.pipeline.rounds import NONE
from worldmodels.pipeline.stage_run import run_stage

CHECKED = "data/params_checked"
STAND_INS = (
    f"data/episodes/{NONE}",
    *(f"models/{NONE}/{name}.h5" for name in ("controller", "memory", "vae")),
)


def main() -> None:
    load_all()
    for path in STAND_INS:
        with atomic_write(path) as temporary:
            temporary.write_text("Nothing: no round comes before the first.\n")
    with atomic_write(CHECKED) as temporary:
        temporary.write_text("params.yaml was read and every value makes sense\n")


if __name__ == "__main__":
    run_stage("check_params", main)
