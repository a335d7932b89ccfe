"""Sealed HDF5 files: whole, known, and never the end of the process that opens them.

Private names: what this process remembers as good is cleared, so that files are checked again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest

from worldmodels.core.errors import WorldModelsError
from worldmodels.data import hdf5_check, hdf5_files
from worldmodels.data.hdf5_files import (
    USERBLOCK,
    Format,
    open_sealed,
    require_dataset,
    require_text,
    seal,
    sealed_file,
    validate,
)

ROOT = Path(__file__).parent.parent


class ParcelError(WorldModelsError):
    """A parcel, the format of these tests, that is wrong."""


PARCEL = Format(
    "parcel",
    3,
    ParcelError,
    remedy="send another",
    max_bytes=10 << 20,
    max_objects=20,
)


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_known_good", "_refused", "_verified"):
        monkeypatch.setattr(hdf5_files, name, type(getattr(hdf5_files, name))())


def write(path: Path, number: int = 0) -> Path:
    """A good parcel, which this process then does not know."""
    with sealed_file(path, PARCEL) as file:
        file.attrs["to"] = "whom it may concern"
        file["inside/numbers"] = np.full(1000, number, np.int64)
        file["inside/zeros"] = np.zeros((3, 4), np.float32)
        file["inside/yes"] = np.ones(5, bool)
        file["inside/names"] = ["one", "two"]
        file.create_dataset("packed", data=np.zeros((100, 1000)), chunks=(9, 70), compression=1)
        file.create_dataset("nothing", data=np.zeros((0, 3)))
    hdf5_files._known_good.clear()
    return path


def opens(path: Path) -> None:
    with open_sealed(path, PARCEL) as file:
        assert file.attrs["to"] == "whom it may concern"
        assert file["inside/numbers"].shape == (1000,)


def refused(path: Path, message: str) -> None:
    with pytest.raises(ParcelError, match=message):
        open_sealed(path, PARCEL)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    opens(write(tmp_path / "parcel.h5"))


def test_the_same_content_gives_the_same_bytes_of_plain_hdf5(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one.h5"), write(tmp_path / "two.h5")
    assert one.read_bytes() == two.read_bytes()
    assert one.read_bytes().startswith(b"parcel 3 ")
    with h5py.File(one) as file:  # any program that reads HDF5 reads it
        assert file["inside/names"].asstr()[1] == "two"
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["one.h5", "two.h5"]


def test_a_file_that_failed_is_not_there(tmp_path: Path) -> None:
    def fail() -> None:
        with sealed_file(tmp_path / "parcel.h5", PARCEL) as file:
            file["numbers"] = np.zeros(3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_what_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    def fill() -> None:
        with sealed_file(tmp_path / "parcel.h5", PARCEL) as file:
            file["numbers"] = np.zeros(PARCEL.max_bytes // 8 + 1)

    with pytest.raises(ParcelError, match=r"parcel.h5: not saved: expected at most 10485760 bytes"):
        fill()
    assert list(tmp_path.iterdir()) == []


class TestTheSeal:
    """What is known before libhdf5 sees a file."""

    @pytest.fixture(autouse=True)
    def _no_hdf5(self, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
        def refuse(*_: object) -> None:
            raise AssertionError("was opened as HDF5")

        monkeypatch.setattr(h5py, "File", refuse)
        monkeypatch.setattr(hdf5_files, "_check", refuse)

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return write(tmp_path / "parcel.h5")

    def test_a_missing_file(self, path: Path) -> None:
        path.unlink()
        refused(path, rf"^{path}: no such file; `dvc repro` makes it, `dvc checkout` brings")

    def test_a_folder_or_a_pipe(self, path: Path) -> None:
        path.unlink()
        path.mkdir()
        refused(path, rf"^{path}: expected a file, got a folder or a device; send another$")
        path.rmdir()
        os.mkfifo(path)
        refused(path, rf"^{path}: expected a file, got a folder or a device; send another$")

    def test_another_format(self, path: Path) -> None:
        seal(path, Format("letter", 3, ParcelError, "", "", 0))
        refused(path, rf"^{path}: expected parcel, version 3, got letter, version 3; send another$")

    def test_another_version(self, path: Path) -> None:
        seal(path, Format("parcel", 4, ParcelError, "", "", 0))
        refused(path, rf"^{path}: expected parcel, version 3, got parcel, version 4; send another$")

    @pytest.mark.parametrize(
        ("content", "got"),
        [
            (b"", "an empty file"),
            (b"version https://git-lfs.github.com/spec/v1\n", "something else"),
            (b"\x89HDF\r\n\x1a\n" + bytes(600), "HDF5 without this project's seal"),
            (bytes(600), "something else"),
        ],
    )
    def test_no_seal(self, path: Path, content: bytes, got: str) -> None:
        path.write_bytes(content)
        refused(path, rf"^{path}: expected parcel, version 3, got {got}; send another$")

    @pytest.mark.parametrize("kept", [200, 512, 513, 5000, -1])
    def test_cut_short(self, path: Path, kept: int) -> None:
        content = path.read_bytes()
        path.write_bytes(content[:kept])
        length, got = len(content), len(content[:kept])
        refused(path, rf"^{path}: cut short: expected {length} bytes, got {got}; send another$")

    def test_grown(self, path: Path) -> None:
        length = path.stat().st_size
        with path.open("ab") as file:
            file.write(b"x")
        refused(path, rf"^{path}: grown: expected {length} bytes, got {length + 1}; send another$")

    def test_a_flipped_byte_wherever_it_is(self, path: Path) -> None:
        content = path.read_bytes()
        rng = np.random.default_rng(0)
        for place in [0, 7, 9, 13, 20, 100, 511, 512, *rng.integers(512, len(content), 50), -1]:
            damaged = bytearray(content)
            damaged[place] ^= 1 << rng.integers(8)
            path.write_bytes(damaged)
            refused(path, rf"^{path}: .*; send another$")
        assert place == -1
        refused(
            path, rf"^{path}: damaged: expected contents of SHA-256 \w{{12}}…, got \w{{12}}…; s"
        )

    def test_a_file_of_a_terabyte_of_nothing(self, path: Path) -> None:
        size = 1 << 40
        with path.open("r+b") as file:
            file.write(f"parcel 3 {size} {'0' * 64}\n".encode().ljust(USERBLOCK, b"\0"))
            file.truncate(size)
        started = time.monotonic()
        refused(path, rf"^{path}: too large: expected at most 10485760 bytes, got {size}; send")
        assert time.monotonic() - started < 1

    def test_a_file_that_may_not_be_read(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def deny(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("builtins.open", deny)
        refused(path, rf"^{path}: cannot be read \(Permission denied\); send another$")


def test_a_change_after_the_first_opening_is_seen(tmp_path: Path) -> None:
    path = write(tmp_path / "parcel.h5")
    time.sleep(0.06)
    opens(path)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    refused(path, "damaged")
    path.write_bytes(content)
    opens(path)


def test_a_change_within_a_tick_of_the_file_system_s_clock_is_seen(tmp_path: Path) -> None:
    with sealed_file(tmp_path / "parcel.h5", PARCEL) as file:
        file["numbers"] = np.zeros(3)
    path = tmp_path / "parcel.h5"
    now = time.time_ns()
    os.utime(path, ns=(now, now))
    open_sealed(path, PARCEL).close()
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(path, ns=(now, now))
    refused(path, "damaged")


def test_a_file_that_does_not_change_is_read_as_a_whole_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "parcel.h5")
    time.sleep(0.06)
    opens(path)
    monkeypatch.setattr(hdf5_files, "_digest_that_fits", lambda *_: pytest.fail("read again"))
    opens(path)


def external_link(file: h5py.File) -> None:
    file["x"] = h5py.ExternalLink("/etc/passwd", "/")


def soft_link(file: h5py.File) -> None:
    file["x"] = h5py.SoftLink("/inside/numbers")


def external_storage(file: h5py.File) -> None:
    file.create_dataset("x", (100,), np.uint8, external=[("/etc/passwd", 0, 100)])


def virtual_dataset(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((3,), np.int64)
    layout[:] = h5py.VirtualSource("/tmp/elsewhere.h5", "x", (3,))
    file.create_virtual_dataset("x", layout)


def lzf_filter(file: h5py.File) -> None:
    file.create_dataset("x", data=np.zeros(100), chunks=(10,), compression="lzf")


def unknown_filter(file: h5py.File) -> None:
    file.create_dataset("x", (10,), np.uint8, chunks=(10,), compression=1)
    file.flush()
    raw = Path(file.filename)
    where = raw.read_bytes().rfind(b"\x01\x00\x08\x00\x01\x00\x01\x00deflate\x00")
    rewritten[raw] = (where, b"\x39\x7d")  # 32057


def two_deflates(file: h5py.File) -> None:
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_chunk((10,))
    made.set_deflate(1)
    made.set_deflate(1)
    space = h5py.h5s.create_simple((10,))
    h5py.h5d.create(file.id, b"x", h5py.h5t.STD_I8LE, space, made)


def references(file: h5py.File) -> None:
    file["x"] = np.array([file.ref], h5py.ref_dtype)


def reference_attribute(file: h5py.File) -> None:
    file.attrs["x"] = file.ref


def region_reference(file: h5py.File) -> None:
    file.attrs["x"] = file["inside/numbers"].regionref[:3]


def opaque_attribute(file: h5py.File) -> None:
    file.attrs["x"] = np.void(b"opaque")


def compound(file: h5py.File) -> None:
    file["x"] = np.zeros(3, [("a", np.int8), ("b", np.float64)])


def numbers_of_any_count(file: h5py.File) -> None:
    file.create_dataset("x", (3,), h5py.vlen_dtype(np.int64))


def big_endian(file: h5py.File) -> None:
    file["x"] = np.zeros(3, ">f4")


def named_type(file: h5py.File) -> None:
    file["x"] = np.dtype(np.float32)


def empty_dataset(file: h5py.File) -> None:
    file["x"] = h5py.Empty(np.float32)


def huge_chunk(file: h5py.File) -> None:
    file.create_dataset("x", (1,), np.uint8, chunks=(1 << 30,), maxshape=(None,), compression=1)


def huge_and_unallocated(file: h5py.File) -> None:
    file.create_dataset("x", (1 << 40,), np.uint8, chunks=(1 << 10,))


def huge_and_packed(file: h5py.File) -> None:
    file.create_dataset("x", (11, 1 << 20), np.uint8, chunks=(1, 1 << 20), compression=1)


def huge_shape_of_no_bytes(file: h5py.File) -> None:
    file.create_dataset("x", (1 << 62, 1 << 62), np.uint8, chunks=(1, 1))


def too_much_together(file: h5py.File) -> None:
    for index in range(6):
        file.create_dataset(f"x{index}", data=np.zeros((2, 1 << 20), np.uint8), compression=1)


def unpacks_to_gigabytes(file: h5py.File) -> None:
    made = zlib.compressobj(9)
    block = bytes(64 << 20)
    packed = b"".join([made.compress(block) for _ in range(20)]) + made.flush()
    x = file.create_dataset("x", (1000,), np.uint8, chunks=(1000,), compression=1)
    x.id.write_direct_chunk((0,), packed)


def group_within_itself(file: h5py.File) -> None:
    file["inside/itself"] = file["inside"]


def dataset_with_two_names(file: h5py.File) -> None:
    file["x"] = file["packed"]


def many_groups(file: h5py.File) -> None:
    for index in range(30):
        file.create_group("/".join(["deep"] * index + ["x"]))


def many_members(file: h5py.File) -> None:
    for index in range(2000):
        file.create_group(f"x{index}")


def many_attributes(file: h5py.File) -> None:
    for index in range(1000):
        file.attrs.create(f"x{index}", index)


def long_attribute(file: h5py.File) -> None:
    file.attrs["x"] = "text" * 300_000


def long_texts(file: h5py.File) -> None:
    file["x"] = ["text" * 1000] * 300


def many_texts(file: h5py.File) -> None:
    file["x"] = [""] * 9000


MALICIOUS = [
    (external_link, "/x: a link to elsewhere"),
    (soft_link, "/x: a link to elsewhere"),
    (external_storage, "/x: stored in another file"),
    (virtual_dataset, "/x: a virtual dataset"),
    (lzf_filter, r"/x: expected filters among \[1, 2, 3\], got \[32000\]"),
    (unknown_filter, r"/x: expected filters among \[1, 2, 3\], got \[32057\]"),
    (two_deflates, r"/x: expected filters among \[1, 2, 3\], got \[1, 1\]"),
    (references, "/x: expected numbers, truth values or texts, got another type"),
    (reference_attribute, "attribute x: expected numbers, truth values or texts, got another"),
    (region_reference, "attribute x: expected numbers, truth values or texts, got another"),
    (opaque_attribute, "attribute x: expected numbers, truth values or texts, got another"),
    (compound, "/x: expected numbers, truth values or texts, got another type"),
    (numbers_of_any_count, "/x: expected numbers, truth values or texts, got another type"),
    (big_endian, "/x: expected numbers, truth values or texts, got another type"),
    (named_type, "/x: expected a group or a dataset, got a named type"),
    (empty_dataset, "/x: expected a shape, got none"),
    (huge_chunk, "/x: expected chunks of 16777216 bytes, got 1073741824"),
    (huge_and_unallocated, r"/x: 1099511627776 bytes cannot come from a file of \d+"),
    (huge_and_packed, "/x: .* bytes cannot come|at most 10485760 bytes in all datasets"),
    (huge_shape_of_no_bytes, r"/x: \d{30,} bytes cannot come from a file of \d+"),
    (too_much_together, "expected at most 10485760 bytes in all datasets"),
    (unpacks_to_gigabytes, r"Can't|unable|needed more than 1024 MiB"),
    (group_within_itself, "/inside/itself: has two names"),
    (dataset_with_two_names, "has two names"),
    (many_groups, "expected at most 20 groups and datasets"),
    (many_members, "/: expected at most 20 members"),
    (many_attributes, "/: expected at most 64 attributes, got 1001"),
    (long_attribute, "expected at most 1048576 bytes of text"),
    (long_texts, "expected at most 1048576 bytes of text"),
    (many_texts, "/x: expected at most 65536 bytes of texts"),
]
rewritten: dict[Path, tuple[int, bytes]] = {}


@pytest.mark.parametrize(
    ("fill", "message"), MALICIOUS, ids=[fill.__name__ for fill, _ in MALICIOUS]
)
def test_what_the_project_never_writes_is_refused(
    tmp_path: Path, fill: Callable[[h5py.File], None], message: str
) -> None:
    path = write(tmp_path / "parcel.h5")
    with h5py.File(path, "a") as file:
        fill(file)
    if path in rewritten:
        place, content = rewritten[path]
        assert place > 0
        with path.open("r+b") as raw:
            raw.seek(place)
            raw.write(content)
    seal(path, PARCEL)
    refused(path, rf"^{path}: not safe to open: .*({message}).*; send another$")


def checker(monkeypatch: pytest.MonkeyPatch, check: str) -> None:
    """Have files checked by this code in place of `hdf5_check.check`."""
    code = (
        f"import sys; sys.path.insert(0, {str(Path(hdf5_check.__file__).parent)!r})\n"
        "import hdf5_check, ctypes, os, signal, time\n"
        f"count = 0\ndef check(path, **_):\n    global count; count += 1\n    {check}\n"
        "hdf5_check.check = check\nhdf5_check.main()"
    )
    monkeypatch.setattr(hdf5_files, "CHECKER", [sys.executable, "-I", "-c", code])


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ("ctypes.string_at(0)", r"died with signal 11 \(SIGSEGV\)"),
        ("os.abort()", r"died with signal 6 \(SIGABRT\)"),
        ("while True: pass", r"had not ended after 1 s"),
        ("signal.alarm(0); time.sleep(60)", r"had not ended after 1 s"),
        ("bytearray(1 << 30)", r"needed more than 1024 MiB"),
        ("os._exit(7)", r"ended with status 7"),
        ("sys.exit('something is missing')", r"ended with status 1 \(something is missing\)"),
        ("raise RuntimeError('what\\n   ' * 1000)", r"what what"),
        ("raise KeyError", "KeyError"),
    ],
)
def test_the_death_of_the_process_that_reads_first_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: str, message: str
) -> None:
    path = write(tmp_path / "parcel.h5")
    checker(monkeypatch, check)
    monkeypatch.setattr(hdf5_files, "SECONDS_PER_FILE", 1)
    started = time.monotonic()
    refused(path, rf"^{path}: not safe to open: .*{message}.*; send another$")
    assert time.monotonic() - started < 10


def test_a_file_that_hangs_is_given_its_own_time_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write_some(tmp_path, "abcdefghijkl")
    checker(monkeypatch, "while True: pass")
    monkeypatch.setattr(hdf5_files, "SECONDS_PER_FILE", 1)
    started = time.monotonic()
    assert validate(paths, PARCEL) == paths[1:]
    assert time.monotonic() - started < 5
    refused(paths[0], "had not ended after 1 s")


def write_some(folder: Path, names: str) -> list[Path]:
    return [write(folder / f"{name}.h5", number) for number, name in enumerate(names)]


def test_one_process_reads_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write_some(tmp_path, "abcdefgh")
    assert validate(paths, PARCEL) == []
    monkeypatch.setattr(hdf5_files, "_check", lambda *_: pytest.fail("read again"))
    for path in paths:
        opens(path)


def test_a_death_is_held_against_the_file_that_caused_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c, d, e = write_some(tmp_path, "abcde")
    checker(monkeypatch, "'c.h5' in path and os.abort()")
    assert validate([a, b, c, d, e], PARCEL) == [d, e]
    assert validate([d, e], PARCEL) == []
    for path in (a, b, d, e):
        opens(path)
    refused(c, "not safe to open: .*SIGABRT")


def test_a_death_is_not_held_against_a_file_that_came_after_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write_some(tmp_path, "abcde")
    checker(monkeypatch, "count == 3 and os.abort()")
    assert validate(paths, PARCEL) == []
    for path in paths:
        opens(path)


def test_a_refusal_is_held_against_one_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c = write_some(tmp_path, "abc")
    checker(monkeypatch, "if 'b.h5' in path: raise ValueError('bad')")
    assert validate([a, b, c], PARCEL) == []
    monkeypatch.setattr(hdf5_files, "_check", lambda *_: pytest.fail("read again"))
    opens(a)
    refused(b, rf"^{b}: not safe to open: bad; send another$")
    opens(c)


def test_what_this_process_wrote_is_not_read_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hdf5_files, "_check", lambda *_: pytest.fail("read"))
    with sealed_file(tmp_path / "parcel.h5", PARCEL) as file:
        file["x"] = np.zeros(3)
    open_sealed(tmp_path / "parcel.h5", PARCEL).close()


def test_what_is_safe_for_one_format_is_not_known_for_another(tmp_path: Path) -> None:
    path = write(tmp_path / "parcel.h5")
    opens(path)
    small = Format("small", 1, ParcelError, "send less", max_bytes=1000)
    seal(path, small)
    with pytest.raises(ParcelError, match=r"at most 1000 bytes in all datasets; send less"):
        open_sealed(path, small)


class TestTheList:
    """What one process of a project tells the next."""

    @pytest.fixture(autouse=True)
    def _project(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hdf5_files, "list_of_vetted", LIST_OF_VETTED)
        monkeypatch.setenv("DVC_ROOT", str(tmp_path))
        (tmp_path / "dvc.yaml").touch()

    def forget(self, monkeypatch: pytest.MonkeyPatch) -> None:
        hdf5_files._known_good.clear()
        monkeypatch.setattr(hdf5_files, "_check", lambda *_: pytest.fail("read again"))

    def test_what_was_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write(tmp_path / "parcel.h5")
        self.forget(monkeypatch)
        opens(path)

    def test_what_was_vetted(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write(tmp_path / "parcel.h5")
        (tmp_path / "scratch/validated").unlink()
        opens(path)
        self.forget(monkeypatch)
        opens(path)

    def test_not_what_was_refused(self, tmp_path: Path) -> None:
        path = write(tmp_path / "parcel.h5")
        with h5py.File(path, "a") as file:
            soft_link(file)
        seal(path, PARCEL)
        before = (tmp_path / "scratch/validated").read_text()
        refused(path, "not safe to open")
        assert (tmp_path / "scratch/validated").read_text() == before

    def test_another_process(self, tmp_path: Path) -> None:
        path = write(tmp_path / "parcel.h5")
        code = (
            "import sys; sys.path.insert(0, 'tests')\n"
            "import test_hdf5_files as tests\nfrom pathlib import Path\n"
            "from worldmodels.data import hdf5_files\n"
            "hdf5_files._check = None\ntests.opens(Path(sys.argv[1]))"
        )
        subprocess.run([sys.executable, "-c", code, path], check=True, cwd=ROOT)

    def test_it_stays_small_and_survives_garbage(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kept = tmp_path / "scratch/validated"
        kept.parent.mkdir()
        kept.write_bytes(b"\xff\x00 garbage\n" * 200_000)
        for number in range(3):
            path = write(tmp_path / "parcel.h5", number)
        assert kept.stat().st_size < 2 * hdf5_files.MAX_LIST
        self.forget(monkeypatch)
        opens(path)

    def test_no_list_without_a_project(self, tmp_path: Path) -> None:
        (tmp_path / "dvc.yaml").unlink()
        opens(write(tmp_path / "parcel.h5"))
        assert [path.name for path in tmp_path.iterdir()] == ["parcel.h5"]

    def test_a_list_that_cannot_be_written_is_no_error(self, tmp_path: Path) -> None:
        (tmp_path / "scratch").touch()
        opens(write(tmp_path / "parcel.h5"))

    @pytest.mark.parametrize("full", [False, True])
    def test_processes_that_write_at_once_mix_and_lose_no_lines(
        self, full: bool, tmp_path: Path
    ) -> None:
        kept = tmp_path / "scratch/validated"
        kept.parent.mkdir()
        kept.write_text("old\n" * (hdf5_files.MAX_LIST // 4 + 1) if full else "")
        code = (
            "from worldmodels.data import hdf5_files\nimport sys\n"
            "for index in range(300):\n"
            "    hdf5_files._remember([f'{sys.argv[1]} {index} ' + 'x' * 90])"
        )
        running = [subprocess.Popen([sys.executable, "-c", code, name], cwd=ROOT) for name in "abc"]
        assert [process.wait() for process in running] == [0, 0, 0]
        lines = kept.read_text().splitlines()
        expected = {f"{name} {index} " + "x" * 90 for name in "abc" for index in range(300)}
        assert set(lines) - {"old"} == expected
        assert ("old" in lines) == full


LIST_OF_VETTED = hdf5_files.list_of_vetted  # conftest replaces it


@pytest.mark.parametrize(
    ("name", "dtype", "shape", "message"),
    [
        (
            "inside/zeros",
            np.float64,
            (3, 4),
            r"expected .* float64 \(3, 4\), got float32",
        ),
        ("inside/zeros", np.float32, (3,), r"expected .* \(3,\), got float32 \(3, 4\)"),
        ("inside/zeros", np.float32, (None, 3), r"expected .* \(any, 3\), got float32 \(3, 4\)"),
        ("inside", np.float32, None, r"expected a dataset of float32 of any shape, got none"),
        ("outside", np.float32, None, r"expected a dataset of float32 of any shape, got none"),
        ("packed/deeper", np.float32, None, r"expected .*, got none"),
    ],
)
def test_another_dataset_than_expected_is_named(
    tmp_path: Path, name: str, dtype: type, shape: Sequence[int | None] | None, message: str
) -> None:
    path = write(tmp_path / "parcel.h5")
    wanted = None if shape is None else tuple(shape)
    with (
        open_sealed(path, PARCEL) as file,
        pytest.raises(ParcelError, match=rf"^{path}: {name}: {message}.*; send another$"),
    ):
        require_dataset(file, name, dtype, wanted, PARCEL)


def test_datasets_and_texts_as_expected(tmp_path: Path) -> None:
    with open_sealed(write(tmp_path / "parcel.h5"), PARCEL) as file:
        assert require_dataset(file, "inside/zeros", np.float32, (None, 4), PARCEL).shape == (3, 4)
        assert require_dataset(file, "inside/yes", np.bool_, None, PARCEL)[:].all()
        assert require_text(file, "to", PARCEL) == "whom it may concern"
        with pytest.raises(ParcelError, match=r"attribute from: expected a text, got none; send"):
            require_text(file, "from", PARCEL)


def test_all_that_is_read_is_read_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_check, "BLOCK", 100)
    for shape in [(), (0, 5), (7,), (1000,), (3, 400), (2, 30, 50), (200, 1, 3)]:
        counted = np.zeros(shape, int)
        for block in hdf5_check._blocks(shape, 8):
            assert counted[block].size * 8 <= 100
            counted[block] += 1
        assert (counted == 1).all()
