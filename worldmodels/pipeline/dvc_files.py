"""Reads dvc.yaml and dvc.lock, and hashes files as DVC does.

It takes a flat dvc.yaml: no templates, no foreach, parameters of params.yaml alone. Read
`read_stages` and `read_locked_stages`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from worldmodels.core.errors import WorldModelsError
from worldmodels.core.plain_yaml import Value, read_mapping

# What a stage writes stands under one of these in dvc.yaml, and under `outs` in dvc.lock.
OUTPUT_KINDS = ("outs", "metrics", "plots")


@dataclass(frozen=True)
class Stage:
    """A stage as dvc.yaml declares it."""

    cmd: Value
    deps: list[str]
    params: list[str]
    outs: dict[str, bool]  # path -> in DVC's cache; what is not in the cache is in git


@dataclass(frozen=True)
class LockedStage:
    """A stage as it last ran, from dvc.lock."""

    cmd: Value
    deps: dict[str, str]  # path -> MD5
    params: dict[str, Value]
    outs: dict[str, str]  # path -> MD5


def read_stages(root: Path, groups: Iterable[str]) -> dict[str, Stage]:
    """Read the stages of dvc.yaml; `groups` are those of params.yaml.

    Raises:
        WorldModelsError: there is no dvc.yaml, or it is not the flat one that this module reads.
    """
    path = root / "dvc.yaml"
    stages = {}
    for name, value in _mapping(read_mapping(path).get("stages"), f"{path}: stages").items():
        where = f"{path}: {name}"
        fields = _mapping(value, where)
        stages[name] = Stage(
            cmd=fields.get("cmd"),
            deps=[_path(dep, f"{where}.deps") for dep in _items(fields.get("deps", []), where)],
            params=[
                key
                for entry in _items(fields.get("params", []), where)
                for key in _params(entry, groups, f"{where}.params")
            ],
            outs={
                path: cached
                for kind in OUTPUT_KINDS
                for path, cached in _outputs(fields.get(kind, []), f"{where}.{kind}")
            },
        )
    return stages


def read_locked_stages(root: Path) -> dict[str, LockedStage]:
    """Read the stages of dvc.lock; a project that never ran has none.

    Raises:
        WorldModelsError: dvc.lock is not as DVC writes it.
    """
    path = root / "dvc.lock"
    if not path.exists():
        return {}
    stages = {}
    for name, value in _mapping(read_mapping(path).get("stages", {}), f"{path}: stages").items():
        where = f"{path}: {name}"
        fields = _mapping(value, where)
        params = _mapping(fields.get("params", {}), f"{where}.params")
        stages[name] = LockedStage(
            cmd=fields.get("cmd"),
            deps=_locked_files(fields.get("deps", []), f"{where}.deps"),
            params=_mapping(params.get("params.yaml", {}), f"{where}.params"),
            outs=_locked_files(fields.get("outs", []), f"{where}.outs"),
        )
    return stages


def dvc_md5(path: Path) -> str:
    """What DVC calls the MD5 of a file, or of a folder of files.

    Raises:
        WorldModelsError: there is nothing at `path`.
    """
    if not path.exists():
        raise WorldModelsError(
            f"{path}: expected a file or a folder, as dvc.yaml says, got none; `dvc repro` makes "
            "it, `dvc checkout` brings back a cached one"
        )
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()
    files = sorted(
        (file.relative_to(path).as_posix(), file)
        for file in path.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts  # as .dvcignore says
    )
    listing = [{"md5": dvc_md5(file), "relpath": name} for name, file in files]
    return hashlib.md5(json.dumps(listing, sort_keys=True).encode()).hexdigest() + ".dir"


def _outputs(entries: Value, where: str) -> Iterator[tuple[str, bool]]:
    """Each output's path, and whether DVC's cache holds it; an entry is path or {path: options}."""
    for entry in _items(entries, where):
        if isinstance(entry, dict):
            for out, options in entry.items():
                yield _path(out, where), _mapping(options, where).get("cache") is not False
        else:
            yield _path(entry, where), True


def _params(entry: Value, groups: Iterable[str], where: str) -> list[str]:
    """The parameters that an entry stands for: itself, or all groups for `params.yaml:`."""
    if entry == {"params.yaml": None}:
        return list(groups)
    return [_text(entry, where)]


def _locked_files(entries: Value, where: str) -> dict[str, str]:
    files = {}
    for entry in _items(entries, where):
        fields = _mapping(entry, where)
        # An output that DVC never hashed has no md5: it fits nothing.
        files[_path(fields.get("path"), where)] = str(fields.get("md5", "none"))
    return files


def _mapping(value: Value, where: str) -> dict[str, Value]:
    if not isinstance(value, dict):
        raise WorldModelsError(
            f"{where}: expected a mapping, got {value!r}; `dvc status` says more"
        )
    return value


def _items(value: Value, where: str) -> list[Value]:
    if not isinstance(value, list):
        raise WorldModelsError(f"{where}: expected a list, got {value!r}; `dvc status` says more")
    return value


def _text(value: Value, where: str) -> str:
    if not isinstance(value, str):
        raise WorldModelsError(f"{where}: expected a text, got {value!r}; write it out flat")
    return value


def _path(value: Value, where: str) -> str:
    return str(PurePosixPath(_text(value, where)))  # without a slash at the end
