"""Says which stages of dvc.lock no longer fit the code and the parameters, without the data.

`python -m worldmodels.pipeline.check_lock` works in a fresh clone, where `dvc status` would call
every cached output missing: it compares dvc.lock with dvc.yaml, params.yaml, the files that git
holds, and with itself, one stage's dependency against another's output. Read `stale_stages` first.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from worldmodels.core.errors import WorldModelsError
from worldmodels.core.params import flatten, read_params
from worldmodels.core.plain_yaml import Value
from worldmodels.pipeline.dvc_files import (
    LockedStage,
    Stage,
    dvc_md5,
    read_locked_stages,
    read_stages,
)


def stale_stages(root: Path) -> dict[str, list[str]]:
    """Find why stages of the project at `root` would run again: stage -> reasons.

    A stage whose inputs will change only once an earlier stage has run again is not named.

    Raises:
        WorldModelsError: dvc.yaml, dvc.lock or params.yaml cannot be read or compared.
    """
    groups = read_params(root / "params.yaml")
    stages, locked_stages = read_stages(root, groups), read_locked_stages(root)
    params: dict[str, Value] = {**groups, **flatten(groups)}  # dvc.yaml may name either
    producers = {path: name for name, stage in stages.items() for path in stage.outs}
    reasons: dict[str, list[str]] = {}
    for name, stage in stages.items():
        if name not in locked_stages:
            reasons[name] = ["not in dvc.lock"]
            continue
        locked = locked_stages[name]
        reasons[name] = [
            *([] if stage.cmd == locked.cmd else [f"cmd {locked.cmd} -> {stage.cmd}"]),
            *_stale_files(root, stage, locked, producers, locked_stages),
            *_stale_params(stage, locked, params),
            *_stale_outputs(root, stage, locked),
        ]
    for name in locked_stages:
        if name not in stages:
            reasons[name] = ["in dvc.lock but not in dvc.yaml"]
    return {name: found for name, found in reasons.items() if found}


def _stale_files(
    root: Path,
    stage: Stage,
    locked: LockedStage,
    producers: dict[str, str],
    locked_stages: dict[str, LockedStage],
) -> Iterator[str]:
    yield from _differing_sets("dependency", stage.deps, locked.deps)
    for dep in stage.deps:
        if dep not in locked.deps:
            continue
        if dep in producers:
            producer = locked_stages.get(producers[dep])
            if producer is not None and producer.outs.get(dep) != locked.deps[dep]:
                yield f"{dep} is not the one that {producers[dep]} wrote"
        else:
            _refuse_part(dep, producers)
            yield from _stale_file(root, dep, locked.deps[dep])


def _stale_params(stage: Stage, locked: LockedStage, params: dict[str, Value]) -> Iterator[str]:
    yield from _differing_sets("parameter", stage.params, locked.params)
    for key in stage.params:
        if key not in params:
            yield f"{key} is not in params.yaml"
        elif key in locked.params:
            old, new = flatten({key: locked.params[key]}), flatten({key: params[key]})
            for leaf in dict.fromkeys([*old, *new]):
                if leaf not in new:
                    yield f"{leaf} is not in params.yaml"
                elif leaf not in old:
                    yield f"{leaf} is new in params.yaml"
                elif old[leaf] != new[leaf]:
                    yield f"{leaf} {_shown(old[leaf])} -> {_shown(new[leaf])}"


def _stale_outputs(root: Path, stage: Stage, locked: LockedStage) -> Iterator[str]:
    yield from _differing_sets("output", stage.outs, locked.outs)
    for out, cached in stage.outs.items():
        if out in locked.outs and not cached:
            yield from _stale_file(root, out, locked.outs[out])


def _stale_file(root: Path, path: str, locked_md5: str) -> Iterator[str]:
    if not (root / path).exists():
        yield f"{path} is missing"
    elif dvc_md5(root / path) != locked_md5:
        yield f"{path} changed"


def _differing_sets(kind: str, declared: Iterable[str], locked: Iterable[str]) -> Iterator[str]:
    declared, locked = list(declared), list(locked)
    yield from (f"{kind} {name} is new in dvc.yaml" for name in declared if name not in locked)
    yield from (f"{kind} {name} is not in dvc.yaml" for name in locked if name not in declared)


def _refuse_part(dep: str, producers: dict[str, str]) -> None:
    """The hash of a file in another stage's output folder needs the data."""
    around = [str(parent) for parent in PurePosixPath(dep).parents if str(parent) in producers]
    if around:
        raise WorldModelsError(
            f"dvc.yaml: {dep}: expected what is in git, or a whole output of a stage, as a "
            f"dependency, got a part of {around[0]}: list the whole output"
        )


def _shown(value: Value) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def main(arguments: list[str] | None = None) -> int:
    """Print one line for each stale stage; the exit status is 1 if there are any."""
    parser = argparse.ArgumentParser(
        prog="python -m worldmodels.pipeline.check_lock",
        description="Say which stages of dvc.lock no longer fit the code and the parameters.",
    )
    parser.add_argument("--warn", action="store_true", help="exit with 0 if stages are stale")
    warn = parser.parse_args(arguments).warn
    try:
        reasons = stale_stages(Path())
        count = len(read_stages(Path(), groups=()))
    except WorldModelsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if not reasons:
        print(f"dvc.lock fits the code and the parameters: {count} stage{'s' * (count != 1)}")
        return 0
    for name, found in reasons.items():
        print(f"{name}: {'; '.join(found)}")
    print("dvc.lock is stale: run `dvc repro` and commit dvc.lock", file=sys.stderr)
    return 0 if warn else 1


if __name__ == "__main__":
    raise SystemExit(main())
