"""Puts into a message what a person or another library wrote: on one line, and cut where long."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LONGEST_SHOWN = 80  # characters of a value in a message


def shown(value: object) -> str:
    """A value and its type, in YAML's words where Python's differ."""
    if value is None:
        return "null"
    if isinstance(value, tuple):  # a person wrote it as a list
        value = list(value)
    return f"{cut(repr(value))} ({type(value).__name__})"


def key_shown(key: object) -> str:
    """A key that may be anything, on one line and not to be overlooked."""
    text = str(key)
    plain = text.isprintable() and text == text.strip() != ""
    return cut(text if plain else repr(text))


def listed(names: Iterable[object]) -> str:
    """Names one after the other; of many, the first ones."""
    return cut(", ".join(key_shown(name) for name in names), 4 * LONGEST_SHOWN) or "nothing"


def nearest(name: object, known: Iterable[str]) -> str | None:
    """The one of `known` that whoever wrote `name` most likely meant; None if none is like it."""
    if not isinstance(name, str) or len(name) > LONGEST_SHOWN:
        return None
    spellings = {one.casefold(): one for one in known}
    found = difflib.get_close_matches(name.casefold(), spellings, n=1)
    return spellings[found[0]] if found else None


def cut(text: str, longest: int = LONGEST_SHOWN) -> str:
    """The text; where it is longer than `longest`, its beginning and dots."""
    return text if len(text) <= longest else f"{text[:longest]}..."


def one_line(text: str) -> str:
    """A text of another library, printable and on one line."""
    words = " ".join(text.split())
    return cut("".join(letter if letter.isprintable() else "?" for letter in words), 160)
