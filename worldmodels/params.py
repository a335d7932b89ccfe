"""The loader of params.yaml: one frozen dataclass per group, one clear line per mistake.

Read `load_group` first. A stage calls it once for each group that it uses; the dataclass stands
beside the thing that it configures and refuses nonsense in `__post_init__` with `require`. Values
are read by the field's type and not by YAML's guess, because `dvc exp run -S` may write 1e-05 as
a text. `read_mapping` is where other people's YAML comes in: it builds plain values alone, and few.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
from collections.abc import Iterable, Mapping
from itertools import combinations
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Literal,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    ScalarEvent,
)

from worldmodels.errors import WorldModelsError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")

# What YAML's scalars, lists and mappings become.
Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | None"

# A failed `dvc exp run -S` leaves its change in params.yaml, so each refusal says how to undo it.
# DVC removed data/params_checked before check_params ran: `dvc checkout` brings it back.
HOW_TO_TAKE_BACK = (
    "params.yaml keeps this value until you change it: edit it, or take back all changes, "
    "and the mark of check_params, with `git restore params.yaml && dvc checkout`"
)

# A YAML file of this project has a few hundred values, none of them long. Others may come from
# strangers: read to the end, 1 MiB of brackets alone keeps ruamel busy for hours.
LARGEST_FILE = 2**20  # bytes
MOST_VALUES = 20_000  # ruamel reads them in seconds
DEEPEST_NESTING = 20  # ruamel's constructor calls itself at every level
LONGEST_TEXT = 3_000  # characters of a value; Python writes no whole number of over 4,300 digits
LONGEST_SHOWN = 80  # characters of a value in a message

# The group of the second round: what it does not say, the group without the suffix does.
AGAIN_SUFFIX = "_again"

# Seeds of tracks: gym takes more, but noise seeds and HDF5 see them as int32 or int64.
SEEDS = 2**31


class ParameterError(WorldModelsError):
    """A value of params.yaml that cannot be used. `key` is its dotted name, such as vae.epochs."""

    def __init__(self, problem: str, *, key: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.key = key

    def __str__(self) -> str:
        place = f"{self.key}: " if self.key else ""
        return f"{place}{self.problem}; {HOW_TO_TAKE_BACK}"


@dataclasses.dataclass(frozen=True)
class BaseParams:
    """The group `base`: what all stages share."""

    seed: int  # each stage derives its own generators from it; 0 is a seed like any other
    validation_share: float  # of the episodes, held out from training V and M

    def __post_init__(self) -> None:
        seed_fits = 0 <= self.seed < SEEDS
        require("seed", self.seed, seed_fits, f"a whole number from 0 to {SEEDS - 1}")
        share_fits = 0 < self.validation_share < 1
        require("validation_share", self.validation_share, share_fits, "between 0 and 1")


def require(key: str, got: object, condition: bool, expected: str) -> None:
    """Refuse the value `got` of `key` (named without its group) unless `condition` holds.

    Raises:
        ParameterError: says `expected` and what came; `load_group` puts the group before the key.
    """
    if not condition:
        raise ParameterError(f"expected {expected}, got {_shown(got)}", key=key)


def require_seeds(key: str, first: int, count: int) -> None:
    """Refuse the first of `count` track seeds, the value of `key`, unless all are below 2**31."""
    fits = 0 <= first <= SEEDS - count
    require(key, first, fits, f"0 to {SEEDS - count}, so that {count} seeds stay below 2**31")


def require_together(what: str, numbers: int, at_most: int, made_of: Mapping[str, object]) -> None:
    """Refuse values that are fine alone and too much together.

    Args:
        what: they amount to. numbers: how many. at_most: how many there may be.
        made_of: the values, by their dotted keys.

    Raises:
        ParameterError: names the first key, and what the others are.
    """
    if numbers > at_most:
        values = ", ".join(f"{key} {_cut(repr(value))}" for key, value in made_of.items())
        problem = f"expected at most {at_most} {what}, got {numbers} from {values}: change one"
        raise ParameterError(problem, key=next(iter(made_of)))


def require_as_in(group: str, first: object, again: object, key: str) -> None:
    """Refuse another value of `key` in the second round's group than in `group`, the first's.

    Raises:
        ParameterError: names both.
    """
    expected, got = getattr(first, key), getattr(again, key)
    if got != expected:
        raise ParameterError(
            f"expected {_shown(expected)}, as in {group}.{key}, since the second round goes on "
            f"with the first's models, got {_shown(got)}: remove it, and change {group}.{key}",
            key=f"{group}{AGAIN_SUFFIX}.{key}",
        )


def check_disjoint(ranges: dict[str, range]) -> None:
    """Refuse track seeds that serve two purposes; `ranges` maps dotted keys to seeds (step 1).

    Raises:
        ParameterError: names the first two ranges that share a seed.
    """
    for (key, seeds), (other_key, other_seeds) in combinations(ranges.items(), 2):
        if max(seeds.start, other_seeds.start) < min(seeds.stop, other_seeds.stop):
            raise ParameterError(
                f"expected tracks that nothing else uses, got seeds {_span(seeds)}, which overlap "
                f"seeds {_span(other_seeds)} of {other_key}: move one of the two",
                key=key,
            )


def require_only_groups(found: Iterable[str], known: list[str]) -> None:
    """Refuse a group of params.yaml that no stage reads.

    Raises:
        ParameterError: names the group, and the known one that it resembles.
    """
    for group in found:
        if group not in known:
            nearest = difflib.get_close_matches(group, known, n=1)
            guess = f"did you mean {nearest[0]}?" if nearest else f"expected {_listed(known)}"
            raise ParameterError(f"unknown group, {guess}", key=_name(group))


def load_group(group: str, cls: type[T], path: str | Path = "params.yaml") -> T:
    """Build the frozen dataclass `cls` from one group of params.yaml.

    Every field must be in the file, and nothing else may be. What a group that ends in `_again`
    lacks is taken from the group without that ending.

    Raises:
        WorldModelsError: the file is missing or is not YAML.
        ParameterError: a key is missing, unknown, of the wrong type or refused by `cls`.
    """
    return group_of(read_params(path), group, cls, path)


def group_of(
    groups: Mapping[str, Mapping[str, Value]],
    group: str,
    cls: type[T],
    path: str | Path = "params.yaml",
) -> T:
    """`load_group`, from what `read_params` read at `path`.

    Raises:
        ParameterError: a key is missing, unknown, of the wrong type or refused by `cls`.
    """
    if group not in groups:
        problem = f"expected this group in {path}, got only {_listed(groups)}"
        raise ParameterError(problem, key=group)
    own, first = groups[group], group.removesuffix(AGAIN_SUFFIX)
    values = {**groups.get(first, {}), **own}
    kinds = get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls) if field.init]

    def key_of(name: str) -> str:
        return f"{group if name in own else first}.{name}"

    for key in own:
        if key not in names:
            nearest = difflib.get_close_matches(str(key), names, n=1)
            guess = f"did you mean {nearest[0]}?" if nearest else f"expected {_listed(names)}"
            raise ParameterError(f"unknown key, {guess}", key=f"{group}.{_name(key)}")
    for name in names:
        if name not in values:
            expected = _expected(kinds[name])
            problem = f"expected {expected}, got nothing: the key is not in {path}"
            raise ParameterError(problem, key=f"{first}.{name}")
    coerced: dict[str, object] = {}
    for name in names:
        try:
            coerced[name] = _coerce(values[name], kinds[name])
        except _NotOfKindError:
            expected = _expected(kinds[name])
            problem = f"expected {expected}, got {_shown(values[name])}"
            raise ParameterError(problem, key=key_of(name)) from None
    try:
        return cls(**coerced)
    except ParameterError as error:
        if group != first and error.key and error.key not in own:
            error.problem += f"; {group} takes it over"
        error.key = key_of(error.key) if error.key else group
        raise


def read_params(path: str | Path = "params.yaml") -> dict[str, dict[str, Value]]:
    """Read params.yaml as it stands, group by group, without a look at the values' types.

    Raises:
        WorldModelsError: the file is missing, is not YAML, or is not a mapping.
        ParameterError: a group is not a mapping.
    """
    groups: dict[str, dict[str, Value]] = {}
    for group, values in read_mapping(path).items():
        if not isinstance(values, dict):
            raise ParameterError(
                f"expected a group of keys, got {_shown(values)}", key=_name(group)
            )
        groups[group] = values
    return groups


def flatten(groups: Mapping[str, Value | dict[str, Value]]) -> dict[str, Value]:
    """Name the values by their dotted keys: {'vae': {'epochs': 10}} becomes {'vae.epochs': 10}."""
    flat: dict[str, Value] = {}
    for key, value in groups.items():
        if isinstance(value, dict):
            flat.update({f"{key}.{inner}": leaf for inner, leaf in flatten(value).items()})
        else:
            flat[str(key)] = value
    return flat


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
        values = _plain_values(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise WorldModelsError(f"{path}: expected a readable text file, got {error}") from None
    except _NotPlainError as error:
        raise WorldModelsError(f"{path}: expected YAML, got {error}; {mend}") from None
    if not isinstance(values, dict):
        got = _shown(values)
        raise WorldModelsError(f"{path}: expected a mapping of keys, got {got}; {mend}")
    return values


class _NotPlainError(Exception):
    """A text that is not YAML, or asks for more than plain values; says on one line what came."""


def _plain_values(text: str) -> Value:
    """What a YAML text says.

    Raises:
        _NotPlainError: it is not YAML, or not plain.
    """
    try:
        _require_plain(text)
        values: Value = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise _NotPlainError(_fault(error)) from None
    except (ValueError, OverflowError) as error:  # the 13th month
        raise _NotPlainError(f"a value that cannot be read ({_cut(str(error))})") from None
    return values


def _require_plain(text: str) -> None:
    """Look through a YAML text, building nothing, and stop where it is more than plain values.

    Raises:
        _NotPlainError: a tag, an alias, a value that is too long, too many or too deep.
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
            raise _NotPlainError(f"{_cut(refused)} on line {event.start_mark.line + 1}")


