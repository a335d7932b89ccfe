"""The loader of params.yaml: one frozen dataclass per group, one clear line per mistake.

Read `load_group` first. A stage calls it once for each group that it uses; the dataclass stands
beside the thing that it configures and refuses nonsense in `__post_init__` with `require`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar, get_args, get_origin, get_type_hints

from worldmodels.core.errors import WorldModelsError
from worldmodels.core.param_kinds import NotOfKindError, coerce, in_words
from worldmodels.core.plain_yaml import Value, read_mapping
from worldmodels.core.wording import cut, key_shown, listed, nearest, shown

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")

# A failed `dvc exp run -S` leaves its change in params.yaml, so each refusal says how to undo it.
# DVC removed data/params_checked before check_params ran; `dvc repro` makes it anew.
HOW_TO_TAKE_BACK = (
    "params.yaml keeps this value until you change it: edit it, or take back all changes, "
    "and the mark of check_params, with `git restore params.yaml && dvc repro check_params`"
)

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
        raise ParameterError(f"expected {expected}, got {shown(got)}", key=key)


def require_seeds(key: str, first: int, count: int) -> None:
    """Refuse the first of `count` track seeds, the value of `key`, unless all are below 2**31."""
    fits = 0 <= first <= SEEDS - count
    require(key, first, fits, f"0 to {SEEDS - count}, so that {count} seeds stay below 2**31")


def require_together(what: str, numbers: int, maximum: int, made_of: Mapping[str, object]) -> None:
    """Refuse values that are fine alone and too much together.

    Args:
        what: they amount to. numbers: how many. maximum: how many there may be.
        made_of: the values, by their dotted keys.

    Raises:
        ParameterError: names the first key, and what the others are.
    """
    if numbers > maximum:
        values = ", ".join(f"{key} {cut(repr(value))}" for key, value in made_of.items())
        problem = f"expected at most {maximum} {what}, got {numbers} from {values}: change one"
        raise ParameterError(problem, key=next(iter(made_of)))


def require_as_in(group: str, first: object, again: object, key: str) -> None:
    """Refuse another value of `key` in the second round's group than in `group`, the first's.

    Raises:
        ParameterError: names both.
    """
    expected, got = getattr(first, key), getattr(again, key)
    if got != expected:
        raise ParameterError(
            f"expected {shown(expected)}, as in {group}.{key}, since the second round goes on "
            f"with the first's models, got {shown(got)}: remove it, and change {group}.{key}",
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
            meant = nearest(group, known)
            guess = f"did you mean {meant}?" if meant else f"expected {listed(known)}"
            raise ParameterError(f"unknown group, {guess}", key=key_shown(group))


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
        problem = f"expected this group in {path}, got only {listed(groups)}"
        raise ParameterError(problem, key=group)
    own, first = groups[group], group.removesuffix(AGAIN_SUFFIX)
    values = {**groups.get(first, {}), **own}
    kinds = get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls) if field.init]

    def key_of(name: str) -> str:
        return f"{group if name in own else first}.{name}"

    for key in own:
        if key not in names:
            meant = nearest(key, names)
            others = {name: keys for name, keys in groups.items() if name != group}
            place = f"{group}.{meant}" if meant else _only_place(key, others)
            guess = f"did you mean {place}?" if place else f"expected {listed(names)}"
            raise ParameterError(f"unknown key, {guess}", key=f"{group}.{key_shown(key)}")
    for name in names:
        if name not in values:
            expected = in_words(kinds[name])
            problem = f"expected {expected}, got nothing: the key is not in {path}"
            raise ParameterError(problem, key=f"{first}.{name}")
    coerced: dict[str, object] = {}
    for name in names:
        try:
            coerced[name] = coerce(values[name], kinds[name])
        except NotOfKindError:
            expected = in_words(kinds[name])
            problem = f"expected {expected}, got {shown(values[name])}"
            if get_origin(kinds[name]) is Literal:
                meant = nearest(values[name], map(str, get_args(kinds[name])))
                problem += f", did you mean {meant}?" if meant else ""
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
    found = read_mapping(path)
    groups = {group: values for group, values in found.items() if isinstance(values, dict)}
    for group, values in found.items():
        if group not in groups:
            place = _only_place(group, groups)
            guess = f", did you mean {place}?" if place else ""
            problem = f"expected a group of keys, got {shown(values)}{guess}"
            raise ParameterError(problem, key=key_shown(group))
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


def _only_place(key: object, groups: Mapping[str, Mapping[str, Value]]) -> str | None:
    """The dotted name of `key`, where one group has it; the second round's follow the first's."""
    having = [
        group
        for group, keys in groups.items()
        if key in keys and not str(group).endswith(AGAIN_SUFFIX)
    ]
    return f"{having[0]}.{key}" if len(having) == 1 else None


def _span(seeds: range) -> str:
    return f"{seeds.start}-{seeds.stop - 1}" if len(seeds) > 1 else f"{seeds.start}"
