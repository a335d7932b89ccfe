"""YAML that may come from strangers: plain values alone are built, and few.

Read `read_mapping`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    ScalarEvent,
)

from worldmodels.core.errors import WorldModelsError
from worldmodels.core.wording import cut, one_line, shown

# What YAML's scalars, lists and mappings become.
Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | None"

# A YAML file of this project has a few hundred values, none of them long. Others may come from
# strangers: read to the end, 1 MiB of brackets alone keeps ruamel busy for hours.
LARGEST_FILE = 2**20  # bytes
MOST_VALUES = 20_000  # ruamel reads them in seconds
DEEPEST_NESTING = 20  # ruamel's constructor calls itself at every level
LONGEST_TEXT = 3_000  # characters of a value; Python writes no whole number of over 4,300 digits


def read_mapping(path: str | Path) -> dict[str, Value]:
    """Read a YAML 1.2 file whose top level is a mapping, whoever wrote it.

    Raises:
        WorldModelsError: the file is missing, is not YAML, is not a mapping, or asks for more than
            plain values: tags, aliases, great depth or great size.
    """
    path = Path(path)
    mend = f"edit it, or take back all changes with `git restore {path}`"
    if path.exists() and not path.is_file():  # a folder, or a pipe that would never end
        raise WorldModelsError(f"{path}: expected a readable text file, got something else")
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise WorldModelsError(
            f"{path}: expected a YAML file, got none in {Path.cwd()}: run from the repository's "
            f"root, or bring it back with `git restore {path}`"
        ) from None
    except OSError as error:
        raise WorldModelsError(f"{path}: expected a readable text file, got {error}") from None
    if len(content) > LARGEST_FILE:
        raise WorldModelsError(f"{path}: expected at most {LARGEST_FILE} bytes, got more; {mend}")
    try:
        values = plain_values(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise WorldModelsError(f"{path}: expected a readable text file, got {error}") from None
    except NotPlainError as error:
        raise WorldModelsError(f"{path}: expected YAML, got {error}; {mend}") from None
    if not isinstance(values, dict):
        got = shown(values)
        raise WorldModelsError(f"{path}: expected a mapping of keys, got {got}; {mend}")
    return values


class NotPlainError(Exception):
    """A text that is not YAML, or asks for more than plain values; says on one line what came."""


def plain_values(text: str) -> Value:
    """What a YAML text says.

    Raises:
        NotPlainError: it is not YAML, or not plain.
    """
    try:
        _require_plain(text)
        values: Value = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise NotPlainError(_fault(error)) from None
    except (ValueError, OverflowError) as error:  # the 13th month
        raise NotPlainError(f"a value that cannot be read ({cut(str(error))})") from None
    return values


def _require_plain(text: str) -> None:
    """Look through a YAML text, building nothing, and stop where it is more than plain values.

    Raises:
        NotPlainError: a tag, an alias, a value that is too long, too many or too deep.
    """
    depth = values = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        refused = None
        if isinstance(event, AliasEvent):
            refused = f"the alias *{event.anchor}, expected the value itself"
        elif isinstance(event, ScalarEvent | CollectionStartEvent):
            values += 1
            depth += isinstance(event, CollectionStartEvent)
            if event.tag is not None:
                refused = f"the tag {event.tag}, expected plain values"
            elif isinstance(event, ScalarEvent) and len(event.value) > LONGEST_TEXT:
                refused = f"a text of more than {LONGEST_TEXT} characters"
        elif isinstance(event, CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST_NESTING:
            refused = f"values nested more than {DEEPEST_NESTING} deep"
        if values > MOST_VALUES:
            refused = f"more than {MOST_VALUES} values"
        if refused:
            raise NotPlainError(f"{cut(refused)} on line {event.start_mark.line + 1}")


def _fault(error: YAMLError) -> str:
    """A YAML error on one line: what is wrong and where."""
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{one_line(error.problem)} on line {mark.line + 1}, column {mark.column + 1}"
    return one_line(str(error))
