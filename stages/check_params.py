"""Read all of params.yaml before any stage runs, so that a refused value costs no output."""

from __future__ import annotations

from pathlib import Path

from worldmodels.core.files import atomic_write
from worldmodels.pipeline.all_params import load_all
from worldmodels.pipeline.stage_run import run_stage

CHECKED = Path("data/params_checked")


def main() -> None:
    load_all()
    with atomic_write(CHECKED) as temporary:
        temporary.write_text("params.yaml was read and every value makes sense\n")


if __name__ == "__main__":
    run_stage("check_params", main)
