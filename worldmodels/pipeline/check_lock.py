"""Says which stages of dvc.lock no longer fit the code and the parameters, without the data.

`python -m worldmodels.pipeline.check_lock` works in a fresh clone, where `dvc status` would call
every cached output missing. Read `stale_stages` first.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from dvc.output import Output
from dvc.stage import PipelineStage

from worldmodels.core.errors import WorldModelsError
from worldmodels.core.params import flatten
from worldmodels.core.plain_yaml import Value
from worldmodels.pipeline.dvc_stages import files, last_run, open_stages, parameters


def stale_stages(root: Path) -> dict[str, list[str]]:
    """Find why stages of the project at `root` would run again: stage -> reasons; [] for none.

    A stage whose inputs will change only once an earlier stage has run again has no reason.

    Raises:
        WorldModelsError: dvc.yaml, dvc.lock or params.yaml cannot be read.
    """
    with open_stages(root) as stages:
        makers = {out.fs_path: stage for stage in stages.values() for out in stage.outs}
        return {name: list(_reasons(stage, makers)) for name, stage in stages.items()}


def _reasons(stage: PipelineStage, makers: dict[str, PipelineStage]) -> Iterator[str]:
    if stage.cmd_changed:
        yield "another command"
    elif last_run(stage) is None:
        yield "not in dvc.lock"
        return
    for params in parameters(stage):
        old, new = flatten(params.hash_info.value or {}), flatten(params.read_params())
        for key in dict.fromkeys([*old, *new]):
            before, now = (_shown(values, key) for values in (old, new))
            if before != now:
                yield f"{key} {before} -> {now}"
    for dep in files(stage):
        maker = makers.get(dep.fs_path)
        if maker is None:
            yield from _changes(dep)
        elif _made(maker, dep.fs_path).hash_info != dep.hash_info:
            yield f"{dep.def_path} is not the one that {maker.name} wrote"
    for out in stage.outs:
        if not out.hash_info:
            yield f"{out.def_path} new"
        elif not out.use_cache:  # it is in git, so here as well
            yield from _changes(out)


def _shown(values: dict[str, Value], key: str) -> str:
    return json.dumps(values[key], default=str) if key in values else "nothing"


def _made(stage: PipelineStage, path: str) -> Output:
    return next(out for out in stage.outs if out.fs_path == path)


def _changes(file: Output) -> Iterator[str]:
    yield from (f"{path} {change}" for path, change in file.status().items())


def main(arguments: list[str] | None = None) -> int:
    """Print what is stale; the exit status is 1 if something is, or cannot be told."""
    parser = argparse.ArgumentParser(
        prog="python -m worldmodels.pipeline.check_lock",
        description="Say which stages of dvc.lock no longer fit the code and the parameters.",
    )
    parser.add_argument("--warn", action="store_true", help="exit with 0 if stages are stale")
    warn = parser.parse_args(arguments).warn
    try:
        reasons = stale_stages(Path())
    except WorldModelsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if not any(reasons.values()):
        count = len(reasons)
        print(f"dvc.lock fits the code and the parameters: {count} stage{'s' * (count != 1)}")
        return 0
    for name, found in reasons.items():
        if found:
            print(f"{name}: {'; '.join(found)}")
    print("dvc.lock is stale: run `dvc repro` and commit dvc.lock", file=sys.stderr)
    return 0 if warn else 1


if __name__ == "__main__":
    raise SystemExit(main())
