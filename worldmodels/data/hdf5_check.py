"""Is an HDF5 file safe to open? The process that finds out, which may die of the answer.

libhdf5 can crash, hang or take all memory on a malformed file. So `hdf5_files` starts this module
as a process of its own, with limits on memory and time, before anybody else opens a file that the
pipeline did not write. It refuses what the project's files never hold, then reads every number and
every text: what would bring a reader down brings this process down first. Read `check` first.

It imports nothing of the project, so that it starts within a fifth of a second.
"""

from __future__ import annotations

import json
import math
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5l, h5o, h5s, h5t, h5z

MEMORY = 1 << 30  # bytes of address space, 0.3 GiB of which Python and the libraries take
OUT_OF_MEMORY = 3  # exit status
BLOCK = 16 << 20  # bytes read at once
MAX_CHUNK = 16 << 20  # bytes, unpacked; the project's own stay below 1.1 MB
MAX_ATTRIBUTES = 64  # of an object
MAX_ATTRIBUTE = 64 << 10  # bytes
MAX_TEXTS = 1 << 20  # bytes of all texts of a file, which lie apart from their datasets
MAX_DEFLATE = 1032  # times smaller than what it packs: the limit of the algorithm
FILTERS = {h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32}
NUMBERS = (
    *(h5t.STD_I8LE, h5t.STD_I16LE, h5t.STD_I32LE, h5t.STD_I64LE),
    *(h5t.STD_U8LE, h5t.STD_U16LE, h5t.STD_U32LE, h5t.STD_U64LE),
    *(h5t.IEEE_F16LE, h5t.IEEE_F32LE, h5t.IEEE_F64LE),
)


class RefusedError(Exception):
    """The file holds something that the project's files do not hold."""


def check(path: str, *, max_bytes: int, max_objects: int) -> None:
    """Look at all of a file and read all of it.

    Args:
        max_bytes: in all datasets, unpacked. max_objects: groups and datasets.

    Raises:
        RefusedError: says what it holds. Whatever h5py raises means that it is malformed.
    """
    file_size = Path(path).stat().st_size
    size = texts = 0
    seen = set()
    with h5py.File(path, "r") as file:
        waiting = [("/", h5o.open(file.id, b"/"))]
        while waiting:
            name, found = waiting.pop()
            address = h5o.get_info(found).addr
            if address in seen:
                raise RefusedError(f"{name}: has two names")
            seen.add(address)
            if len(seen) > max_objects:
                raise RefusedError(f"expected at most {max_objects} groups and datasets")
            if isinstance(found, h5g.GroupID):
                waiting += _members(name, found, maximum=max_objects)
                texts += _read_attributes(name, h5py.Group(found))
            elif isinstance(found, h5d.DatasetID):
                size += _check_dataset(name, found, file_size=file_size)
                if size > max_bytes:
                    raise RefusedError(f"expected at most {max_bytes} bytes in all datasets")
                texts += _read_attributes(name, h5py.Dataset(found))
                texts += _read_dataset(name, h5py.Dataset(found))
            else:
                raise RefusedError(f"{name}: expected a group or a dataset, got a named type")
            if texts > MAX_TEXTS:
                raise RefusedError(f"expected at most {MAX_TEXTS} bytes of text")


def _members(name: str, group: h5g.GroupID, *, maximum: int) -> list[tuple[str, h5o.ObjectID]]:
    """What lies in a group, by its path."""
    if group.get_num_objs() > maximum:
        raise RefusedError(f"{name}: expected at most {maximum} members")
    members = []
    for member in group:
        path = f"{name.rstrip('/')}/{member.decode(errors='replace')}"
        if group.links.get_info(member).type != h5l.TYPE_HARD:
            raise RefusedError(f"{path}: a link to elsewhere")
        members.append((path, h5o.open(group, member)))
    return members


