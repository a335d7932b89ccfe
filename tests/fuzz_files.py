"""Mutated files for every reader: each gives a valid object or one of this project's errors.

`python tests/fuzz_files.py SEED FIRST COUNT` runs the cases FIRST to FIRST + COUNT of a seed and
prints what became of them. It is a program and not a test, so that a crash is its own end and its
peak of memory its own: tests/test_fuzz_files.py looks at both. Case and seed decide a mutation
alone; a failure names them. Read `mutated`, then `main`.

It goes below the public names where a reader would hide what was read: batches without
TensorFlow, the list of files found good.
"""

from __future__ import annotations

import faulthandler
import json
import os
import re
import resource
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ["CUDA_VISIBLE_DEVICES"] = ""
ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import conftest  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402

from worldmodels.core.errors import WorldModelsError  # noqa: E402
from worldmodels.core.plain_yaml import read_mapping  # noqa: E402
from worldmodels.data import episodes, hdf5_files, latents  # noqa: E402
from worldmodels.data.episodes import EpisodeFiles, read_episodes  # noqa: E402
from worldmodels.data.frame_batches import FrameBatches  # noqa: E402
from worldmodels.data.hdf5_files import USERBLOCK, Format, seal, validate  # noqa: E402
from worldmodels.data.latents import LatentSequences, LatentWriter  # noqa: E402
from worldmodels.models import model_files  # noqa: E402
from worldmodels.models.controller import LinearController  # noqa: E402
from worldmodels.models.memory import MDNRNN  # noqa: E402
from worldmodels.models.vae import VAE  # noqa: E402

CASES_PER_BATCH = 50  # that one process vets
SECONDS_PER_CASE = 60  # then it counts as hung
SECONDS_TO_VET = 5  # a file
METADATA = re.compile(rb"TREE|HEAP|SNOD|GCOL|FRHP|OHDR|OCHK|BTHD|FADB|\x89HDF")
METADATA_BYTES = 300  # from where one of these stands


def read_shard(path: Path) -> None:
    files = EpisodeFiles(path.parent)
    for episode in read_episodes(path.parent):
        steps = len(episode.rewards)
        assert steps >= 1
        assert episode.frames.shape == (steps, *files.image_shape, 3)
        assert np.isfinite(episode.actions).all()
    batches = FrameBatches(files, range(len(files.episodes)), batch_size=1, seed=0)
    assert len(list(batches._batches(0, 0))) == files.rows


def read_latents(path: Path) -> None:
    sequences = LatentSequences(path, length=3)
    windows = sequences.windows(range(sequences.episodes), rng=np.random.default_rng(0))
    read = sequences.read(windows)
    assert np.isfinite(read.mean).all()
    assert np.isfinite(read.log_var).all()
    assert np.isfinite(read.action).all()


def read_model(cls: type[VAE] | type[MDNRNN] | type[LinearController], path: Path) -> None:
    model = cls.load(path)
    weights = [model.weights] if isinstance(model, LinearController) else model.weights
    assert all(np.isfinite(weight).all() for weight in weights)
    keras.backend.clear_session()


def read_yaml(path: Path) -> None:
    assert isinstance(read_mapping(path), dict)


@dataclass(frozen=True)
class Source:
    """A good file, its reader, and its format if it is a sealed one."""

    name: str
    content: bytes
    read: Callable[[Path], None]
    format: Format | None


