"""What a value of params.yaml means in a field of some type, and how that type reads in words.

By the field's type and not by YAML's guess, because `dvc exp run -S` may write 1e-05 as a text.
Read `coerce`.
"""

from __future__ import annotations

import math
import types
from typing import Literal, Union, get_args, get_origin

from worldmodels.core.plain_yaml import NotPlainError, plain_values


class NotOfKindError(Exception):
    """A value that a field of this type cannot mean."""


def coerce(value: object, kind: object) -> object:
    """Read `value` as a person who writes it for a field of type `kind` means it.

    Raises:
        NotOfKindError: it cannot be read so.
    """
    if get_origin(kind) in (Union, types.UnionType):
        return None if value is None or value == "null" else coerce(value, _not_none(kind))
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
        raise NotOfKindError
    raise TypeError(f"no reader for fields of type {kind}")


def _coerce_to_bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise NotOfKindError


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
        raise NotOfKindError
    return int(number)


def _coerce_to_float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise NotOfKindError
    try:
        number = float(value)
    except (ValueError, OverflowError):  # not a number, or one beyond 1.8e308
        raise NotOfKindError from None
    if not math.isfinite(number):
        raise NotOfKindError
    return number


def _coerce_to_tuple(value: object, kinds: tuple[object, ...]) -> tuple[object, ...]:
    if isinstance(value, str):
        try:
            value = plain_values(value)
        except NotPlainError:
            raise NotOfKindError from None
    if not isinstance(value, list):
        raise NotOfKindError
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if len(value) != len(kinds):
        raise NotOfKindError
    return tuple(coerce(item, kind) for item, kind in zip(value, kinds, strict=True))


def _coerce_to_one_of(value: object, choices: tuple[object, ...]) -> object:
    for choice in choices:
        try:
            if coerce(value, type(choice)) == choice:
                return choice
        except NotOfKindError:
            pass  # of another type than this choice, perhaps not than the next
    raise NotOfKindError


def in_words(kind: object) -> str:
    """Say in words what a field of type `kind` takes."""
    if get_origin(kind) in (Union, types.UnionType):
        return f"{in_words(_not_none(kind))} or null"
    if get_origin(kind) is Literal:
        return f"one of {', '.join(repr(choice) for choice in get_args(kind))}"
    if get_origin(kind) is tuple:
        items = ("..." if item is Ellipsis else in_words(item) for item in get_args(kind))
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
