"""HDF5 files that are whole, known, and safe to open: episodes, latents, models, checkpoints.

Each is *sealed*: before the HDF5 proper stand 512 bytes with one line of text, the format's name
and version, the length of the file and the SHA-256 of all that follows. So a file that is cut
short, damaged or something else is known before libhdf5 sees it. A file that the pipeline did not
write itself is first opened by another process, `hdf5_check`, which reads all of it and may die of
it. Read `sealed_file` and `open_sealed` first.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
from numpy.typing import DTypeLike

from worldmodels.core.errors import WorldModelsError
from worldmodels.core.files import atomic_write
from worldmodels.data import hdf5_check

if TYPE_CHECKING:
    from typing_extensions import Buffer

USERBLOCK = 512  # bytes before the HDF5 proper; libhdf5 knows powers of two from 512 on
SEAL = re.compile(rb"([a-z-]{1,60}) (\d{1,9}) (\d{1,15}) ([0-9a-f]{64})\n\0*")
UNSEALED = b"\x89HDF\r\n\x1a\n"  # how HDF5 without a userblock begins
OVERHEAD = 64 << 20  # bytes that a file may have beyond its datasets
CHECKER = [sys.executable, "-I", hdf5_check.__file__]
CHECKER_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",  # threads cost address space
    "HDF5_PLUGIN_PRELOAD": "::",  # no filters from elsewhere
}
SECONDS_PER_FILE = 30  # that checking may take, and more for a large file:
BYTES_PER_SECOND = 10 << 20
RACY = 50_000_000  # nanoseconds within which a file may change again at the same time of change
MAX_LIST = 1 << 20  # bytes of the list of validated files, some 8,000 lines


@dataclass(frozen=True)
class Format:
    """A kind of sealed file.

    name, version: what the seal says; lower case and hyphens, and a whole number.
    error: raised for every file that is missing, something else, damaged or unsafe.
    remedy: what to do about one that is wrong.
    max_bytes: in all its datasets together, unpacked.
    max_objects: groups and datasets that it may hold.
    """

    name: str
    version: int
    error: type[WorldModelsError]
    remedy: str
    max_bytes: int
    max_objects: int = 1024


_known_good: set[str] = set()  # keys of files that this process wrote or validated
_refused: dict[str, str] = {}  # why, by key
_verified: dict[tuple[str, int, int, int, int], str] = {}  # keys of files that have not changed


@contextmanager
def sealed_file(path: str | Path, kind: Format) -> Iterator[h5py.File]:
    """A new HDF5 file to fill; it is sealed and gets its name when it is whole.

    The same content gives the same bytes.

    Raises:
        the format's error: the file is larger than one of its format may be.
        DiskFullError: there is no room for it.
    """
    with atomic_write(path) as temporary:
        with (
            _DiskFile(temporary) as disk,
            h5py.File(disk, "w", userblock_size=USERBLOCK) as file,
        ):
            yield file
        if disk.error is not None:
            raise disk.error
        length = temporary.stat().st_size
        if length > kind.max_bytes:
            raise kind.error(
                f"{path}: not saved: expected at most {kind.max_bytes} bytes, got {length}"
            )
        digest = seal(temporary, kind)
    _remember([_key(kind, digest)])


class _DiskFile(io.FileIO):
    """A new file for libhdf5 to write to, which keeps to itself that the disk is full, as `error`.

    libhdf5 crashes when it hears of that while it closes a file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self.error: OSError | None = None

    def write(self, data: Buffer) -> int:
        left = memoryview(data).cast("B")
        size = len(left)
        try:
            while left and self.error is None:
                left = left[super().write(left) :]
        except OSError as error:
            self.error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = error
            return size or 0


def seal(path: Path, kind: Format) -> str:
    """Write the seal into the userblock of a closed HDF5 file; its digest."""
    with open(path, "r+b") as file:
        file.seek(USERBLOCK)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        line = f"{kind.name} {kind.version} {file.tell()} {digest}\n"
        file.seek(0)
        file.write(line.encode("ascii").ljust(USERBLOCK, b"\0"))
    return digest


def open_sealed(path: str | Path, kind: Format) -> h5py.File:
    """A file that `sealed_file` wrote, opened to read.

    It is read as a whole the first time that a process opens it, to compare its SHA-256. Unless
    this pipeline wrote or validated it before, another process then reads it too; see `validate`.

    Raises:
        the format's error: it is missing, of another format or version, cut short, damaged, or
            not safe to open.
    """
    path = Path(path)
    key = _verified_key(path, kind)
    validate([path], kind)
    if key in _refused:
        raise kind.error(f"{path}: not safe to open: {_refused[key]}; {kind.remedy}")
    try:
        return h5py.File(path, "r")
    except BlockingIOError as error:
        raise _being_written(path, kind) from error
    except OSError as error:
        raise kind.error(f"{path}: not an HDF5 file ({error}); {kind.remedy}") from error