class _NotOfKindError(Exception):
    """A value that a field of this type cannot mean."""


def _coerce(value: object, kind: object) -> object:
    """Read `value` as a person who writes it for a field of type `kind` means it.

    Raises:
        _NotOfKindError: it cannot be read so.
    """
    if get_origin(kind) in (Union, types.UnionType):
        return None if value is None or value == "null" else _coerce(value, _not_none(kind))
    if get_origin(kind) is Literal:
        return _coerce_to_one_of(value, get_args(kind))
    if get_origin(kind) is tuple:
        return _coerce_to_tuple(value, get_args(kind))
    if kind is bool:
        return _coerce_to_bool(value)
    if kind is int:
        return _coerce_to_int(value)
    if kind is float:
        return _coerce_to_float(value)
    if kind is str:
        if isinstance(value, str):
            return value
        raise _NotOfKindError
    raise TypeError(f"no reader for fields of type {kind}")


def _coerce_to_bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise _NotOfKindError


def _coerce_to_int(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            return int(value, base=0)  # 0x20 too, as YAML reads it without quotes
        except ValueError:
            pass  # '1e3' and '032' are whole numbers too, read below
    number = _coerce_to_float(value)
    if not number.is_integer():
        raise _NotOfKindError
    return int(number)


def _coerce_to_float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _NotOfKindError
    try:
        number = float(value)
    except (ValueError, OverflowError):  # not a number, or one beyond 1.8e308
        raise _NotOfKindError from None
    if not math.isfinite(number):
        raise _NotOfKindError
    return number


def _coerce_to_tuple(value: object, kinds: tuple[object, ...]) -> tuple[object, ...]:
    if isinstance(value, str):
        try:
            value = _plain_values(value)
        except _NotPlainError:
            raise _NotOfKindError from None
    if not isinstance(value, list):
        raise _NotOfKindError
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if len(value) != len(kinds):
        raise _NotOfKindError
    return tuple(_coerce(item, kind) for item, kind in zip(value, kinds, strict=True))


def _coerce_to_one_of(value: object, choices: tuple[object, ...]) -> object:
    for choice in choices:
        try:
            if _coerce(value, type(choice)) == choice:
                return choice
        except _NotOfKindError:
            pass  # of another type than this choice, perhaps not than the next
    raise _NotOfKindError


def _expected(kind: object) -> str:
    """Say in words what a field of type `kind` takes."""
    if get_origin(kind) in (Union, types.UnionType):
        return f"{_expected(_not_none(kind))} or null"
    if get_origin(kind) is Literal:
        return f"one of {', '.join(repr(choice) for choice in get_args(kind))}"
    if get_origin(kind) is tuple:
        items = ("..." if item is Ellipsis else _expected(item) for item in get_args(kind))
        return f"a list [{', '.join(items)}]"
    words: dict[object, str] = {
        bool: "true or false",
        int: "a whole number",
        float: "a finite number",
        str: "a text",
    }
    return words[kind]


def _not_none(kind: object) -> object:
    """The X of `X | None`, the one union that parameters have."""
    (inner,) = (member for member in get_args(kind) if member is not types.NoneType)
    return inner


def _shown(value: object) -> str:
    """A value and its type, in YAML's words where Python's differ."""
    if value is None:
        return "null"
    if isinstance(value, tuple):  # a person wrote it as a list
        value = list(value)
    return f"{_cut(repr(value))} ({type(value).__name__})"


def _name(key: object) -> str:
    """A key that may be anything, on one line and not to be overlooked."""
    text = str(key)
    plain = text.isprintable() and text == text.strip() != ""
    return _cut(text if plain else repr(text))


def _listed(names: Iterable[object]) -> str:
    """Names one after the other; of many, the first ones."""
    return _cut(", ".join(_name(name) for name in names), 4 * LONGEST_SHOWN) or "nothing"


def _cut(text: str, longest: int = LONGEST_SHOWN) -> str:
    return text if len(text) <= longest else f"{text[:longest]}..."


def _span(seeds: range) -> str:
    return f"{seeds.start}-{seeds.stop - 1}" if len(seeds) > 1 else f"{seeds.start}"


def _fault(error: YAMLError) -> str:
    """A YAML error on one line: what is wrong and where."""
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{_one_line(error.problem)} on line {mark.line + 1}, column {mark.column + 1}"
    return _one_line(str(error))


def _one_line(text: str) -> str:
    words = " ".join(text.split())
    return _cut("".join(letter if letter.isprintable() else "?" for letter in words), 160)
