"""Apply a named profile to params.yaml in place: `python -m worldmodels.pipeline.presets tiny`.

A preset, presets/NAME.yaml, is a part of params.yaml: groups with some of their keys, and all
rounds. Read `apply_preset` first. It replaces the text of the rounds and of the values that differ
and leaves every other byte of params.yaml alone, so that applying a preset and then `default` gives
back the same file; a YAML dumper, ruamel's round trip too, would reflow lists, respell numbers and
push comments.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node

from worldmodels.core.errors import WorldModelsError
from worldmodels.core.files import atomic_write
from worldmodels.core.params import ROUNDS, flatten, read_params

# From `rounds:` to its last indented line.
ROUNDS_BLOCK = re.compile(r"^rounds:.*\n(?:[ \t]+\S.*\n|[ \t\r]*\n(?=[ \t]+\S))*", re.MULTILINE)
GAP = 2  # the spaces before an end-of-line comment whose value is too long for the column


@dataclass(frozen=True)
class Change:
    """One value that a preset changes, in the spelling of the two files."""

    key: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.key}: {self.old} -> {self.new}"


def preset_names(root: Path) -> list[str]:
    """The presets that the project at `root` has."""
    return sorted(path.stem for path in (root / "presets").glob("*.yaml"))


def apply_preset(name: str, root: Path) -> list[Change]:
    """Write the values of presets/`name`.yaml into params.yaml, both in the folder `root`.

    Raises:
        WorldModelsError: no such preset, or a key that params.yaml lacks; nothing was written.
    """
    if name not in preset_names(root):
        there_are = ", ".join(preset_names(root)) or f"none in {root.absolute() / 'presets'}"
        raise WorldModelsError(f"presets: expected one of {there_are}, got '{name}'")
    preset_path, params_path = root / "presets" / f"{name}.yaml", root / "params.yaml"
    groups, preset_groups = read_params(params_path), read_params(preset_path)
    rounds, preset_rounds = groups.pop(ROUNDS, {}), preset_groups.pop(ROUNDS, {})
    values, preset_values = flatten(groups), flatten(preset_groups)
    unknown = [key for key in preset_values if key not in values]
    if unknown:
        raise WorldModelsError(
            f"{preset_path}: expected keys that are in {params_path}, got {', '.join(unknown)}; "
            f"{params_path} was left as it is"
        )
    # By repr, since 1, 1.0 and true are equal in Python but not to a reader of the file.
    differing = [key for key in preset_values if repr(preset_values[key]) != repr(values[key])]
    before, preset_text = _read_text(params_path), _read_text(preset_path)
    text = _with_rounds_of(preset_text, before)
    changes = []
    if text != before:
        changes.append(Change(ROUNDS, ", ".join(rounds), ", ".join(preset_rounds)))
    spans, preset_spans = _spans(text), _spans(preset_text)
    for key in differing:
        for path, known in ((params_path, spans), (preset_path, preset_spans)):
            if key not in known:
                raise WorldModelsError(
                    f"{path}: expected the value of {key} on one line, got it empty or on more; "
                    "write null for an empty value and [a, b] for a list"
                )
    column = _comment_column(text, spans)
    for key in sorted(differing, key=lambda key: spans[key].start, reverse=True):
        span, preset_span = spans[key], preset_spans[key]
        new = preset_text[preset_span.start : preset_span.stop]
        changes.insert(0, Change(key, old=text[span.start : span.stop], new=new))
        text = _replaced(text, span, new, column)
    if not changes:
        return []

    got = YAML(typ="safe", pure=True).load(text)
    expected = {key: preset_values.get(key, value) for key, value in values.items()}
    got_rounds = got.pop(ROUNDS, {})
    if repr(flatten(got)) != repr(expected) or got_rounds != (preset_rounds or rounds):
        raise WorldModelsError(
            f"{preset_path}: expected values that mean the same in their place in {params_path}, "
            f"got other ones; put quotes around texts; {params_path} was left as it is"
        )
    with atomic_write(params_path) as temporary:
        temporary.write_bytes(text.encode())  # write_text would make CRLF of LF somewhere
        shutil.copymode(params_path, temporary)
    return changes


def _with_rounds_of(preset_text: str, text: str) -> str:
    """`text` with the rounds that the preset has, comments included; as it is where it has none."""
    old, new = ROUNDS_BLOCK.search(text), ROUNDS_BLOCK.search(preset_text)
    if old is None or new is None:
        return text
    line_end = "\r\n" if "\r\n" in old[0] else "\n"
    block = line_end.join(new[0].splitlines()) + line_end
    return text[: old.start()] + block + text[old.end() :]


def _read_text(path: Path) -> str:
    return path.read_bytes().decode("utf-8")  # read_text would turn CRLF into LF


def _spans(text: str) -> dict[str, range]:
    """Where in `text` the value of each dotted key stands, if it is on one line."""
    spans: dict[str, range] = {}

    def walk(node: Node, prefix: str) -> None:
        for key_node, node_of_value in node.value:
            key = f"{prefix}{key_node.value}"
            start, end = node_of_value.start_mark, node_of_value.end_mark
            if isinstance(node_of_value, MappingNode):
                walk(node_of_value, f"{key}.")
            elif start.line == end.line and start.index < end.index:
                spans[key] = range(start.index, end.index)

    walk(YAML(typ="safe", pure=True).compose(text), "")
    return spans


def _comment_column(text: str, spans: dict[str, range]) -> int | None:
    """The column that most end-of-line comments share, or None if they follow their values."""
    columns = Counter(
        span.stop - _line_start(text, span.stop) + gap
        for span in spans.values()
        if (gap := _gap_before_comment(text, span.stop)) is not None
    )
    if not columns:
        return None
    [(column, lines)] = columns.most_common(1)
    return column if 1 < lines > columns.total() / 2 else None


def _replaced(text: str, span: range, new: str, column: int | None) -> str:
    """Put `new` in the place of `span`.

    A comment that is aligned to `column` stays there, or moves right as far as it must; any other
    keeps its distance from the value. Both can be undone from the values alone.
    """
    gap = _gap_before_comment(text, span.stop)
    if gap is None:
        return text[: span.start] + new + text[span.stop :]
    value_column = span.start - _line_start(text, span.start)
    new_gap = gap
    if column is not None and gap == max(column - value_column - len(span), GAP):
        new_gap = max(column - value_column - len(new), GAP)
    return text[: span.start] + new + " " * new_gap + text[span.stop + gap :]


def _gap_before_comment(text: str, end: int) -> int | None:
    """The number of spaces from a value's end to the comment on its line, None without one."""
    line = text[end:].partition("\n")[0]
    gap = len(line) - len(line.lstrip(" "))
    return gap if gap and line[gap:].startswith("#") else None


def _line_start(text: str, index: int) -> int:
    return text.rfind("\n", 0, index) + 1


def main(arguments: list[str] | None = None) -> int:
    """Apply the preset that the command line names and print what changed."""
    parser = argparse.ArgumentParser(
        prog="python -m worldmodels.pipeline.presets",
        description="Write the values of presets/NAME.yaml into params.yaml.",
    )
    there_are = ", ".join(preset_names(Path()))
    parser.add_argument("name", metavar="NAME", help=f"one of: {there_are}")
    name = parser.parse_args(arguments).name
    try:
        changes = apply_preset(name, Path())
    except WorldModelsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for change in changes:
        print(change)
    if not changes:
        print(f"params.yaml has every value of preset {name} already")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
