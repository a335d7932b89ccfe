"""How the simulator is compiled: by Numba, once for each version of its sources, kept on disk.

Numba's own cache looks at a function's file alone, and would keep old code where a function that
it calls was changed in another. It looks at where that file lies, too, and would compile again in
every clone and every temporary copy that DVC runs an experiment in. So the cache is a folder named
after the content of all sources of this package. It is the user's, since an installation may be
read-only: `~/.cache/worldmodels`, or what `XDG_CACHE_HOME` says; where that cannot be written to,
as in a container without a home, one in the folder for temporary files. Read `compiled`.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

# Intel's vector mathematics, where installed, would round in another way, and change tracks.
os.environ.setdefault("NUMBA_DISABLE_INTEL_SVML", "1")

import numba
from numba.core import config
from numba.core.caching import UserProvidedCacheLocator

T = TypeVar("T", bound=Callable[..., Any])


def cache_folder() -> Path:
    """Where this version's machine code is kept."""
    digest = hashlib.sha256(numba.__version__.encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = home / "worldmodels" / digest.hexdigest()[:16]
    return folder if _is_made(folder) else _temporary_folder() / folder.name


def _temporary_folder() -> Path:
    """Of this user alone: machine code that another put there would be run."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"worldmodels-{user}"
    if _is_made(folder, mode=0o700) and folder.stat().st_uid == user:
        return folder
    return Path(tempfile.mkdtemp(prefix="worldmodels-"))


def _is_made(folder: Path, *, mode: int = 0o777) -> bool:
    """Is the folder there, to be written to?"""
    try:
        folder.mkdir(mode, parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


_FOLDER = cache_folder()


class CacheByContent(UserProvidedCacheLocator):
    """Finds a function's machine code in `cache_folder`, wherever the function's file lies."""

    @classmethod
    def get_suitable_cache_subpath(cls, _: str) -> str:
        """Of the folder: none, since its name says of which sources it is."""
        return ""

    def get_source_stamp(self) -> str:
        """As the folder's name."""
        return _FOLDER.name


def announce_compiling() -> None:
    """Say so where nothing is compiled yet, since the first step will take a while."""
    if not any(_FOLDER.glob("*.nbc")):
        print(
            "worldmodels: compiling the simulator, half a minute, once for each version of it",
            file=sys.stderr,
            flush=True,
        )


def compiled(function: T) -> T:
    """Compile a function when it is first called, or take what an earlier process compiled.

    Other threads run meanwhile. No mathematics is loosened: the same bits as in Python.
    """
    settings: Any = config
    before = settings.CACHE_DIR, settings.CACHE_LOCATOR_CLASSES
    locator = f"{__name__}.{CacheByContent.__name__}"
    settings.CACHE_DIR, settings.CACHE_LOCATOR_CLASSES = str(_FOLDER), locator
    try:  # they are read when the function is decorated
        made: Any = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    finally:
        settings.CACHE_DIR, settings.CACHE_LOCATOR_CLASSES = before
    return cast(T, made)