def sources(folder: Path) -> list[Source]:
    """One small good file for each reader."""
    conftest._write_episodes(folder, [3, 1, 40])
    with LatentWriter(folder / "latents.h5", 12, 2, vae_digest="abc") as writer:
        for steps in (5, 1, 6):
            columns = (np.ones((steps, size)) for size in (2, 2, 3))
            writer.write(*columns, np.ones(steps), "off_field")
    VAE((32, 32), 1, rng=np.random.default_rng(0)).save(folder / "vae.h5")
    MDNRNN(2, 3, 2, rng=np.random.default_rng(0)).save(folder / "memory.h5")
    LinearController(np.ones((5, 3), np.float32), ("z",), "mean").save(folder / "controller.h5")
    (folder / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    lock = (ROOT / "dvc.lock").read_bytes()
    (folder / "dvc.lock").write_bytes(lock[: lock.rindex(b"\n", 0, 3000) + 1])  # whole lines
    readers: dict[str, tuple[Callable[[Path], None], Format | None]] = {
        "shard-00000.h5": (read_shard, episodes.FORMAT),
        "latents.h5": (read_latents, latents.FORMAT),
        "vae.h5": (lambda path: read_model(VAE, path), model_files.FORMAT),
        "memory.h5": (lambda path: read_model(MDNRNN, path), model_files.FORMAT),
        "controller.h5": (lambda path: read_model(LinearController, path), model_files.FORMAT),
        "params.yaml": (read_yaml, None),
        "dvc.lock": (read_yaml, None),
    }
    return [
        Source(name, (folder / name).read_bytes(), read, kind)
        for name, (read, kind) in readers.items()
    ]


def place(content: bytearray, rng: np.random.Generator) -> int:
    """Where to change something: in HDF5, mostly where libhdf5's own numbers are."""
    marks = [mark.start() for mark in METADATA.finditer(content)]
    if marks and rng.random() < 0.8:
        return min(int(rng.choice(marks)) + int(rng.integers(METADATA_BYTES)), len(content) - 1)
    return int(rng.integers(len(content)))


def mutated(content: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """`content` with one to four changes, one of which may be a piece of `other`."""
    changed = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        at = place(changed, rng)
        span = int(rng.integers(1, 65))
        match rng.choice(["flip", "number", "zero", "ones", "cut", "insert", "move", "splice"]):
            case "flip":
                changed[at] ^= 1 << int(rng.integers(8))
            case "number":
                changed[at] = int(rng.choice([0, 1, 2, 3, 127, 128, 254, 255, rng.integers(256)]))
            case "zero":
                changed[at : at + span] = bytes(len(changed[at : at + span]))
            case "ones":
                changed[at : at + span] = b"\xff" * len(changed[at : at + span])
            case "cut":
                del changed[at : at + span if rng.random() < 0.7 else None]
            case "insert":
                changed[at:at] = rng.bytes(span)
            case "move":
                start = place(changed, rng)
                changed[at : at + span] = changed[start : start + span]
            case "splice":
                start = place(bytearray(other), rng)
                changed[at : at + span] = other[start : start + span]
        if not changed:
            return b""
    return bytes(changed)


def write_case(folder: Path, known: list[Source], rng: np.random.Generator) -> tuple[Source, Path]:
    """A mutated file in its folder; in half of the cases with a seal that fits again."""
    source = known[rng.integers(len(known))]
    other = known[rng.integers(len(known))]
    folder.mkdir()
    path = folder / source.name
    if source.format is None or rng.random() < 0.5:
        path.write_bytes(mutated(source.content, other.content, rng))
    else:
        body = mutated(source.content[USERBLOCK:], other.content[USERBLOCK:], rng)
        path.write_bytes(bytes(USERBLOCK) + body)
        seal(path, source.format)
    return source, path


def main(seed: int, first: int, count: int) -> None:
    faulthandler.enable()
    hdf5_files.list_of_vetted = lambda: None
    hdf5_files.SECONDS_PER_FILE = SECONDS_TO_VET
    folder = Path(tempfile.mkdtemp())
    known = sources(folder)
    for source in known:
        source.read(folder / source.name)  # good as it is
    for source in known:
        (folder / source.name).unlink()
    hdf5_files._known_good.clear()
    started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ends: Counter[str] = Counter()
    for batch in range(first, first + count, CASES_PER_BATCH):
        numbers = range(batch, min(batch + CASES_PER_BATCH, first + count))
        cases = {
            number: write_case(folder / str(number), known, np.random.default_rng([seed, number]))
            for number in numbers
        }
        for kind in {source.format for source in known if source.format is not None}:
            waiting = [path for source, path in cases.values() if is_sealed(source, path, kind)]
            while waiting:
                waiting = validate(waiting, kind)
        for number, (source, path) in cases.items():
            faulthandler.dump_traceback_later(SECONDS_PER_CASE, exit=True)
            try:
                source.read(path)
                ends["read"] += 1
            except WorldModelsError as error:
                text = str(error)
                assert "\n" not in text, (seed, number, text)
                ends[what_it_says(text)] += 1
            except BaseException:
                print(f"seed {seed}, case {number}, {source.name}", file=sys.stderr)
                raise
            faulthandler.cancel_dump_traceback_later()
            shutil.rmtree(path.parent)
    shutil.rmtree(folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    checkers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    more, most = (peak - started) >> 10, checkers >> 10
    print(json.dumps({"ends": ends, "mib_more": more, "mib_of_a_checker": most}))


def is_sealed(source: Source, path: Path, kind: Format) -> bool:
    if source.format != kind:
        return False
    try:
        hdf5_files._verified_key(path, kind)
    except WorldModelsError:
        return False
    return True


def what_it_says(text: str) -> str:
    """The kind of an error."""
    kinds = ["died with signal", "not ended after", "needed more than", "not safe to open"]
    kinds += ["cut short", "grown", "damaged", "without this project's seal", "something else"]
    kinds += ["YAML", "expected a dataset", "another architecture", "finite", "expected"]
    return next((kind for kind in kinds if kind in text), "else")


if __name__ == "__main__":
    main(*(int(number) for number in sys.argv[1:]))