def validate(paths: Sequence[str | Path], kind: Format) -> list[Path]:
    """Have another process read those of the files that are not known; `open_sealed` then knows.

    One process reads them all, which is quicker than one for each `open_sealed`.

    Returns:
        those that it did not come to, because one before them was the death of the process.

    Raises:
        the format's error: one is missing, of another format or version, cut short or damaged.
    """
    waiting = {_verified_key(Path(path), kind): Path(path) for path in paths}
    waiting = {
        key: path for key, path in waiting.items() if key not in _known_good and key not in _refused
    }
    if waiting:
        listed = _listed()
        _known_good.update(key for key in waiting if key in listed)
        waiting = {key: path for key, path in waiting.items() if key not in listed}
    while waiting:
        refusals, death = _check(list(waiting.values()), kind)
        checked = dict(zip(list(waiting), refusals, strict=False))
        _remember([key for key, refusal in checked.items() if refusal is None])
        _refused.update({key: text for key, text in checked.items() if text is not None})
        waiting = {key: path for key, path in waiting.items() if key not in checked}
        if waiting and not refusals:  # the first of them killed it, and not what came before
            _refused[next(iter(waiting))] = death
            return list(waiting.values())[1:]
    return []


def require_dataset(
    file: h5py.File, name: str, dtype: DTypeLike, shape: tuple[int | None, ...] | None, kind: Format
) -> h5py.Dataset:
    """The dataset of this name, type and shape, with None for any shape or any one side of it.

    Raises:
        the format's error: there is none, or it is of another type or shape.
    """
    found = file.get(name)
    got = f"{found.dtype} {found.shape}" if isinstance(found, h5py.Dataset) else "none"
    if (
        not isinstance(found, h5py.Dataset)
        or found.dtype != dtype
        or (shape is not None and not _fits(found.shape, shape))
    ):
        expected = "of any shape" if shape is None else str(shape).replace("None", "any")
        raise kind.error(
            f"{file.filename}: {name}: expected a dataset of {np.dtype(dtype)} {expected}, "
            f"got {got}; {kind.remedy}"
        )
    return found


