"""Parameters: a pydantic model for each group of params.yaml, one clear line for each mistake.

A stage calls `load_group` once for each group that it uses. The model of a group stands beside the
thing that it configures. What a round says under `rounds` overrides the common group. Read `Params`
first, then `group_of`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ValidationInfo

from worldmodels.core.errors import WorldModelsError
from worldmodels.core.plain_yaml import NotPlainError, Value, plain_values, read_mapping
from worldmodels.core.wording import key_shown, listed, nearest, shown

Group: TypeAlias = Mapping[str, Value]
T = TypeVar("T", bound="Params")

# A failed `dvc exp run -S` leaves its change in params.yaml, so each refusal says how to undo it.
# DVC removed data/params_checked before check_params ran; `dvc repro` makes it anew.
HOW_TO_TAKE_BACK = (
    "params.yaml keeps this value until you change it: edit it, or take back all changes, "
    "and the mark of check_params, with `git restore params.yaml && dvc repro check_params`"
)
ROUNDS = "rounds"
MAX_SEED = 2**31 - 1  # gym takes more, but noise seeds and HDF5 see them as int32 or int64


class ParameterError(WorldModelsError):
    """A value of params.yaml that cannot be used. `key` is its dotted name, such as vae.epochs."""

    def __init__(self, problem: str, *, key: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.key = key

    def __reduce__(self) -> tuple[object, ...]:
        return _parameter_error, (self.problem, self.key)

    def __str__(self) -> str:
        return f"{self.key}: {self.problem}; {HOW_TO_TAKE_BACK}"


def _parameter_error(problem: str, key: str) -> ParameterError:
    return ParameterError(problem, key=key)


class Params(BaseModel):
    """A group of params.yaml: every field must be there, and nothing else may be."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _as_a_person_means_it(cls, value: object, info: ValidationInfo) -> object:
        """By the field's type, not by YAML's guess: `dvc exp run -S` may write 1e-05 as a text."""
        kind = cls.model_fields[str(info.field_name)].annotation
        is_text = kind is str or all(isinstance(choice, str) for choice in get_args(kind) or [0])
        if isinstance(value, str) and not is_text:
            try:
                value = plain_values(value)
            except NotPlainError:
                raise ValueError("expected a value in YAML") from None
        booleans = [item for item in _items(value) if isinstance(item, bool)]
        if kind is bool and not booleans:
            raise ValueError("expected true or false")
        if kind is not bool and booleans:
            raise ValueError("expected a number, not true or false")
        return value


class BaseParams(Params):
    """The group `base`: what all stages share.

    seed: each stage derives its own generators from it.
    validation_share: of the episodes, held out from training V and M.
    """

    seed: int = Field(ge=0, le=MAX_SEED)
    validation_share: float = Field(gt=0, lt=1)


def load_group(
    group: str, cls: type[T], *, round_name: str = "", path: str | Path = "params.yaml"
) -> T:
    """Read one group of params.yaml, with what a round overrides of it.

    Raises:
        WorldModelsError: the file is missing or is not plain YAML.
        ParameterError: a key is missing, unknown, of the wrong type or out of bounds.
    """
    return group_of(read_params(path), group, cls, round_name=round_name)


def group_of(groups: Mapping[str, Group], group: str, cls: type[T], *, round_name: str = "") -> T:
    """`load_group`, from what `read_params` read.

    Raises:
        ParameterError: a key is missing, unknown, of the wrong type or out of bounds.
    """
    if group not in groups:
        raise ParameterError(f"expected this group, got only {listed(groups)}", key=group)
    common = groups[group]
    own = _override(groups, round_name, group) if round_name else {}

    def key_of(name: object) -> str:
        place = f"{ROUNDS}.{round_name}.{group}" if name in own else group
        return f"{place}.{key_shown(name)}"

    try:
        return cls(**{str(key): value for key, value in {**common, **own}.items()})
    except ValidationError as errors:
        error = errors.errors(include_url=False)[0]
        name = error["loc"][0]
        if error["type"] == "extra_forbidden":
            meant = nearest(name, cls.model_fields)
            others = {other: keys for other, keys in groups.items() if other not in (group, ROUNDS)}
            guess = f"{key_of(name).rpartition('.')[0]}.{meant}" if meant else _place(name, others)
            expected = f"did you mean {guess}?" if guess else f"expected {listed(cls.model_fields)}"
            raise ParameterError(f"unknown key, {expected}", key=key_of(name)) from None
        if error["type"] == "missing":
            raise ParameterError("expected a value, got nothing", key=key_of(name)) from None
        value = {**common, **own}[str(name)]
        problem = f"{_expected(error)}, got {shown(value)}"
        annotation = cls.model_fields[str(name)].annotation
        meant = nearest(value, map(str, get_args(annotation))) if get_origin(annotation) else None
        problem += f", did you mean {meant}?" if meant else ""
        raise ParameterError(problem, key=key_of(name)) from None


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
            place = _place(group, groups)
            guess = f", did you mean {place}?" if place else ""
            problem = f"expected a group of keys, got {shown(values)}{guess}"
            raise ParameterError(problem, key=key_shown(group))
    return groups


def require_known(found: Iterable[str], known: Iterable[str], *, place: str = "") -> None:
    """Refuse a group that no stage reads.

    Raises:
        ParameterError: names the group, and the known one that it resembles.
    """
    known = list(known)
    for group in found:
        if group not in known:
            meant = nearest(group, known)
            guess = f"did you mean {place}{meant}?" if meant else f"expected {listed(known)}"
            raise ParameterError(f"unknown group, {guess}", key=f"{place}{key_shown(group)}")


def flatten(groups: Group) -> dict[str, Value]:
    """Name the values by their dotted keys: {'vae': {'epochs': 10}} becomes {'vae.epochs': 10}."""
    flat: dict[str, Value] = {}
    for key, value in groups.items():
        if isinstance(value, dict):
            flat.update({f"{key}.{inner}": leaf for inner, leaf in flatten(value).items()})
        else:
            flat[str(key)] = value
    return flat


def _override(groups: Mapping[str, Group], round_name: str, group: str) -> Group:
    """What a round says of a group."""
    key = f"{ROUNDS}.{round_name}.{group}"
    values: Any = groups.get(ROUNDS, {}).get(round_name)
    own = values.get(group) if isinstance(values, dict) else None
    if own is None:
        raise ParameterError("expected this group, got nothing: write {} for as it is", key=key)
    if not isinstance(own, dict):
        raise ParameterError(f"expected a group of keys, got {shown(own)}", key=key)
    return own


def _expected(error: ErrorDetails) -> str:
    """What pydantic expected, in a few words."""
    context = error.get("ctx", {})
    bounds = {"ge": "at least", "le": "at most", "gt": "more than", "lt": "less than"}
    for bound, words in bounds.items():
        if bound in context:
            return f"expected {words} {context[bound]}"
    message = error["msg"].removeprefix("Value error, ")
    message = message.replace("Input should be", "expected")
    message = (message[:1].lower() + message[1:]).replace("tuple", "list")
    return message.split(", unable to parse")[0]


def _items(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _place(key: object, groups: Mapping[str, Group]) -> str | None:
    """The dotted name of `key`, where one group has it."""
    having = [group for group, keys in groups.items() if key in keys]
    return f"{having[0]}.{key}" if len(having) == 1 else None
