"""The stages as DVC itself reads them from dvc.yaml and dvc.lock. Read `Record`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dvc.dependency import ParamsDependency
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.stage import PipelineStage

from worldmodels.core.errors import WorldModelsError


@dataclass(frozen=True)
class Record:
    """What dvc.lock records of a run of a stage.

    cmd: its command. deps, outs: the hash of each path. params: the value of each key.
    """

    cmd: str
    deps: Mapping[str, str]
    params: Mapping[str, object]
    outs: Mapping[str, str]


@contextmanager
def open_stages(root: Path) -> Iterator[dict[str, PipelineStage]]:
    """The stages of the project at `root`, by name.

    Raises:
        WorldModelsError: dvc.yaml, dvc.lock or params.yaml cannot be read, or something that a
            stage depends on is not there.
    """
    try:
        with Repo(str(root)) as repo:
            yield {stage.name: stage for stage in repo.index.stages}
    except DvcException as error:
        raise WorldModelsError(f"{error}; `dvc status` says more") from error


def last_run(stage: PipelineStage) -> Record | None:
    """What dvc.lock says of the stage; None if nothing, or of another command."""
    if stage.cmd_changed or not any(out.hash_info for out in stage.outs):
        return None
    params: dict[str, object] = {}
    for dep in parameters(stage):
        params |= dep.hash_info.value or {}
    return Record(
        stage.cmd,
        {dep.def_path: dep.hash_info.value for dep in files(stage)},
        params,
        {out.def_path: out.hash_info.value for out in stage.outs},
    )


def this_run(stage: PipelineStage, *, ended: bool) -> Record:
    """What dvc.lock will say of the stage; of its outputs as well, once it has ended."""
    params: dict[str, object] = {}
    for dep in parameters(stage):
        params |= dep.get_hash().value
    return Record(
        stage.cmd,
        {dep.def_path: dep.get_hash().value for dep in files(stage)},
        params,
        {out.def_path: out.get_hash().value for out in stage.outs} if ended else {},
    )


def files(stage: PipelineStage) -> list[ParamsDependency]:
    """What it depends on, parameters excepted."""
    return [dep for dep in stage.deps if not isinstance(dep, ParamsDependency)]


def parameters(stage: PipelineStage) -> list[ParamsDependency]:
    """The parameters that it depends on, one entry for each file."""
    return [dep for dep in stage.deps if isinstance(dep, ParamsDependency)]