def _fits(shape: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    return len(shape) == len(expected) and all(
        side in (None, there) for side, there in zip(expected, shape, strict=True)
    )


def require_text(file: h5py.File, name: str, kind: Format) -> str:
    """The attribute of this name, if it is a text.

    Raises:
        the format's error: there is none, or it is something else.
    """
    value = file.attrs.get(name)
    if not isinstance(value, str):
        got = "none" if value is None else type(value).__name__
        raise kind.error(
            f"{file.filename}: attribute {name}: expected a text, got {got}; {kind.remedy}"
        )
    return value


def _key(kind: Format, digest: str) -> str:
    """What a validated file is known by: what is safe for one libhdf5 may not be for another, and
    what is small enough for one format may not be for another."""
    return f"{h5py.version.hdf5_version} {kind.name} {kind.version} {digest}"


def _verified_key(path: Path, kind: Format) -> str:
    """The key of a file whose seal fits, by its own content; libhdf5 has not seen it yet."""
    try:
        if not path.is_file() and path.exists():  # reading from a pipe would wait for ever
            raise kind.error(f"{path}: expected a file, got a folder or a device; {kind.remedy}")
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            identity = (kind.name, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            if identity not in _verified:
                try:
                    key = _key(kind, _digest_that_fits(path, kind, file, status.st_size))
                except kind.error:
                    if _is_locked(file):
                        raise _being_written(path, kind) from None
                    raise
                if abs(time.time_ns() - status.st_mtime_ns) < RACY:
                    return key
                _verified[identity] = key
            return _verified[identity]
    except FileNotFoundError as error:
        raise kind.error(
            f"{path}: no such file; `dvc repro` makes it, `dvc checkout` brings back a cached one"
        ) from error
    except OSError as error:
        raise kind.error(f"{path}: cannot be read ({error.strerror}); {kind.remedy}") from error


def _is_locked(file: BufferedReader) -> bool:
    """Does another process write to it? libhdf5 holds a lock as long as it does."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def _being_written(path: Path, kind: Format) -> WorldModelsError:
    return kind.error(
        f"{path}: expected a whole file, got one that another process has open for writing; "
        "try again when that has ended"
    )


def _digest_that_fits(path: Path, kind: Format, file: BufferedReader, size: int) -> str:
    seal = file.read(USERBLOCK)
    expected = f"expected {kind.name}, version {kind.version}"
    parts = SEAL.fullmatch(seal)
    if parts is None:
        got = "something else" if seal else "an empty file"
        if seal.startswith(UNSEALED):
            got = "HDF5 without this project's seal"
        raise kind.error(f"{path}: {expected}, got {got}; {kind.remedy}")
    name, version, length, digest = (part.decode("ascii") for part in parts.groups())
    if (name, int(version)) != (kind.name, kind.version):
        raise kind.error(f"{path}: {expected}, got {name}, version {version}; {kind.remedy}")
    if size != int(length):
        problem = "cut short" if size < int(length) else "grown"
        raise kind.error(f"{path}: {problem}: expected {length} bytes, got {size}; {kind.remedy}")
    if size > kind.max_bytes + OVERHEAD:
        raise kind.error(
            f"{path}: too large: expected at most {kind.max_bytes} bytes, got {size}; {kind.remedy}"
        )
    got = hashlib.file_digest(file, "sha256").hexdigest()
    if got != digest:
        raise kind.error(
            f"{path}: damaged: expected contents of SHA-256 {digest[:12]}…, got {got[:12]}…; "
            f"{kind.remedy}"
        )
    return digest


def _check(paths: Sequence[Path], kind: Format) -> tuple[list[str | None], str]:
    """Refusals of the files that `hdf5_check` got through, and how it died if not of all."""
    seconds = [SECONDS_PER_FILE + path.stat().st_size // BYTES_PER_SECOND for path in paths]
    requests = [
        {
            "path": str(path.absolute()),
            "seconds": limit,
            "max_bytes": kind.max_bytes,
            "max_objects": kind.max_objects,
        }
        for path, limit in zip(paths, seconds, strict=True)
    ]
    try:
        ran = subprocess.run(
            CHECKER,
            input="\n".join(json.dumps(request) for request in requests).encode(),
            env={**os.environ, **CHECKER_ENVIRONMENT},
            capture_output=True,
            timeout=sum(seconds) + SECONDS_PER_FILE,
        )
        output, status, complaint = ran.stdout, ran.returncode, ran.stderr
    except subprocess.TimeoutExpired as error:
        output, status, complaint = error.stdout or b"", -signal.SIGALRM, b""
    refusals = [json.loads(line) for line in output.splitlines()]
    return refusals, _death(status, complaint, seconds[min(len(refusals), len(paths) - 1)])


def _death(status: int, complaint: bytes, seconds: int) -> str:
    """How the checking process died, in words."""
    process = "the process that read it first"
    if status == -signal.SIGALRM:
        return f"{process} had not ended after {seconds} s"
    if status == hdf5_check.OUT_OF_MEMORY:
        return f"{process} needed more than {hdf5_check.MEMORY >> 20} MiB"
    if status < 0:
        return f"{process} died with signal {-status} ({signal.Signals(-status).name})"
    last = complaint.decode(errors="replace").strip().rpartition("\n")[2]
    return f"{process} ended with status {status} ({last[:300]})"


def list_of_vetted() -> Path | None:
    """Where keys are kept from one process to the next: in a project's scratch folder, or nowhere.

    A folder whose scratch/validated says what is safe is trusted as its dvc.yaml is, which says
    what to run.
    """
    root = Path(os.environ.get("DVC_ROOT", "."))
    return root / "scratch" / "validated" if (root / "dvc.yaml").is_file() else None


def _listed() -> set[str]:
    path = list_of_vetted()
    if path is None or not path.is_file():
        return set()
    with open(path, errors="replace") as file:
        return set(file.read(2 * MAX_LIST).splitlines())


def _remember(keys: Sequence[str]) -> None:
    """These files are good: for this process, and for the project's other ones."""
    new = [key for key in keys if key not in _known_good]
    _known_good.update(new)
    path = list_of_vetted()
    if path is None or not new:
        return
    with contextlib.suppress(OSError):  # a project that cannot be written to is checked each time
        path.parent.mkdir(exist_ok=True)
        with open(path, "a+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # stages of a queue share the list
            if file.tell() > MAX_LIST:
                file.seek(0)
                lines = file.read().splitlines(keepends=True)
                file.truncate(0)
                file.write(b"".join(lines[len(lines) // 2 :]))
            file.write("".join(f"{key}\n" for key in new).encode())
