"""Which checkpoint a run of a stage finds: its own, and no other.

A checkpoint is a folder, scratch/STAGE/DIGEST, outside all outputs, since DVC deletes those before
a stage runs. The digest is that of everything that decides the stage's result: its code, inputs and
parameters as dvc.yaml lists them, and the environment. A checkpoint of anything else is never
found. It is removed once dvc.lock records the run that it belongs to, and not before: a kill
between a stage's end and DVC's own writing costs nothing. Read `stage_checkpoint` first.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path

from dvc.stage import PipelineStage

from worldmodels.core.checkpoint import Checkpoint
from worldmodels.core.environment import environment
from worldmodels.core.files import atomic_write
from worldmodels.pipeline.dvc_stages import Record, last_run, open_stages, this_run

KEPT = 3  # checkpoints of a stage with other inputs, interrupted and not gone on with
FINISHED = "finished.json"  # how dvc.lock will record the run whose outputs were all written
REMOVED = "removed-"


@contextmanager
def stage_checkpoint(stage: str) -> Iterator[Checkpoint]:
    """The checkpoint of this run of a stage; outputs are to be written before it is left.

    Where another run of the stage has the same inputs, in this clone or in a temporary copy of it,
    this one waits for its end, and goes on from what it has done.
    """
    scratch = Path(os.environ.get("DVC_ROOT", ".")) / "scratch"  # not that of a temporary copy
    with open_stages(Path()) as stages:
        _remove_recorded(scratch, stages)
        inputs = this_run(stages[stage], ended=False)
    folder = scratch / stage / _digest(inputs)
    with _locked(folder, stage=stage):
        os.utime(folder)
        _remove_oldest(folder)
        yield Checkpoint(stage, folder)
        with open_stages(Path()) as stages:
            outs = this_run(stages[stage], ended=True).outs
        with atomic_write(folder / FINISHED) as temporary:
            temporary.write_text(_as_text(replace(inputs, outs=outs)))


def _digest(inputs: Record) -> str:
    text = _as_text(inputs) + json.dumps(environment(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _as_text(run: Record) -> str:
    return json.dumps(asdict(run), sort_keys=True, default=str)


@contextmanager
def _locked(folder: Path, *, stage: str) -> Iterator[None]:
    """Hold the lock of a stage's checkpoint, made if there is none, once no other run holds it."""
    handle = None
    while handle is None:  # it may be removed between two lines, by a run that found it recorded
        folder.mkdir(parents=True, exist_ok=True)
        handle = _lock(folder, waiting=stage)
    try:
        yield
    finally:
        os.close(handle)


def _lock(folder: Path, *, waiting: str | None) -> int | None:
    """Lock a checkpoint; None if it is gone, or if another run holds it and no stage is waiting.

    The lock ends when this descriptor is closed, so with this process, however that ends: those
    that it starts do not inherit descriptors.
    """
    with suppress(FileNotFoundError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting is None:
                os.close(handle)
                return None
            print(
                f"{waiting}: waiting for another run of it with the same code, inputs and "
                f"parameters, which holds {folder}",
                flush=True,
            )
            fcntl.flock(handle, fcntl.LOCK_EX)
        if folder.exists() and os.path.samestat(os.fstat(handle), os.stat(folder)):
            return handle
        os.close(handle)  # of a folder that was removed while this run waited
    return None


def _remove_recorded(scratch: Path, stages: Mapping[str, PipelineStage]) -> None:
    """Remove every checkpoint whose stage dvc.lock records, and what a kill left of removing."""
    for finished in scratch.glob(f"*/*/{FINISHED}"):
        stage = stages.get(finished.parent.parent.name)
        recorded = last_run(stage) if stage else None
        with suppress(FileNotFoundError):  # another run removed it
            if recorded and finished.read_text() == _as_text(recorded):
                _remove(finished.parent)
    for left in scratch.glob(f"*/{REMOVED}*"):
        shutil.rmtree(left, ignore_errors=True)


def _remove_oldest(current: Path) -> None:
    changed = {}
    for folder in current.parent.iterdir():
        with suppress(FileNotFoundError):  # another run removed it
            changed[folder] = folder.stat().st_mtime
    others = sorted(changed.keys() - {current}, key=changed.__getitem__, reverse=True)
    for folder in others[KEPT:]:
        _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a checkpoint, all or nothing, unless a run holds it."""
    handle = _lock(folder, waiting=None)
    if handle is None:
        return
    try:
        removed = folder.with_name(f"{REMOVED}{os.getpid()}-{folder.name}")
        folder.rename(removed)
        shutil.rmtree(removed, ignore_errors=True)
    finally:
        os.close(handle)
