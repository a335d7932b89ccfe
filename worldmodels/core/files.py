"""Writing a file so that it carries its final name only when it is whole."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from worldmodels.core.errors import WorldModelsError


class DiskFullError(WorldModelsError):
    """There was no room for a file."""


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`: on disk and renamed to it on success, removed on failure.

    What a kill leaves behind is written over the next time. A file that is read-only is replaced,
    never written through: it may be a link into DVC's cache.

    Raises:
        DiskFullError: the disk is full.
        WorldModelsError: the folder may not be written to.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except PermissionError as error:
        raise WorldModelsError(
            f"{path}: expected a folder that can be written to, got: {error.strerror}; "
            f"`chmod u+w {path.parent}` allows it"
        ) from error
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise DiskFullError(
            f"{path}: expected room on the disk, got none; make some and run `dvc repro` again: "
            "it goes on from the last checkpoint"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def require_writable(path: str | Path) -> None:
    """Refuse a path where no file can be written, before there is something to write.

    Raises:
        WorldModelsError: a folder, or in a folder that may not be written to.
    """
    path = Path(path)
    if path.is_dir():
        raise WorldModelsError(f"{path}: expected the name of a file to write, got a folder")
    there = next(folder for folder in path.absolute().parents if folder.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        raise WorldModelsError(
            f"{path}: expected a folder that can be written to, got {there}; choose another"
        )


def atomic_copy(source: str | Path, target: str | Path) -> None:
    """Copy a file, as `atomic_write` writes one."""
    with atomic_write(target) as temporary:
        shutil.copyfile(source, temporary)


def is_disk_full(error: OSError) -> bool:
    """Does this error, or HDF5's text of it, say that there is no room left?"""
    no_room = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return error.errno in no_room or any(os.strerror(number) in str(error) for number in no_room)