def _check_dataset(name: str, dataset: h5d.DatasetID, *, file_size: int) -> int:
    """The bytes of a dataset, unpacked, whose storage, type and size are among those known."""
    made = dataset.get_create_plist()
    if made.get_layout() not in (h5d.COMPACT, h5d.CONTIGUOUS, h5d.CHUNKED):
        raise RefusedError(f"{name}: a virtual dataset, made of others")
    if made.get_external_count():
        raise RefusedError(f"{name}: stored in another file")
    filters = [made.get_filter(index)[0] for index in range(made.get_nfilters())]
    if not FILTERS.issuperset(filters) or len(set(filters)) < len(filters):
        raise RefusedError(f"{name}: expected filters among {sorted(FILTERS)}, got {filters}")
    size = _size(name, dataset.get_type(), dataset.get_space())
    if size > file_size * (MAX_DEFLATE if h5z.FILTER_DEFLATE in filters else 1):
        raise RefusedError(f"{name}: {size} bytes cannot come from a file of {file_size}")
    if made.get_layout() == h5d.CHUNKED:
        chunk = math.prod(made.get_chunk()) * dataset.get_type().get_size()
        if chunk > MAX_CHUNK:
            raise RefusedError(f"{name}: expected chunks of {MAX_CHUNK} bytes, got {chunk}")
    return size


def _size(name: str, kind: h5t.TypeID, space: h5s.SpaceID) -> int:
    """The bytes of an array, whose type is among those known; a text counts for its pointer."""
    if isinstance(kind, h5t.TypeEnumID):  # how h5py stores bool
        known = kind.get_nmembers() == 2 and kind.get_super().equal(h5t.STD_I8LE)
    else:
        known = kind.get_class() == h5t.STRING or any(kind.equal(number) for number in NUMBERS)
    if not known:
        raise RefusedError(f"{name}: expected numbers, truth values or texts, got another type")
    if space.get_simple_extent_type() not in (h5s.SCALAR, h5s.SIMPLE):
        raise RefusedError(f"{name}: expected a shape, got none")
    return math.prod(space.get_simple_extent_dims()) * int(kind.get_size())


def _read_attributes(name: str, holder: h5py.Group | h5py.Dataset) -> int:
    """Read all attributes; the bytes of their texts."""
    count = h5a.get_num_attrs(holder.id)
    if count > MAX_ATTRIBUTES:
        raise RefusedError(f"{name}: expected at most {MAX_ATTRIBUTES} attributes, got {count}")
    texts = 0
    for index in range(count):
        attribute = h5a.open(holder.id, index=index)
        label = f"{name}: attribute {attribute.name.decode(errors='replace')}"
        size = _size(label, attribute.get_type(), attribute.get_space())
        if size > MAX_ATTRIBUTE:
            raise RefusedError(f"{label}: expected at most {MAX_ATTRIBUTE} bytes, got {size}")
        texts += _length(holder.attrs[attribute.name])
    return texts


def _read_dataset(name: str, dataset: h5py.Dataset) -> int:
    """Read a dataset; the bytes of its texts."""
    if h5py.check_string_dtype(dataset.dtype) is None:
        for block in _blocks(dataset.shape, dataset.dtype.itemsize):
            dataset[block]
        return 0
    if dataset.nbytes > MAX_ATTRIBUTE:
        raise RefusedError(f"{name}: expected at most {MAX_ATTRIBUTE} bytes of texts")
    return _length(dataset[()])


def _blocks(shape: tuple[int, ...], item_size: int) -> Iterator[tuple[slice, ...]]:
    """Slices that together make up an array, each of at most `BLOCK` bytes."""
    if math.prod(shape) * item_size <= BLOCK:
        yield tuple(slice(side) for side in shape)
        return
    row = math.prod(shape[1:]) * item_size
    step = max(1, BLOCK // row)
    for start in range(0, shape[0], step):
        rows = slice(start, start + step)
        if row <= BLOCK:
            yield (rows,)
        else:
            yield from ((rows, *rest) for rest in _blocks(shape[1:], item_size))


def _length(value: object) -> int:
    """Bytes of a text or of an array of texts; 0 of a number."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, np.ndarray) and value.dtype == object:
        return sum(len(text) for text in value.flat)
    return 0


def main() -> None:
    """Check the files that the standard input names; write a line about each when it is done.

    A line in is JSON with `path`, `seconds`, `max_bytes` and `max_objects`, a line out is
    null or why the file is refused. Who reads them knows by their number at which file this
    process died.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for line in sys.stdin:
        request = json.loads(line)
        refusal = None
        signal.alarm(request.pop("seconds"))  # its default action ends the process, even in C
        try:
            check(**request)
        except MemoryError:
            sys.exit(OUT_OF_MEMORY)
        except Exception as error:  # of any type: h5py raises whatever a malformed file leads to
            refusal = " ".join(str(error).split())[:300] or type(error).__name__
        signal.alarm(0)
        print(json.dumps(refusal), flush=True)


if __name__ == "__main__":
    main()
