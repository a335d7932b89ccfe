"""A YAML file that may come from a stranger: read, or refused in one line."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from worldmodels.core.errors import WorldModelsError
from worldmodels.core.params import read_params


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("vae: {a: 1\nb: 2\n", "expected YAML, got .* on line 2"),
        ("vae: {a: 1, a: 2}", "expected YAML, got found duplicate key"),
        ("a: 1\n---\nb: 2\n", "expected YAML"),
        ("- vae\n", r"expected a mapping of keys, got \['vae'\] \(list\)"),
        ("", "expected a mapping of keys, got null"),
        ("vae: 3", r"vae: expected a group of keys, got 3 \(int\)"),
        ("vae:\n", "vae: expected a group of keys, got null"),
    ],
)
def test_a_broken_file_gets_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(WorldModelsError, match=message) as caught:
        read_params(path)
    assert "\n" not in str(caught.value)
    assert "git restore" in str(caught.value)


def test_a_missing_file_gets_one_line(tmp_path: Path) -> None:
    with pytest.raises(WorldModelsError, match=r"expected a YAML file, got none .* root"):
        read_params(tmp_path / "params.yaml")
    with pytest.raises(WorldModelsError, match="expected a readable text file"):
        read_params(tmp_path)  # a folder


def test_a_binary_file_gets_one_line(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(WorldModelsError, match="expected a readable text file"):
        read_params(tmp_path / "params.yaml")


DOUBLED = "".join(f"  - &a{n + 1} [*a{n}, *a{n}]\n" for n in range(40))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("vae: !!python/object/apply:os.system ['touch ran']\n", "the tag .*os.system"),
        ("vae: !!python/name:os.system\n", "the tag"),
        ("vae: !!bool perhaps\n", "the tag"),
        ("vae: ! 5\n", "the tag"),
        (f"vae:\n  - &a0 [lol]\n{DOUBLED}", r"the alias \*a0"),
        ("vae: &a [*a]\n", r"the alias \*a"),
        ("vae: &a {<<: *a}\n", r"the alias \*a"),
        ("vae: *nowhere\n", r"the alias \*nowhere"),
        ("[" * 1_000_000, "nested more than 20 deep on line 1"),
        ("{a: " * 200_000, "nested more than 20 deep"),
        ("? " * 500_000, "nested more than 20 deep"),
        ("- " * 500_000, "nested more than 20 deep"),
        (f"vae: [{'1,' * 500_000}]", "more than 20000 values"),
        (f"vae: {'x' * 4000}", "a text of more than 3000 characters"),
        (f"vae: {'9' * 4000}", "a text of more than 3000 characters"),
        (f"{'x' * 4000}: 3", "expected YAML"),
        (f"# {'x' * 2_000_000}", "expected at most 1048576 bytes, got more"),
        ("vae: {a: 2026-13-45}", "a value that cannot be read"),
        ("vae: {a: \0}", "expected YAML, got .*special characters"),
        ("vae: {a: \x07}", "expected YAML, got .*special characters"),
        ("%YAML 3.0\n---\nvae: {a: 1}", "expected YAML, got .*version"),
        ("vae: {[a, b]: 1, {c: 2}: 3}", "expected YAML"),
        (f"vae: {{a: 1, a: '{'x' * 2000}'}}", "duplicate key"),
    ],
)
def test_a_strangers_file_neither_runs_nor_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "params.yaml"
    path.write_text(text)
    started = time.monotonic()
    with pytest.raises(WorldModelsError, match=message) as caught:
        read_params(path)
    assert time.monotonic() - started < 10  # on a busy machine; without limits it takes hours
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500
    assert [file.name for file in tmp_path.iterdir()] == ["params.yaml"]


def test_a_file_without_an_end_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "zeros.yaml").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.yaml")
    for name in ("zeros.yaml", "pipe.yaml"):
        with pytest.raises(WorldModelsError, match="expected a readable text file, got something"):
            read_params(tmp_path / name)
